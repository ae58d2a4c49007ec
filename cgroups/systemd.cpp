#include "cgroups/systemd.hpp"

#include <cerrno>
#include <chrono>

#include <signal.h>

#include "base/fs.hpp"
#include "base/helper.hpp"
#include "base/spawn.hpp"
#include "base/text.hpp"

namespace vrun::cgroups {
namespace {

constexpr std::chrono::seconds kHelperPatience{45};  // the helper itself gives a job 30 s

Error not_started() {
  return Error(Code::kState, "the systemd unit of the container does not exist yet");
}

const char* verb_text(UnitRequest::Verb verb) {
  switch (verb) {
    case UnitRequest::Verb::kStart:
      return "start";
    case UnitRequest::Verb::kSet:
      return "set";
    case UnitRequest::Verb::kStop:
      return "stop";
    case UnitRequest::Verb::kOwnPath:
      return "own-path";
  }
  return "";
}

// "ok\t<path>" or "error\t<name>\t<message>"; anything else is the helper's own trouble.
Result<std::string> read_answer(const Finished& finished, const std::string& unit) {
  std::string what = unit.empty() ? "ask systemd" : "systemd unit " + printable(unit);
  for (std::string_view line : split(finished.output, '\n')) {
    std::vector<std::string_view> words = split(line, '\t');
    if (words.size() == 2 && words[0] == "ok") return std::string(words[1]);
    if (words.size() != 3 || words[0] != "error") continue;
    std::string text = what + ": " + printable(words[2]) + " (" + printable(words[1]) + ")";
    if (words[1].ends_with(".UnitExists")) return Error(Code::kExists, text);
    if (words[1].ends_with(".NoSuchUnit")) return Error(Code::kNotFound, text);
    if (words[1] == "timeout") return Error(Code::kTimeout, text);
    if (words[1].ends_with(".AccessDenied") || words[1].ends_with("AuthorizationRequired")) {
      return Error(Code::kDenied, text);
    }
    if (words[1] == "connect") {
      return Error(Code::kUnsupported, text)
          .hint(
              "--systemd-cgroup needs a running systemd and its bus (rootless: "
              "DBUS_SESSION_BUS_ADDRESS or XDG_RUNTIME_DIR)");
    }
    return Error(Code::kSystem, text);
  }
  return Error(Code::kInternal, what + ": the helper ended with code " +
                                    std::to_string(finished.exit.code()) + ": " +
                                    printable(trim(finished.output)));
}

}  // namespace

std::string request_text(const UnitRequest& request, bool user_bus) {
  std::string text = std::string("bus\t") + (user_bus ? "user" : "system") + "\n";
  text += std::string("verb\t") + verb_text(request.verb) + "\n";
  if (!request.unit.empty()) text += "unit\t" + request.unit + "\n";
  for (const Property& property : request.properties) {
    text += "property\t" + property.name + "\t" + to_gvariant(property.value) + "\n";
  }
  return text;
}

SystemdBus systemd_bus(const Host& host, bool user_bus) {
  return [env = host.env, user_bus](const UnitRequest& request) -> Result<std::string> {
    Command command;
    command.path = TRY(helper_path("vrun-systemd"));
    command.argv = {"vrun-systemd"};
    command.env = env;
    command.input = request_text(request, user_bus);
    command.timeout = kHelperPatience;
    Finished finished = TRY(run(command));
    return read_answer(finished, request.unit);
  };
}

SystemdGroup::SystemdGroup(Location location, Options options, SystemdBus bus, OpenFiles open_files)
    : location_(std::move(location)),
      options_(std::move(options)),
      bus_(std::move(bus)),
      open_files_(std::move(open_files)),
      ours_(options_.started) {}

Result<Group*> SystemdGroup::files() const {
  if (!files_) {
    if (!options_.started) return not_started();
    files_ = TRY(open_files_(location_, false));
  }
  return files_.get();
}

// Nothing can be made yet; what is there is looked at, so that a name in use is told early.
Result<void> SystemdGroup::create() {
  std::unique_ptr<Group> existing = TRY(open_files_(location_, false));
  Result<std::vector<Pid>> pids = existing->processes();
  if (!pids || pids->empty()) return {};
  return Error(Code::kExists, "container's cgroup is not empty: " + std::to_string(pids->size()) +
                                  " process(es) found in unit " + quote(options_.name.unit))
      .at("linux.cgroupsPath");
}

int SystemdGroup::clone_target() const {
  Result<Group*> group = files();
  return group ? (*group)->clone_target() : -1;
}

bool SystemdGroup::needs_join() const {
  if (!options_.started) return true;
  Result<Group*> group = files();
  return !group || (*group)->needs_join();
}

Result<void> SystemdGroup::start(Pid pid) {
  UnitRequest request{UnitRequest::Verb::kStart, options_.name.unit, options_.properties};
  if (!options_.name.is_slice()) {
    BusValue one{"u", std::to_string(pid.value), {}};
    request.properties.insert(request.properties.begin(), {"PIDs", bus_array("u", {one})});
  }
  Result<std::string> answer = bus_(request);
  if (!answer) {
    // A job that failed or did not end may have left the unit behind.
    bool half_made =
        answer.error().code() == Code::kTimeout || answer.error().code() == Code::kSystem;
    if (half_made) (void)bus_({UnitRequest::Verb::kStop, options_.name.unit, {}});
    return std::move(answer).error();
  }
  const std::string path = *answer;
  ours_ = true;
  options_.started = true;
  // systemd has the last word on where the unit is.
  if (path.size() > 1 && path != location_.path) {
    for (auto& [hierarchy, dir] : location_.paths) {
      if (dir.ends_with(location_.path)) {
        dir = dir.substr(0, dir.size() - location_.path.size()) + path;
      }
    }
    location_.path = path;
  }
  files_ = TRY(open_files_(location_, true));
  return {};
}

Result<void> SystemdGroup::join(Pid pid) {
  bool first = !options_.started;
  if (first) TRY(start(pid));
  Group* group = TRY(files());
  // A scope took the process in by itself; slices, further processes and v1 hierarchies need more.
  if (!first || options_.name.is_slice() || group->needs_join()) TRY(group->join(pid));
  if (!first) return {};
  if (pending_) TRY(group->set(*pending_));
  if (pending_devices_) TRY(group->set_devices(*pending_devices_));
  if (pending_owner_) TRY(group->delegate(*pending_owner_));
  return {};
}

Result<void> SystemdGroup::set(const oci::Resources& resources) {
  if (!options_.started) {
    TRY(resource_properties(resources, options_.v2));  // what is wrong is told now
    pending_ = resources;
    return {};
  }
  std::vector<Property> properties = TRY(resource_properties(resources, options_.v2));
  if (!properties.empty()) {
    TRY(bus_({UnitRequest::Verb::kSet, options_.name.unit, std::move(properties)}));
  }
  Group* group = TRY(files());
  return group->set(resources);
}

Result<void> SystemdGroup::set_devices(const std::vector<oci::DeviceRule>& rules) {
  if (!options_.started) {
    pending_devices_ = rules;
    return {};
  }
  Group* group = TRY(files());
  return group->set_devices(rules);
}

Result<void> SystemdGroup::delegate(Uid owner) {
  if (!options_.started) {
    pending_owner_ = owner;
    return {};
  }
  Group* group = TRY(files());
  return group->delegate(owner);
}

Result<void> SystemdGroup::freeze(bool frozen) {
  Group* group = TRY(files());
  return group->freeze(frozen);
}

Result<bool> SystemdGroup::is_frozen() const {
  Group* group = TRY(files());
  return group->is_frozen();
}

Result<void> SystemdGroup::signal_all(int signal) {
  Group* group = TRY(files());
  return group->signal_all(signal);
}

Result<std::vector<Pid>> SystemdGroup::processes() const {
  Group* group = TRY(files());
  return group->processes();
}

Result<Stats> SystemdGroup::stats() const {
  Group* group = TRY(files());
  return group->stats();
}

Result<bool> SystemdGroup::wait_oom(int timeout_ms) {
  Group* group = TRY(files());
  return group->wait_oom(timeout_ms);
}

// Killed first, so that systemd does not wait for processes that ignore SIGTERM.
Result<void> SystemdGroup::destroy() {
  if (!ours_) return {};
  Group* group = TRY(files());
  (void)group->signal_all(SIGKILL);
  Result<std::string> stopped = bus_({UnitRequest::Verb::kStop, options_.name.unit, {}});
  Result<void> removed = group->destroy();
  if (!stopped && stopped.error().code() != Code::kNotFound) return std::move(stopped).error();
  return removed;
}

std::vector<Group::MountPart> SystemdGroup::mount_parts() const {
  Result<std::unique_ptr<Group>> group = open_files_(location_, false);
  if (!group) return {};
  return (*group)->mount_parts();
}

}  // namespace vrun::cgroups
