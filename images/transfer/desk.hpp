// The courier as seen by who gives it work: questions with an answer, and the signals that end the
// whole transfer.
#pragma once

#include <optional>
#include <string>

#include "base/result.hpp"
#include "images/transfer/courier.hpp"

namespace vrun::images {

// SIGINT, SIGTERM and SIGHUP as a descriptor, so that a transfer ends by leaving its functions: all
// that is unfinished is undone on the way. Make one before any process is started.
class Interrupts {
 public:
  static Result<Interrupts> create();
  const Fd& fd() const { return fd_; }
  // Once fd() is readable.
  Error error();
  // 0 until error() was called.
  int signal() const { return signal_; }

 private:
  explicit Interrupts(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
  int signal_ = 0;
};

class Desk {
 public:
  Desk(Courier courier, Interrupts& interrupts)
      : courier_(std::move(courier)), interrupts_(&interrupts) {}

  // One task alone; its answer, which may be a failure.
  Result<CourierAnswer> ask(CourierTask task, const Fd& fd);
  // Fetches into memory, at most `limit` bytes.
  struct Fetched {
    std::string bytes, media_type;
  };
  Result<Fetched> fetch(CourierTask task, std::size_t limit);

  Courier& courier() { return courier_; }
  Interrupts& interrupts() { return *interrupts_; }

 private:
  Courier courier_;
  Interrupts* interrupts_;
};

}  // namespace vrun::images
