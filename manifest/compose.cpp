// Compose files: services, networks, volumes, secrets, configs.
#include <array>

#include "base/text.hpp"
#include "manifest/convert.hpp"
#include "manifest/emit.hpp"

namespace vrun::manifest {
namespace {

// Keys whose value goes over as it is, and their names here.
struct Same {
  std::string_view theirs, ours;
  bool plain = false;
};
constexpr std::array kTexts{Same{"image", "image"},
                            Same{"working_dir", "workdir"},
                            Same{"user", "user"},
                            Same{"hostname", "hostname"},
                            Same{"tty", "tty", true},
                            Same{"stdin_open", "stdin", true},
                            Same{"init", "init", true},
                            Same{"read_only", "readOnly", true},
                            Same{"stop_signal", "stopSignal"},
                            Same{"stop_grace_period", "stopTimeout"},
                            Same{"platform", "platform"},
                            Same{"restart", "restart"}};
constexpr std::array kLists{Same{"tmpfs", "tmpfs"},          Same{"devices", "devices"},
                            Same{"extra_hosts", "addHosts"}, Same{"dns", "dns"},
                            Same{"dns_search", "dnsSearch"}, Same{"env_file", "envFiles"},
                            Same{"group_add", "groupAdd"},   Same{"dns_opt", "dnsOptions"}};
constexpr std::array kLimits{
    Same{"mem_limit", "memory"},         Same{"mem_reservation", "memoryReservation"},
    Same{"memswap_limit", "memorySwap"}, Same{"cpus", "cpus"},
    Same{"cpuset", "cpusetCpus"},        Same{"pids_limit", "pids", true},
    Same{"shm_size", "shmSize"}};
constexpr std::array<std::string_view, 46> kKnown{"image",
                                                  "working_dir",
                                                  "user",
                                                  "hostname",
                                                  "tty",
                                                  "stdin_open",
                                                  "init",
                                                  "read_only",
                                                  "stop_signal",
                                                  "stop_grace_period",
                                                  "platform",
                                                  "restart",
                                                  "tmpfs",
                                                  "devices",
                                                  "extra_hosts",
                                                  "dns",
                                                  "dns_search",
                                                  "env_file",
                                                  "group_add",
                                                  "mem_limit",
                                                  "mem_reservation",
                                                  "memswap_limit",
                                                  "cpus",
                                                  "cpuset",
                                                  "pids_limit",
                                                  "shm_size",
                                                  "environment",
                                                  "labels",
                                                  "ports",
                                                  "volumes",
                                                  "command",
                                                  "entrypoint",
                                                  "depends_on",
                                                  "healthcheck",
                                                  "networks",
                                                  "network_mode",
                                                  "cap_add",
                                                  "cap_drop",
                                                  "privileged",
                                                  "security_opt",
                                                  "sysctls",
                                                  "deploy",
                                                  "secrets",
                                                  "configs",
                                                  "dns_opt",
                                                  "pull_policy"};

class Compose {
 public:
  Compose(const Node& root, Notes& notes) : root_(root), notes_(notes) {}

  std::string run() {
    static constexpr std::array<std::string_view, 7> kTop{
        "version", "name", "services", "networks", "volumes", "secrets", "configs"};
    notes_.unknown(root_, "", kTop);
    networks();
    named("volumes", "Volume");
    contents("secrets", "Secret");
    contents("configs", "Config");
    const Node* services = root_.find("services");
    for (const auto& [name, service] : services->entries)
      guest(name.text, service);
    return std::move(out_);
  }

 private:
  void networks() {
    const Node* networks = root_.find("networks");
    if (networks == nullptr) return;
    for (const auto& [name, network] : networks->entries) {
      if (name.text == "default") continue;
      static constexpr std::array<std::string_view, 4> kKeys{"internal", "driver", "enable_ipv6",
                                                             "labels"};
      const std::string path = "networks." + name.text;
      notes_.unknown(network, path, kKeys);
      const std::string driver = network.text_of("driver");
      if (!driver.empty() && driver != "bridge")
        notes_.add(*network.find("driver"), path + ".driver", "only bridges are there");
      Node body = map_node();
      put_plain(body, "internal", network.text_of("internal"));
      put_pairs(body, "labels", network.find("labels"));
      out_ += document("Network", name.text, body);
    }
  }

  void named(const char* key, const char* kind) {
    const Node* objects = root_.find(key);
    if (objects == nullptr) return;
    for (const auto& [name, object] : objects->entries) {
      notes_.unknown(object, std::string(key) + "." + name.text, {});
      out_ += document(kind, name.text, map_node());
    }
  }

  void contents(const char* key, const char* kind) {
    const Node* objects = root_.find(key);
    if (objects == nullptr) return;
    static constexpr std::array<std::string_view, 2> kKeys{"file", "content"};
    for (const auto& [name, object] : objects->entries) {
      notes_.unknown(object, std::string(key) + "." + name.text, kKeys);
      Node body = map_node(), files = map_node(), data = map_node();
      put_text(files, name.text, object.text_of("file"));
      put_text(data, name.text, object.text_of("content"));
      put(body, "data", std::move(data));
      put(body, "files", std::move(files));
      out_ += document(kind, name.text, body);
    }
  }

  // A map, or a list of NAME=VALUE.
  static void put_pairs(Node& body, const char* key, const Node* from) {
    if (from == nullptr) return;
    Node map = map_node();
    for (const auto& [name, value] : from->entries)
      put(map, name.text, scalar(value.text));
    for (const Node& item : from->items) {
      const std::size_t sign = std::min(item.text.find('='), item.text.size());
      put(map, item.text.substr(0, sign),
          scalar(sign < item.text.size() ? item.text.substr(sign + 1) : ""));
    }
    put(body, key, std::move(map));
  }

  void guest(const std::string& name, const Node& service) {
    const std::string path = "services." + name;
    notes_.unknown(service, path, kKnown);
    Node body = map_node();
    for (const Same& same : kTexts) {
      const std::string text = service.text_of(same.theirs);
      same.plain ? put_plain(body, std::string(same.ours), text)
                 : put_text(body, std::string(same.ours), text);
    }
    for (const Same& same : kLists) {
      const Node* list = service.find(same.theirs);
      if (list == nullptr) continue;
      if (list->is_map()) {  // extra_hosts: {name: address}
        std::vector<std::string> pairs;
        for (const auto& [key, value] : list->entries)
          pairs.push_back(key.text + ":" + value.text);
        put_list(body, std::string(same.ours), pairs);
      } else {
        put_list(body, std::string(same.ours),
                 list->is_scalar() ? std::vector<std::string>{list->text} : words_of(list));
      }
    }
    put_list(body, "command", words_of(service.find("entrypoint")));
    put_list(body, "args", words_of(service.find("command")));
    environment(service, body, path);
    put_pairs(body, "labels", service.find("labels"));
    limits(service, body, path);
    security(service, body);
    ports(service, body, path);
    volumes(service, body, path);
    uses(service, body, "secrets");
    uses(service, body, "configs");
    network(service, body, path);
    depends(service, body);
    health(service, body, path);
    if (service.find("pull_policy") != nullptr) {
      const std::string policy = service.text_of("pull_policy");
      if (policy == "always" || policy == "never" || policy == "missing") {
        put_text(body, "pull", policy);
      } else {
        notes_.add(*service.find("pull_policy"), path + ".pull_policy", "is no policy here");
      }
    }
    out_ += document("Guest", name, body);
  }

  void environment(const Node& service, Node& body, const std::string& path) {
    const Node* from = service.find("environment");
    if (from == nullptr) return;
    put_pairs(body, "env", from);
    for (const Node& item : from->items) {
      if (item.text.find('=') == std::string::npos)
        notes_.add(item, path + ".environment." + item.text, "its value comes from the caller");
    }
  }

  void limits(const Node& service, Node& body, const std::string& path) {
    Node limits = map_node();
    for (const Same& same : kLimits) {
      const std::string text = service.text_of(same.theirs);
      same.plain ? put_plain(limits, std::string(same.ours), text)
                 : put_text(limits, std::string(same.ours), text);
    }
    const Node* deploy = service.find("deploy");
    if (deploy != nullptr) {
      static constexpr std::array<std::string_view, 2> kDeploy{"replicas", "resources"};
      notes_.unknown(*deploy, path + ".deploy", kDeploy);
      put_plain(body, "replicas", deploy->text_of("replicas"));
      const Node* resources = deploy->find("resources");
      const Node* most = resources == nullptr ? nullptr : resources->find("limits");
      if (most != nullptr) {
        if (limits.find("memory") == nullptr) put_text(limits, "memory", most->text_of("memory"));
        if (limits.find("cpus") == nullptr) put_text(limits, "cpus", most->text_of("cpus"));
        if (limits.find("pids") == nullptr) put_plain(limits, "pids", most->text_of("pids"));
      }
      const Node* least = resources == nullptr ? nullptr : resources->find("reservations");
      if (least != nullptr && limits.find("memoryReservation") == nullptr)
        put_text(limits, "memoryReservation", least->text_of("memory"));
    }
    put(body, "limits", std::move(limits));
  }

  static void security(const Node& service, Node& body) {
    Node security = map_node();
    put_plain(security, "privileged", service.text_of("privileged"));
    put_list(security, "capAdd", words_of(service.find("cap_add")));
    put_list(security, "capDrop", words_of(service.find("cap_drop")));
    put_list(security, "options", words_of(service.find("security_opt")));
    put_pairs(security, "sysctls", service.find("sysctls"));
    put(body, "security", std::move(security));
  }

  void ports(const Node& service, Node& body, const std::string& path) {
    const Node* ports = service.find("ports");
    if (ports == nullptr) return;
    std::vector<std::string> texts;
    for (const Node& port : ports->items) {
      if (port.is_scalar()) {
        texts.push_back(port.text);
        continue;
      }
      static constexpr std::array<std::string_view, 4> kKeys{"target", "published", "protocol",
                                                             "host_ip"};
      notes_.unknown(port, path + ".ports", kKeys);
      std::string text = port.text_of("target");
      const std::string published = port.text_of("published"), address = port.text_of("host_ip");
      if (!published.empty() || !address.empty()) text = published + ":" + text;
      if (!address.empty()) text = address + ":" + text;
      const std::string protocol = port.text_of("protocol");
      texts.push_back(text + (protocol.empty() ? "" : "/" + protocol));
    }
    put_list(body, "ports", texts);
  }

  void volumes(const Node& service, Node& body, const std::string& path) {
    const Node* volumes = service.find("volumes");
    if (volumes == nullptr) return;
    std::vector<std::string> texts, tmpfs;
    for (const Node& volume : volumes->items) {
      if (volume.is_scalar()) {
        if (volume.text.find(':') != std::string::npos) {
          texts.push_back(volume.text);
        } else {
          notes_.add(volume, path + ".volumes", "a volume without a name");
        }
        continue;
      }
      const std::string source = volume.text_of("source"), target = volume.text_of("target");
      if (volume.text_of("type") == "tmpfs") {
        tmpfs.push_back(target);
      } else if (source.empty()) {
        notes_.add(volume, path + ".volumes", "a volume without a name");
      } else {
        texts.push_back(source + ":" + target +
                        (volume.text_of("read_only") == "true" ? ":ro" : ""));
      }
    }
    put_list(body, "volumes", texts);
    if (body.find("tmpfs") == nullptr) put_list(body, "tmpfs", tmpfs);
  }

  static void uses(const Node& service, Node& body, const char* key) {
    const Node* uses = service.find(key);
    if (uses == nullptr) return;
    Node list;
    list.kind = Node::Kind::kList;
    for (const Node& use : uses->items) {
      Node one = map_node();
      put_text(one, "name", use.is_scalar() ? use.text : use.text_of("source"));
      list.items.push_back(std::move(one));
    }
    put(body, key, std::move(list));
  }

  void network(const Node& service, Node& body, const std::string& path) {
    const std::string mode = service.text_of("network_mode");
    if (mode.starts_with("service:")) {
      put_text(body, "network", "container:" + mode.substr(8));
    } else {
      put_text(body, "network", mode);
    }
    const Node* networks = service.find("networks");
    if (networks == nullptr || !mode.empty()) return;
    std::vector<std::string> names =
        networks->is_map() ? std::vector<std::string>() : words_of(networks);
    for (const auto& [name, more] : networks->entries) {
      names.push_back(name.text);
      if (names.size() == 1) put_list(body, "networkAliases", words_of(more.find("aliases")));
    }
    if (names.empty()) return;
    put_text(body, "network", names[0]);
    if (names.size() > 1)
      notes_.add(*networks, path + ".networks",
                 "a guest begins on one network: `vrun network connect`");
  }

  static void depends(const Node& service, Node& body) {
    const Node* depends = service.find("depends_on");
    if (depends == nullptr) return;
    Node map = map_node();
    for (const Node& item : depends->items)
      put_text(map, item.text, "started");
    for (const auto& [name, how] : depends->entries) {
      const std::string condition = how.text_of("condition");
      put_text(map, name.text,
               condition == "service_healthy"                  ? "healthy"
               : condition == "service_completed_successfully" ? "completed"
                                                               : "started");
    }
    put(body, "dependsOn", std::move(map));
  }

  void health(const Node& service, Node& body, const std::string& path) {
    const Node* check = service.find("healthcheck");
    if (check == nullptr || check->text_of("disable") == "true") return;
    static constexpr std::array<std::string_view, 6> kKeys{"test",         "interval", "timeout",
                                                           "start_period", "retries",  "disable"};
    notes_.unknown(*check, path + ".healthcheck", kKeys);
    const Node* test = check->find("test");
    if (test == nullptr) return;
    std::vector<std::string> exec;
    if (test->is_scalar()) exec = {"/bin/sh", "-c", test->text};
    if (test->is_list() && !test->items.empty()) {
      std::vector<std::string> words = words_of(test);
      const std::string kind = words.front();
      words.erase(words.begin());
      if (kind == "NONE" || words.empty()) return;
      exec = kind == "CMD-SHELL" ? std::vector<std::string>{"/bin/sh", "-c", words.front()} : words;
    }
    Node probe = map_node(), probes = map_node();
    put_list(probe, "exec", exec);
    put_text(probe, "interval", check->text_of("interval"));
    put_text(probe, "timeout", check->text_of("timeout"));
    put_plain(probe, "retries", check->text_of("retries"));
    put_text(probe, "startPeriod", check->text_of("start_period"));
    put(probes, "liveness", std::move(probe));
    put(body, "probes", std::move(probes));
  }

  const Node& root_;
  Notes& notes_;
  std::string out_;
};

}  // namespace

std::string convert_compose(const Node& root, Notes notes) {
  return Compose(root, notes).run();
}

}  // namespace vrun::manifest
