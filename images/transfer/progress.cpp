#include "images/transfer/progress.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include <sys/ioctl.h>
#include <unistd.h>

#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::images {
namespace {

constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr auto kJsonEvery = std::chrono::milliseconds(500);

std::string_view word_of(PartState state) {
  switch (state) {
    case PartState::kWaiting:
      return "waiting";
    case PartState::kElsewhere:
      return "another vrun is at work on it";
    case PartState::kMoving:
      return "moving";
    case PartState::kDone:
      return "done";
    case PartState::kThere:
      return "already there";
    case PartState::kMounted:
      return "mounted";
  }
  return "";
}

bool is_end(PartState state) {
  return state == PartState::kDone || state == PartState::kThere || state == PartState::kMounted;
}

// Of the terminal behind `fd`; 0 rows: nobody knows.
winsize window_of(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col < 20) size.ws_col = 80;
  return size;
}

bool is_drawable(int fd) {
  const char* term = ::getenv("TERM");
  return ::isatty(fd) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

}  // namespace

std::string human_bytes(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kUnits{"B", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  std::uint64_t tenths = bytes * 10;
  while (tenths >= 10000 && unit + 1 < kUnits.size()) {
    tenths = (tenths + 500) / 1000;
    ++unit;
  }
  std::string text = std::to_string(tenths / 10);
  if (unit > 0) text += "." + std::to_string(tenths % 10);
  return text + " " + std::string(kUnits[unit]);
}

Progress::Progress(ProgressStyle style, int fd, std::string verb)
    : style_(style), fd_(fd), verb_(std::move(verb)) {
  bars_ = style == ProgressStyle::kAuto && is_drawable(fd);
}

Progress::~Progress() {
  end();
}

void Progress::write(std::string_view text) const {
  // Who cannot be told of progress does not stop it.
  static_cast<void>(sys::write_all(fd_, text));
}

void Progress::message(std::string_view text) {
  if (style_ == ProgressStyle::kQuiet) return;
  if (style_ == ProgressStyle::kJson) {
    json::Writer w;
    w.begin_object().member("event", "message").member("verb", verb_).member("text", text);
    return write(w.end_object().take() + "\n");
  }
  end();
  write(printable(text) + "\n");
}

void Progress::begin(std::vector<Part> parts, const ByteCounters* counters) {
  end();
  parts_ = std::move(parts);
  counters_ = counters;
  if (is_bars()) return draw();
  for (const Part& part : parts_) {
    if (is_end(part.state)) report(part);
  }
}

std::uint64_t Progress::bytes_of(const Part& part) const {
  if (is_end(part.state)) return part.total;
  const std::uint64_t moved = counters_ == nullptr ? 0 : counters_->bytes(part.slot);
  return std::min(moved, part.total);
}

void Progress::state(std::size_t part, PartState state) {
  if (parts_[part].state == state) return;
  parts_[part].state = state;
  if (is_bars()) return draw();
  report(parts_[part]);
}

void Progress::report(const Part& part) {
  if (style_ == ProgressStyle::kQuiet) return;
  if (style_ == ProgressStyle::kJson) {
    json::Writer w;
    w.begin_object().member("event", "layer").member("verb", verb_).member("id", part.id);
    w.member("state", word_of(part.state)).member("bytes", bytes_of(part));
    w.member("total", part.total);
    return write(w.end_object().take() + "\n");
  }
  if (part.state == PartState::kMoving) return;  // the end of it is line enough
  write(part.name + ": " + std::string(word_of(part.state)) + " (" + human_bytes(part.total) +
        ")\n");
}

void Progress::tick() {
  const auto now = std::chrono::steady_clock::now();
  if (is_bars() && now - last_ >= kRedraw) return draw();
  if (style_ != ProgressStyle::kJson || now - last_ < kJsonEvery) return;
  last_ = now;
  for (const Part& part : parts_) {
    if (part.state == PartState::kMoving) report(part);
  }
}

std::string Progress::bar_line(const Part& part, std::size_t columns) const {
  const std::string head = part.name + "  ";
  if (part.state != PartState::kMoving) {
    return (head + std::string(word_of(part.state))).substr(0, columns - 1);
  }
  const std::uint64_t bytes = bytes_of(part);
  const std::string numbers = human_bytes(bytes) + " / " + human_bytes(part.total);
  constexpr std::size_t kWidest = 40;
  const std::size_t used = head.size() + numbers.size() + 5;
  if (used + 4 > columns) return (head + numbers).substr(0, columns - 1);
  const std::size_t width = std::min(kWidest, columns - used);
  const std::size_t full = part.total == 0 ? width : width * bytes / part.total;
  return head + "[" + std::string(full, '=') + std::string(width - full, ' ') + "]  " + numbers;
}

void Progress::draw() {
  last_ = std::chrono::steady_clock::now();
  const winsize window = window_of(fd_);
  // More lines than the screen has cannot be redrawn: those that move come first.
  std::vector<const Part*> shown;
  for (const Part& part : parts_)
    shown.push_back(&part);
  const std::size_t most = window.ws_row > 2 ? window.ws_row - 2U : 20U;
  if (shown.size() > most) {
    std::stable_partition(shown.begin(), shown.end(),
                          [](const Part* part) { return part->state == PartState::kMoving; });
    shown.resize(most);
  }
  std::string text;
  if (drawn_ > 0) text += "\x1b[" + std::to_string(drawn_) + "A";
  for (const Part* part : shown)
    text += "\r\x1b[K" + bar_line(*part, window.ws_col) + "\n";
  drawn_ = shown.size();
  write(text);
}

void Progress::end() {
  if (is_bars() && !parts_.empty()) draw();
  parts_.clear();
  drawn_ = 0;
}

}  // namespace vrun::images
