// A stand-in for systemd's manager on a private bus: makes and removes the groups of units in the
// v2 tree given as argument, as systemd does, and keeps a record of every call in the file given
// as second argument (one line each). Unit names steer it: "*-fails.*" ends with a failed job,
// "*-hangs.*" never ends, "*-exists.*" exists until it is reset.
#include <cstdio>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include <signal.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "cgroups/systemd_unit.hpp"
#include "cgroups/tree.hpp"

namespace vrun::cgroups {
namespace {

struct Fake {
  std::string mount, record;
  std::set<std::string> failed = {"vrun-test-exists.scope"};
  std::string slice = "system.slice";
  std::string pid;
  unsigned job = 0;
};

void note(const Fake& fake, const std::string& line) {
  if (FILE* file = std::fopen(fake.record.c_str(), "ae")) {
    std::fprintf(file, "%s\n", line.c_str());
    std::fclose(file);
  }
}

std::string group_path(const Fake& fake, const std::string& unit) {
  if (unit.ends_with(".slice")) return *expand_slice(unit);
  return fs::join(*expand_slice(fake.slice), unit);
}

// Any value as text: its signature and its scalars in order.
std::string take(sd_bus_message* message) {
  char type = 0;
  const char* contents = nullptr;
  std::string text;
  while (sd_bus_message_peek_type(message, &type, &contents) > 0) {
    if (contents != nullptr) {
      sd_bus_message_enter_container(message, type, contents);
      if (type == 'v') text += std::string(contents) + " ";
      text += take(message);
      sd_bus_message_exit_container(message);
      continue;
    }
    union {
      std::uint8_t y;
      std::int32_t i;
      std::uint32_t u;
      std::int64_t x;
      std::uint64_t t;
      double d;
      const char* s;
    } value = {};
    sd_bus_message_read_basic(message, type, &value);
    if (type == 's' || type == 'o' || type == 'g') text += value.s;
    if (type == 'b' || type == 'i') text += std::to_string(value.i);
    if (type == 'y') text += std::to_string(value.y);
    if (type == 'u') text += std::to_string(value.u);
    if (type == 'x') text += std::to_string(value.x);
    if (type == 't') text += std::to_string(value.t);
    if (type == 'd') text += std::to_string(value.d);
    text += " ";
  }
  return text;
}

void read_properties(sd_bus_message* message, Fake& fake) {
  sd_bus_message_enter_container(message, 'a', "(sv)");
  while (sd_bus_message_enter_container(message, 'r', "sv") > 0) {
    const char* name = nullptr;
    sd_bus_message_read(message, "s", &name);
    std::string value = take(message);
    sd_bus_message_exit_container(message);
    note(fake, std::string("  ") + name + " = " + value);
    if (strcmp(name, "Slice") == 0) fake.slice = value.substr(2, value.size() - 3);
    if (strcmp(name, "PIDs") == 0) fake.pid = value.substr(3, value.size() - 4);
  }
  sd_bus_message_exit_container(message);
}

int end_job(sd_bus_message* message, Fake& fake, const std::string& unit, const char* result) {
  std::string path = "/org/freedesktop/systemd1/job/" + std::to_string(++fake.job);
  int code = sd_bus_reply_method_return(message, "o", path.c_str());
  if (code < 0 || unit.find("-hangs") != std::string::npos) return code;
  return sd_bus_emit_signal(sd_bus_message_get_bus(message), "/org/freedesktop/systemd1",
                            "org.freedesktop.systemd1.Manager", "JobRemoved", "uoss", fake.job,
                            path.c_str(), unit.c_str(), result);
}

int start(sd_bus_message* message, void* data, sd_bus_error* error) {
  Fake& fake = *static_cast<Fake*>(data);
  const char *unit = nullptr, *mode = nullptr;
  sd_bus_message_read(message, "ss", &unit, &mode);
  note(fake, std::string("start ") + unit + " " + mode);
  fake.pid.clear();
  read_properties(message, fake);
  if (fake.failed.count(unit) != 0) {
    return sd_bus_error_set(error, "org.freedesktop.systemd1.UnitExists", "it exists already");
  }
  if (strstr(unit, "-fails") != nullptr) return end_job(message, fake, unit, "failed");
  std::string dir = fs::join(fake.mount, group_path(fake, unit));
  (void)fs::make_dirs(At::cwd(), dir, 0755);
  if (!fake.pid.empty()) (void)fs::write_value(At::cwd(), dir + "/cgroup.procs", fake.pid);
  return end_job(message, fake, unit, "done");
}

int set(sd_bus_message* message, void* data, sd_bus_error*) {
  Fake& fake = *static_cast<Fake*>(data);
  const char* unit = nullptr;
  int runtime = 0;
  sd_bus_message_read(message, "sb", &unit, &runtime);
  note(fake, std::string("set ") + unit + " " + std::to_string(runtime));
  read_properties(message, fake);
  return sd_bus_reply_method_return(message, nullptr);
}

int stop(sd_bus_message* message, void* data, sd_bus_error* error) {
  Fake& fake = *static_cast<Fake*>(data);
  const char *unit = nullptr, *mode = nullptr;
  sd_bus_message_read(message, "ss", &unit, &mode);
  note(fake, std::string("stop ") + unit + " " + mode);
  Tree tree(fake.mount, group_path(fake, unit));
  if (access(tree.dir().c_str(), F_OK) != 0) {
    return sd_bus_error_set(error, "org.freedesktop.systemd1.NoSuchUnit", "not loaded");
  }
  (void)tree.destroy();
  return end_job(message, fake, unit, "done");
}

int reset(sd_bus_message* message, void* data, sd_bus_error*) {
  Fake& fake = *static_cast<Fake*>(data);
  const char* unit = nullptr;
  sd_bus_message_read(message, "s", &unit);
  note(fake, std::string("reset ") + unit);
  fake.failed.erase(unit);
  return sd_bus_reply_method_return(message, nullptr);
}

int manager_path(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void*,
                 sd_bus_error*) {
  return sd_bus_message_append(reply, "s", "/user.slice/manager");
}

int unit_path(sd_bus*, const char* path, const char*, const char*, sd_bus_message* reply,
              void* data, sd_bus_error*) {
  char* unit = nullptr;
  if (sd_bus_path_decode(path, "/org/freedesktop/systemd1/unit", &unit) <= 0) return -ENOENT;
  std::string group = group_path(*static_cast<Fake*>(data), unit);
  free(unit);
  return sd_bus_message_append(reply, "s", group.c_str());
}

const sd_bus_vtable kManager[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("StartTransientUnit", "ssa(sv)a(sa(sv))", "o", start, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("SetUnitProperties", "sba(sv)", "", set, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("StopUnit", "ss", "o", stop, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("ResetFailedUnit", "s", "", reset, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("ControlGroup", "s", manager_path, 0, 0),
    SD_BUS_SIGNAL("JobRemoved", "uoss", 0),
    SD_BUS_VTABLE_END};
const sd_bus_vtable kUnit[] = {SD_BUS_VTABLE_START(0),
                               SD_BUS_PROPERTY("ControlGroup", "s", unit_path, 0, 0),
                               SD_BUS_VTABLE_END};

int serve(Fake& fake) {
  sd_bus* bus = nullptr;
  int code = sd_bus_open_system(&bus);
  const char* unit = "/org/freedesktop/systemd1/unit";
  auto add = [&](const char* interface) {
    if (code >= 0)
      code = sd_bus_add_fallback_vtable(bus, nullptr, unit, interface, kUnit, nullptr, &fake);
  };
  if (code >= 0) {
    code = sd_bus_add_object_vtable(bus, nullptr, "/org/freedesktop/systemd1",
                                    "org.freedesktop.systemd1.Manager", kManager, &fake);
  }
  add("org.freedesktop.systemd1.Scope");
  add("org.freedesktop.systemd1.Slice");
  if (code >= 0) code = sd_bus_request_name(bus, "org.freedesktop.systemd1", 0);
  if (code >= 0) note(fake, "ready");
  while (code >= 0) {
    code = sd_bus_process(bus, nullptr);
    if (code == 0) code = sd_bus_wait(bus, UINT64_MAX);
  }
  std::fprintf(stderr, "fake systemd: %s\n", strerror(-code));
  return 1;
}

}  // namespace
}  // namespace vrun::cgroups

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  vrun::cgroups::Fake fake;
  fake.mount = argv[1];
  fake.record = argv[2];
  return vrun::cgroups::serve(fake);
}
