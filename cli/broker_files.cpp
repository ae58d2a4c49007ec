#include "cli/broker_files.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/json.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/guest_path.hpp"
#include "cli/tree_helper.hpp"
#include "cli/verb_apply.hpp"
#include "engine/manifest_call.hpp"
#include "images/tree_request.hpp"

namespace vrun::cli {
namespace {

constexpr std::size_t kMostEnvFile = 16U << 20U;

bool is_one_of(std::string_view word, std::span<const std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// The files that a manifest names: of Secrets and Configs, and envFiles.
void add_texts(const json::Value* value, std::vector<std::string>& paths) {
  if (value == nullptr) return;
  for (const json::Value& one :
       value->kind() == json::Kind::kArray ? value->elements() : std::span<const json::Value>()) {
    if (one.kind() == json::Kind::kString) paths.emplace_back(one.as_text());
  }
  for (const json::Member& one :
       value->kind() == json::Kind::kObject ? value->members() : std::span<const json::Member>()) {
    if (one.value.kind() == json::Kind::kString) paths.emplace_back(one.value.as_text());
  }
}

void find_paths(const json::Value& value, std::vector<std::string>& paths) {
  if (value.kind() == json::Kind::kArray) {
    for (const json::Value& one : value.elements())
      find_paths(one, paths);
  }
  if (value.kind() != json::Kind::kObject) return;
  add_texts(value.find("files"), paths);
  add_texts(value.find("envFiles"), paths);
  for (const json::Member& one : value.members())
    find_paths(one.value, paths);
}

Result<std::string> working_directory() {
  std::array<char, 4096> path{};
  if (::getcwd(path.data(), path.size()) != nullptr) return std::string(path.data());
  return Error::system(errno, "find the working directory");
}

}  // namespace

CallerHalf::~CallerHalf() {
  if (helper_) static_cast<void>(sys::pidfd_signal(helper_.get(), SIGKILL));
  if (!made_.empty()) static_cast<void>(sys::unlink(At::cwd(), made_));
}

int CallerHalf::in() const {
  return in_ ? in_.get() : STDIN_FILENO;
}
int CallerHalf::out() const {
  return out_ ? out_.get() : STDOUT_FILENO;
}

Result<CallerHalf> CallerHalf::prepare(const EverydayVerb& verb, const Arguments& arguments,
                                       const std::vector<std::string>& typed, const Host& host) {
  CallerHalf half;
  half.words_ = typed;
  TRY(half.gather(verb, arguments, host));
  TRY(half.redirect(verb, arguments));
  if (verb.name.view() == "cp") TRY(half.copy(arguments));
  return half;
}

Result<void> CallerHalf::add_file(const std::string& asked) {
  if (files_.has(asked)) return {};
  files_.files.push_back(
      {asked, asked, TRY(fs::read_file(At::cwd(), asked, kMostEnvFile, fs::Kind::kRegularOnly))});
  return {};
}

Result<void> CallerHalf::gather(const EverydayVerb& verb, const Arguments& arguments,
                                const Host& host) {
  for (const std::string_view flag : {"env-file", "label-file"}) {
    for (const std::string& path : arguments.list(flag)) {
      Result<void> added = add_file(path);
      if (!added) return std::move(added).error().during("--" + std::string(flag));
    }
  }
  TRY(gather_variables(arguments, host));
  return gather_manifests(verb, arguments, host);
}

// Those that are asked for by name alone, and no others: root need not know the rest.
Result<void> CallerHalf::gather_variables(const Arguments& arguments, const Host& host) {
  std::vector<std::string> names = arguments.list("env");
  for (const tenants::CallerFile& file : files_.files) {
    for (const std::string_view line : split(file.text, '\n'))
      names.emplace_back(trim(line));
  }
  for (const std::string& name : names) {
    if (name.empty() || name.find('=') != std::string::npos) continue;
    for (const std::string& entry : host.env) {
      if (entry.starts_with(name + "=")) files_.env.push_back(entry);
    }
  }
  return {};
}

Result<void> CallerHalf::gather_manifests(const EverydayVerb& verb, const Arguments& arguments,
                                          const Host& host) {
  const std::vector<std::string> asked = arguments.list("file");
  if (asked.empty()) return {};
  manifest::WireRequest request;
  for (const std::string& path : asked) {
    for (manifest::WireFile& file : TRY(engine::read_manifest_files({path}, host))) {
      files_.files.push_back({path, file.name, file.text});
      request.files.push_back(std::move(file));
    }
  }
  constexpr std::array<std::string_view, 3> kNamed{"apply", "delete", "diff"};
  if (is_one_of(verb.name.view(), kNamed) && arguments.text("manifest").empty())
    words_.insert(words_.begin(), "--manifest=" + TRY(name_of_manifest(asked.front())));
  constexpr std::array<std::string_view, 2> kRead{"apply", "diff"};
  if (!is_one_of(verb.name.view(), kRead)) return {};
  request.settings = arguments.list("set");
  std::vector<std::string> paths;
  for (const manifest::WireObject& object :
       TRY(engine::ask_manifest("objects", request, host)).objects) {
    const Result<json::Document> spec = json::Document::parse(object.spec, object.name);
    if (spec) find_paths(spec->root(), paths);
  }
  for (const std::string& path : paths)
    TRY(add_file(path));
  return {};
}

Result<void> CallerHalf::open_output(const std::string& path) {
  out_ = TRY(sys::open(At::cwd(), path, O_WRONLY | O_CREAT | O_TRUNC, 0644));
  if (S_ISREG(TRY(sys::stat(out_.get())).st_mode)) made_ = path;
  return {};
}

// Streams of root's vrun instead of files, and whole paths instead of those from here.
Result<void> CallerHalf::redirect(const EverydayVerb& verb, const Arguments& arguments) {
  constexpr std::array<std::string_view, 3> kMoved{"output", "input", "volume"};
  const std::string_view name = verb.name.view();
  const bool directory = arguments.text("format") == "oci-dir";
  const bool import = name == "import" && arguments.word(0) != "-";
  bool moved = import;
  if (arguments.has("input")) in_ = TRY(sys::open(At::cwd(), arguments.text("input"), O_RDONLY));
  if (import) in_ = TRY(sys::open(At::cwd(), arguments.word(0), O_RDONLY));
  if (arguments.has("output") && !directory) TRY(open_output(arguments.text("output")));
  std::vector<std::string> volumes = arguments.list("volume");
  for (std::string& volume : volumes) {
    if (!volume.starts_with("./") && !volume.starts_with("../") && volume != ".") continue;
    const std::size_t colon = std::min(volume.find(':'), volume.size());
    volume = fs::clean(fs::join(TRY(working_directory()), volume.substr(0, colon))) +
             volume.substr(colon);
    moved = true;
  }
  if (!moved && !in_ && !out_) return {};
  words_ = arguments.spelled(kMoved);
  if (import) *(std::find(words_.begin(), words_.end(), "--") + 1) = "-";
  std::vector<std::string> first;
  for (const std::string& volume : volumes)
    first.push_back("--volume=" + volume);
  words_.insert(words_.begin(), first.begin(), first.end());
  return {};
}

// ---- cp ----

Result<void> CallerHalf::copy(const Arguments& arguments) {
  const std::string from = arguments.word(0), to = arguments.word(1);
  const bool out = !parse_guest_path(from).guest.empty();
  // A stream, both or none in guests: for root's half to do, or to say.
  if (from == "-" || to == "-" || out == !parse_guest_path(to).guest.empty()) return {};
  if (out) {
    TRY(copy_out(from, to));
  } else {
    TRY(copy_in(from, to, arguments.on("follow-link")));
  }
  words_ = arguments.spelled({});
  words_[words_.size() - (out ? 1 : 2)] = "-";
  return {};
}

// images/transfer/copy.cpp has the rules for names; here is what the host's side knows of them.
Result<void> CallerHalf::copy_out(const std::string&, const std::string& to) {
  const Result<struct stat> there = sys::stat(At::cwd(), to, 0);
  std::string directory = to;
  tenants::CallerCopy copy;
  if (!there && there.error().code() != Code::kNotFound)
    return Error(there.error().code(), there.error().text());
  if (!there || !S_ISDIR(there->st_mode)) {
    const std::string clean = fs::clean(to);
    directory = fs::dir_name(clean);
    copy.name = fs::base_name(clean);
    copy.directory = to.ends_with('/') || to.ends_with("/.");
  }
  const Fd target = TRY(sys::open(At::cwd(), directory, O_RDONLY | O_DIRECTORY));
  TRY(sys::set_inheritable(target.get(), true));
  images::TreeRequest request;
  request.root = target.get();
  std::array<Fd, 2> pipe = TRY(make_pipe());
  helper_ = TRY(start_tree_helper("copy-unpack", request, pipe[0], STDIN_FILENO));
  out_ = std::move(pipe[1]);
  files_.copies.push_back(copy);
  return {};
}

Result<void> CallerHalf::copy_in(const std::string& from, const std::string&, bool follow) {
  const tenants::CallerCopy copy = TRY(describe_source(from, follow));
  images::TreeRequest request;
  request.file = from;
  request.follow_link = follow;
  std::array<Fd, 2> pipe = TRY(make_pipe());
  helper_ = TRY(start_tree_helper("copy-pack", request, pipe[1], STDOUT_FILENO));
  in_ = std::move(pipe[0]);
  files_.copies.push_back(copy);
  return {};
}

Result<int> CallerHalf::finish(int code) {
  if (code == 0) made_.clear();
  if (!helper_) return code;
  if (code != 0) static_cast<void>(sys::pidfd_signal(helper_.get(), SIGKILL));
  in_.reset();
  out_.reset();  // the end of the stream
  const Fd helper = std::move(helper_);
  const int other = TRY(sys::wait(helper.get())).code();
  return code != 0 ? code : other;
}

}  // namespace vrun::cli
