// Kubernetes objects: Pod, Deployment, Job, CronJob, ConfigMap, Secret, Service.
//
// A pod of one container is a Guest, of several a Group (they share a network, as in a pod). A
// Service is no object here: its NodePort or LoadBalancer ports become the guest's published ports,
// and its name an alias of the guest on the network.
#include <array>
#include <map>
#include <optional>

#include "base/text.hpp"
#include "manifest/convert.hpp"
#include "manifest/emit.hpp"

namespace vrun::manifest {
namespace {

const Node& below(const Node& node, std::string_view key) {
  static const Node kNone;
  const Node* found = node.find(key);
  return found == nullptr ? kNone : *found;
}

std::string name_of(const Node& object) {
  return below(object, "metadata").text_of("name");
}

// Bytes of base64; nothing for what is none.
std::optional<std::string> decoded(std::string_view text) {
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned bits = 0, held = 0;
  for (const char c : text) {
    if (c == '=' || c == '\n' || c == ' ') continue;
    const std::size_t value = kLetters.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = (bits << 6U) | static_cast<unsigned>(value);
    held += 6;
    if (held >= 8) {
      held -= 8;
      out += static_cast<char>((bits >> held) & 0xffU);
    }
  }
  return out;
}

// "250m" of a processor is 0.25.
std::string cpus_of(const std::string& text) {
  if (!text.ends_with('m')) return text;
  const auto thousandths = parse_u64(text.substr(0, text.size() - 1));
  if (!thousandths) return text;
  std::string rest = std::to_string(*thousandths % 1000);
  rest.insert(0, 3 - rest.size(), '0');
  return std::to_string(*thousandths / 1000) + "." + rest;
}

// "64Mi" is 64MiB here.
std::string bytes_of(const std::string& text) {
  return text.ends_with('i') ? text + "B" : text;
}

class Kubernetes {
 public:
  Kubernetes(std::span<const Node> documents, Notes& notes)
      : documents_(documents), notes_(notes) {}

  std::string run() {
    for (const Node& document : documents_) {
      if (document.text_of("kind") == "Service") services_.push_back(&document);
    }
    for (const Node& document : documents_)
      one(document);
    return std::move(out_);
  }

 private:
  void one(const Node& document) {
    const std::string kind = document.text_of("kind"), name = name_of(document);
    path_ = kind + "/" + name;
    const Node& spec = below(document, "spec");
    if (kind == "Pod") return pod(name, spec, below(document, "metadata"), map_node(), "Guest");
    if (kind == "Deployment") return deployment(name, spec);
    if (kind == "Job") return job(name, spec);
    if (kind == "CronJob") return cron_job(name, spec);
    if (kind == "ConfigMap" || kind == "Secret") return content(document, name, kind == "Secret");
    if (kind == "Service") return service_notes(spec);
    if (kind == "PersistentVolumeClaim") return claim(name, spec);
    notes_.add(document, path_, "kind " + quote(kind) + " has no counterpart");
  }

  void claim(const std::string& name, const Node& spec) {
    make_volume(name);
    std::vector<std::string> lost;
    for (const auto& [key, value] : spec.entries)
      lost.push_back(key.text);
    if (lost.empty()) return;
    notes_.add(spec, path_,
               "becomes Volume " + quote(name) + ", without its " + join(lost, ", ") +
                   ": the tenant's disk budget bounds it");
  }

  void make_volume(const std::string& name) {
    if (volumes_made_.emplace(name, true).second) out_ += document_of("Volume", name, map_node());
  }

  void content(const Node& document, const std::string& name, bool secret) {
    Node data = map_node(), body = map_node();
    for (const auto& [key, value] : below(document, "data").entries) {
      const auto text = secret ? decoded(value.text) : std::optional(value.text);
      if (!text || text->find('\0') != std::string::npos) {
        notes_.add(value, path_ + ".data." + key.text, "is no text");
      } else {
        put(data, key.text, scalar(*text));
      }
    }
    for (const auto& [key, value] : below(document, "stringData").entries)
      put(data, key.text, scalar(value.text));
    if (document.find("binaryData") != nullptr)
      notes_.add(*document.find("binaryData"), path_ + ".binaryData", "is no text");
    put(body, "data", std::move(data));
    out_ += document_of(secret ? "Secret" : "Config", name, body);
  }

  static std::string document_of(std::string_view kind, std::string_view name, const Node& body) {
    return vrun::manifest::document(kind, name, body);
  }

  void service_notes(const Node& spec) {
    static constexpr std::array<std::string_view, 4> kKeys{"selector", "ports", "type",
                                                           "clusterIP"};
    notes_.unknown(spec, path_ + ".spec", kKeys);
    if (below(spec, "selector").entries.empty())
      notes_.add(spec, path_, "a service that selects nothing");
  }

  void deployment(const std::string& name, const Node& spec) {
    static constexpr std::array<std::string_view, 4> kKeys{"replicas", "selector", "template",
                                                           "strategy"};
    notes_.unknown(spec, path_ + ".spec", kKeys);
    Node body = map_node();
    put_plain(body, "replicas", spec.text_of("replicas"));
    const Node& rolling = below(below(spec, "strategy"), "rollingUpdate");
    const std::string most = rolling.text_of("maxUnavailable");
    if (parse_u64(most).value_or(0) > 0) {
      Node update = map_node();
      put_plain(update, "maxUnavailable", most);
      put(body, "update", std::move(update));
    } else if (!most.empty()) {
      notes_.add(rolling, path_ + ".spec.strategy", "maxUnavailable is a number above 0 here");
    }
    const Node& pod_template = below(spec, "template");
    pod(name, below(pod_template, "spec"), below(pod_template, "metadata"), std::move(body),
        "Guest");
  }

  void job(const std::string& name, const Node& spec) {
    static constexpr std::array<std::string_view, 2> kKeys{"template", "backoffLimit"};
    notes_.unknown(spec, path_ + ".spec", kKeys);
    Node body = map_node();
    put_plain(body, "retries", spec.text_of("backoffLimit"));
    const Node& pod_template = below(spec, "template");
    pod(name, below(pod_template, "spec"), below(pod_template, "metadata"), std::move(body), "Job");
  }

  void cron_job(const std::string& name, const Node& spec) {
    static constexpr std::array<std::string_view, 8> kKeys{
        "schedule",    "timeZone", "concurrencyPolicy",          "startingDeadlineSeconds",
        "jobTemplate", "suspend",  "successfulJobsHistoryLimit", "failedJobsHistoryLimit"};
    notes_.unknown(spec, path_ + ".spec", kKeys);
    const Node& job = below(below(spec, "jobTemplate"), "spec");
    static constexpr std::array<std::string_view, 2> kJobKeys{"template", "backoffLimit"};
    notes_.unknown(job, path_ + ".spec.jobTemplate.spec", kJobKeys);
    const Node& pod_spec = below(below(job, "template"), "spec");
    const Node& containers = below(pod_spec, "containers");
    if (containers.items.size() != 1 || pod_spec.find("initContainers") != nullptr)
      return notes_.add(spec, path_,
                        "is left out: a CronJob has one container here, and no initContainers");
    Node body = map_node(), run = map_node();
    put_text(body, "schedule", spec.text_of("schedule"));
    put_text(body, "timeZone", spec.text_of("timeZone"));
    const std::string policy = spec.text_of("concurrencyPolicy");
    put_text(body, "concurrency",
             policy == "Forbid"    ? "forbid"
             : policy == "Replace" ? "replace"
                                   : "");
    put_seconds(body, "startingDeadline", spec.text_of("startingDeadlineSeconds"));
    put_plain(body, "keepSucceeded", spec.text_of("successfulJobsHistoryLimit"));
    put_plain(body, "keepFailed", spec.text_of("failedJobsHistoryLimit"));
    put_plain(body, "suspend", spec.text_of("suspend"));
    put_plain(run, "retries", job.text_of("backoffLimit"));
    const Node& metadata = below(below(job, "template"), "metadata");
    program(containers.items[0], pod_spec, metadata, run, false);
    network(pod_spec, metadata, run, false);
    put(body, "job", std::move(run));
    out_ += document_of("CronJob", name, body);
  }

  void pod(const std::string& name, const Node& spec, const Node& metadata, Node body,
           const std::string& kind) {
    static constexpr std::array<std::string_view, 10> kKeys{
        "containers", "initContainers",
        "volumes",    "restartPolicy",
        "hostname",   "hostNetwork",
        "hostPID",    "hostIPC",
        "dnsPolicy",  "terminationGracePeriodSeconds"};
    notes_.unknown(spec, path_ + ".spec", kKeys);
    const Node& containers = below(spec, "containers");
    const bool group = containers.items.size() > 1 || spec.find("initContainers") != nullptr;
    if (containers.items.empty()) return notes_.add(spec, path_, "has no containers");
    if (!group) {
      program(containers.items[0], spec, metadata, body, kind == "Guest");
      network(spec, metadata, body, false);
      return void(out_ += document_of(kind, name, body));
    }
    note_group(spec, body, kind);
    Node whole = map_node();
    network(spec, metadata, whole, true);
    members(below(spec, "initContainers"), "init", spec, metadata, whole);
    members(containers, "guests", spec, metadata, whole);
    out_ += document_of("Group", name, whole);
  }

  // What a Group cannot say of what it is made of.
  void note_group(const Node& spec, const Node& body, const std::string& kind) {
    const std::string replicas = body.text_of("replicas");
    if (kind != "Job" && replicas.empty()) return;
    std::vector<std::string> inits;
    for (const Node& init : below(spec, "initContainers").items)
      inits.push_back(init.text_of("name"));
    std::string text = "becomes one Group";
    if (!inits.empty())
      text += ", whose init guests are its initContainers (" + join(inits, ", ") + ")";
    if (kind == "Job") {
      text += ": it has no retries";
    } else {
      text += ": instead of " + replicas + " replicas there is one";
    }
    notes_.add(spec, path_, text);
  }

  void members(const Node& containers, const char* key, const Node& spec, const Node& metadata,
               Node& whole) {
    if (containers.items.empty()) return;
    Node list;
    list.kind = Node::Kind::kList;
    for (const Node& container : containers.items) {
      Node member = map_node();
      put_text(member, "name", container.text_of("name"));
      program(container, spec, metadata, member, std::string_view(key) == "guests");
      list.items.push_back(std::move(member));
    }
    put(whole, key, std::move(list));
  }

  void program(const Node& container, const Node& spec, const Node& metadata, Node& body,
               bool stays) {
    static constexpr std::array<std::string_view, 16> kKeys{"name",
                                                            "lifecycle",
                                                            "image",
                                                            "command",
                                                            "args",
                                                            "env",
                                                            "ports",
                                                            "resources",
                                                            "volumeMounts",
                                                            "livenessProbe",
                                                            "readinessProbe",
                                                            "startupProbe",
                                                            "workingDir",
                                                            "imagePullPolicy",
                                                            "securityContext",
                                                            "tty"};
    notes_.unknown(container, path_ + ".containers." + container.text_of("name"), kKeys);
    put_text(body, "image", container.text_of("image"));
    put_list(body, "command", words_of_list(container.find("command")));
    put_list(body, "args", words_of_list(container.find("args")));
    environment(container, body);
    put_text(body, "workdir", container.text_of("workingDir"));
    put_plain(body, "tty", container.text_of("tty"));
    labels(metadata, body);
    limits(container, body);
    security(container, body);
    mounts(container, spec, body);
    const std::string grace = spec.text_of("terminationGracePeriodSeconds");
    if (!grace.empty()) put_text(body, "stopTimeout", grace + "s");
    pull(container, body);
    if (!stays) return;
    const std::string restart = spec.text_of("restartPolicy");
    put_text(body, "restart",
             restart == "Never"       ? "no"
             : restart == "OnFailure" ? "on-failure"
                                      : "always");
    probes(container, body);
    lifecycle(container, body);
  }

  void lifecycle(const Node& container, Node& body) {
    Node lifecycle = map_node();
    for (const char* which : {"postStart", "preStop"}) {
      const Node& hook = below(below(container, "lifecycle"), which);
      static constexpr std::array<std::string_view, 1> kKeys{"exec"};
      notes_.unknown(hook, path_ + ".lifecycle." + which, kKeys);
      put_list(lifecycle, which, words_of_list(below(hook, "exec").find("command")));
    }
    put(body, "lifecycle", std::move(lifecycle));
  }

  static std::vector<std::string> words_of_list(const Node* list) {
    return list == nullptr || !list->is_list() ? std::vector<std::string>() : words_of(list);
  }

  void pull(const Node& container, Node& body) {
    const std::string policy = container.text_of("imagePullPolicy");
    if (policy.empty()) return;
    put_text(body, "pull", policy == "Always" ? "always" : policy == "Never" ? "never" : "missing");
  }

  static void labels(const Node& metadata, Node& body) {
    Node labels = map_node();
    for (const auto& [key, value] : below(metadata, "labels").entries)
      put(labels, key.text, scalar(value.text));
    put(body, "labels", std::move(labels));
  }

  void environment(const Node& container, Node& body) {
    Node env = map_node();
    for (const Node& item : below(container, "env").items) {
      const std::string name = item.text_of("name");
      if (const Node* from = item.find("valueFrom")) {
        if (const auto value = of_config_map(below(*from, "configMapKeyRef")))
          put(env, name, scalar(*value));
        else
          notes_.add(item, path_ + ".env." + name,
                     "values from elsewhere: mount the Secret or Config as files");
      } else {
        put(env, name, scalar(item.text_of("value")));
      }
    }
    put(body, "env", std::move(env));
  }

  // Of a ConfigMap of these files.
  std::optional<std::string> of_config_map(const Node& reference) const {
    const std::string name = reference.text_of("name");
    for (const Node& document : documents_) {
      if (name.empty() || document.text_of("kind") != "ConfigMap" || name_of(document) != name)
        continue;
      const Node* value = below(document, "data").find(reference.text_of("key"));
      if (value != nullptr && value->is_scalar()) return value->text;
    }
    return std::nullopt;
  }

  void limits(const Node& container, Node& body) {
    const Node& resources = below(container, "resources");
    const Node& most = below(resources, "limits");
    Node limits = map_node();
    put_text(limits, "memory", bytes_of(most.text_of("memory")));
    put_text(limits, "cpus", cpus_of(most.text_of("cpu")));
    put_text(limits, "memoryReservation", bytes_of(below(resources, "requests").text_of("memory")));
    static constexpr std::array<std::string_view, 2> kKeys{"memory", "cpu"};
    notes_.unknown(most, path_ + ".resources.limits", kKeys);
    put(body, "limits", std::move(limits));
  }

  void security(const Node& container, Node& body) {
    const Node& context = below(container, "securityContext");
    static constexpr std::array<std::string_view, 6> kKeys{
        "privileged", "readOnlyRootFilesystem",   "runAsUser",
        "runAsGroup", "allowPrivilegeEscalation", "capabilities"};
    notes_.unknown(context, path_ + ".securityContext", kKeys);
    Node security = map_node();
    put_plain(security, "privileged", context.text_of("privileged"));
    if (context.text_of("allowPrivilegeEscalation") == "false")
      put_plain(security, "noNewPrivileges", "true");
    put_list(security, "capAdd", words_of_list(below(context, "capabilities").find("add")));
    put_list(security, "capDrop", words_of_list(below(context, "capabilities").find("drop")));
    put(body, "security", std::move(security));
    put_plain(body, "readOnly", context.text_of("readOnlyRootFilesystem"));
    const std::string user = context.text_of("runAsUser"), group = context.text_of("runAsGroup");
    put_text(body, "user", user + (user.empty() || group.empty() ? "" : ":" + group));
  }

  void mounts(const Node& container, const Node& spec, Node& body) {
    std::vector<std::string> volumes, tmpfs;
    Node secrets, configs;
    secrets.kind = configs.kind = Node::Kind::kList;
    for (const Node& mount : below(container, "volumeMounts").items) {
      const Node* source = nullptr;
      for (const Node& volume : below(spec, "volumes").items) {
        if (volume.text_of("name") == mount.text_of("name")) source = &volume;
      }
      const std::string target = mount.text_of("mountPath");
      const std::string read_only = mount.text_of("readOnly") == "true" ? ":ro" : "";
      if (mount.find("subPath") != nullptr)
        notes_.add(mount, path_ + ".volumeMounts", "subPath: the whole volume is mounted");
      if (source == nullptr) {
        notes_.add(mount, path_ + ".volumeMounts", "names no volume");
      } else if (source->find("emptyDir") != nullptr) {
        tmpfs.push_back(target);
      } else if (const Node* host = source->find("hostPath")) {
        volumes.push_back(host->text_of("path") + ":" + target + read_only);
      } else if (const Node* claim = source->find("persistentVolumeClaim")) {
        const std::string name = claim->text_of("claimName");
        make_volume(name);
        volumes.push_back(name + ":" + target + read_only);
      } else if (const Node* secret = source->find("secret")) {
        use(secrets, secret->text_of("secretName"), target);
      } else if (const Node* config = source->find("configMap")) {
        use(configs, config->text_of("name"), target);
      } else {
        notes_.add(*source, path_ + ".volumes." + mount.text_of("name"), "has no counterpart");
      }
    }
    put_list(body, "volumes", volumes);
    put_list(body, "tmpfs", tmpfs);
    put(body, "secrets", std::move(secrets));
    put(body, "configs", std::move(configs));
  }

  static void use(Node& list, const std::string& name, const std::string& target) {
    Node one = map_node();
    put_text(one, "name", name);
    put_text(one, "target", target);
    list.items.push_back(std::move(one));
  }

  void probes(const Node& container, Node& body) {
    Node probes = map_node();
    for (const char* which : {"liveness", "readiness", "startup"}) {
      const Node& from = below(container, std::string(which) + "Probe");
      if (from.is_null()) continue;
      static constexpr std::array<std::string_view, 8> kKeys{
          "exec",           "httpGet",          "tcpSocket",           "periodSeconds",
          "timeoutSeconds", "failureThreshold", "initialDelaySeconds", "successThreshold"};
      notes_.unknown(from, path_ + "." + which + "Probe", kKeys);
      Node probe = map_node();
      put_list(probe, "exec", words_of_list(below(from, "exec").find("command")));
      address(container, below(from, "httpGet"), "http", probe);
      address(container, below(from, "tcpSocket"), "tcp", probe);
      if (probe.entries.empty()) {
        notes_.add(from, path_ + "." + which + "Probe",
                   "has no way that is here (exec, http, tcp)");
        continue;
      }
      // Kubernetes' defaults are others: a check begins at once, every 10 s, and has 1 s.
      put_seconds(probe, "interval", or_else(from.text_of("periodSeconds"), "10"));
      put_seconds(probe, "timeout", or_else(from.text_of("timeoutSeconds"), "1"));
      put_plain(probe, "retries", from.text_of("failureThreshold"));
      put_plain(probe, "successes", from.text_of("successThreshold"));
      put_seconds(probe, "initialDelay", or_else(from.text_of("initialDelaySeconds"), "0"));
      if (std::string_view(which) != "readiness") put_text(probe, "action", "restart");
      put(probes, which, std::move(probe));
    }
    put(body, "probes", std::move(probes));
  }

  void address(const Node& container, const Node& from, const char* way, Node& probe) {
    if (from.is_null()) return;
    Node place = map_node();
    const std::string port = number_of_port(container, from.text_of("port"));
    if (!parse_u64(port))
      return notes_.add(from, path_, "the container has no port called " + quote(port));
    put_plain(place, "port", port);
    put_text(place, "path", from.text_of("path"));
    put(probe, way, std::move(place));
  }

  static std::string number_of_port(const Node& container, const std::string& port) {
    for (const Node& one : below(container, "ports").items) {
      if (!port.empty() && one.text_of("name") == port) return one.text_of("containerPort");
    }
    return port;
  }

  static std::string or_else(const std::string& text, const char* fallback) {
    return text.empty() ? fallback : text;
  }

  static void put_seconds(Node& probe, const char* key, const std::string& seconds) {
    if (!seconds.empty()) put_text(probe, key, seconds + "s");
  }

  void network(const Node& spec, const Node& metadata, Node& body, bool group) {
    if (spec.text_of("hostNetwork") == "true") return put_text(body, "network", "host");
    std::vector<std::string> aliases, ports;
    for (const Node* service : services_) {
      if (!selects(*service, metadata)) continue;
      aliases.push_back(name_of(*service));
      const std::string type = below(*service, "spec").text_of("type");
      if (type != "NodePort" && type != "LoadBalancer") continue;
      for (const Node& port : below(below(*service, "spec"), "ports").items)
        ports.push_back(published(port, type == "NodePort", body));
    }
    for (const Node& container : below(spec, "containers").items) {
      for (const Node& port : below(container, "ports").items) {
        if (!port.text_of("hostPort").empty())
          ports.push_back(port.text_of("hostPort") + ":" + port.text_of("containerPort"));
      }
    }
    if (group && !aliases.empty())
      notes_.add(spec, path_, "a Group has no aliases: its name on the network is NAME-GUEST");
    if (!group) put_list(body, "networkAliases", aliases);
    put_list(body, "ports", ports);
  }

  static bool selects(const Node& service, const Node& metadata) {
    const Node& selector = below(below(service, "spec"), "selector");
    for (const auto& [key, value] : selector.entries) {
      if (below(metadata, "labels").text_of(key.text) != value.text) return false;
    }
    return !selector.entries.empty();
  }

  std::string published(const Node& port, bool node_port, const Node& guest) {
    std::string outside = port.text_of(node_port ? "nodePort" : "port");
    if (parse_u64(guest.text_of("replicas")).value_or(1) > 1 && !outside.empty()) {
      notes_.add(port, path_ + ".ports",
                 "replicas share no port of the host: instead of " + outside +
                     " each has one that vrun chooses (vrun port)");
      outside.clear();
    }
    const std::string target = port.text_of("targetPort");
    const std::string inside = parse_u64(target) ? target : port.text_of("port");
    return outside.empty() ? inside : outside + ":" + inside;
  }

  std::span<const Node> documents_;
  Notes& notes_;
  std::vector<const Node*> services_;
  std::map<std::string, bool> volumes_made_;
  std::string path_, out_;
};

}  // namespace

std::string convert_kubernetes(std::span<const Node> documents, Notes notes) {
  return Kubernetes(documents, notes).run();
}

}  // namespace vrun::manifest
