#include "vm/vmm/qmp.hpp"

#include <array>
#include <chrono>
#include <optional>

#include <poll.h>
#include <sys/socket.h>

#include "base/json_table.hpp"
#include "base/sys.hpp"

namespace vrun::vmm {
namespace {

constexpr std::chrono::milliseconds kPatience{5000};
constexpr std::size_t kLongestLine = 1 << 20;

struct Refusal {
  std::string description;
};
constexpr auto json_fields(const Refusal*) {
  return json::fields(json::field("desc", &Refusal::description));
}

// Of SHUTDOWN: "guest-shutdown", "guest-reset", "guest-panic" ... (ShutdownCause).
struct EventData {
  std::string reason;
};
constexpr auto json_fields(const EventData*) {
  return json::fields(json::field("reason", &EventData::reason));
}

struct Answer {
  std::string event;  // no answer: something happened
  std::optional<EventData> data;
  std::optional<Refusal> error;
};
constexpr auto json_fields(const Answer*) {
  return json::fields(json::field("event", &Answer::event), json::field("data", &Answer::data),
                      json::field("error", &Answer::error));
}

bool is_reset(const Answer& said) {
  return said.event == "SHUTDOWN" && said.data && said.data->reason == "guest-reset";
}

struct Balloon {
  std::uint64_t actual = 0;
};
constexpr auto json_fields(const Balloon*) {
  return json::fields(json::field("actual", &Balloon::actual, {.required = true}));
}
struct BalloonAnswer {
  std::optional<Balloon> balloon;
};
constexpr auto json_fields(const BalloonAnswer*) {
  return json::fields(json::field("return", &BalloonAnswer::balloon, {.required = true}));
}

}  // namespace

Result<std::string> Qmp::line() {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (true) {
    if (const std::size_t end = read_.find('\n'); end != std::string::npos) {
      std::string line = read_.substr(0, end);
      read_.erase(0, end + 1);
      return line;
    }
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    std::array<pollfd, 1> ready{pollfd{socket_.get(), POLLIN, 0}};
    if (left.count() <= 0 || read_.size() > kLongestLine ||
        TRY(sys::poll(ready, static_cast<int>(left.count()))) == 0)
      return Error(Code::kState, "QEMU's monitor does not answer");
    std::array<char, 4096> buffer;
    const std::size_t got = TRY(sys::read(socket_.get(), buffer));
    if (got == 0) return Error(Code::kState, "QEMU is gone");
    read_.append(buffer.data(), got);
  }
}

Result<std::string> Qmp::answer() {
  while (true) {
    std::string text = TRY(line());
    const Answer answer = TRY(json::read<Answer>(text, "QEMU's answer"));
    reset_ = reset_ || is_reset(answer);
    if (!answer.event.empty()) continue;
    if (answer.error) return Error(Code::kState, "QEMU: " + answer.error->description);
    return text;
  }
}

Result<std::string> Qmp::call(std::string_view json) {
  const std::lock_guard lock(one_at_a_time_);
  TRY(greet_locked());
  TRY(sys::write_all(socket_.get(), std::string(json) + "\n"));
  return answer();
}

Result<void> Qmp::greet() {
  const std::lock_guard lock(one_at_a_time_);
  return greet_locked();
}

Result<void> Qmp::greet_locked() {
  if (greeted_) return {};
  TRY(line());  // its greeting
  TRY(sys::write_all(socket_.get(), "{\"execute\":\"qmp_capabilities\"}\n"));
  TRY(answer());
  greeted_ = true;
  return {};
}

Result<void> Qmp::press_button() {
  TRY(call(R"({"execute":"system_powerdown"})"));
  return {};
}

bool Qmp::ended_by_reset() {
  const std::lock_guard lock(one_at_a_time_);
  while (!reset_) {
    const Result<std::string> text = line();
    if (!text) break;  // that was all
    const Result<Answer> said = json::read<Answer>(*text, "QEMU's event");
    reset_ = said && is_reset(*said);
  }
  return reset_;
}

Result<void> Qmp::set_memory(std::uint64_t bytes) {
  TRY(call(R"({"execute":"balloon","arguments":{"value":)" + std::to_string(bytes) + "}}"));
  return {};
}

Result<std::uint64_t> Qmp::memory() {
  const std::string text = TRY(call(R"({"execute":"query-balloon"})"));
  return TRY(json::read<BalloonAnswer>(text, "QEMU's answer")).balloon->actual;
}

}  // namespace vrun::vmm
