// The systemd driver with the real helper, a real bus, and a stand-in for systemd's manager that
// makes real groups in the v2 tree.
#include <array>
#include <cstdlib>

#include <spawn.h>

#include "base/helper.hpp"
#include "base/spawn.hpp"
#include "base/text.hpp"
#include "tests/unit/cgroups/real_host.hpp"

extern char** environ;

namespace vrun::cgroups {
namespace {

class Daemon {
 public:
  Daemon() = default;
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }
  bool start(std::vector<std::string> argv, std::vector<std::string> env = {}) {
    auto pointers = [](std::vector<std::string>& texts) {
      std::vector<char*> all;
      for (std::string& text : texts)
        all.push_back(text.data());
      all.push_back(nullptr);
      return all;
    };
    return posix_spawnp(&pid_, argv[0].c_str(), nullptr, nullptr, pointers(argv).data(),
                        pointers(env).data()) == 0;
  }

 private:
  pid_t pid_ = -1;
};

class RealSystemd : public RealGroup {
 protected:
  void SetUp() override {
    RealGroup::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (layout_.v2_mount.empty()) GTEST_SKIP() << "no v2 tree";
    if (access("/usr/bin/dbus-daemon", X_OK) != 0) GTEST_SKIP() << "needs dbus-daemon";
    layout_.v1.clear();  // only the v2 tree: the stand-in makes groups at its top
    char dir[] = "/tmp/vrun-systemd-XXXXXX";
    ASSERT_NE(mkdtemp(dir), nullptr);
    dir_ = dir;
    start_bus();
  }
  void TearDown() override {
    RealGroup::TearDown();
    if (!dir_.empty()) (void)fs::remove_tree(At::cwd(), dir_);
    if (!layout_.v2_mount.empty()) {
      rmdir((layout_.v2_mount + "/vrun.slice/vrun-test.slice").c_str());
      rmdir((layout_.v2_mount + "/vrun.slice").c_str());
    }
  }
  void start_bus() {
    std::string address = "unix:path=" + dir_ + "/bus";
    std::string config =
        "<busconfig><type>session</type><listen>" + address +
        "</listen><auth>EXTERNAL</auth><policy context='default'><allow send_destination='*'/>"
        "<allow own='*'/><allow receive_sender='*'/></policy></busconfig>";
    auto dir = sys::open_dir(At::cwd(), dir_);
    ASSERT_TRUE(dir) << why(dir);
    ASSERT_OK(fs::replace_file(*dir, "bus.conf", config));
    ASSERT_TRUE(bus_.start({"dbus-daemon", "--config-file=" + dir_ + "/bus.conf", "--nofork"}));
    // The socket's name is there before anybody listens.
    bool connected = false;
    for (int i = 0; i < 1000 && !connected; ++i) {
      connected = sys::connect_stream(dir_ + "/bus").has_value();
      if (!connected) ASSERT_OK(sys::poll({}, 10));
    }
    ASSERT_TRUE(connected);
    host_.env = {"DBUS_SYSTEM_BUS_ADDRESS=" + address};
    auto fake = helper_path("vrun-fake-systemd");
    ASSERT_TRUE(fake) << why(fake);
    ASSERT_TRUE(fake_.start({*fake, layout_.v2_mount, dir_ + "/record"}, host_.env));
    wait_for(dir_ + "/record");
  }
  static void wait_for(const std::string& path) {
    for (int i = 0; i < 1000 && access(path.c_str(), F_OK) != 0; ++i) {
      ASSERT_OK(sys::poll({}, 10));
    }
    ASSERT_EQ(access(path.c_str(), F_OK), 0) << path;
  }
  Result<std::unique_ptr<Group>> plan_unit(const std::string& path,
                                           const oci::Resources* resources = nullptr,
                                           std::map<std::string, std::string> annotations = {}) {
    Request request{path,  TRY(ContainerId::parse("test")), true,
                    false, std::move(annotations),          resources};
    return plan_in(request, host_, layout_);
  }
  std::string record() { return read(dir_ + "/record"); }

  std::string dir_;
  Daemon bus_, fake_;
};

constexpr const char* kPath = "vrun-test.slice:vrun:test";

TEST_F(RealSystemd, a_scope_is_made_with_its_process_limited_and_stopped) {
  oci::Resources resources;
  resources.unified = {{"cgroup.max.descendants", "5"}};
  auto group = plan_unit(kPath, &resources, {{"org.systemd.property.TimeoutStopSec", "7"}});
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  EXPECT_EQ(group_->location().unit, "vrun-test.scope");
  EXPECT_EQ(group_->location().path, "/vrun.slice/vrun-test.slice/vrun-test.scope");
  ASSERT_OK(group_->create());
  EXPECT_TRUE(group_->needs_join());
  EXPECT_EQ(group_->clone_target(), -1);
  ASSERT_OK(group_->set(resources));
  ASSERT_OK(group_->set_devices({{false, 'a', {}, {}, "rwm"}}));
  Process child([] { _exit(::open("/dev/null", O_RDONLY) < 0 ? errno : 0); });
  ASSERT_OK(group_->join(child.pid()));
  std::string calls = record();
  EXPECT_NE(calls.find("start vrun-test.scope replace"), std::string::npos) << calls;
  EXPECT_NE(calls.find("PIDs = au " + std::to_string(child.pid().value)), std::string::npos);
  EXPECT_NE(calls.find("Slice = s vrun-test.slice"), std::string::npos) << calls;
  EXPECT_NE(calls.find("Delegate = b 1"), std::string::npos) << calls;
  EXPECT_NE(calls.find("TimeoutStopUSec = t 7000000"), std::string::npos) << calls;
  EXPECT_EQ(read(group_->location().paths.at("") + "/cgroup.max.descendants"), "5");
  EXPECT_EQ(group_->processes().value_or({}), std::vector<Pid>{child.pid()});

  auto again = open_in(group_->location(), host_, layout_);
  ASSERT_TRUE(again) << why(again);
  EXPECT_FALSE((*again)->needs_join());
  EXPECT_GE((*again)->clone_target(), 0);
  oci::Resources update;
  update.pids_limit = -1;
  ASSERT_OK((*again)->set(update));
  EXPECT_NE(record().find("set vrun-test.scope 1\n  TasksMax = t 18446744073709551615"),
            std::string::npos)
      << record();
  child.go();
  EXPECT_EQ(WEXITSTATUS(child.wait()), EPERM);  // the device filter is on
  ASSERT_OK(group_->destroy());
  EXPECT_NE(record().find("stop vrun-test.scope replace\nreset vrun-test.scope"),
            std::string::npos);
  ASSERT_OK(group_->destroy());
}

TEST_F(RealSystemd, destroy_kills_what_is_left) {
  auto group = plan_unit(kPath);
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  Process one, two;
  ASSERT_OK(group_->join(one.pid()));
  ASSERT_OK(group_->join(two.pid()));
  EXPECT_EQ(group_->processes().value_or({}).size(), 2U);
  ASSERT_OK(group_->destroy());
  EXPECT_TRUE(WIFSIGNALED(one.wait()));
  EXPECT_TRUE(WIFSIGNALED(two.wait()));
}

TEST_F(RealSystemd, a_failed_unit_of_the_name_is_reset) {
  auto group = plan_unit("vrun-test.slice:vrun:test-exists");
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  Process child;
  ASSERT_OK(group_->join(child.pid()));
  EXPECT_NE(record().find("reset vrun-test-exists.scope\nstart vrun-test-exists.scope"),
            std::string::npos)
      << record();
}

TEST_F(RealSystemd, a_job_that_fails_is_an_error_and_leaves_nothing) {
  auto group = plan_unit("vrun-test.slice:vrun:test-fails");
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  Process child;
  auto joined = group_->join(child.pid());
  ASSERT_FALSE(joined);
  EXPECT_NE(joined.error().text().find("result failed"), std::string::npos) << why(joined);
  EXPECT_FALSE(child.is_dead());
}

TEST_F(RealSystemd, a_slice_takes_its_process_by_file) {
  auto group = plan_unit("vrun.slice::vrun-test.slice");
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  EXPECT_EQ(group_->location().path, "/vrun.slice/vrun-test.slice");
  Process child;
  ASSERT_OK(group_->join(child.pid()));
  EXPECT_EQ(group_->processes().value_or({}), std::vector<Pid>{child.pid()});
  EXPECT_NE(record().find("Wants = as vrun.slice"), std::string::npos) << record();
}

TEST_F(RealSystemd, users_go_to_their_own_manager) {
  host_.euid = Uid(1000);
  std::string address = host_.env.front().substr(host_.env.front().find('=') + 1);
  host_.env = {"DBUS_SESSION_BUS_ADDRESS=" + address};
  auto group = plan_unit("vrun-test.slice:vrun:test");
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  EXPECT_EQ(group_->location().path,
            "/user.slice/manager/vrun.slice/vrun-test.slice/vrun-test.scope");
  Process child;
  ASSERT_OK(group_->join(child.pid()));
  // The stand-in makes the unit elsewhere: its word counts.
  EXPECT_EQ(group_->location().path, "/vrun.slice/vrun-test.slice/vrun-test.scope");
  EXPECT_EQ(group_->location().paths.at(""),
            layout_.v2_mount + "/vrun.slice/vrun-test.slice/vrun-test.scope");
  EXPECT_EQ(group_->processes().value_or({}), std::vector<Pid>{child.pid()});
}

TEST_F(RealSystemd, a_job_that_never_ends_is_a_timeout) {
  if (getenv("VRUN_SLOW_TESTS") == nullptr) GTEST_SKIP() << "takes 30 s: set VRUN_SLOW_TESTS";
  auto group = plan_unit("vrun-test.slice:vrun:test-hangs");
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  Process child;
  auto joined = group_->join(child.pid());
  ASSERT_FALSE(joined);
  EXPECT_EQ(joined.error().code(), Code::kTimeout) << why(joined);
}

TEST_F(RealSystemd, without_a_bus_the_error_says_what_is_needed) {
  host_.env = {"DBUS_SYSTEM_BUS_ADDRESS=unix:path=" + dir_ + "/nothing"};
  auto group = plan_unit(kPath);
  ASSERT_TRUE(group) << why(group);
  Process child;
  auto joined = (*group)->join(child.pid());
  ASSERT_FALSE(joined);
  EXPECT_EQ(joined.error().code(), Code::kUnsupported) << why(joined);
  EXPECT_FALSE(joined.error().hint().empty());
}

// With the host's own systemd: what it is told must survive its reload.
class RealManager : public RealGroup {
 protected:
  void SetUp() override {
    RealGroup::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (!support(host_).systemd) GTEST_SKIP() << "systemd is not running";
    host_.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  }
};

TEST_F(RealManager, a_scope_keeps_its_limits_over_a_reload_and_goes_away) {
  oci::Resources resources;
  resources.memory = oci::Memory{.limit = 64 << 20};
  resources.cpu = oci::Cpu{.shares = 512, .quota = 12345, .period = 50000};
  resources.pids_limit = 17;
  Request request{
      "vrun-test.slice:vrun:real", *ContainerId::parse("real"), true, false, {}, &resources};
  auto group = plan(request, host_);
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  ASSERT_OK(group_->create());
  ASSERT_OK(group_->set(resources));
  ASSERT_OK(group_->set_devices({{false, 'a', {}, {}, "rwm"}}));
  Process child;
  ASSERT_OK(group_->join(child.pid()));
  EXPECT_NE(read("/proc/" + std::to_string(child.pid().value) + "/cgroup")
                .find("/vrun.slice/vrun-test.slice/vrun-real.scope"),
            std::string::npos);
  Command reload{"systemctl", {"systemctl", "daemon-reload"}, host_.env, "", {}, {}, "", 4096};
  auto reloaded = run(reload);
  ASSERT_TRUE(reloaded) << why(reloaded);
  EXPECT_EQ(reloaded->exit.code(), 0) << reloaded->output;
  EXPECT_EQ(value("memory", "memory.limit_in_bytes", "memory.max"), "67108864");
  EXPECT_EQ(value("pids", "pids.max", "pids.max"), "17");
  EXPECT_EQ(value("cpu", "cpu.shares", "cpu.weight"), "59");
  oci::Resources update;
  update.memory = oci::Memory{.limit = 128 << 20};
  auto again = open(group_->location(), host_);
  ASSERT_TRUE(again) << why(again);
  ASSERT_OK((*again)->set(update));
  EXPECT_EQ(value("memory", "memory.limit_in_bytes", "memory.max"), "134217728");
  ASSERT_OK(group_->destroy());
  EXPECT_TRUE(WIFSIGNALED(child.wait()));
}

TEST_F(RealManager, refused_properties_are_told_and_leave_nothing) {
  Request request{"vrun-test.slice:vrun:refused",
                  *ContainerId::parse("refused"),
                  true,
                  false,
                  {{"org.systemd.property.NoSuchThing", "true"}},
                  nullptr};
  auto group = plan(request, host_);
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  Process child;
  auto joined = group_->join(child.pid());
  ASSERT_FALSE(joined);
  EXPECT_NE(joined.error().text().find("NoSuchThing"), std::string::npos) << why(joined);
  EXPECT_FALSE(child.is_dead());
}

}  // namespace
}  // namespace vrun::cgroups
