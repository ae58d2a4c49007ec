// Runs the child halves for real, in a process with namespaces of its own that ends with the test.
#pragma once

#include <cstdio>
#include <cstring>
#include <functional>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "planned.hpp"
#include "rootfs/rootfs_child.hpp"

#define SKIP_UNLESS_ROOT()                                                         \
  if (::geteuid() != 0) {                                                          \
    GTEST_SKIP() << "needs root: mounts are made in a mount namespace of its own"; \
  }                                                                                \
  static_assert(true)

namespace vrun::rootfs {

// Runs `body` in a forked process that has left the namespaces of `flags`; what it answers is what
// the test compares. A process that dies answers "died: <wait status>".
// Maps our user and group to root of a new user namespace.
inline std::string become_root(uid_t uid, gid_t gid) {
  const auto map = [](const char* file, const std::string& text) {
    return fs::write_value(At::cwd(), std::string("/proc/self/") + file, text).has_value();
  };
  const bool done = map("setgroups", "deny") && map("uid_map", "0 " + std::to_string(uid) + " 1") &&
                    map("gid_map", "0 " + std::to_string(gid) + " 1");
  return done ? "" : "no id map";
}

// `private_mounts` false: mounts keep their peers outside.
inline std::string in_sandbox(int flags, const std::function<std::string()>& body,
                              bool private_mounts = true) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return "no pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    std::string answer;
    const uid_t uid = ::geteuid();
    const gid_t gid = ::getegid();
    if (::unshare(flags) != 0) {
      answer = std::string("unshare: ") + std::strerror(errno);
    } else if ((flags & CLONE_NEWNS) != 0 && private_mounts &&
               ::mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr) != 0) {
      answer = std::string("private: ") + std::strerror(errno);
    } else {
      if ((flags & CLONE_NEWUSER) != 0) answer = become_root(uid, gid);
      if (answer.empty()) answer = body();
    }
    (void)!::write(ends[1], answer.data(), answer.size());
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string answer;
  char buffer[4096];
  ssize_t n;
  while ((n = ::read(ends[0], buffer, sizeof buffer)) > 0)
    answer.append(buffer, static_cast<std::size_t>(n));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return status == 0 ? answer : "died: " + std::to_string(status);
}

inline long perform(steps::Context& context, const steps::Step& step) {
  const auto args = [&step]<typename T>(const T*) -> const T& {
    return *static_cast<const T*>(step.args);
  };
  context.step = &step;
  switch (step.op) {
    case steps::Op::kRoot:
      return root(context, args(static_cast<steps::RootArgs*>(nullptr)));
    case steps::Op::kMount:
      return mount(context, args(static_cast<steps::MountArgs*>(nullptr)));
    case steps::Op::kCopyUp:
      return copy_up(context, args(static_cast<steps::CopyUpArgs*>(nullptr)));
    case steps::Op::kMakeSymlink:
      return make_symlink(context, args(static_cast<steps::SymlinkArgs*>(nullptr)));
    case steps::Op::kDevice:
      return device(context, args(static_cast<steps::DeviceArgs*>(nullptr)));
    case steps::Op::kConsole:
      return console(context, args(static_cast<steps::ConsoleArgs*>(nullptr)));
    case steps::Op::kPivot:
      return pivot(context, args(static_cast<steps::PivotArgs*>(nullptr)));
    case steps::Op::kRootAttributes:
      return root_attributes(context, args(static_cast<steps::RootAttributesArgs*>(nullptr)));
    case steps::Op::kMaskPath:
      return mask_path(context, args(static_cast<steps::PathArgs*>(nullptr)));
    case steps::Op::kReadonlyPath:
      return readonly_path(context, args(static_cast<steps::PathArgs*>(nullptr)));
    case steps::Op::kSysctl:
      return sysctl(context, args(static_cast<steps::SysctlArgs*>(nullptr)));
    default:
      return -ENOSYS;
  }
}

// "" if all went well, else "<step in words>: <errno name> [<what the step said>]".
inline std::string perform_all(steps::Context& context, const steps::Builder& builder) {
  for (const steps::Step& step : builder.steps()) {
    const long result = perform(context, step);
    if (result >= 0) continue;
    std::string words = steps::describe(step) + ": " + ::strerrorname_np(static_cast<int>(-result));
    if (context.note_bytes > 0) {
      words += " [" + std::string(context.note, context.note_bytes) + "]";
    }
    return words;
  }
  return "";
}

// An empty directory tree on a tmpfs of its own: the image of the test. Only inside a sandbox.
struct Playground {
  std::string top = "/tmp/vrun-rootfs-test";
  std::string image = top + "/image";
  std::string host = top + "/host";  // sources of binds
  steps::Context context{};
  std::string failure;
  Fd bundle;

  Playground() {
    context.wire = -1;
    // Over /tmp itself, so that nothing is left on the machine's own.
    if (::mount("tmpfs", "/tmp", "tmpfs", 0, "mode=755") != 0) failure = "no tmpfs";
    ::mkdir(top.c_str(), 0755);
    if (::mount("tmpfs", top.c_str(), "tmpfs", 0, "mode=755") != 0) failure = "no tmpfs";
    ::umask(022);
    ::mkdir(image.c_str(), 0755);
    ::mkdir(host.c_str(), 0755);
  }

  void make_dirs(const std::string& path) const { (void)fs::make_dirs(At::cwd(), path, 0755); }
  void write(const std::string& path, std::string_view text) const {
    make_dirs(std::string(fs::dir_name(path)));
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    (void)!::write(fd, text.data(), text.size());
    ::close(fd);
  }
  std::string read(const std::string& path) const {
    auto text = fs::read_file(At::cwd(), path, 1U << 20U);
    return text ? *text : "unreadable: " + text.error().text();
  }

  // Plans and performs both parts; "" or the first failure.
  std::string enter(oci::Spec spec, Options options = {}) {
    const std::string prepared = prepare(spec, options);
    if (!prepared.empty()) return prepared;
    auto builder = steps::Builder::create();
    if (auto planned = plan_enter(spec, options, test_host(), *builder); !planned) {
      return planned.error().text();
    }
    return perform_all(context, *builder);
  }

  // Only what comes before the pivot.
  std::string prepare(oci::Spec& spec, Options& options) {
    if (!failure.empty()) return failure;
    spec.root.path = image;
    options.bundle_path = top;
    auto opened = sys::open_dir(At::cwd(), top);
    if (!opened) return opened.error().text();
    bundle = std::move(*opened);
    options.bundle = &bundle;
    auto builder = steps::Builder::create();
    if (auto planned = plan_mounts(spec, options, test_host(), *builder); !planned) {
      return planned.error().text();
    }
    return perform_all(context, *builder);
  }
};

// The propagation of a mount as mountinfo shows it, without numbers: "shared master", or "private".
inline std::string propagation_at(const std::string& path) {
  auto table = fs::read_file(At::cwd(), "/proc/self/mountinfo", 4U << 20U);
  if (!table) return "no mountinfo";
  std::string found = "not a mount";
  std::size_t at = 0;
  while (at < table->size()) {
    const std::size_t end = std::min(table->find('\n', at), table->size());
    const std::string line = table->substr(at, end - at);
    char target[4096];
    if (std::sscanf(line.c_str(), "%*d %*d %*s %*s %4095s", target) == 1 && path == target) {
      found.clear();
      if (line.find(" shared:") != std::string::npos) found += "shared";
      if (line.find(" master:") != std::string::npos) found += found.empty() ? "master" : " master";
      if (line.find(" unbindable") != std::string::npos) found += "unbindable";
      if (found.empty()) found = "private";
    }
    at = end + 1;
  }
  return found;
}

// The options of the mount at a path: "ro,nosuid" (from mountinfo, per-mount part).
inline std::string mount_flags_at(const std::string& path) {
  auto table = fs::read_file(At::cwd(), "/proc/self/mountinfo", 4U << 20U);
  if (!table) return "no mountinfo";
  std::string found = "not a mount";
  std::size_t at = 0;
  while (at < table->size()) {
    const std::size_t end = std::min(table->find('\n', at), table->size());
    char target[4096];
    char flags[512];
    const std::string line = table->substr(at, end - at);
    if (std::sscanf(line.c_str(), "%*d %*d %*s %*s %4095s %511s", target, flags) == 2 &&
        path == target) {
      found = flags;
    }
    at = end + 1;
  }
  return found;
}

}  // namespace vrun::rootfs
