#include "engine/apply_wanted.hpp"

#include <algorithm>

#include "base/json.hpp"
#include "base/json_writer.hpp"
#include "base/text.hpp"
#include "engine/policies.hpp"
#include "engine/request_faults.hpp"
#include "engine/rights.hpp"
#include "manifest/schedule.hpp"
#include "manifest/table.hpp"
#include "network/address.hpp"
#include "network/wishes.hpp"

namespace vrun::engine {
namespace {

using json::Value;

std::string text_of(const Value& value) {
  switch (value.kind()) {
    case json::Kind::kString:
      return std::string(value.as_text());
    case json::Kind::kUnsigned:
      return std::to_string(value.as_unsigned());
    case json::Kind::kNegative:
      return std::to_string(value.as_negative());
    case json::Kind::kBool:
      return value.as_bool() ? "true" : "false";
    default:
      return {};
  }
}

std::string text_at(const Value& object, std::string_view key) {
  const Value* found = object.find(key);
  return found == nullptr ? "" : text_of(*found);
}

bool on_at(const Value& object, std::string_view key) {
  return text_at(object, key) == "true";
}

std::vector<std::string> list_at(const Value& object, std::string_view key) {
  std::vector<std::string> out;
  const Value* found = object.find(key);
  if (found == nullptr) return out;
  for (const Value& element : found->elements())
    out.push_back(text_of(element));
  return out;
}

std::vector<std::string> pairs_at(const Value& object, std::string_view key) {
  std::vector<std::string> out;
  const Value* found = object.find(key);
  if (found == nullptr) return out;
  for (const json::Member& member : found->members())
    out.push_back(std::string(member.key.as_text()) + "=" + text_of(member.value));
  return out;
}

const Value& object_at(const Value& object, std::string_view key) {
  static const Value kNone{};
  const Value* found = object.find(key);
  return found == nullptr ? kNone : *found;
}

void write_value(json::Writer& writer, const Value& value) {
  switch (value.kind()) {
    case json::Kind::kObject:
      writer.begin_object();
      for (const json::Member& member : value.members()) {
        writer.key(member.key.as_text());
        write_value(writer, member.value);
      }
      writer.end_object();
      return;
    case json::Kind::kArray:
      writer.begin_array();
      for (const Value& element : value.elements())
        write_value(writer, element);
      writer.end_array();
      return;
    case json::Kind::kBool:
      writer.value(value.as_bool());
      return;
    default:
      writer.value(text_of(value));
  }
}

std::string to_text(const Value& value) {
  json::Writer writer;
  write_value(writer, value);
  return writer.take();
}

std::string address_of(const Value& probe) {
  const Value& http = object_at(probe, "http");
  if (!http.is_null()) return "http://:" + text_at(http, "port") + text_at(http, "path");
  const Value& tcp = object_at(probe, "tcp");
  return tcp.is_null() ? "" : "tcp://:" + text_at(tcp, "port");
}

class Maker {
 public:
  explicit Maker(Wanted& wanted) : wanted_(wanted) {}

  void add(const manifest::WireObject& object) {
    const Result<json::Document> document = json::Document::parse(object.spec, object.name);
    if (!document) return wanted_.faults.push_back(document.error().text());
    object_ = &object;
    const Value& spec = document->root();
    if (object.kind == "Tenant") return;  // apply_tenant.hpp
    if (object.kind == "Network") return add_network(object, spec);
    if (object.kind == "Volume") return wanted_.volumes.push_back(plain(object));
    if (object.kind == "Secret") return wanted_.secrets.push_back(plain(object));
    if (object.kind == "Config") return wanted_.configs.push_back(plain(object));
    if (object.kind == "Guest") return add_guest(object, spec);
    if (object.kind == "Group") return add_group(object, spec);
    if (object.kind == "Job") return add_job(object, spec);
    if (object.kind == "CronJob") return add_cron_job(object, spec);
    fault("", "this version has no " + object.kind + " to make");
  }

 private:
  // In the order of the file.
  std::optional<std::size_t> place_index(const std::string& path) const {
    const auto& places = object_->places;
    const auto found = std::find_if(places.begin(), places.end(),
                                    [&](const auto& one) { return one.path == path; });
    if (found == places.end()) return std::nullopt;
    return static_cast<std::size_t>(found - places.begin());
  }

  // Where it is written, or what it is written in.
  std::string place_of(std::string path) const {
    while (!path.empty()) {
      if (const auto index = place_index(path)) return object_->places[*index].place;
      const std::size_t end = path.find_last_of(".[");
      path.resize(end == std::string::npos ? 0 : end);
    }
    return object_->place;
  }

  void fault(const std::string& path, const std::string& text) {
    const manifest::KindRow* kind = manifest::find_kind(object_->kind);
    std::string words = kind == nullptr ? object_->kind : std::string(kind->plural);
    words += "." + object_->name + (path.empty() ? "" : "." + path);
    wanted_.faults.push_back(printable(place_of(path) + ": " + words) + ": " + text);
  }

  // `prefix`: of the guest in its object, "guests[1]."; empty: it is the object.
  void check(const std::string& prefix, const WantedGuest& guest) {
    std::vector<FieldFault> found = faults_of(guest.request);
    for (FieldFault& one : found) {
      // A group's guests have its network and ports, which are written with the group.
      if (place_index(prefix + one.path) || !place_index(one.path)) one.path = prefix + one.path;
    }
    std::stable_sort(found.begin(), found.end(), [this](const auto& a, const auto& b) {
      return place_index(a.path) < place_index(b.path);
    });
    for (const FieldFault& one : found)
      fault(one.path, printable(one.text));
    claim_ports(prefix, guest);
  }

  // A port of the host is one guest's.
  void claim_ports(const std::string& prefix, const WantedGuest& guest) {
    const std::vector<std::string>& texts = guest.request.publish;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const Result<network::Publish> port = network::parse_publish(texts[i]);
      if (!port) continue;
      const auto other = std::find_if(claims_.begin(), claims_.end(), [&](const Claim& claim) {
        return network::collide(claim.port, *port);
      });
      const std::string path = "ports[" + std::to_string(i) + "]";
      if (other == claims_.end()) {
        claims_.push_back({*port, guest.name});
      } else {
        fault(place_index(path) ? path : prefix + path,
              quote(texts[i]) + ": guest " + other->guest + " has that port of the host");
      }
    }
  }

  void add_network(const manifest::WireObject& object, const Value& spec) {
    const std::vector<std::string> subnets = list_at(spec, "subnets");
    for (std::size_t i = 0; i < subnets.size(); ++i) {
      if (!network::parse_subnet4(subnets[i]) && !network::parse_subnet6(subnets[i]))
        fault("subnets[" + std::to_string(i) + "]",
              quote(subnets[i]) + " is no subnet such as 10.7.0.0/24");
    }
    const std::vector<std::string> gateways = list_at(spec, "gateways");
    for (std::size_t i = 0; i < gateways.size(); ++i) {
      if (!network::parse_ipv4(gateways[i]) && !network::parse_ipv6(gateways[i]))
        fault("gateways[" + std::to_string(i) + "]", quote(gateways[i]) + " is no address");
    }
    wanted_.networks.push_back(plain(object));
  }

  // The host's port of replicas is to be chosen.
  void check_replicas(const RunRequest& request) {
    if (!request.ip.empty() || !request.ip6.empty()) fault("ip", "replicas cannot share one");
    if (!request.mac_address.empty()) fault("macAddress", "replicas cannot share one");
    for (std::size_t i = 0; i < request.publish.size(); ++i) {
      const Result<network::Publish> port = network::parse_publish(request.publish[i]);
      if (!port || port->host_port == 0) continue;
      const std::string inside =
          std::to_string(port->guest_port) + "/" + network::to_text(port->protocol);
      fault("ports[" + std::to_string(i) + "]",
            quote(request.publish[i]) + ": replicas cannot share a port of the host; " +
                quote(inside) + " lets vrun choose one for each");
    }
  }
  static WantedObject plain(const manifest::WireObject& object) {
    return {object.kind, object.name, object.spec};
  }

  void set_program(const Value& spec, RunRequest& request) {
    request.image = text_at(spec, "image");
    request.args = list_at(spec, "args");
    std::vector<std::string> command = list_at(spec, "command");
    if (!command.empty()) {
      request.entrypoint = command.front();
      request.args.insert(request.args.begin(), command.begin() + 1, command.end());
    }
    request.env = pairs_at(spec, "env");
    request.env_files = list_at(spec, "envFiles");
    request.workdir = text_at(spec, "workdir");
    request.user = text_at(spec, "user");
    request.group_add = list_at(spec, "groupAdd");
    request.hostname = text_at(spec, "hostname");
    request.domainname = text_at(spec, "domainname");
    request.annotations = pairs_at(spec, "annotations");
    request.disks = list_at(spec, "disks");
    request.initrd = text_at(spec, "initrd");
    // A system on disks has a console unless it is said.
    const bool has_console = !request.disks.empty();
    if (!has_console || spec.find("tty") != nullptr) request.tty = on_at(spec, "tty");
    if (!has_console || spec.find("stdin") != nullptr) request.interactive = on_at(spec, "stdin");
    request.init = on_at(spec, "init");
    request.detach = true;
    request.stop_signal = text_at(spec, "stopSignal");
    const std::string stop_timeout = text_at(spec, "stopTimeout");
    const auto stop_ms = parse_milliseconds(stop_timeout, 1000);
    if (stop_timeout == "-1") request.stop_timeout = stop_timeout;
    if (stop_ms) request.stop_timeout = std::to_string((*stop_ms + 999) / 1000);
    request.start_after = list_at(spec, "startAfter");
    request.log_driver = text_at(spec, "logDriver");
    request.log_opts = pairs_at(spec, "logOptions");
    request.pull = text_at(spec, "pull");
    request.platform = text_at(spec, "platform");
    const std::string isolation = text_at(spec, "isolation");
    if (!isolation.empty()) request.isolation = isolation;
    request.view = text_at(spec, "view");
    request.kernel = text_at(spec, "kernel");
    request.kernel_parameters = list_at(spec, "kernelParameters");
  }

  static void set_limits(const Value& limits, RunRequest& request) {
    request.memory = text_at(limits, "memory");
    request.memory_reservation = text_at(limits, "memoryReservation");
    request.memory_swap = text_at(limits, "memorySwap");
    request.cpus = text_at(limits, "cpus");
    request.cpu_weight = text_at(limits, "cpuWeight");
    request.cpu_shares = text_at(limits, "cpuShares");
    request.cpu_period = text_at(limits, "cpuPeriod");
    request.cpu_quota = text_at(limits, "cpuQuota");
    request.cpuset_cpus = text_at(limits, "cpusetCpus");
    request.cpuset_mems = text_at(limits, "cpusetMems");
    request.pids_limit = text_at(limits, "pids");
    request.blkio_weight = text_at(limits, "ioWeight");
    request.device_read_bps = list_at(limits, "deviceReadBps");
    request.device_write_bps = list_at(limits, "deviceWriteBps");
    request.device_read_iops = list_at(limits, "deviceReadIops");
    request.device_write_iops = list_at(limits, "deviceWriteIops");
    request.shm_size = text_at(limits, "shmSize");
    request.ulimits = list_at(limits, "ulimits");
    request.oom_score_adj = text_at(limits, "oomScoreAdj");
  }

  static void set_security(const Value& security, RunRequest& request) {
    request.privileged = on_at(security, "privileged");
    request.no_new_privileges = on_at(security, "noNewPrivileges");
    request.cap_add = list_at(security, "capAdd");
    request.cap_drop = list_at(security, "capDrop");
    request.security_opts = list_at(security, "options");
    request.sysctls = pairs_at(security, "sysctls");
    request.userns = text_at(security, "userns");
    request.pid = text_at(security, "pid");
    request.ipc = text_at(security, "ipc");
    request.uts = text_at(security, "uts");
    request.cgroupns = text_at(security, "cgroupns");
  }

  static void add_contents(const Value& spec, const char* list, const std::string& kind,
                           RunRequest& request) {
    const Value* uses = spec.find(list);
    if (uses == nullptr) return;
    for (const Value& use : uses->elements()) {
      const std::string name = text_at(use, "name");
      const std::string target = text_at(use, "target");
      request.contents.push_back(kind + ":" + name + ":" +
                                 (target.empty() ? "/run/" + kind + "s/" + name : target));
    }
  }

  static void set_sight(const Value& spec, RunRequest& request) {
    request.volumes = list_at(spec, "volumes");
    request.mounts = list_at(spec, "mounts");
    request.tmpfs = list_at(spec, "tmpfs");
    request.devices = list_at(spec, "devices");
    request.read_only = on_at(spec, "readOnly");
    request.add_hosts = list_at(spec, "addHosts");
    request.dns = list_at(spec, "dns");
    request.dns_search = list_at(spec, "dnsSearch");
    request.dns_options = list_at(spec, "dnsOptions");
    add_contents(spec, "secrets", "secret", request);
    add_contents(spec, "configs", "config", request);
  }

  static void set_network(const Value& spec, RunRequest& request) {
    const std::string network = text_at(spec, "network");
    if (!network.empty()) request.network = network;
    request.more_networks = list_at(spec, "networks");
    request.network_aliases = list_at(spec, "networkAliases");
    request.publish = list_at(spec, "ports");
    request.publish_all = on_at(spec, "publishAll");
    request.expose = list_at(spec, "expose");
    request.mac_address = text_at(spec, "macAddress");
    request.bandwidth_in = text_at(spec, "bandwidthIn");
    request.bandwidth_out = text_at(spec, "bandwidthOut");
    request.network_pps = text_at(spec, "networkPps");
    request.ip = text_at(spec, "ip");
    request.ip6 = text_at(spec, "ip6");
  }

  // A number alone is seconds; flags want a unit.
  static std::string time_at(const Value& probe, std::string_view key) {
    const std::string text = text_at(probe, key);
    return parse_u64(text) ? text + "s" : text;
  }

  static HealthRequest health_of(const Value& probe) {
    HealthRequest health;
    if (probe.is_null()) return health;
    health.cmd = address_of(probe);
    health.exec = list_at(probe, "exec");
    health.initial_delay = time_at(probe, "initialDelay");
    health.successes = text_at(probe, "successes");
    health.interval = time_at(probe, "interval");
    health.timeout = time_at(probe, "timeout");
    health.start_period = time_at(probe, "startPeriod");
    health.retries = text_at(probe, "retries");
    const std::string action = text_at(probe, "action");
    if (action != "none") health.on_failure = action;
    return health;
  }

  void set_life(const Value& spec, WantedGuest& guest) {
    const std::string restart = text_at(spec, "restart");
    if (restart != "no") guest.request.restart = restart;
    const Value& probes = object_at(spec, "probes");
    guest.request.health = health_of(object_at(probes, "liveness"));
    guest.request.health.disabled = text_at(probes, "ofImage") == "false";
    guest.request.startup = health_of(object_at(probes, "startup"));
    guest.request.readiness = health_of(object_at(probes, "readiness"));
    const Value& lifecycle = object_at(spec, "lifecycle");
    guest.request.post_start = list_at(lifecycle, "postStart");
    guest.request.pre_stop = list_at(lifecycle, "preStop");
    const Value& update = object_at(spec, "update");
    guest.unavailable = parse_u64(text_at(update, "maxUnavailable")).value_or(1);
    guest.rollback = text_at(update, "rollback") != "false";
    guest.up_timeout_ms = parse_milliseconds(text_at(update, "timeout"), 1000).value_or(60000);
  }

  static void add_dependencies(const Value& spec, WantedGuest& guest) {
    const Value* depends = spec.find("dependsOn");
    if (depends == nullptr) return;
    for (const json::Member& member : depends->members()) {
      const std::string_view how = member.value.as_text();
      guest.after.push_back(
          {std::string(member.key.as_text()), how == "healthy"     ? Condition::kHealthy
                                              : how == "completed" ? Condition::kCompleted
                                                                   : Condition::kStarted});
    }
  }

  WantedGuest make(const manifest::WireObject& object, const Value& spec, std::string name,
                   std::string spec_text) {
    WantedGuest guest;
    guest.kind = object.kind;
    guest.object = object.kind + "/" + object.name;
    guest.name = std::move(name);
    guest.spec = std::move(spec_text);
    RunRequest& request = guest.request;
    request.name = guest.name;
    set_program(spec, request);
    set_limits(object_at(spec, "limits"), request);
    set_security(object_at(spec, "security"), request);
    set_sight(spec, request);
    set_network(spec, request);
    set_life(spec, guest);
    add_dependencies(spec, guest);
    request.labels = pairs_at(spec, "labels");
    request.labels.push_back(std::string(kManifestLabel) + "=" + wanted_.manifest);
    request.labels.push_back(std::string(kObjectLabel) + "=" + guest.object);
    request.labels.push_back(std::string(kAppliedLabel) + "=" + guest.spec);
    return guest;
  }

  void add_guest(const manifest::WireObject& object, const Value& spec) {
    const WantedGuest first = make(object, spec, object.name, object.spec);
    check("", first);
    const auto replicas = parse_u64(text_at(spec, "replicas"));
    if (!replicas) return wanted_.guests.push_back(first);
    for (std::uint64_t i = 1; i <= *replicas; ++i) {
      WantedGuest replica = first;
      replica.name = replica.request.name = object.name + "-" + std::to_string(i);
      wanted_.guests.push_back(std::move(replica));
    }
    if (*replicas > 1) check_replicas(first.request);
  }

  void add_job(const manifest::WireObject& object, const Value& spec) {
    WantedGuest job = make(object, spec, object.name, object.spec);
    job.is_job = true;
    const std::string retries = text_at(spec, "retries");
    if (!retries.empty() && retries != "0") job.request.restart = "on-failure:" + retries;
    check("", job);
    wanted_.guests.push_back(std::move(job));
  }

  void add_cron_job(const manifest::WireObject& object, const Value& spec) {
    const Value& job = object_at(spec, "job");
    const WantedGuest run = make(object, job, object.name, to_text(job));
    CronJob cron;
    cron.name = object.name;
    cron.manifest = wanted_.manifest;
    cron.spec = object.spec;
    cron.schedule = text_at(spec, "schedule");
    cron.time_zone = text_at(spec, "timeZone");
    cron.concurrency = text_at(spec, "concurrency");
    cron.starting_deadline_ms =
        parse_milliseconds(text_at(spec, "startingDeadline"), 1000).value_or(-1);
    cron.keep_succeeded = parse_u64(text_at(spec, "keepSucceeded")).value_or(3);
    cron.keep_failed = parse_u64(text_at(spec, "keepFailed")).value_or(1);
    cron.suspend = on_at(spec, "suspend");
    cron.request = run.request;
    const std::string retries = text_at(job, "retries");
    if (!retries.empty() && retries != "0") cron.request.restart = "on-failure:" + retries;
    if (!run.after.empty()) fault("job.dependsOn", "a run waits for nobody but the clock");
    // The reader has looked at the schedule.
    if (const Result<void> good = check_cron(cron); !good)
      fault(manifest::parse_schedule(cron.schedule) ? "timeZone" : "schedule", good.error().text());
    check("job.", run);
    wanted_.cron_jobs.push_back(std::move(cron));
  }

  void add_group(const manifest::WireObject& object, const Value& spec) {
    std::vector<Dependency> earlier;
    const Value& inits = object_at(spec, "init");
    const Value& members = object_at(spec, "guests");
    if (members.kind() != json::Kind::kArray || members.elements().empty())
      return fault("guests", "is empty");
    if (inits.kind() == json::Kind::kArray) {
      for (const Value& init : inits.elements()) {
        const std::string place = nth("init", inits, init);
        WantedGuest guest = member_of(object, init, network_member(spec, false), earlier);
        guest.request.labels.push_back(std::string(kMemberLabel) + "=" + place);
        check(place + ".", guest);
        guest.is_job = true;
        earlier = {{guest.name, Condition::kCompleted}};
        wanted_.guests.push_back(std::move(guest));
      }
    }
    const std::string first = object.name + "-" + text_at(members.elements()[0], "name");
    const std::string shared_text = "container:" + first;
    for (const Value& member : members.elements()) {
      const bool leads = &member == members.elements().data();
      std::vector<json::Member> more = network_member(spec, true);
      if (!leads) more = {{Value::text("network"), Value::text(shared_text)}};
      const std::string place = nth("guests", members, member);
      WantedGuest guest = member_of(object, member, more, earlier);
      guest.request.labels.push_back(std::string(kMemberLabel) + "=" + place);
      check(place + ".", guest);
      if (!leads) {
        guest.after.push_back({first, Condition::kStarted});
        if (guest.request.ipc.empty()) guest.request.ipc = shared_text;
      }
      wanted_.guests.push_back(std::move(guest));
    }
  }

  static std::string nth(const std::string& list, const Value& all, const Value& one) {
    return list + "[" + std::to_string(&one - all.elements().data()) + "]";
  }

  // What the group says for a guest that has a network; ports belong to the first of those that
  // stay.
  static std::vector<json::Member> network_member(const Value& spec, bool with_ports) {
    std::vector<json::Member> members;
    for (const char* key : {"network", "ports", "bandwidthIn", "bandwidthOut", "networkPps"}) {
      const Value* found = spec.find(key);
      if (found != nullptr && (with_ports || std::string_view(key) == "network"))
        members.push_back({Value::text(key), *found});
    }
    return members;
  }

  WantedGuest member_of(const manifest::WireObject& object, const Value& member,
                        std::vector<json::Member> members, const std::vector<Dependency>& earlier) {
    members.insert(members.end(), member.members().begin(), member.members().end());
    const Value whole = Value::object(members);
    WantedGuest guest =
        make(object, whole, object.name + "-" + text_at(member, "name"), to_text(whole));
    const std::string prefix = object.name + "-";
    for (Dependency& dependency : guest.after) {
      if (is_member(object, dependency.guest)) dependency.guest = prefix + dependency.guest;
    }
    guest.after.insert(guest.after.end(), earlier.begin(), earlier.end());
    return guest;
  }

  static bool is_member(const manifest::WireObject& object, const std::string& name) {
    const std::map<std::string, std::string> values = flat(object.spec);
    return std::any_of(values.begin(), values.end(), [&](const auto& entry) {
      const std::string& path = entry.first;
      const bool names = path.ends_with("].name") && std::count(path.begin(), path.end(), '.') == 1;
      return names && entry.second == name;
    });
  }

  Wanted& wanted_;
  const manifest::WireObject* object_ = nullptr;
  struct Claim {
    network::Publish port;
    std::string guest;
  };
  std::vector<Claim> claims_;
};

void flatten(const Value& value, const std::string& path, std::map<std::string, std::string>& out) {
  if (value.kind() == json::Kind::kObject) {
    for (const json::Member& member : value.members())
      flatten(member.value, (path.empty() ? "" : path + ".") + std::string(member.key.as_text()),
              out);
    return;
  }
  if (value.kind() == json::Kind::kArray) {
    for (std::size_t i = 0; i < value.elements().size(); ++i)
      flatten(value.elements()[i], path + "[" + std::to_string(i) + "]", out);
    return;
  }
  out[path] = text_of(value);
}

// A dependency on replicas is one on each of them.
void spread_dependencies(Wanted& wanted) {
  std::map<std::string, std::vector<std::string>> by_object;
  for (const WantedGuest& guest : wanted.guests)
    by_object[guest.object].push_back(guest.name);
  for (WantedGuest& guest : wanted.guests) {
    std::vector<Dependency> spread;
    for (const Dependency& dependency : guest.after) {
      const auto replicas = by_object.find("Guest/" + dependency.guest);
      if (replicas == by_object.end()) {
        spread.push_back(dependency);
        continue;
      }
      for (const std::string& name : replicas->second)
        spread.push_back({name, dependency.condition});
    }
    guest.after = std::move(spread);
  }
}

// Whose namespaces it joins must run before it.
void follow_joins(Wanted& wanted) {
  for (WantedGuest& guest : wanted.guests) {
    const RunRequest& request = guest.request;
    for (const std::string* text : {&request.network, &request.pid, &request.ipc}) {
      const std::string joined = shared_guest(*text);
      const auto is_it = [&](const auto& other) { return other.name == joined; };
      const auto is_known = [&](const Dependency& one) { return one.guest == joined; };
      if (std::any_of(wanted.guests.begin(), wanted.guests.end(), is_it) &&
          std::none_of(guest.after.begin(), guest.after.end(), is_known))
        guest.after.push_back({joined, Condition::kStarted});
    }
  }
}

// A boot starts what is started again in the order of apply.
void order_boot(Wanted& wanted) {
  for (WantedGuest& guest : wanted.guests) {
    RunRequest& request = guest.request;
    if (request.restart.empty()) continue;
    for (const Dependency& dependency : guest.after) {
      const auto& names = request.start_after;
      if (std::find(names.begin(), names.end(), dependency.guest) == names.end())
        request.start_after.push_back(dependency.guest);
    }
  }
}

}  // namespace

Wanted to_wanted(const std::string& manifest, const std::vector<manifest::WireObject>& objects) {
  Wanted wanted;
  wanted.manifest = manifest;
  Maker maker(wanted);
  for (const manifest::WireObject& object : objects)
    maker.add(object);
  spread_dependencies(wanted);
  follow_joins(wanted);
  order_boot(wanted);
  return wanted;
}

std::map<std::string, std::string> flat(std::string_view spec) {
  std::map<std::string, std::string> out;
  const Result<json::Document> document = json::Document::parse(spec, "spec");
  if (document) flatten(document->root(), "", out);
  return out;
}

}  // namespace vrun::engine
