// What the tests against the real kernel share: a group of their own that is gone afterwards, and
// processes to put into it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "cgroups/apply.hpp"
#include "cgroups/group.hpp"
#include "cgroups/layout.hpp"
#include "cgroups/plan.hpp"

namespace vrun::cgroups {

template <typename T>
std::string why(const Result<T>& result) {
  return result ? "" : result.error().text();
}
#define ASSERT_OK(expression)                 \
  do {                                        \
    auto ok_result = (expression);            \
    ASSERT_TRUE(ok_result) << why(ok_result); \
  } while (false)

inline Host real_host() {
  Host host;
  host.euid = Uid(geteuid());
  host.egid = Gid(getegid());
  return host;
}

// A process that does `work` once it has been told to, and is killed and reaped at the end.
class Process {
 public:
  explicit Process(const std::function<void()>& work = [] { pause(); }) {
    int gate[2];
    if (pipe2(gate, O_CLOEXEC) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      close(gate[1]);
      char byte = 0;
      if (::read(gate[0], &byte, 1) == 1) work();
      _exit(0);
    }
    close(gate[0]);
    gate_.reset(gate[1]);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }
  Pid pid() const { return Pid(pid_); }
  void go() { EXPECT_EQ(::write(gate_.get(), "x", 1), 1); }
  int wait() {
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    pid_ = -1;
    return status;
  }
  bool is_dead() const {
    siginfo_t info = {};
    return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == pid_;
  }

 private:
  pid_t pid_;
  Fd gate_;
};

class RealGroup : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    host_ = real_host();
    Result<Layout> layout = find_layout(host_);
    ASSERT_TRUE(layout) << why(layout);
    layout_ = *layout;
    if (layout_.v2_mount.empty() && layout_.v1.empty()) GTEST_SKIP() << "no cgroup is mounted";
    name_ = "vrun-unit-" + std::to_string(getpid());
  }
  void TearDown() override {
    if (!group_) return;
    auto gone = group_->destroy();
    EXPECT_TRUE(gone) << why(gone);
    for (const auto& [hierarchy, dir] : group_->location().paths) {
      EXPECT_NE(access(dir.c_str(), F_OK), 0) << dir << " is still there";
    }
  }
  // Relative: below our own groups, so that the test needs no right to the host's root groups.
  Result<std::unique_ptr<Group>> make(const oci::Resources* resources = nullptr) {
    Request request{"", TRY(ContainerId::parse(name_)), false, false, {}, resources};
    std::unique_ptr<Group> group = TRY(plan_in(request, host_, layout_));
    TRY(group->create());
    return group;
  }
  bool has(const std::string& controller) const {
    for (const V1Hierarchy& hierarchy : layout_.v1) {
      if (hierarchy.has(controller == "io" ? "blkio" : controller)) return true;
    }
    if (layout_.v2_mount.empty()) return false;
    auto text = fs::read_file(At::cwd(), layout_.v2_mount + "/cgroup.controllers", 4096);
    return text && (" " + *text).find(" " + controller) != std::string::npos;
  }
  // The file of the group that carries a limit here, by its v2 or v1 place.
  std::string value(const std::string& v1_controller, const std::string& v1_file,
                    const std::string& v2_file) const {
    for (const auto& [hierarchy, dir] : group_->location().paths) {
      if ((',' + hierarchy + ',').find(',' + v1_controller + ',') != std::string::npos) {
        return read(dir + "/" + v1_file);
      }
    }
    return read(group_->location().paths.at("") + "/" + v2_file);
  }
  static std::string read(const std::string& path) {
    auto text = fs::read_file(At::cwd(), path, 1U << 20U);
    std::string value = text ? *text : why(text);
    while (!value.empty() && value.back() == '\n')
      value.pop_back();
    return value;
  }
  bool v1(const std::string& controller) const {
    for (const V1Hierarchy& hierarchy : layout_.v1) {
      if (hierarchy.has(controller)) return true;
    }
    return false;
  }

  Host host_;
  Layout layout_;
  std::string name_;
  std::unique_ptr<Group> group_;
};

}  // namespace vrun::cgroups
