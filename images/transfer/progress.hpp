// What people and programs see of a transfer, on stderr: bars on a terminal, lines, or JSON lines.
//
// The numbers come from ByteCounters; tick() looks at them and redraws at most ten times a second.
// JSON: {"event":"layer","id":"sha256:...","state":"download","bytes":1,"total":2}, and
// {"event":"message","text":"..."}.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "images/request.hpp"
#include "images/transfer/courier.hpp"

namespace vrun::images {

enum class PartState : std::uint8_t {
  kWaiting,
  kElsewhere,  // another vrun is at work on it
  kMoving,
  kDone,
  kThere,    // was there already
  kMounted,  // push: taken from another repository
};

struct Part {
  std::string id;    // a digest
  std::string name;  // what it is called in lines: "1a2b3c4d5e6f"
  std::uint64_t total = 0;
  std::uint64_t slot = 0;
  PartState state = PartState::kWaiting;
};

class Progress {
 public:
  Progress(ProgressStyle style, int fd, std::string verb);  // verb: "pull", "push"
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // A sentence that stays.
  void message(std::string_view text);
  void begin(std::vector<Part> parts, const ByteCounters* counters);
  void state(std::size_t part, PartState state);
  void tick();
  // The last picture stays on the screen.
  void end();

 private:
  bool is_bars() const { return bars_; }
  std::uint64_t bytes_of(const Part& part) const;
  void draw();
  std::string bar_line(const Part& part, std::size_t columns) const;
  void report(const Part& part);
  void write(std::string_view text) const;

  ProgressStyle style_;
  int fd_;
  std::string verb_;
  bool bars_;
  std::vector<Part> parts_;
  const ByteCounters* counters_ = nullptr;
  std::size_t drawn_ = 0;  // lines on the screen that are ours
  std::chrono::steady_clock::time_point last_{};
};

// "12.3 MB"
std::string human_bytes(std::uint64_t bytes);

}  // namespace vrun::images
