#include "engine/guest_logs.hpp"

#include <algorithm>
#include <ctime>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/monitor_call.hpp"
#include "engine/policies.hpp"

namespace vrun::engine {
namespace {

// "2026-01-31T10:20:30.123456789Z stdout F "
constexpr std::size_t kTimeBytes = 30;
constexpr std::size_t kHeaderBytes = kTimeBytes + 1 + 6 + 1 + 1 + 1;

std::vector<std::uint64_t> numbers_in(const Fd& dir) {
  std::vector<std::uint64_t> numbers;
  const Result<std::vector<std::string>> names = sys::list_dir(dir.get());
  if (!names) return numbers;
  for (const std::string& name : *names) {
    if (!name.ends_with(".log")) continue;
    if (const auto number = parse_u64(std::string_view(name).substr(0, name.size() - 4)))
      numbers.push_back(*number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::string file_name(std::uint64_t number) {
  const std::string digits = std::to_string(number);
  return std::string(digits.size() < 8 ? 8 - digits.size() : 0, '0') + digits + ".log";
}

// The files as one stream of lines. At the end of a file that has a successor it goes on there.
class Reader {
 public:
  explicit Reader(Fd dir) : dir_(std::move(dir)) {}

  // Until nothing is there at the moment. False: the consumer wants no more.
  Result<bool> read(const std::function<bool(std::string_view)>& on_line) {
    while (true) {
      if (!file_ && !open_next()) return true;
      const std::size_t n = TRY(sys::read(file_.get(), buffer_));
      if (n > 0) {
        if (!take({buffer_.data(), n}, on_line)) return false;
        continue;
      }
      // The successor is looked for before the last look at this file: what was added in between
      // is not lost.
      if (!has_next()) return true;
      const std::size_t last = TRY(sys::read(file_.get(), buffer_));
      if (last > 0) {
        if (!take({buffer_.data(), last}, on_line)) return false;
        continue;
      }
      file_.reset();
    }
  }

 private:
  bool has_next() const {
    const std::vector<std::uint64_t> numbers = numbers_in(dir_);
    return !numbers.empty() && numbers.back() > number_;
  }
  bool open_next() {
    for (const std::uint64_t number : numbers_in(dir_)) {
      if (number <= number_) continue;
      Result<Fd> file = sys::open(dir_, file_name(number), O_RDONLY | O_NOFOLLOW);
      if (!file) continue;  // removed at this moment
      file_ = *std::move(file);
      number_ = number;
      return true;
    }
    return false;
  }
  bool take(std::string_view bytes, const std::function<bool(std::string_view)>& on_line) {
    rest_ += bytes;
    std::size_t from = 0;
    for (std::size_t end; (end = rest_.find('\n', from)) != std::string::npos; from = end + 1) {
      if (!on_line(std::string_view(rest_).substr(from, end - from))) return false;
    }
    rest_.erase(0, from);
    return true;
  }

  Fd dir_, file_;
  std::uint64_t number_ = 0;
  std::string rest_;
  std::vector<char> buffer_ = std::vector<char>(65536);
};

// How many whole lines there are that the request wants: what --tail counts from.
Result<std::uint64_t> count_lines(const Fd& dir, const LogsRequest& request) {
  std::uint64_t count = 0;
  Reader reader(TRY(sys::open_dir(dir, ".")));
  bool open_line = false;
  TRY(reader.read([&](std::string_view line) {
    const auto record = parse_log_record(line);
    if (!record || record->time < request.since) return true;
    if (!request.until.empty() && record->time > request.until) return false;
    if (record->whole) ++count;
    open_line = !record->whole;
    return true;
  }));
  return count + (open_line ? 1 : 0);
}

class Follower {
 public:
  static Result<Follower> create(const Guests& guests, const GuestRecord& record,
                                 const std::string& logs) {
    Follower follower;
    follower.notify_ = Fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!follower.notify_ ||
        ::inotify_add_watch(follower.notify_.get(), logs.c_str(), IN_MODIFY | IN_CREATE) < 0) {
      return Error::system(errno, "watch " + quote(logs));
    }
    Result<Fd> monitor = open_monitor(guests, record);
    if (monitor) follower.monitor_ = *std::move(monitor);
    return follower;
  }
  // Something may have been added. False: the guest has ended, nothing will be.
  Result<bool> wait() {
    if (!monitor_) return false;
    std::array<pollfd, 2> fds{{{notify_.get(), POLLIN, 0}, {monitor_.get(), POLLIN, 0}}};
    TRY(sys::poll(fds, -1));
    std::array<char, 4096> drained{};
    while (::read(notify_.get(), drained.data(), drained.size()) > 0) {
    }
    return fds[1].revents == 0;
  }

 private:
  Fd notify_, monitor_;
};

}  // namespace

std::optional<LogRecord> parse_log_record(std::string_view line) {
  if (line.size() < kHeaderBytes || line[kTimeBytes] != ' ') return std::nullopt;
  const std::string_view stream = line.substr(kTimeBytes + 1, 6);
  const char flag = line[kTimeBytes + 8];
  if ((stream != "stdout" && stream != "stderr") || (flag != 'F' && flag != 'P')) {
    return std::nullopt;
  }
  return LogRecord{line.substr(0, kTimeBytes), stream == "stderr", flag == 'F',
                   line.substr(kHeaderBytes)};
}

Result<void> read_logs(const Guests& guests, const GuestRecord& record, const LogsRequest& request,
                       const std::function<bool(const LogRecord&)>& on_record) {
  const std::string path = guests.path_of(record) + "/logs";
  if (record.request.log_driver == "none") {
    return Error(Code::kState, "guest " + quote(record.name) + " has no log: --log-driver none")
        .hint("`vrun attach` shows what it says from now on");
  }
  Result<Fd> dir = sys::open_dir(At::cwd(), path);
  if (!dir && dir.error().code() == Code::kNotFound) {
    return Error(Code::kState, "guest " + quote(record.name) + " has no log")
        .hint("it runs in the foreground of a `vrun run --rm`: its output is there");
  }
  if (!dir) return std::move(dir).error();
  std::optional<Follower> follower;
  if (request.follow) follower.emplace(TRY(Follower::create(guests, record, path)));
  std::uint64_t skip = 0;
  if (request.tail) {
    const std::uint64_t lines = TRY(count_lines(*dir, request));
    skip = lines > *request.tail ? lines - *request.tail : 0;
  }
  Reader reader(*std::move(dir));
  const auto on_line = [&](std::string_view line) {
    const auto entry = parse_log_record(line);
    if (!entry || entry->time < request.since) return true;
    if (!request.until.empty() && entry->time > request.until) return false;
    if (skip > 0) {
      if (entry->whole) --skip;
      return true;
    }
    return on_record(*entry);
  };
  bool more = true;
  while (TRY(reader.read(on_line)) && more) {
    if (!follower) return {};
    // One more look after the end: what was written until then.
    more = TRY(follower->wait());
    if (!more) follower.reset();
  }
  return {};
}

Result<std::string> parse_log_time(std::string_view text) {
  const auto bad = [&] {
    return Error(Code::kInvalid, quote(text) + ": not a time")
        .hint("such as 10m (ago), 2026-01-31T10:20:30Z, 2026-01-31 or a Unix time");
  };
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  std::int64_t ms = 0;
  tm utc{};
  const std::string whole(text);
  const char* rest = nullptr;
  for (const char* form : {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"}) {
    utc = {};
    rest = ::strptime(whole.c_str(), form, &utc);
    if (rest != nullptr) break;
  }
  std::string fraction = ".000000000Z";
  if (rest != nullptr) {
    std::string_view tail(rest);
    if (tail.ends_with('Z')) tail.remove_suffix(1);
    if (!tail.empty()) {
      const bool good = tail.size() <= 10 && tail[0] == '.' && parse_u64(tail.substr(1));
      if (!good) return bad();
      fraction = std::string(tail) + std::string(10 - tail.size(), '0') + "Z";
    }
  } else {
    const auto seconds = parse_u64(text);
    const auto ago = parse_milliseconds(text, 1000);
    if (!ago) return bad();
    ms = seconds ? static_cast<std::int64_t>(*seconds) * 1000
                 : static_cast<std::int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1000000 - *ago;
    const time_t at = ms / 1000;
    ::gmtime_r(&at, &utc);
    std::array<char, 16> digits{};
    std::snprintf(digits.data(), digits.size(), ".%03d000000Z", static_cast<int>(ms % 1000));
    fraction = digits.data();
  }
  std::array<char, 64> date{};
  const std::size_t n = ::strftime(date.data(), date.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  return std::string(date.data(), n) + fraction;
}

}  // namespace vrun::engine
