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
                            Same{"domainname", "domainname"},
                            Same{"restart", "restart"}};
constexpr std::array kLists{Same{"tmpfs", "tmpfs"},          Same{"devices", "devices"},
                            Same{"extra_hosts", "addHosts"}, Same{"dns", "dns"},
                            Same{"dns_search", "dnsSearch"}, Same{"env_file", "envFiles"},
                            Same{"group_add", "groupAdd"},   Same{"dns_opt", "dnsOptions"},
                            Same{"expose", "expose"}};
constexpr std::array kLimits{
    Same{"mem_limit", "memory"},          Same{"mem_reservation", "memoryReservation"},
    Same{"memswap_limit", "memorySwap"},  Same{"cpus", "cpus"},
    Same{"cpuset", "cpusetCpus"},         Same{"pids_limit", "pids", true},
    Same{"shm_size", "shmSize"},          Same{"oom_score_adj", "oomScoreAdj", true},
    Same{"cpu_shares", "cpuShares", true}};
constexpr std::array<std::string_view, 55> kKnown{"image",
                                                  "domainname",
                                                  "expose",
                                                  "oom_score_adj",
                                                  "cpu_shares",
                                                  "ulimits",
                                                  "logging",
                                                  "pid",
                                                  "ipc",
                                                  "userns_mode",
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

// Compose's variables: "$$" is a dollar, "${NAME:-text}" the text where nobody says more. The value
// of others is the environment's of whoever calls Compose.
void interpolate(Node& node, const std::string& path, Notes& notes) {
  for (Entry& entry : node.entries)
    interpolate(entry.second, path.empty() ? entry.first.text : path + "." + entry.first.text,
                notes);
  for (Node& item : node.items)
    interpolate(item, path, notes);
  std::string out;
  const std::string& text = node.text;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$') {
      out += text[i];
      continue;
    }
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    const std::size_t end = next == '{' ? text.find('}', i) : std::string::npos;
    if (next == '$') {
      out += text[i++];
      continue;
    }
    const bool is_name =
        next == '_' || (next >= 'A' && next <= 'Z') || (next >= 'a' && next <= 'z');
    if (end == std::string::npos) {
      if (is_name) notes.add(node, path, "a variable of Compose's caller: " + quote(text));
      out += text[i];
      continue;
    }
    const std::string inside = text.substr(i + 2, end - i - 2);
    const std::size_t dash = inside.find('-');
    const std::size_t name_end = std::min(inside.find(':'), dash);
    if (dash == std::string::npos) {
      notes.add(node, path, "a variable of Compose's caller: " + quote(text));
      out += text.substr(i, end - i + 1);
    } else {
      notes.add(node, path,
                "variable " + quote(inside.substr(0, name_end)) + ": its default is taken");
      out += inside.substr(dash + 1);
    }
    i = end;
  }
  node.text = out;
}

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
      static constexpr std::array<std::string_view, 5> kKeys{"internal", "driver", "enable_ipv6",
                                                             "labels", "ipam"};
      const std::string path = "networks." + name.text;
      notes_.unknown(network, path, kKeys);
      const std::string driver = network.text_of("driver");
      if (!driver.empty() && driver != "bridge")
        notes_.add(*network.find("driver"), path + ".driver", "only bridges are there");
      Node body = map_node();
      put_plain(body, "internal", network.text_of("internal"));
      put_list(body, "subnets", subnets(network));
      put_pairs(body, "labels", network.find("labels"));
      out_ += document("Network", name.text, body);
    }
  }

  static std::vector<std::string> subnets(const Node& network) {
    std::vector<std::string> texts;
    const Node* ipam = network.find("ipam");
    const Node* configs = ipam == nullptr ? nullptr : ipam->find("config");
    if (configs == nullptr) return texts;
    for (const Node& config : configs->items) {
      if (std::string subnet = config.text_of("subnet"); !subnet.empty())
        texts.push_back(std::move(subnet));
    }
    return texts;
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
    logging(service, body, path);
    security(service, body);
    ports(service, body, path);
    volumes(service, body);
    uses(service, body, "secrets", path);
    uses(service, body, "configs", path);
    network(name, service, body, path);
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
    Node said = *from;
    const auto is_callers = [&](const Node& key, bool is) {
      if (is) notes_.add(key, path + ".environment." + key.text, "its value comes from the caller");
      return is;
    };
    std::erase_if(said.items, [&](const Node& item) {
      return is_callers(item, item.text.find('=') == std::string::npos);
    });
    std::erase_if(said.entries, [&](const Entry& entry) {
      return is_callers(entry.first, entry.second.is_null());
    });
    put_pairs(body, "env", &said);
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
    put_list(limits, "ulimits", ulimits(service));
    put(body, "limits", std::move(limits));
  }

  static std::vector<std::string> ulimits(const Node& service) {
    std::vector<std::string> texts;
    const Node* from = service.find("ulimits");
    if (from == nullptr) return texts;
    for (const auto& [name, limit] : from->entries) {
      texts.push_back(
          name.text + "=" +
          (limit.is_scalar() ? limit.text : limit.text_of("soft") + ":" + limit.text_of("hard")));
    }
    return texts;
  }

  void logging(const Node& service, Node& body, const std::string& path) {
    const Node* from = service.find("logging");
    if (from == nullptr) return;
    const std::string driver = from->text_of("driver");
    const bool known = driver.empty() || driver == "json-file" || driver == "local" ||
                       driver == "k8s-file" || driver == "none";
    if (!known)
      return notes_.add(*from, path + ".logging", "driver " + quote(driver) + " is not here");
    put_text(body, "logDriver", driver);
    put_pairs(body, "logOptions", from->find("options"));
  }

  // host, or service:NAME.
  static std::string shared(const std::string& text) {
    return text.starts_with("service:") ? "container:" + text.substr(8) : text;
  }

  static void security(const Node& service, Node& body) {
    Node security = map_node();
    put_plain(security, "privileged", service.text_of("privileged"));
    put_list(security, "capAdd", words_of(service.find("cap_add")));
    put_list(security, "capDrop", words_of(service.find("cap_drop")));
    put_list(security, "options", words_of(service.find("security_opt")));
    put_pairs(security, "sysctls", service.find("sysctls"));
    put_text(security, "pid", shared(service.text_of("pid")));
    put_text(security, "ipc", shared(service.text_of("ipc")));
    put_text(security, "userns", service.text_of("userns_mode"));
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
    if (parse_u64(body.text_of("replicas")).value_or(1) > 1) {
      for (std::string& text : texts)
        leave_port_open(*ports, path, text);
    }
    put_list(body, "ports", texts);
  }

  void leave_port_open(const Node& at, const std::string& path, std::string& text) {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string::npos) return;
    notes_.add(
        at, path + ".ports",
        quote(text) + ": replicas share no port of the host; each has one that vrun chooses");
    text.erase(0, colon + 1);
  }

  static void volumes(const Node& service, Node& body) {
    const Node* volumes = service.find("volumes");
    if (volumes == nullptr) return;
    std::vector<std::string> texts, tmpfs;
    for (const Node& volume : volumes->items) {
      if (volume.is_scalar()) {
        texts.push_back(volume.text);
        continue;
      }
      const std::string source = volume.text_of("source"), target = volume.text_of("target");
      if (volume.text_of("type") == "tmpfs") {
        tmpfs.push_back(target);
      } else if (source.empty()) {
        texts.push_back(target);
      } else {
        texts.push_back(source + ":" + target +
                        (volume.text_of("read_only") == "true" ? ":ro" : ""));
      }
    }
    put_list(body, "volumes", texts);
    if (body.find("tmpfs") == nullptr) put_list(body, "tmpfs", tmpfs);
  }

  // A Secret is a directory here, with a file of its name. One alone lies where Compose has it.
  void uses(const Node& service, Node& body, const char* key, const std::string& path) {
    const Node* uses = service.find(key);
    if (uses == nullptr) return;
    const bool is_usual_place = std::string_view(key) == "secrets" && uses->items.size() == 1;
    Node list;
    list.kind = Node::Kind::kList;
    for (const Node& use : uses->items) {
      Node one = map_node();
      const std::string name = use.is_scalar() ? use.text : use.text_of("source");
      const std::string target = use.is_scalar() ? "" : use.text_of("target");
      put_text(one, "name", name);
      if (is_usual_place && target.empty()) {
        put_text(one, "target", "/run/secrets");
      } else {
        notes_.add(use, path + "." + key,
                   "its file is /run/" + std::string(key) + "/" + name + "/" + name + " here" +
                       (target.empty() ? "" : ", not " + quote(target)));
      }
      list.items.push_back(std::move(one));
    }
    put(body, key, std::move(list));
  }

  void network(const std::string& service_name, const Node& service, Node& body,
               const std::string& path) {
    const std::string mode = service.text_of("network_mode");
    put_text(body, "network", shared(mode));
    if (!mode.empty()) return;
    std::vector<std::string> names, aliases;
    // Guests of several replicas are called NAME-1 and so on.
    if (body.find("replicas") != nullptr) aliases.push_back(service_name);
    const Node* networks = service.find("networks");
    if (networks != nullptr && !networks->is_map()) names = words_of(networks);
    if (networks != nullptr) {
      for (const auto& [name, more] : networks->entries) {
        static constexpr std::array<std::string_view, 3> kKeys{"aliases", "ipv4_address",
                                                               "ipv6_address"};
        notes_.unknown(more, path + ".networks." + name.text, kKeys);
        names.push_back(joined(name.text, more, names.empty(), body));
        for (const std::string& alias : words_of(more.find("aliases")))
          aliases.push_back(alias);
      }
    }
    put_list(body, "networkAliases", aliases);
    if (names.empty()) return;
    put_text(body, "network", names[0]);
    put_list(body, "networks", {names.begin() + 1, names.end()});
  }

  // The network, with the addresses that the guest has there.
  static std::string joined(const std::string& name, const Node& more, bool first, Node& body) {
    const std::string ip = more.text_of("ipv4_address"), ip6 = more.text_of("ipv6_address");
    if (first) {
      put_text(body, "ip", ip);
      put_text(body, "ip6", ip6);
      return name;
    }
    std::string text = name;
    if (!ip.empty()) text += ":ip=" + ip;
    if (!ip6.empty()) text += (ip.empty() ? ":ip6=" : ",ip6=") + ip6;
    return text;
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

  static void without_check(Node& body) {
    Node probes = map_node();
    put_plain(probes, "ofImage", "false");
    put(body, "probes", std::move(probes));
  }

  void health(const Node& service, Node& body, const std::string& path) {
    const Node* check = service.find("healthcheck");
    if (check == nullptr) return;
    if (check->text_of("disable") == "true") return without_check(body);
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
      if (kind == "NONE" || words.empty()) return without_check(body);
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
  Node said = root;
  interpolate(said, "", notes);
  return Compose(said, notes).run();
}

}  // namespace vrun::manifest
