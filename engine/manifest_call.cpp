#include "engine/manifest_call.hpp"

#include <algorithm>
#include <array>

#include <fcntl.h>
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
    struct stat facts {};
    if (::stat(path.c_str(), &facts) != 0) return Error::system(errno, "read " + quote(path));
    if (S_ISDIR(facts.st_mode)) {
      TRY(read_dir(path, files));
    } else {
      files.push_back({path, TRY(fs::read_file(At::cwd(), path, kMostBytes))});
    }
  }
  return files;
}

}  // namespace vrun::engine
