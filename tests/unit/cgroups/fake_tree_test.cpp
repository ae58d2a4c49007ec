// Groups on plain folders: what is written where, and what errors say, without a kernel behind.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroups/legacy.hpp"
#include "cgroups/plan.hpp"
#include "cgroups/unified.hpp"
#include "tests/unit/cgroups/temporary.hpp"

namespace vrun::cgroups {
namespace {

class FakeTree : public Temporary {
 protected:
  FakeTree() {
    host_.proc = dir_ + "/proc";
    host_.cgroup_root = dir_;
    layout_.v2_mount = dir_ + "/v2";
    file("proc/self/cgroup", "0::/\n");
    file("v2/cgroup.controllers", "memory pids\n");
    file("v2/cgroup.subtree_control", "");
  }
  Request request(const std::string& path, const oci::Resources* resources = nullptr) {
    return {path, *ContainerId::parse("web"), false, false, {}, resources};
  }
  // A group that the kernel would have made, with these files.
  void group_with(const std::string& dir, const std::vector<std::string>& files) {
    file(dir + "/cgroup.events", "populated 0\nfrozen 0\n");
    file(dir + "/cgroup.controllers", "memory pids\n");
    for (const std::string& one : files)
      file(dir + "/" + one);
  }
  Host host_;
  Layout layout_;
};

TEST_F(FakeTree, limits_land_in_their_files) {
  group_with("v2/web", {"memory.max", "memory.swap.max", "memory.low", "pids.max", "memory.high"});
  oci::Resources resources;
  resources.memory = oci::Memory{.limit = 1000, .reservation = 500, .swap = 1500};
  resources.pids_limit = 9;
  resources.unified = {{"memory.high", "900"}};
  auto group = plan_in(request("/web", &resources), host_, layout_);
  ASSERT_TRUE(group) << group.error().text();
  auto created = (*group)->create();
  ASSERT_TRUE(created) << created.error().text();
  ASSERT_TRUE((*group)->set(resources));
  EXPECT_EQ(read("v2/web/memory.max"), "1000");
  EXPECT_EQ(read("v2/web/memory.swap.max"), "500");
  EXPECT_EQ(read("v2/web/memory.low"), "500");
  EXPECT_EQ(read("v2/web/pids.max"), "9");
  EXPECT_EQ(read("v2/web/memory.high"), "900");
  EXPECT_EQ((*group)->location().path, "/web");
  EXPECT_EQ((*group)->location().paths.at(""), dir_ + "/v2/web");
}

TEST_F(FakeTree, controllers_are_enabled_above_the_group_only_where_needed) {
  group_with("v2/a/b", {});
  file("v2/a/b/cgroup.controllers", "");  // nothing enabled yet
  file("v2/a/cgroup.controllers", "pids\n");
  file("v2/a/cgroup.subtree_control", "");
  file("v2/a/b/cgroup.subtree_control", "");
  file("v2/cgroup.subtree_control", "pids\n");
  auto group = plan_in(request("/a/b"), host_, layout_);
  ASSERT_TRUE(group);
  ASSERT_TRUE((*group)->create());
  EXPECT_TRUE(read("v2/cgroup.subtree_control").starts_with("+memory"));
  EXPECT_EQ(read("v2/a/cgroup.subtree_control"), "+pids");
  EXPECT_EQ(read("v2/a/b/cgroup.subtree_control"), "");
}

TEST_F(FakeTree, a_missing_controller_names_field_reason_and_hint) {
  group_with("v2/web", {});
  oci::Resources resources;
  resources.hugepage_limits = {{"2MB", 1}};
  auto group = plan_in(request("/web", &resources), host_, layout_);
  ASSERT_TRUE(group);
  auto created = (*group)->create();
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().code(), Code::kUnsupported);
  EXPECT_EQ(created.error().where(), "linux.resources.hugepageLimits");
  EXPECT_NE(created.error().text().find("controller hugetlb"), std::string::npos);
  EXPECT_FALSE(created.error().hint().empty());
}

TEST_F(FakeTree, a_value_that_lifts_a_limit_needs_no_file) {
  group_with("v2/web", {});
  oci::Resources resources;
  resources.memory = oci::Memory{.limit = -1};
  resources.pids_limit = -1;
  auto group = plan_in(request("/web", &resources), host_, layout_);
  ASSERT_TRUE((*group)->create());
  auto set = (*group)->set(resources);
  EXPECT_TRUE(set) << set.error().text();
  resources.pids_limit = 5;
  set = (*group)->set(resources);
  ASSERT_FALSE(set);
  EXPECT_EQ(set.error().where(), "linux.resources.pids.limit");
}

TEST_F(FakeTree, what_a_failed_create_made_is_removed) {
  oci::Resources resources;
  resources.pids_limit = 5;
  auto group = plan_in(request("/new/deep/web", &resources), host_, layout_);
  ASSERT_TRUE(group);
  EXPECT_FALSE((*group)->create());  // plain folders have no cgroup.controllers
  EXPECT_FALSE(exists("v2/new"));
}

TEST_F(FakeTree, records_that_name_a_root_or_leave_the_mount_are_refused) {
  for (const char* path : {"/", "/..", "relative", "/a/../.."}) {
    Location location;
    location.path = path;
    EXPECT_FALSE(open_in(location, host_, layout_)) << path;
  }
  layout_.v1 = {{{"memory"}, dir_ + "/memory", "/"}};
  for (const std::string& dir : {std::string("/etc"), dir_ + "/memory", dir_ + "/memory/../x"}) {
    Location location;
    location.path = "/web";
    location.paths["memory"] = dir;
    EXPECT_FALSE(open_in(location, host_, layout_)) << dir;
  }
}

TEST_F(FakeTree, sub_groups_stay_below) {
  Location location;
  location.path = "/web";
  location.paths = {{"", "/cg/web"}, {"memory", "/m/web"}};
  Location below = sub_group(location, "../../x");
  EXPECT_EQ(below.path, "/web/x");
  EXPECT_EQ(below.paths.at(""), "/cg/web/x");
  EXPECT_EQ(below.paths.at("memory"), "/m/web/x");
  EXPECT_EQ(sub_group(location, "").path, "/web");
}

class FakeHybrid : public FakeTree {
 protected:
  FakeHybrid() {
    layout_.v1 = {{{"cpuset"}, dir_ + "/cpuset", "/"}, {{"memory"}, dir_ + "/memory", "/"}};
    file("cpuset/cpuset.cpus", "0-1\n");
    file("cpuset/cpuset.mems", "0\n");
    file("proc/self/cgroup", "2:memory:/own\n3:cpuset:/\n0::/\n");
    file("v2/cgroup.controllers", "hugetlb\n");
  }
};

TEST_F(FakeHybrid, each_limit_lands_where_its_controller_is) {
  group_with("v2/web", {"hugetlb.2MB.max", "hugetlb.2MB.rsvd.max"});
  file("v2/web/cgroup.controllers", "hugetlb\n");
  for (const char* one : {"cgroup.procs", "memory.limit_in_bytes"}) {
    file(std::string("memory/web/") + one);
  }
  for (const char* one : {"cgroup.procs", "cpuset.cpus", "cpuset.mems"}) {
    file(std::string("cpuset/web/") + one);
  }
  oci::Resources resources;
  resources.memory = oci::Memory{.limit = 1000};
  resources.cpu = oci::Cpu{.cpus = "1"};
  resources.hugepage_limits = {{"2MB", 7}};
  auto group = plan_in(request("/web", &resources), host_, layout_);
  ASSERT_TRUE(group) << group.error().text();
  auto created = (*group)->create();
  ASSERT_TRUE(created) << created.error().text();
  auto set = (*group)->set(resources);
  ASSERT_TRUE(set) << set.error().text();
  EXPECT_EQ(read("memory/web/memory.limit_in_bytes"), "1000");
  EXPECT_EQ(read("cpuset/web/cpuset.cpus"), "1");
  EXPECT_EQ(read("v2/web/hugetlb.2MB.max"), "7");
  EXPECT_TRUE((*group)->needs_join());
  EXPECT_GE((*group)->clone_target(), 0);
  auto parts = (*group)->mount_parts();
  ASSERT_EQ(parts.size(), 3U);
  EXPECT_EQ(parts[1].name, "memory");
  EXPECT_EQ(parts[1].host_dir, dir_ + "/memory/web");
  EXPECT_EQ(parts[2].name, "unified");
  EXPECT_TRUE(parts[2].v2);
}

TEST_F(FakeHybrid, processes_join_where_they_are_not_yet) {
  group_with("v2/web", {"cgroup.procs"});
  file("memory/web/cgroup.procs");
  file("cpuset/web/cgroup.procs");
  file("proc/77/cgroup", "2:memory:/\n3:cpuset:/web\n0::/web\n");
  auto group = plan_in(request("/web"), host_, layout_);
  ASSERT_TRUE((*group)->create());
  auto joined = (*group)->join(Pid(77));
  ASSERT_TRUE(joined) << joined.error().text();
  EXPECT_EQ(read("memory/web/cgroup.procs"), "77");
  EXPECT_EQ(read("cpuset/web/cgroup.procs"), "");
  EXPECT_EQ(read("v2/web/cgroup.procs"), "");
}

TEST_F(FakeHybrid, what_no_hierarchy_offers_is_an_error) {
  group_with("v2/web", {});
  file("memory/web/cgroup.procs");
  file("cpuset/web/cgroup.procs");
  oci::Resources resources;
  resources.network.emplace().class_id = 5;
  auto group = plan_in(request("/web", &resources), host_, layout_);
  auto created = (*group)->create();
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().where(), "linux.resources.network.classID");
  resources = {};
  resources.unified = {{"memory.max", "5"}};
  group = plan_in(request("/web"), host_, layout_);
  ASSERT_TRUE((*group)->create());
  auto set = (*group)->set(resources);
  ASSERT_FALSE(set);
  EXPECT_NE(set.error().text().find("bound to a v1 hierarchy"), std::string::npos);
}

// The v1 freezer and devices controllers, for hosts without any v2 tree.
TEST_F(FakeHybrid, without_a_v2_tree_the_old_controllers_do_the_work) {
  layout_.v2_mount.clear();
  layout_.v1 = {{{"devices"}, dir_ + "/devices", "/"}, {{"freezer"}, dir_ + "/freezer", "/"}};
  for (const char* one : {"cgroup.procs", "devices.allow", "devices.deny"}) {
    file(std::string("devices/web/") + one);
  }
  file("freezer/web/cgroup.procs", "");
  file("freezer/web/freezer.state", "THAWED\n");
  auto group = plan_in(request("/web"), host_, layout_);
  ASSERT_TRUE(group) << group.error().text();
  ASSERT_TRUE((*group)->create());
  EXPECT_EQ((*group)->clone_target(), -1);
  EXPECT_FALSE((*group)->is_frozen().value_or(true));
  EXPECT_FALSE(exists("v2/web"));
  ASSERT_TRUE((*group)->set_devices({{false, 'a', {}, {}, "rwm"}, {true, 'c', 1, 3, "rw"}}));
  EXPECT_EQ(read("devices/web/devices.deny"), "a");
  EXPECT_EQ(read("devices/web/devices.allow"), "c 1:3 rw");
}

class Unprivileged : public FakeTree {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root, to stop being it";
    ASSERT_EQ(chmod(dir_.c_str(), 0755), 0);
  }
  // Does the work as nobody, answers its result.
  template <typename Work>
  int as_nobody(Work work) {
    pid_t pid = fork();
    if (pid == 0)
      _exit(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0 ? work()
                                                                                       : 99);
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
  }
};

TEST_F(Unprivileged, without_limits_and_path_there_is_no_group_and_no_error) {
  EXPECT_EQ(as_nobody([&] {
              Request plain = request("");
              plain.rootless = true;
              auto group = plan_in(plain, host_, layout_);
              if (!group || !(*group)->create()) return 1;
              if (!(*group)->location().path.empty() || (*group)->clone_target() >= 0) return 2;
              if (!(*group)->set({}) || !(*group)->join(Pid(1)) || !(*group)->destroy()) return 3;
              oci::Resources limit;
              limit.pids_limit = 5;
              auto set = (*group)->set(limit);
              if (set || set.error().where() != "linux.resources.pids.limit") return 4;
              if ((*group)->freeze(true) || (*group)->stats()) return 5;
              if (!(*group)->set_devices(default_devices())) return 6;
              auto again = open_in((*group)->location(), host_, layout_);
              return again && (*again)->destroy() ? 0 : 7;
            }),
            0);
}

TEST_F(Unprivileged, limits_or_a_path_are_errors_with_a_hint) {
  EXPECT_EQ(as_nobody([&] {
              oci::Resources limit;
              limit.pids_limit = 5;
              for (Request one : {request("", &limit), request("/web")}) {
                one.rootless = true;
                auto group = plan_in(one, host_, layout_);
                if (!group) return 1;
                auto created = (*group)->create();
                if (created || created.error().hint().empty()) return 2;
                if (created.error().code() != Code::kDenied) return 3;
              }
              return 0;
            }),
            0);
}

}  // namespace
}  // namespace vrun::cgroups
