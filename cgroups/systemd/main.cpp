// vrun-systemd: carries one request to systemd over D-Bus (sd-bus) and answers on stdout.
//
// stdin, one line each, words separated by tabs:
//   bus       system | user
//   verb      start | set | stop | own-path
//   unit      NAME
//   property  NAME  VALUE in GVariant text
// stdout, one line: "ok <TAB> group path (start, own-path)" or
// "error <TAB> name <TAB> message"; then the exit code is 1. Names without a dot are the helper's
// own: usage, connect, timeout, job, bus.
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/text.hpp"
#include "cgroups/gvariant.hpp"
#include "cgroups/systemd_unit.hpp"

namespace vrun::cgroups {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kJobPatience{30};

constexpr const char* kService = "org.freedesktop.systemd1";
constexpr const char* kManagerPath = "/org/freedesktop/systemd1";
constexpr const char* kManager = "org.freedesktop.systemd1.Manager";

struct BusCloser {
  void operator()(sd_bus* bus) const { sd_bus_flush_close_unref(bus); }
};
struct MessageCloser {
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
struct SlotCloser {
  void operator()(sd_bus_slot* slot) const { sd_bus_slot_unref(slot); }
};
using Bus = std::unique_ptr<sd_bus, BusCloser>;
using Message = std::unique_ptr<sd_bus_message, MessageCloser>;
using Slot = std::unique_ptr<sd_bus_slot, SlotCloser>;

// An sd_bus_error that frees itself.
struct BusError {
  BusError() = default;
  BusError(const BusError&) = delete;
  BusError& operator=(const BusError&) = delete;
  ~BusError() { sd_bus_error_free(&raw); }
  sd_bus_error raw = SD_BUS_ERROR_NULL;
};

// What goes on stdout.
struct Answer {
  bool ok = false;
  std::string name;  // of the error
  std::string text;  // its message, or the path
};
Answer failed(std::string_view name, std::string_view text) {
  return {false, std::string(name), std::string(text)};
}
Answer failed(const BusError& error, int code) {
  if (error.raw.name != nullptr) {
    return failed(error.raw.name, error.raw.message == nullptr ? "" : error.raw.message);
  }
  return failed(code == -ETIMEDOUT ? "timeout" : "bus", strerror(-code));
}
Answer done(std::string path = "") {
  return {true, "", std::move(path)};
}

struct Request {
  bool user = false;
  std::string verb, unit;
  std::vector<Property> properties;
};

std::string read_stdin() {
  std::string text;
  std::array<char, 4096> buffer;
  ssize_t count = 0;
  while (text.size() < (4U << 20U) && (count = read(0, buffer.data(), buffer.size())) > 0) {
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return text;
}

bool read_line(std::string_view line, Request& request, std::string& wrong) {
  std::vector<std::string_view> words = split(line, '\t');
  if (words.size() == 2 && words[0] == "bus") {
    request.user = words[1] == "user";
  } else if (words.size() == 2 && words[0] == "verb") {
    request.verb = words[1];
  } else if (words.size() == 2 && words[0] == "unit") {
    request.unit = words[1];
  } else if (words.size() >= 3 && words[0] == "property") {
    // A tab may stand inside of a string.
    std::size_t start = words[0].size() + words[1].size() + 2;
    Result<BusValue> value = parse_gvariant(line.substr(start));
    if (!value) {
      wrong = value.error().text();
      return false;
    }
    request.properties.push_back({std::string(words[1]), *std::move(value)});
  } else {
    wrong = "unknown line " + quote(line);
    return false;
  }
  return true;
}

// ---- values ----

template <typename T>
int append_integer(sd_bus_message* message, char type, const std::string& text) {
  T value = static_cast<T>(std::strtoll(text.c_str(), nullptr, 10));
  return sd_bus_message_append_basic(message, type, &value);
}

int append_scalar(sd_bus_message* message, const BusValue& value) {
  char type = value.signature.front();
  switch (type) {
    case 's':
    case 'o':
    case 'g':
      return sd_bus_message_append_basic(message, type, value.text.c_str());
    case 'b': {
      int flag = value.text == "true" ? 1 : 0;
      return sd_bus_message_append_basic(message, type, &flag);
    }
    case 'd': {
      double number = std::strtod(value.text.c_str(), nullptr);
      return sd_bus_message_append_basic(message, type, &number);
    }
    case 't': {
      std::uint64_t number = std::strtoull(value.text.c_str(), nullptr, 10);
      return sd_bus_message_append_basic(message, type, &number);
    }
    case 'y':
      return append_integer<std::uint8_t>(message, type, value.text);
    case 'n':
      return append_integer<std::int16_t>(message, type, value.text);
    case 'q':
      return append_integer<std::uint16_t>(message, type, value.text);
    case 'i':
      return append_integer<std::int32_t>(message, type, value.text);
    case 'u':
      return append_integer<std::uint32_t>(message, type, value.text);
    case 'x':
      return append_integer<std::int64_t>(message, type, value.text);
    default:
      return -EOPNOTSUPP;  // handles need a descriptor to be passed
  }
}

int append(sd_bus_message* message, const BusValue& value) {
  char kind = value.signature.front();
  bool container = kind == 'a' || kind == '(' || kind == '{' || kind == 'v';
  if (!container) return append_scalar(message, value);
  std::string inside;
  if (kind == 'a') {
    inside = value.signature.substr(1);
  } else if (kind == 'v') {
    inside = value.items.front().signature;
  } else {
    inside = value.signature.substr(1, value.signature.size() - 2);
  }
  // sd-bus names tuples and dictionary entries by other letters than the signature does.
  char type = kind;
  if (kind == '(') type = SD_BUS_TYPE_STRUCT;
  if (kind == '{') type = SD_BUS_TYPE_DICT_ENTRY;
  int result = sd_bus_message_open_container(message, type, inside.c_str());
  for (std::size_t i = 0; i < value.items.size() && result >= 0; ++i) {
    result = append(message, value.items[i]);
  }
  return result < 0 ? result : sd_bus_message_close_container(message);
}

int append_properties(sd_bus_message* message, const std::vector<Property>& properties) {
  int result = sd_bus_message_open_container(message, 'a', "(sv)");
  for (std::size_t i = 0; i < properties.size() && result >= 0; ++i) {
    const Property& one = properties[i];
    result = sd_bus_message_open_container(message, SD_BUS_TYPE_STRUCT, "sv");
    if (result >= 0) result = sd_bus_message_append_basic(message, 's', one.name.c_str());
    if (result >= 0) result = append(message, {"v", "", {one.value}});
    if (result >= 0) result = sd_bus_message_close_container(message);
  }
  return result < 0 ? result : sd_bus_message_close_container(message);
}

// ---- the bus ----

// Root can reach systemd's own socket where no message bus runs.
int connect_privately(sd_bus** bus) {
  if (geteuid() != 0) return -ENOENT;
  int result = sd_bus_new(bus);
  if (result >= 0) result = sd_bus_set_address(*bus, "unix:path=/run/systemd/private");
  if (result >= 0) result = sd_bus_start(*bus);
  return result;
}

Bus connect(bool user, int& code) {
  sd_bus* bus = nullptr;
  code = user ? sd_bus_open_user(&bus) : sd_bus_open_system(&bus);
  if (code < 0 && !user) {
    sd_bus* direct = nullptr;
    if (connect_privately(&direct) >= 0) {
      bus = direct;
      code = 0;
    } else {
      sd_bus_unref(direct);
    }
  }
  if (code < 0) return nullptr;
  return Bus(bus);
}

// Jobs that ended, by the JobRemoved signal: also those that end before we know their name.
struct Jobs {
  std::vector<std::pair<std::string, std::string>> ended;  // path, result
  const std::string* result_of(const std::string& path) const {
    for (const auto& [job, result] : ended) {
      if (job == path) return &result;
    }
    return nullptr;
  }
};

int job_removed(sd_bus_message* message, void* user_data, sd_bus_error*) {
  std::uint32_t id = 0;
  const char *path = nullptr, *unit = nullptr, *result = nullptr;
  if (sd_bus_message_read(message, "uoss", &id, &path, &unit, &result) >= 0) {
    static_cast<Jobs*>(user_data)->ended.emplace_back(path, result);
  }
  return 0;
}

Answer wait_for_job(sd_bus* bus, const Jobs& jobs, const std::string& path) {
  Clock::time_point deadline = Clock::now() + kJobPatience;
  while (true) {
    if (const std::string* result = jobs.result_of(path)) {
      if (*result == "done") return done();
      return failed("job", "the job ended with result " + *result);
    }
    int processed = sd_bus_process(bus, nullptr);
    if (processed < 0) return failed("bus", strerror(-processed));
    if (processed > 0) continue;
    auto left = std::chrono::duration_cast<std::chrono::microseconds>(deadline - Clock::now());
    if (left.count() <= 0) return failed("timeout", "the job did not end in 30 seconds");
    int waited = sd_bus_wait(bus, static_cast<std::uint64_t>(left.count()));
    if (waited < 0) return failed("bus", strerror(-waited));
  }
}

// Calls a method of the manager that answers a job, and waits for its end.
template <typename Fill>
Answer run_job(sd_bus* bus, const char* method, Fill fill) {
  Jobs jobs;
  sd_bus_slot* raw_slot = nullptr;
  int code = sd_bus_match_signal(bus, &raw_slot, kService, kManagerPath, kManager, "JobRemoved",
                                 job_removed, &jobs);
  Slot slot(raw_slot);
  if (code < 0) return failed("bus", strerror(-code));
  sd_bus_message* raw = nullptr;
  code = sd_bus_message_new_method_call(bus, &raw, kService, kManagerPath, kManager, method);
  Message call(raw);
  if (code >= 0) code = fill(raw);
  if (code < 0) return failed("bus", strerror(-code));
  BusError error;
  sd_bus_message* raw_reply = nullptr;
  code = sd_bus_call(bus, raw, 0, &error.raw, &raw_reply);
  Message reply(raw_reply);
  if (code < 0) return failed(error, code);
  const char* path = nullptr;
  code = sd_bus_message_read(raw_reply, "o", &path);
  if (code < 0) return failed("bus", strerror(-code));
  return wait_for_job(bus, jobs, path);
}

std::string control_group(sd_bus* bus, const std::string& unit) {
  char* raw_path = nullptr;
  if (sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit.c_str(), &raw_path) < 0) return "";
  std::unique_ptr<char, decltype(&std::free)> path(raw_path, std::free);
  const char* interface = unit.ends_with(".slice") ? "org.freedesktop.systemd1.Slice"
                                                   : "org.freedesktop.systemd1.Scope";
  BusError error;
  char* value = nullptr;
  int code = sd_bus_get_property_string(bus, kService, path.get(), interface, "ControlGroup",
                                        &error.raw, &value);
  std::unique_ptr<char, decltype(&std::free)> owned(value, std::free);
  return code < 0 || value == nullptr ? "" : value;
}

Answer reset_failed(sd_bus* bus, const std::string& unit) {
  BusError error;
  int code = sd_bus_call_method(bus, kService, kManagerPath, kManager, "ResetFailedUnit",
                                &error.raw, nullptr, "s", unit.c_str());
  return code < 0 ? failed(error, code) : done();
}

Answer start_once(sd_bus* bus, const Request& request) {
  return run_job(bus, "StartTransientUnit", [&](sd_bus_message* call) {
    int code = sd_bus_message_append(call, "ss", request.unit.c_str(), "replace");
    if (code >= 0) code = append_properties(call, request.properties);
    return code < 0 ? code : sd_bus_message_append(call, "a(sa(sv))", 0);
  });
}

// A unit of the same name that has failed keeps the name until it is reset.
Answer start(sd_bus* bus, const Request& request) {
  Answer answer = start_once(bus, request);
  if (!answer.ok && answer.name == "org.freedesktop.systemd1.UnitExists" &&
      reset_failed(bus, request.unit).ok) {
    answer = start_once(bus, request);
  }
  return answer.ok ? done(control_group(bus, request.unit)) : answer;
}

Answer set(sd_bus* bus, const Request& request) {
  sd_bus_message* raw = nullptr;
  int code = sd_bus_message_new_method_call(bus, &raw, kService, kManagerPath, kManager,
                                            "SetUnitProperties");
  Message call(raw);
  if (code >= 0) code = sd_bus_message_append(raw, "sb", request.unit.c_str(), 1);
  if (code >= 0) code = append_properties(raw, request.properties);
  if (code < 0) return failed("bus", strerror(-code));
  BusError error;
  code = sd_bus_call(bus, raw, 0, &error.raw, nullptr);
  return code < 0 ? failed(error, code) : done();
}

Answer stop(sd_bus* bus, const Request& request) {
  Answer answer = run_job(bus, "StopUnit", [&](sd_bus_message* call) {
    return sd_bus_message_append(call, "ss", request.unit.c_str(), "replace");
  });
  (void)reset_failed(bus, request.unit);  // usually gone already
  return answer;
}

// Where the manager itself is: units of a user's manager are below it.
Answer own_path(sd_bus* bus) {
  BusError error;
  char* value = nullptr;
  int code = sd_bus_get_property_string(bus, kService, kManagerPath, kManager, "ControlGroup",
                                        &error.raw, &value);
  std::unique_ptr<char, decltype(&std::free)> owned(value, std::free);
  return code < 0 ? failed(error, code) : done(value == nullptr ? "" : value);
}

Answer serve() {
  Request request;
  const std::string text = read_stdin();
  for (std::string_view line : split(text, '\n')) {
    std::string wrong;
    if (!line.empty() && !read_line(line, request, wrong)) return failed("usage", wrong);
  }
  int code = 0;
  Bus bus = connect(request.user, code);
  if (!bus) {
    return failed("connect", std::string("connect to the ") + (request.user ? "user" : "system") +
                                 " bus: " + strerror(-code));
  }
  if (request.verb == "own-path") return own_path(bus.get());
  if (request.unit.empty()) return failed("usage", "a unit is missing");
  if (request.verb == "start") return start(bus.get(), request);
  if (request.verb == "set") return set(bus.get(), request);
  if (request.verb == "stop") return stop(bus.get(), request);
  return failed("usage", "unknown verb " + quote(request.verb));
}

// One line: what would break it is shown as \xNN.
int print(const Answer& answer) {
  if (answer.ok) {
    std::printf("ok\t%s\n", printable(answer.text).c_str());
    return 0;
  }
  std::printf("error\t%s\t%s\n", printable(answer.name).c_str(), printable(answer.text).c_str());
  return 1;
}

}  // namespace
}  // namespace vrun::cgroups

int main(int argc, char**) {
  if (argc != 1) {
    std::fputs("vrun-systemd: reads its request from stdin, see cgroups/systemd/main.cpp\n",
               stderr);
    return 2;
  }
  return vrun::cgroups::print(vrun::cgroups::serve());
}
