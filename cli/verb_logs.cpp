#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/verb_guests.hpp"
#include "engine/guest_logs.hpp"
#include "engine/terminal_text.hpp"

namespace vrun::cli {
namespace {

Result<engine::LogsRequest> request_of(const EverydayCall& call) {
  engine::LogsRequest request;
  const Arguments& arguments = call.arguments;
  if (arguments.has("since")) {
    request.since = TRY(engine::parse_log_time(arguments.text("since")));
  }
  if (arguments.has("until")) {
    request.until = TRY(engine::parse_log_time(arguments.text("until")));
  }
  request.follow = arguments.on("follow");
  const std::string tail = arguments.text("tail");
  // A number below zero is "all" for Docker, and scripts write it.
  if (!tail.empty() && tail != "all" && !parse_i64(tail).has_value()) {
    return Error(Code::kInvalid, "--tail " + quote(tail) + ": not a number of lines");
  }
  if (!tail.empty() && tail != "all" && *parse_i64(tail) >= 0) {
    request.tail = parse_u64(tail);
  }
  return request;
}

// One of stdout and stderr. Lines are collected: a log of a million lines is not a million writes.
class Output {
 public:
  explicit Output(int fd) : fd_(fd), terminal_(::isatty(fd) == 1) {}
  Result<void> add(const engine::LogRecord& record, bool timestamps) {
    if (timestamps && fresh_) pending_ += std::string(record.time) + " ";
    if (terminal_) {
      pending_ += shown_.take(record.text, record.whole);
    } else {
      pending_ += record.text;
    }
    if (record.whole) pending_ += '\n';
    fresh_ = record.whole;
    constexpr std::size_t kMost = 65536;
    return pending_.size() >= kMost ? flush() : Result<void>();
  }
  Result<void> flush() {
    if (pending_.empty()) return {};
    const std::string text = std::exchange(pending_, "");
    return sys::write_all(fd_, text);
  }
  // What is left of a last line without an end, too.
  Result<void> end() {
    pending_ += shown_.take("", true);
    return flush();
  }

 private:
  int fd_;
  bool terminal_, fresh_ = true;
  engine::TerminalText shown_;
  std::string pending_;
};

}  // namespace

Result<int> everyday_logs(const EverydayCall& call) {
  const engine::Guests guests = TRY(guests_of(call));
  const engine::LogsRequest request = TRY(request_of(call));
  const engine::Guest guest = TRY(guests.find(call.arguments.word(0)));
  const bool timestamps = call.arguments.on("timestamps");
  Output out(STDOUT_FILENO);
  Output err(STDERR_FILENO);
  bool last_was_error = false;
  Result<void> written;
  TRY(engine::read_logs(guests, guest.record, request, [&](const engine::LogRecord& record) {
    Output& to = record.error ? err : out;
    // On one terminal the two keep their order.
    if (record.error != last_was_error) written = (last_was_error ? err : out).flush();
    last_was_error = record.error;
    if (written) written = to.add(record, timestamps);
    if (written && request.follow) written = to.flush();
    return written.has_value();
  }));
  // A reader that has gone (head) has seen enough.
  if (!written) return 0;
  TRY(out.end());
  TRY(err.end());
  return 0;
}

}  // namespace vrun::cli
