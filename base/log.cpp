#include "base/log.hpp"

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

// Header-only, since Debian has no static spdlog. The separator and the two switches keep
// std::locale and thread-local storage out: with them every start of the program was 0.03 ms
// slower.
#define FMT_HEADER_ONLY 1
#define FMT_STATIC_THOUSANDS_SEPARATOR ','
#define SPDLOG_NO_THREAD_ID 1
#define SPDLOG_NO_TLS 1
#define SPDLOG_HEADER_ONLY 1
#include <memory>
#include <mutex>

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>

#include "base/fd.hpp"
#include "base/printable.hpp"
#include "base/text.hpp"

namespace vrun::log {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";

// One write(2) for each line, so that lines of several processes with one log never mix.
class FdSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit FdSink(int fd) : fd_(fd) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    [[maybe_unused]] const ssize_t written = ::write(fd_, line.data(), line.size());
  }
  void flush_() override {}

 private:
  int fd_;
};

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarning:
      return spdlog::level::warn;
    case Level::kError:
      break;
  }
  return spdlog::level::err;
}

// "\u001b"; a byte that is no character, or part of a C1 control character, becomes U+FFFD.
void append_escaped(std::string& out, std::string_view text, std::size_t& at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte == '\n') {
    out += "\\n";
  } else if (byte < 0x80) {
    out.append("\\u00").append({kHex[byte >> 4U], kHex[byte & 15U]});
  } else {
    out += "\\ufffd";
  }
  ++at;
}

// A JSON string (RFC 8259), also good between the quotes of logrus' text format. Control
// characters, C1 ones included, never reach the file raw: people read it on terminals.
std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t bytes = printable_bytes(text, at);
    if (bytes == 0) {
      append_escaped(out, text, at);
      continue;
    }
    if (text[at] == '"' || text[at] == '\\') out += '\\';
    out += text.substr(at, bytes);
    at += bytes;
  }
  return out + '"';
}

constexpr const char* kTextPattern = "time=\"%Y-%m-%dT%H:%M:%SZ\" level=%l msg=%v";
constexpr const char* kJsonPattern = R"({"level":"%l","msg":%v,"time":"%Y-%m-%dT%H:%M:%SZ"})";

constexpr const char* kPeoplePattern = "vrun: %l: %v";

const char* pattern_of(Format format) {
  switch (format) {
    case Format::kJson:
      return kJsonPattern;
    case Format::kPeople:
      return kPeoplePattern;
    case Format::kText:
      break;
  }
  return kTextPattern;
}

// The one writable global of the program: where to log is asked once, by main, before any thread.
struct State {
  Options options;
  Fd file;
  std::unique_ptr<spdlog::logger> logger;
};

State& state() {
  static State instance;
  return instance;
}

Result<Fd> open_file(const std::string& path) {
  constexpr int kFlags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY;
  const int fd = ::open(path.c_str(), kFlags, 0644);
  if (fd < 0) return Error::system(errno, "open log " + quote(path));
  return Fd(fd);
}

std::unique_ptr<spdlog::logger> make_logger(State& now) {
  const Options& options = now.options;
  if (!now.file && !options.file.empty()) {
    Result<Fd> file = open_file(options.file);
    if (file) now.file = *std::move(file);
  }
  const int fd = now.file ? now.file.get() : STDERR_FILENO;
  auto logger = std::make_unique<spdlog::logger>("vrun", std::make_shared<FdSink>(fd));
  logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(
      pattern_of(options.format), spdlog::pattern_time_type::utc));
  logger->set_level(spdlog::level::trace);
  return logger;
}

}  // namespace

void configure(Options options) {
  state().options = std::move(options);
  state().logger.reset();
  state().file.reset();
}

Result<void> open(Options options) {
  configure(std::move(options));
  if (state().options.file.empty()) return {};
  state().file = TRY(open_file(state().options.file));
  return {};
}

bool enabled(Level level) {
  return level != Level::kDebug || state().options.debug;
}

void write(Level level, std::string_view message) {
  if (!enabled(level)) return;
  try {  // spdlog and fmt may throw (no memory): a log must never stop the work
    State& now = state();
    if (!now.logger) now.logger = make_logger(now);
    const bool people = now.options.format == Format::kPeople;
    now.logger->log(to_spdlog(level), "{}", people ? printable(message) : json_string(message));
  } catch (...) {
  }
}

}  // namespace vrun::log
