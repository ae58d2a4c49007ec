// The device filter on the running kernel.
#include <cstdlib>

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "cgroups/devices.hpp"
#include "tests/unit/cgroups/real_host.hpp"

namespace vrun::cgroups {
namespace {

using Rules = std::vector<oci::DeviceRule>;

class RealDevices : public RealGroup {
 protected:
  void SetUp() override {
    RealGroup::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    auto group = make();
    ASSERT_TRUE(group) << why(group);
    group_ = *std::move(group);
  }
  // What opening a device answers to a process in the group.
  int try_open(const char* path, int flags) {
    Process child([=] { _exit(::open(path, flags | O_CLOEXEC) >= 0 ? 0 : errno); });
    EXPECT_TRUE(group_->join(child.pid()));
    child.go();
    return WEXITSTATUS(child.wait());
  }
  static Rules usual() {
    Rules rules = {{false, 'a', {}, {}, "rwm"}};
    for (oci::DeviceRule& rule : default_devices())
      rules.push_back(std::move(rule));
    return rules;
  }
};

TEST_F(RealDevices, filter_holds_and_is_replaced) {
  ASSERT_OK(group_->set_devices(usual()));
  EXPECT_EQ(try_open("/dev/null", O_RDWR), 0);
  Rules rules = usual();
  rules.push_back({false, 'c', 1, 3, "w"});
  ASSERT_OK(group_->set_devices(rules));
  EXPECT_EQ(try_open("/dev/null", O_RDWR), EPERM);
  EXPECT_EQ(try_open("/dev/null", O_RDONLY), 0);
  EXPECT_EQ(try_open("/dev/zero", O_RDONLY), 0);
  rules = {{false, 'a', {}, {}, "rwm"}};
  ASSERT_OK(group_->set_devices(rules));
  EXPECT_EQ(try_open("/dev/null", O_RDONLY), EPERM);
  ASSERT_OK(group_->set_devices(rules));  // the same again
  EXPECT_EQ(try_open("/dev/null", O_RDONLY), EPERM);
  ASSERT_OK(group_->set_devices({{true, 'a', {}, {}, "rwm"}}));
  EXPECT_EQ(try_open("/dev/null", O_RDWR), 0);
}

TEST_F(RealDevices, the_verifier_takes_thousands_of_rules) {
  for (bool straight : {false, true}) {
    Rules rules = usual();
    if (straight) rules.push_back({true, 'c', -1, 12345, "r"});
    for (unsigned i = 0; i < 10000; ++i) {
      rules.push_back({true, i % 3 == 0 ? 'b' : 'c', 100 + i % 1000, i / 1000, "rw"});
    }
    ASSERT_OK(group_->set_devices(rules));
    EXPECT_EQ(try_open("/dev/null", O_RDWR), 0);
    EXPECT_EQ(try_open("/dev/kmsg", O_RDONLY), EPERM);
  }
}

// In a mount namespace of its own, so that a BPF filesystem can be mounted.
void in_own_mounts(const std::function<int()>& work) {
  pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    char dir[] = "/tmp/vrun-bpffs-XXXXXX";
    bool ready = unshare(CLONE_NEWNS) == 0 &&
                 mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                 mount("none", "/tmp", "tmpfs", 0, nullptr) == 0 && mkdtemp(dir) != nullptr &&
                 rename(dir, "/tmp/bpf") == 0 &&
                 mount("none", "/tmp/bpf", "bpf", 0, "mode=0700") == 0;
    _exit(ready ? work() : 99);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 99) GTEST_SKIP() << "no BPF filesystem can be mounted";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

std::size_t count(const char* dir) {
  auto fd = sys::open_dir(At::cwd(), dir);
  if (!fd) return 0;
  return sys::list_dir(fd->get()).value_or({}).size();
}

TEST_F(RealDevices, programs_are_shared_by_digest_and_pins_are_bounded) {
  int group = group_->clone_target();
  if (group < 0) GTEST_SKIP() << "no v2 tree";
  in_own_mounts([&] {
    auto put = [&](const Rules& rules) {
      return filter_devices(group, rules, false, "/tmp/bpf").has_value();
    };
    if (!put(usual()) || count("/tmp/bpf/vrun") != 1) return 1;
    struct stat info = {};
    if (stat("/tmp/bpf/vrun", &info) != 0 || (info.st_mode & 0777) != 0700) return 2;
    if (!put(usual()) || count("/tmp/bpf/vrun") != 1) return 3;
    Rules rules = usual();
    for (unsigned i = 0; i < kMaxPins + 10; ++i) {
      rules.push_back({true, 'c', 300, i, "rw"});
      if (!put(rules)) return 4;
    }
    if (count("/tmp/bpf/vrun") != kMaxPins) return 5;
    // A folder that others may write to is not trusted.
    if (chmod("/tmp/bpf/vrun", 0777) != 0) return 6;
    rules.push_back({true, 'c', 301, 0, "rw"});
    if (!put(rules) || count("/tmp/bpf/vrun") != kMaxPins) return 7;
    return 0;
  });
}

}  // namespace
}  // namespace vrun::cgroups
