#include "cgroups/intel_rdt.hpp"

#include "tests/unit/cgroups/temporary.hpp"

namespace vrun::cgroups {
namespace {

class Rdt : public Temporary {
 protected:
  Rdt() {
    host_.proc = dir_ + "/proc";
    file("proc/self/mountinfo", "30 1 0:5 / " + dir_ + "/resctrl rw - resctrl resctrl rw\n");
    file("resctrl/info/last_cmd_status", "ok\n");
  }
  Result<IntelRdt> make(const oci::IntelRdt& config) {
    return IntelRdt::plan(config, *ContainerId::parse("web"), host_);
  }
  Host host_;
};

TEST_F(Rdt, mount_is_found_in_mountinfo) {
  EXPECT_EQ(find_resctrl("1 2 0:1 / /x rw - tmpfs tmpfs rw\n"
                         "30 1 0:5 / /sys/fs/resctrl rw shared:9 - resctrl resctrl rw\n"),
            "/sys/fs/resctrl");
  EXPECT_EQ(find_resctrl("garbage\n - resctrl \n"), "");
  EXPECT_TRUE(has_resctrl(host_));
}

TEST_F(Rdt, without_resctrl_the_field_is_named) {
  file("proc/self/mountinfo", "");
  auto rdt = make({});
  ASSERT_FALSE(rdt);
  EXPECT_EQ(rdt.error().code(), Code::kUnsupported);
  EXPECT_EQ(rdt.error().where(), "linux.intelRdt");
  EXPECT_FALSE(has_resctrl(host_));
}

TEST_F(Rdt, schemata_are_combined_in_order) {
  oci::IntelRdt config;
  config.l3_cache_schema = "L3:0=f\nMB:0=10";
  config.mem_bw_schema = "MB:0=20";
  config.schemata = {"L2:0=3", "L3:0=1"};
  EXPECT_EQ(combined_schemata(config), "L3:0=f\nMB:0=20\nL2:0=3\nL3:0=1\n");
  config.mem_bw_schema.clear();
  EXPECT_EQ(combined_schemata(config), "L3:0=f\nMB:0=10\nL2:0=3\nL3:0=1\n");
}

TEST_F(Rdt, a_named_class_must_exist_when_nothing_is_to_be_written) {
  oci::IntelRdt config;
  config.clos_id = "gold";
  auto rdt = make(config);
  ASSERT_TRUE(rdt);
  auto created = rdt->create();
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().where(), "linux.intelRdt.closID");
  file("resctrl/gold/tasks");
  ASSERT_TRUE(rdt->create());
  EXPECT_FALSE(rdt->location().made_clos);
  ASSERT_TRUE(rdt->join(Pid(77)));
  EXPECT_EQ(read("resctrl/gold/tasks"), "77");
  ASSERT_TRUE(rdt->destroy());
  EXPECT_TRUE(exists("resctrl/gold"));  // it was there before
}

TEST_F(Rdt, a_class_of_the_containers_own_goes_with_it) {
  auto rdt = make({});
  ASSERT_TRUE(rdt);
  EXPECT_EQ(rdt->location().clos, dir_ + "/resctrl/web");
  ASSERT_TRUE(rdt->create());
  EXPECT_TRUE(rdt->location().made_clos);
  IntelRdt again = IntelRdt::open(rdt->location());
  ASSERT_TRUE(again.destroy());
  EXPECT_FALSE(exists("resctrl/web"));
  ASSERT_TRUE(again.destroy());
}

TEST_F(Rdt, schemata_and_monitoring_in_an_existing_class) {
  file("resctrl/gold/schemata");
  file("resctrl/gold/tasks");
  ASSERT_TRUE(fs::make_dirs(At::cwd(), dir_ + "/resctrl/gold/mon_groups", 0755));
  oci::IntelRdt config;
  config.clos_id = "gold";
  config.schemata = {"L3:0=f"};
  config.enable_monitoring = true;
  auto rdt = make(config);
  ASSERT_TRUE(rdt);
  ASSERT_TRUE(rdt->create());
  EXPECT_EQ(read("resctrl/gold/schemata"), "L3:0=f\n");
  EXPECT_TRUE(exists("resctrl/gold/mon_groups/web"));
  ASSERT_TRUE(rdt->destroy());
  EXPECT_FALSE(exists("resctrl/gold/mon_groups/web"));
}

TEST_F(Rdt, what_cannot_be_written_leaves_nothing_and_gives_the_kernels_words) {
  file("resctrl/info/last_cmd_status", "line 1: bad mask\n");
  oci::IntelRdt config;
  config.schemata = {"L3:0=f"};
  auto rdt = make(config);  // a plain folder has no schemata file: writing it fails
  ASSERT_TRUE(rdt);
  auto created = rdt->create();
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().where(), "linux.intelRdt.schemata");
  EXPECT_EQ(created.error().hint(), "the kernel says: line 1: bad mask");
  EXPECT_FALSE(exists("resctrl/web"));
}

TEST_F(Rdt, known_by_its_record_only) {
  file("resctrl/gold/schemata");
  oci::IntelRdt change;
  change.mem_bw_schema = "MB:0=50";
  ASSERT_TRUE(update_intel_rdt("gold", change, host_));
  EXPECT_EQ(read("resctrl/gold/schemata"), "MB:0=50\n");
  ASSERT_TRUE(fs::make_dirs(At::cwd(), dir_ + "/resctrl/gold/mon_groups/web", 0755));
  ASSERT_TRUE(remove_rdt_monitor("gold", *ContainerId::parse("web"), host_));
  EXPECT_FALSE(exists("resctrl/gold/mon_groups/web"));
  auto planned = IntelRdt::plan({}, *ContainerId::parse("web"), host_);
  ASSERT_TRUE(planned);
  ASSERT_TRUE(planned->create());
  EXPECT_EQ(planned->closid(), "web");
  EXPECT_TRUE(planned->is_ours());
  ASSERT_TRUE(remove_intel_rdt("web", host_));
  EXPECT_FALSE(exists("resctrl/web"));
  EXPECT_FALSE(remove_intel_rdt("../gold", host_));
}

TEST_F(Rdt, names_that_leave_the_filesystem_or_are_its_own_are_refused) {
  for (const char* name : {"../x", "a/b", "info", "..", ".", "mon_groups", "tasks"}) {
    oci::IntelRdt config;
    config.clos_id = name;
    auto rdt = make(config);
    ASSERT_FALSE(rdt) << name;
    EXPECT_EQ(rdt.error().where(), "linux.intelRdt.closID");
  }
}

}  // namespace
}  // namespace vrun::cgroups
