#include <gtest/gtest.h>

#include "cli/oci_json.hpp"

namespace vrun::cli {
namespace {

runtime::Info web() {
  runtime::Info info;
  info.id = "web";
  info.status = runtime::Status::kRunning;
  info.pid = Pid(42);
  info.bundle = "/b";
  info.rootfs = "/b/rootfs";
  info.created = "2026-01-02T03:04:05.000000006Z";
  return info;
}

TEST(Json, state_has_runc_s_fields_in_runc_s_order) {
  EXPECT_EQ(state_json(web()),
            "{\n"
            "  \"ociVersion\": \"1.3.0\",\n"
            "  \"id\": \"web\",\n"
            "  \"pid\": 42,\n"
            "  \"status\": \"running\",\n"
            "  \"bundle\": \"/b\",\n"
            "  \"rootfs\": \"/b/rootfs\",\n"
            "  \"created\": \"2026-01-02T03:04:05.000000006Z\",\n"
            "  \"owner\": \"\"\n"
            "}\n");
}

TEST(Json, list_is_one_line_with_annotations_and_owner) {
  runtime::Info info = web();
  info.annotations = {{"k", "v\""}};
  EXPECT_EQ(
      list_json({info}),
      R"([{"ociVersion":"1.3.0","id":"web","pid":42,"status":"running","bundle":"/b","rootfs":"/b/rootfs",)"
      R"("created":"2026-01-02T03:04:05.000000006Z","annotations":{"k":"v\""},"owner":"root"}])"
      "\n");
  EXPECT_EQ(list_json({}), "null\n");
}

TEST(Json, pids_are_an_array) {
  EXPECT_EQ(pids_json({Pid(1), Pid(22)}), "[1,22]\n");
  EXPECT_EQ(pids_json({}), "null\n");
}

TEST(Json, an_unknown_owner_is_a_number) {
  EXPECT_EQ(UserNames().of(Uid(0)), "root");
  EXPECT_EQ(UserNames().of(Uid(4123456789U)), "#4123456789");
}

TEST(Json, events_use_runc_s_names) {
  cgroups::Stats stats;
  stats.cpu.emplace();
  stats.cpu->usage_ns = 7;
  stats.cpu->user_ns = 4;
  stats.cpu->system_ns = 3;
  stats.cpu->throttled_periods = 2;
  stats.cpu->pressure.emplace();
  stats.cpu->pressure->some.avg10 = 1.5;
  stats.memory.emplace();
  stats.memory->usage = 100;
  stats.memory->limit = 200;
  stats.memory->raw = {{"anon", 9}};
  stats.pids = cgroups::Stats::PidsStats{3, 64};
  stats.io.emplace();
  stats.io->bytes = {{8, 16, "Read", 512}};
  stats.hugetlb = {{"2MB", {1, 2, 3}}};
  EXPECT_EQ(
      stats_line("web", stats),
      R"({"type":"stats","id":"web","data":{"cpu":{"usage":{"total":7,"kernel":3,"user":4},)"
      R"("throttling":{"periods":0,"throttledPeriods":2,"throttledTime":0},)"
      R"("psi":{"some":{"avg10":1.5,"avg60":0.0,"avg300":0.0,"total":0},"full":{"avg10":0.0,"avg60":0.0,"avg300":0.0,"total":0}}},)"
      R"("memory":{"cache":0,"usage":{"limit":200,"usage":100,"max":0,"failcnt":0},)"
      R"("swap":{"limit":0,"usage":0,"max":0,"failcnt":0},"kernel":{"limit":0,"usage":0,"max":0,"failcnt":0},)"
      R"("kernelTCP":{"limit":0,"usage":0,"max":0,"failcnt":0},"oomKills":0,"raw":{"anon":9}},)"
      R"("pids":{"current":3,"limit":64},"blkio":{"ioServiceBytesRecursive":[{"major":8,"minor":16,"op":"Read","value":512}]},)"
      R"("hugetlb":{"2MB":{"usage":1,"max":2,"failcnt":3}}}})"
      "\n");
  EXPECT_EQ(oom_line("web"), "{\"type\":\"oom\",\"id\":\"web\"}\n");
}

}  // namespace
}  // namespace vrun::cli
