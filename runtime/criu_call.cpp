#include "runtime/criu_call.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/helper.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "base/undo.hpp"
#include "cgroups/criu_name.hpp"

namespace vrun::runtime {
namespace {

constexpr const char* kYardName = "criu";
constexpr const char* kHelper = "vrun-criu";
constexpr const char* kConfigAnnotation = "org.criu.config";
// The file that administrators know from runc.
constexpr const char* kDefaultConfig = "/etc/criu/runc.conf";
constexpr std::size_t kLogTail = 64U << 10U;
constexpr std::size_t kShownLines = 4;

std::vector<char*> to_pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& text : strings)
    pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

struct Helper {
  sys::Child child;
  Fd socket;
};

Result<void> pass(const std::vector<int>& fds, bool inheritable) {
  for (const int fd : fds)
    TRY(sys::set_inheritable(fd, inheritable));
  return {};
}

Result<Fd> write_order(const criu::Order& order) {
  Fd file = TRY(sys::memfd("order"));
  TRY(sys::write_all(file.get(), criu::to_json(order)));
  return file;
}

Result<Helper> start_helper(const CriuCall& call, const Host& host) {
  const std::string path = TRY(helper_path(kHelper));
  const Fd executable = TRY(sys::open(At::cwd(), path, O_PATH));
  const Fd order = TRY(write_order(call.order));
  sys::SocketPair pair = TRY(sys::packet_pair());
  std::vector<int> fds = call.descriptors;
  fds.insert(fds.end(), {order.get(), pair.theirs.get(), call.order.images_fd});
  if (call.order.work_fd >= 0) fds.push_back(call.order.work_fd);
  const std::vector<std::string> words{kHelper, std::to_string(pair.theirs.get()),
                                       std::to_string(order.get())};
  const std::vector<char*> arguments = to_pointers(words);
  const std::vector<char*> environment = to_pointers(host.env);
  TRY(pass(fds, true));
  const Undo keep_again([&] { static_cast<void>(pass(fds, false)); });
  Result<sys::Child> child =
      sys::clone_exec({.flags = 0,
                       .cgroup_fd = call.group != nullptr ? call.group->clone_target() : -1,
                       .share_memory = true,
                       .executable = executable.get(),
                       .argv = arguments.data(),
                       .envp = environment.data()});
  if (!child) return Error::system(child.error().sys_errno(), "run " + quote(path));
  return Helper{*std::move(child), std::move(pair.mine)};
}

// The lines that say what went wrong; the last ones, without their time.
std::string errors_in_log(const Fd& dir, const std::string& name) {
  const Result<Fd> file = sys::open(dir, name, O_RDONLY);
  if (!file) return {};
  const off_t size = ::lseek(file->get(), 0, SEEK_END);
  std::string text(
      std::min<std::size_t>(kLogTail, static_cast<std::size_t>(std::max<off_t>(size, 0))), '\0');
  const ssize_t n =
      ::pread(file->get(), text.data(), text.size(), size - static_cast<off_t>(text.size()));
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  std::vector<std::string> lines;
  for (const std::string_view line : split(text, '\n')) {
    const std::size_t at = line.find("Error (");
    if (at != line.npos) lines.emplace_back(printable(trim(line.substr(at))));
  }
  if (lines.size() > kShownLines) lines.erase(lines.begin(), lines.end() - kShownLines);
  return join(lines, "; ");
}

Error to_error(const criu::Event& event, const CriuCall& call) {
  if (!event.criu_failed) return Error(Code::kSystem, event.message);
  const criu::Order& order = call.order;
  const std::string words = errors_in_log(call.folders->log_dir(), order.log_file);
  return Error(Code::kSystem, words.empty() ? event.message : "criu failed: " + words)
      .hint("the whole log is in " + quote(fs::join(call.folders->work_path, order.log_file)));
}

Result<criu::Event> next_event(const Fd& socket, Fd& fd) {
  std::string buffer(criu::kMaxEventBytes, '\0');
  sys::Received received = TRY(sys::receive(socket.get(), buffer));
  if (received.bytes == 0) return Error(Code::kSystem, "vrun-criu ended without a word");
  fd = std::move(received.fd);
  return criu::parse_event(std::string_view(buffer).substr(0, received.bytes));
}

// Until the last event. A refusal of ours is what the user gets to read, not CRIU's echo of it.
Result<Pid> follow(const CriuCall& call, const Fd& socket) {
  std::optional<Error> refused;
  while (true) {
    Fd fd;
    const criu::Event event = TRY(next_event(socket, fd));
    if (event.kind == criu::EventKind::kDone && !refused) return Pid(event.pid);
    if (event.kind != criu::EventKind::kNotify)
      return refused ? *std::move(refused) : to_error(event, call);
    if (!refused) {
      Result<void> done = call.on_notify(event, std::move(fd));
      if (!done) refused = std::move(done).error();
    }
    const char answer = refused ? criu::kRefused : criu::kGoOn;
    TRY(sys::send(socket.get(), std::span(&answer, 1)));
  }
}

bool is_program(const std::string& path) {
  return ::access(path.c_str(), X_OK) == 0;
}

}  // namespace

Result<std::string> find_criu(const Host& host, const CriuOptions& options) {
  const std::string name = options.criu.empty() ? "criu" : options.criu;
  if (name.find('/') != std::string::npos && is_program(name)) return name;
  if (name.find('/') == std::string::npos) {
    for (const std::string_view dir : split(host.variable("PATH"), ':')) {
      std::string path = fs::join(dir, name);
      if (dir.starts_with('/') && is_program(path)) return path;
    }
  }
  const std::string where = name == "criu" ? "" : " (" + quote(name) + ")";
  return Error(Code::kUnsupported, "criu is not installed" + where)
      .hint("checkpoint and restore need it: apt install criu");
}

Result<CriuFolders> open_criu_folders(const CriuOptions& options) {
  CriuFolders folders;
  Result<Fd> images = sys::open_dir(At::cwd(), options.image_path);
  if (!images) return std::move(images).error().at("--image-path");
  folders.images = *std::move(images);
  folders.work_path = options.work_path.empty() ? options.image_path : options.work_path;
  if (options.work_path.empty()) return folders;
  Result<Fd> work = sys::open_dir(At::cwd(), options.work_path);
  if (!work) return std::move(work).error().at("--work-path");
  folders.work = *std::move(work);
  return folders;
}

Result<criu::Order> base_order(const std::string& program, const CriuOptions& options,
                               const CriuFolders& folders,
                               const std::map<std::string, std::string>& annotations) {
  criu::Order order;
  order.criu = program;
  order.images_fd = folders.images.get();
  order.work_fd = folders.work.get();
  order.ext_unix_sk = options.ext_unix_sk;
  order.tcp_established = options.tcp_established;
  order.shell_job = options.shell_job;
  order.file_locks = options.file_locks;
  order.auto_dedup = options.auto_dedup;
  order.lazy_pages = options.lazy_pages;
  order.cgroup_mode = options.manage_cgroups_mode;
  // As runc: what is in a network namespace belongs to the engine's network plugin, which sets it
  // up anew.
  order.empty_namespaces = CLONE_NEWNET;
  for (const std::string& name : options.empty_ns) {
    if (name == "network") continue;
    return Error(Code::kInvalid, "flag --empty-ns: namespace " + quote(name) + " is not supported")
        .hint("only network can be left empty");
  }
  const auto config = annotations.find(kConfigAnnotation);
  order.config_file = config == annotations.end() ? kDefaultConfig : config->second;
  return order;
}

Result<CgroupYard> CgroupYard::create(const Fd& dir, const cgroups::Location& location,
                                      criu::Order& order) {
  // With one hierarchy alone its mount point is known: the group's folder without its path.
  const bool alone = location.paths.size() == 1 && location.paths.begin()->first.empty();
  if (!alone || !location.paths.begin()->second.ends_with(location.path))
    return CgroupYard(nullptr);
  const std::string& group = location.paths.begin()->second;
  static_cast<void>(fs::remove_tree(dir, kYardName));  // of a command that was killed
  TRY(sys::make_dir(dir, kYardName, 0700));
  order.cgroup_yard = TRY(sys::read_link(At::cwd(), "/proc/self/fd/" + std::to_string(dir.get()))) +
                      "/" + kYardName;
  order.cgroup_trees = {{cgroups::kCriuName, group.substr(0, group.size() - location.path.size())}};
  return CgroupYard(&dir);
}

CgroupYard::~CgroupYard() {
  if (dir_ != nullptr) static_cast<void>(fs::remove_tree(*dir_, kYardName));
}

Result<Pid> call_criu(const CriuCall& call, const Host& host) {
  // An old log would be taken for this one's when CRIU fails before it opens it.
  static_cast<void>(sys::unlink(call.folders->log_dir(), call.order.log_file));
  Helper helper = TRY(start_helper(call, host));
  Undo end([&] {
    static_cast<void>(sys::pidfd_signal(helper.child.pidfd.get(), SIGKILL));
    static_cast<void>(sys::wait(helper.child.pidfd.get()));
  });
  if (call.group != nullptr && call.group->needs_join()) TRY(call.group->join(helper.child.pid));
  TRY(sys::send(helper.socket.get(), std::span(&criu::kGoOn, 1)));
  const Pid pid = TRY(follow(call, helper.socket));
  // Not before it is gone does a restored process belong to us, or to init.
  end.commit();
  TRY(sys::wait(helper.child.pidfd.get()));
  return pid;
}

}  // namespace vrun::runtime
