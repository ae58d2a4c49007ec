#include "engine/manifest_call.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/helper.hpp"
#include "base/spawn.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/caller_files.hpp"

namespace vrun::engine {
namespace {

constexpr std::size_t kMostBytes = 16U << 20U;
constexpr const char* kHelper = "vrun-manifest";

Result<std::string> read_stdin() {
  std::string text;
  std::array<char, 65536> buffer{};
  while (const std::size_t n = TRY(sys::read(STDIN_FILENO, buffer))) {
    text.append(buffer.data(), n);
    if (text.size() > kMostBytes) return Error(Code::kInvalid, "stdin is larger than 16 MiB");
  }
  return text;
}

// Of a pipe that nobody writes to yet. The shell's <(...) has a writer from the start, which may
// take its time; one with a name (mkfifo) may wait for a writer for ever.
Result<std::string> read_pipe(const Fd& pipe, const std::string& path) {
  constexpr int kTurn = 50, kTurns = 60;  // ms: three seconds
  std::string text;
  std::array<char, 65536> buffer{};
  for (int turns = 0; turns < kTurns;) {
    const ssize_t n = ::read(pipe.get(), buffer.data(), buffer.size());
    if (n < 0 && errno != EAGAIN && errno != EINTR)
      return Error::system(errno, "read " + quote(path));
    if (n == 0 && !text.empty()) return text;
    if (n > 0) text.append(buffer.data(), static_cast<std::size_t>(n));
    if (text.size() > kMostBytes)
      return Error(Code::kInvalid, quote(path) + " is larger than 16 MiB");
    if (n > 0) continue;
    std::array<pollfd, 1> fds{pollfd{pipe.get(), POLLIN, 0}};
    // Where there is a writer, read(2) says EAGAIN, and its bytes or its end are awaited; without
    // one poll(2) may be woken by nothing, or at once by the end of the last.
    if (n < 0) {
      TRY(sys::poll(fds, -1));
      continue;
    }
    ++turns;
    ::usleep(kTurn * 1000);
  }
  return Error(Code::kState, "read " + quote(path) + ": a pipe that nobody writes to")
      .hint("start the writer first, or give the manifest by -f -");
}

Result<std::string> read_one(const std::string& path) {
  // Opening a pipe would wait for its writer.
  const Fd file = TRY(sys::open(At::cwd(), path, O_RDONLY | O_NONBLOCK));
  const struct stat facts = TRY(sys::stat(file.get()));
  if (S_ISFIFO(facts.st_mode)) return read_pipe(file, path);
  if (S_ISREG(facts.st_mode)) return fs::read_file(At::cwd(), path, kMostBytes);
  return Error(Code::kInvalid,
               quote(path) + " is no file but a " + (S_ISSOCK(facts.st_mode) ? "socket" : "device"))
      .hint("a manifest is a file, a directory of them, a pipe, or - for stdin");
}

// JSON, in which the helper gets it, has none; so it is told here, with its place.
Result<void> refuse_null_bytes(const std::vector<manifest::WireFile>& files) {
  std::string faults;
  for (const manifest::WireFile& file : files) {
    const std::size_t at = file.text.find('\0');
    if (at == std::string::npos) continue;
    const std::string_view before = std::string_view(file.text).substr(0, at);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const std::size_t column = at - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0
    faults += (faults.empty() ? "" : "\n") + (file.name + ":" + std::to_string(line) + ":") +
              std::to_string(column) + ": a null byte, which no text has";
  }
  return faults.empty() ? Result<void>() : Error(Code::kInvalid, faults);
}

bool is_manifest_name(const std::string& name) {
  return name[0] != '.' &&
         (name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json"));
}

Result<void> read_dir(const std::string& path, std::vector<manifest::WireFile>& files) {
  const Fd dir = TRY(sys::open_dir(At::cwd(), path));
  std::vector<std::string> names = TRY(sys::list_dir(dir.get()));
  std::erase_if(names, [](const std::string& name) { return !is_manifest_name(name); });
  std::sort(names.begin(), names.end());
  if (names.empty()) {
    return Error(Code::kNotFound, quote(path) + " has no *.yaml, *.yml or *.json");
  }
  for (const std::string& name : names) {
    const std::string file = fs::join(path, name);
    files.push_back({file, TRY(fs::read_file(dir, name, kMostBytes, fs::Kind::kRegularOnly))});
  }
  return {};
}

Result<void> take_sent(const tenants::CallerFiles& sent, const std::string& path,
                       std::vector<manifest::WireFile>& files) {
  if (!sent.has(path))
    return Error(Code::kDenied, "manifest " + quote(path) + " was not sent by the caller");
  for (const tenants::CallerFile& file : sent.files) {
    if (file.asked == path) files.push_back({file.name, file.text});
  }
  return {};
}

}  // namespace

Result<manifest::WireAnswer> ask_manifest(const std::string& verb,
                                          const manifest::WireRequest& request, const Host& host) {
  Command command;
  command.path = TRY(helper_path(kHelper));
  command.argv = {kHelper, verb};
  command.env = host.env;
  command.input = to_json(request);
  command.timeout = std::chrono::seconds(120);
  command.output_limit = 256U << 20U;
  const Finished done = TRY(run(command));
  if (done.exit.code() == 0) return manifest::parse_wire_answer(done.output);
  return Error(Code::kInternal, std::string(kHelper) + " ended with status " +
                                    std::to_string(done.exit.code()) + ": " +
                                    printable(trim(std::string_view(done.output).substr(0, 400))));
}

Result<std::vector<manifest::WireFile>> read_manifest_files(const std::vector<std::string>& paths,
                                                            const Host& host) {
  std::vector<manifest::WireFile> files;
  const tenants::CallerFiles sent = TRY(caller_files(host));
  for (const std::string& path : paths) {
    if (path == "-" && !sent.has(path)) {
      files.push_back({"-", TRY(read_stdin())});
      continue;
    }
    if (is_brokered(host)) {
      TRY(take_sent(sent, path, files));
      continue;
    }
    const struct stat facts = TRY(sys::stat(At::cwd(), path));
    if (S_ISDIR(facts.st_mode)) {
      TRY(read_dir(path, files));
    } else {
      files.push_back({path, TRY(read_one(path))});
    }
  }
  TRY(refuse_null_bytes(files));
  return files;
}

}  // namespace vrun::engine
