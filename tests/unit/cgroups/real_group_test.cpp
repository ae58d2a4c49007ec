// The whole of a Group against the running kernel, whichever hierarchies it has.
#include <chrono>

#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "tests/unit/cgroups/real_host.hpp"

namespace vrun::cgroups {
namespace {

class RealLimits : public RealGroup {};

TEST_F(RealGroup, is_made_and_removed) {
  auto group = make();
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  EXPECT_FALSE(group_->location().paths.empty());
  for (const auto& [hierarchy, dir] : group_->location().paths) {
    EXPECT_EQ(access(dir.c_str(), F_OK), 0) << dir;
  }
  ASSERT_OK(group_->destroy());
  ASSERT_OK(group_->destroy());  // a second time is no error
}

TEST_F(RealGroup, clones_into_the_group) {
  auto group = make();
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  if (group_->clone_target() < 0) GTEST_SKIP() << "no v2 tree";
  clone_args args = {};
  args.flags = CLONE_INTO_CGROUP;
  args.exit_signal = SIGCHLD;
  args.cgroup = static_cast<std::uint64_t>(group_->clone_target());
  auto child = static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof(args)));
  ASSERT_GE(child, 0) << strerror(errno);
  if (child == 0) {
    while (true)
      pause();
  }
  auto pids = group_->processes();
  ASSERT_TRUE(pids) << why(pids);
  EXPECT_EQ(*pids, std::vector<Pid>{Pid(child)});
  if (group_->needs_join()) ASSERT_OK(group_->join(Pid(child)));
  EXPECT_NE(read("/proc/" + std::to_string(child) + "/cgroup").find(name_), std::string::npos);
  ASSERT_OK(group_->signal_all(SIGKILL));
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
}

TEST_F(RealGroup, joins_every_hierarchy) {
  auto group = make();
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  Process child;
  ASSERT_OK(group_->join(child.pid()));
  std::string membership = read("/proc/" + std::to_string(child.pid().value) + "/cgroup");
  // Hierarchies that are not mounted here (a private view of the v2 tree) do not count.
  for (const Membership& line : parse_membership(membership)) {
    if (!line.controllers.empty() && !v1(line.controllers.front())) continue;
    EXPECT_NE(line.path.find(name_), std::string::npos) << membership;
  }
}

TEST_F(RealGroup, a_group_with_processes_is_refused_and_left_alone) {
  auto group = make();
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  Process child;
  ASSERT_OK(group_->join(child.pid()));
  auto second = make();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kExists);
  EXPECT_NE(second.error().text().find("container's cgroup is not empty"), std::string::npos);
  EXPECT_FALSE(child.is_dead());
  EXPECT_EQ(group_->processes().value_or({}), std::vector<Pid>{child.pid()});
}

TEST_F(RealGroup, an_empty_group_is_taken_over) {
  auto first = make();
  ASSERT_TRUE(first) << why(first);
  group_ = *std::move(first);
  auto second = make();
  EXPECT_TRUE(second) << why(second);
}

TEST_F(RealGroup, freezes_and_thaws) {
  auto group = make();
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  Process child;
  ASSERT_OK(group_->join(child.pid()));
  ASSERT_OK(group_->freeze(true));
  EXPECT_TRUE(group_->is_frozen().value_or(false));
  child.go();  // cannot run on
  ASSERT_OK(group_->freeze(false));
  EXPECT_FALSE(group_->is_frozen().value_or(true));
}

TEST_F(RealGroup, kills_frozen_processes_in_sub_groups_and_removes_all) {
  auto group = make();
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  Process top, below;
  ASSERT_OK(group_->join(top.pid()));
  ASSERT_OK(group_->join(below.pid()));
  for (const auto& [hierarchy, dir] : group_->location().paths) {
    if (hierarchy.find("cpuset") != std::string::npos) continue;  // empty sets: nobody may join
    ASSERT_OK(sys::make_dir(At::cwd(), dir + "/sub", 0755));
    ASSERT_OK(sys::make_dir(At::cwd(), dir + "/sub/sub", 0755));
    ASSERT_OK(fs::write_value(At::cwd(), dir + "/sub/sub/cgroup.procs",
                              std::to_string(below.pid().value)));
  }
  EXPECT_EQ(group_->processes().value_or({}).size(), 2U);
  ASSERT_OK(group_->freeze(true));
  ASSERT_OK(group_->destroy());
  EXPECT_TRUE(WIFSIGNALED(top.wait()));
  EXPECT_TRUE(WIFSIGNALED(below.wait()));
}

TEST_F(RealGroup, signals_all_but_does_not_leave_them_frozen) {
  auto group = make();
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  Process one, two;
  ASSERT_OK(group_->join(one.pid()));
  ASSERT_OK(group_->join(two.pid()));
  ASSERT_OK(group_->signal_all(SIGTERM));
  EXPECT_EQ(WTERMSIG(one.wait()), SIGTERM);
  EXPECT_EQ(WTERMSIG(two.wait()), SIGTERM);
  EXPECT_FALSE(group_->is_frozen().value_or(true));
}

TEST_F(RealGroup, is_found_again_by_its_location) {
  auto group = make();
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  Process child;
  ASSERT_OK(group_->join(child.pid()));
  auto again = open_in(group_->location(), host_, layout_);
  ASSERT_TRUE(again) << why(again);
  EXPECT_EQ((*again)->processes().value_or({}), std::vector<Pid>{child.pid()});
  ASSERT_OK((*again)->destroy());
  EXPECT_TRUE(WIFSIGNALED(child.wait()));
}

TEST_F(RealGroup, a_planned_group_that_was_never_made_destroys_nothing) {
  auto group = make();
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  Process child;
  ASSERT_OK(group_->join(child.pid()));
  Request request{"", *ContainerId::parse(name_), false, false, {}, nullptr};
  auto planned = plan_in(request, host_, layout_);
  ASSERT_TRUE(planned) << why(planned);
  EXPECT_FALSE((*planned)->create());
  ASSERT_OK((*planned)->destroy());
  EXPECT_FALSE(child.is_dead());
}

TEST_F(RealGroup, nested_paths_are_made_and_the_parents_stay_for_others) {
  Request request{"vrun-unit-parent-" + std::to_string(getpid()) + "/a/b",
                  *ContainerId::parse(name_),
                  false,
                  false,
                  {},
                  nullptr};
  auto planned = plan_in(request, host_, layout_);
  ASSERT_TRUE(planned) << why(planned);
  group_ = *std::move(planned);
  ASSERT_OK(group_->create());
  Process child;
  ASSERT_OK(group_->join(child.pid()));
  auto paths = group_->location().paths;
  ASSERT_OK(group_->destroy());
  for (const auto& [hierarchy, dir] : paths) {
    std::string parent(fs::dir_name(dir));
    EXPECT_EQ(rmdir(parent.c_str()), 0) << parent;
    EXPECT_EQ(rmdir(std::string(fs::dir_name(parent)).c_str()), 0) << parent;
  }
}

TEST_F(RealGroup, many_at_once_share_their_parents) {
  const std::string parent = "vrun-unit-parent-" + std::to_string(getpid());
  std::vector<std::unique_ptr<Process>> workers;
  for (int worker = 0; worker < 8; ++worker) {
    workers.push_back(std::make_unique<Process>([&, worker] {
      for (int round = 0; round < 20; ++round) {
        Request request{parent + "/a/" + std::to_string(worker),
                        *ContainerId::parse(name_),
                        false,
                        false,
                        {},
                        nullptr};
        auto group = plan_in(request, host_, layout_);
        if (!group) _exit(1);
        auto created = (*group)->create();
        if (!created) {
          fprintf(stderr, "%s\n", created.error().text().c_str());
          _exit(2);
        }
        for (const auto& [hierarchy, dir] : (*group)->location().paths) {
          if (hierarchy == "cpuset" && read(dir + "/cpuset.cpus").empty()) _exit(4);
        }
        if (!(*group)->destroy()) _exit(3);
        for (const auto& [hierarchy, dir] : (*group)->location().paths) {
          std::string up(fs::dir_name(dir));
          rmdir(up.c_str());  // as an undo of somebody else would
          rmdir(std::string(fs::dir_name(up)).c_str());
        }
      }
    }));
  }
  for (auto& worker : workers)
    worker->go();
  for (auto& worker : workers)
    EXPECT_EQ(WEXITSTATUS(worker->wait()), 0);
}

TEST_F(RealLimits, pids) {
  if (!has("pids")) GTEST_SKIP() << "no pids controller";
  oci::Resources resources;
  resources.pids_limit = 3;
  auto group = make(&resources);
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  ASSERT_OK(group_->set(resources));
  EXPECT_EQ(value("pids", "pids.max", "pids.max"), "3");
  Process child([] {
    int made = 0;
    for (int i = 0; i < 10; ++i) {
      pid_t pid = fork();
      if (pid == 0) {
        while (true)
          pause();
      }
      if (pid > 0) ++made;
    }
    _exit(made);
  });
  ASSERT_OK(group_->join(child.pid()));
  child.go();
  EXPECT_EQ(WEXITSTATUS(child.wait()), 2);  // three with itself
  auto stats = group_->stats();
  ASSERT_TRUE(stats) << why(stats);
  ASSERT_TRUE(stats->pids);
  EXPECT_EQ(stats->pids->current, 2U);
  EXPECT_EQ(stats->pids->limit, 3U);
  resources.pids_limit = -1;
  ASSERT_OK(group_->set(resources));
  EXPECT_EQ(value("pids", "pids.max", "pids.max"), "max");
}

TEST_F(RealLimits, memory_and_its_oom_kill) {
  if (!has("memory")) GTEST_SKIP() << "no memory controller";
  constexpr std::int64_t kLimit = 16 << 20;
  oci::Resources resources;
  resources.memory.emplace();
  resources.memory->limit = kLimit;
  auto group = make(&resources);
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  ASSERT_OK(group_->set(resources));
  EXPECT_EQ(value("memory", "memory.limit_in_bytes", "memory.max"), std::to_string(kLimit));
  EXPECT_FALSE(group_->wait_oom(0).value_or(true));
  Process child([] {
    constexpr std::size_t kBytes = 256U << 20U;
    void* at = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (std::size_t i = 0; i < kBytes; i += 4096)
      static_cast<char*>(at)[i] = 1;
  });
  ASSERT_OK(group_->join(child.pid()));
  child.go();
  int status = child.wait();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  auto killed = group_->wait_oom(10000);
  ASSERT_TRUE(killed) << why(killed);
  EXPECT_TRUE(*killed);
  EXPECT_FALSE(group_->wait_oom(0).value_or(true));
  auto stats = group_->stats();
  ASSERT_TRUE(stats) << why(stats);
  ASSERT_TRUE(stats->memory);
  EXPECT_EQ(stats->memory->limit, static_cast<std::uint64_t>(kLimit));
  EXPECT_GE(stats->memory->oom_kills, 1U);
  EXPECT_GT(stats->memory->failcnt, 0U);
  EXPECT_FALSE(stats->memory->raw.empty());
}

TEST_F(RealLimits, memory_can_be_raised_and_lowered_with_swap) {
  if (!has("memory")) GTEST_SKIP() << "no memory controller";
  auto group = make();
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  const std::string v1_swap = "memory.memsw.limit_in_bytes";
  for (std::int64_t megabytes : {64, 256, 32, 128}) {
    oci::Resources resources;
    resources.memory.emplace();
    resources.memory->limit = megabytes << 20;
    resources.memory->swap = (megabytes + 16) << 20;
    resources.memory->reservation = (megabytes / 2) << 20;
    ASSERT_OK(group_->set(resources));
    EXPECT_EQ(value("memory", "memory.limit_in_bytes", "memory.max"),
              std::to_string(megabytes << 20));
    EXPECT_EQ(value("memory", v1_swap, "memory.swap.max"),
              std::to_string((v1("memory") ? megabytes + 16 : 16) << 20));
    EXPECT_EQ(value("memory", "memory.soft_limit_in_bytes", "memory.low"),
              std::to_string((megabytes / 2) << 20));
  }
  oci::Resources unlimited;
  unlimited.memory.emplace();
  unlimited.memory->limit = -1;
  ASSERT_OK(group_->set(unlimited));
  EXPECT_EQ(value("memory", v1_swap, "memory.swap.max"),
            v1("memory") ? "9223372036854771712" : "max");
}

TEST_F(RealLimits, check_before_update_refuses_a_limit_below_the_usage) {
  if (!has("memory")) GTEST_SKIP() << "no memory controller";
  auto group = make();
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  Process child([] {
    constexpr std::size_t kBytes = 32U << 20U;
    void* at = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (std::size_t i = 0; i < kBytes; i += 4096)
      static_cast<char*>(at)[i] = 1;
    kill(getpid(), SIGSTOP);
  });
  ASSERT_OK(group_->join(child.pid()));
  child.go();
  int status = 0;
  ASSERT_EQ(waitpid(child.pid().value, &status, WUNTRACED), child.pid().value);
  oci::Resources resources;
  resources.memory.emplace();
  resources.memory->limit = 8 << 20;
  resources.memory->check_before_update = true;
  auto refused = group_->set(resources);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().where(), "linux.resources.memory.checkBeforeUpdate");
  EXPECT_FALSE(child.is_dead());
}

TEST_F(RealLimits, cpu_quota_slows_a_busy_loop) {
  if (!has("cpu")) GTEST_SKIP() << "no cpu controller";
  oci::Resources resources;
  resources.cpu.emplace();
  resources.cpu->quota = 10000;
  resources.cpu->period = 100000;
  resources.cpu->shares = 512;
  auto group = make(&resources);
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  ASSERT_OK(group_->set(resources));
  EXPECT_EQ(value("cpu", "cpu.cfs_quota_us", "cpu.max"), v1("cpu") ? "10000" : "10000 100000");
  EXPECT_EQ(value("cpu", "cpu.shares", "cpu.weight"), v1("cpu") ? "512" : "59");
  Process child([] {
    while (true) {
    }
  });
  ASSERT_OK(group_->join(child.pid()));
  child.go();
  // Waits for the effect itself: the kernel has throttled the group.
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  std::uint64_t throttled = 0;
  while (throttled == 0 && std::chrono::steady_clock::now() < deadline) {
    ASSERT_OK(sys::poll({}, 20));
    auto stats = group_->stats();
    ASSERT_TRUE(stats && stats->cpu) << why(stats);
    throttled = stats->cpu->throttled_periods;
  }
  EXPECT_GT(throttled, 0U);
}

TEST_F(RealLimits, cpu_burst_and_period_change_in_any_order) {
  if (!has("cpu")) GTEST_SKIP() << "no cpu controller";
  auto group = make();
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  struct Step {
    std::int64_t quota;
    std::uint64_t period, burst;
  };
  for (const Step& step : {Step{20000, 100000, 20000}, Step{5000, 10000, 5000},
                           Step{500000, 1000000, 400000}, Step{2000, 5000, 0}}) {
    oci::Resources resources;
    resources.cpu.emplace();
    resources.cpu->quota = step.quota;
    resources.cpu->period = step.period;
    resources.cpu->burst = step.burst;
    ASSERT_OK(group_->set(resources));
    EXPECT_EQ(value("cpu", "cpu.cfs_burst_us", "cpu.max.burst"), std::to_string(step.burst));
  }
  oci::Resources period;
  period.cpu.emplace();
  period.cpu->period = 50000;
  ASSERT_OK(group_->set(period));
  EXPECT_EQ(value("cpu", "cpu.cfs_quota_us", "cpu.max"), v1("cpu") ? "2000" : "2000 50000");
  oci::Resources idle;
  idle.cpu.emplace();
  idle.cpu->idle = 1;
  ASSERT_OK(group_->set(idle));
  EXPECT_EQ(value("cpu", "cpu.idle", "cpu.idle"), "1");
}

TEST_F(RealLimits, cpuset) {
  if (!has("cpuset")) GTEST_SKIP() << "no cpuset controller";
  oci::Resources resources;
  resources.cpu.emplace();
  resources.cpu->cpus = "0";
  resources.cpu->mems = "0";
  auto group = make(&resources);
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  ASSERT_OK(group_->set(resources));
  EXPECT_EQ(value("cpuset", "cpuset.cpus", "cpuset.cpus"), "0");
  Process child;
  ASSERT_OK(group_->join(child.pid()));
  cpu_set_t set;
  ASSERT_EQ(sched_getaffinity(child.pid().value, sizeof(set), &set), 0);
  EXPECT_EQ(CPU_COUNT(&set), 1);
  resources.cpu->cpus = "4096";
  auto refused = group_->set(resources);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().where(), "linux.resources.cpu.cpus");
}

TEST_F(RealLimits, hugetlb) {
  if (!has("hugetlb")) GTEST_SKIP() << "no hugetlb controller";
  oci::Resources resources;
  resources.hugepage_limits = {{"2MB", 4U << 20U}};
  auto group = make(&resources);
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  ASSERT_OK(group_->set(resources));
  EXPECT_EQ(value("hugetlb", "hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max"), "4194304");
  EXPECT_EQ(value("hugetlb", "hugetlb.2MB.rsvd.limit_in_bytes", "hugetlb.2MB.rsvd.max"), "4194304");
  auto stats = group_->stats();
  ASSERT_TRUE(stats) << why(stats);
  EXPECT_EQ(stats->hugetlb.count("2MB"), 1U);
  resources.hugepage_limits = {{"3MB", 4U << 20U}};
  auto refused = group_->set(resources);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kUnsupported);
  EXPECT_EQ(refused.error().where(), "linux.resources.hugepageLimits[0]");
}

TEST_F(RealLimits, a_controller_that_is_missing_is_named_with_the_field) {
  for (const char* controller : {"memory", "pids", "io", "cpu"}) {
    if (has(controller)) continue;
    oci::Resources resources;
    resources.memory.emplace().limit = 1 << 20;
    resources.pids_limit = 5;
    auto group = make(&resources);
    ASSERT_FALSE(group);
    EXPECT_EQ(group.error().code(), Code::kUnsupported);
    EXPECT_EQ(group.error().where(), "linux.resources.memory.limit");
    EXPECT_FALSE(group.error().hint().empty());
    return;
  }
  GTEST_SKIP() << "this host has every controller";
}

TEST_F(RealLimits, unified_keys) {
  if (layout_.v2_mount.empty()) GTEST_SKIP() << "no v2 tree";
  oci::Resources resources;
  resources.unified = {{"cgroup.max.descendants", "7"}};
  auto group = make(&resources);
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  ASSERT_OK(group_->set(resources));
  EXPECT_EQ(read(group_->location().paths.at("") + "/cgroup.max.descendants"), "7");
  for (const char* key : {"memory.nonsense", "nonsense.max", "../x", "nodot", "cgroup.procs"}) {
    oci::Resources bad;
    bad.unified = {{key, "1"}};
    auto refused = group_->set(bad);
    ASSERT_FALSE(refused) << key;
    EXPECT_NE(refused.error().where().find(key), std::string::npos) << refused.error().text();
  }
}

TEST_F(RealGroup, stats_of_what_is_there) {
  auto group = make();
  ASSERT_TRUE(group) << why(group);
  group_ = *std::move(group);
  Process child;
  ASSERT_OK(group_->join(child.pid()));
  auto stats = group_->stats();
  ASSERT_TRUE(stats) << why(stats);
  EXPECT_TRUE(stats->cpu);
  EXPECT_EQ(stats->memory.has_value(), has("memory"));
  EXPECT_EQ(stats->pids.has_value(), has("pids"));
}

}  // namespace
}  // namespace vrun::cgroups
