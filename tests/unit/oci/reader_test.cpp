#include "oci/reader.hpp"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.hpp"
#include "base/json_writer.hpp"
#include "tests/unit/oci/sample.hpp"

namespace vrun::oci {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string fault_of(const std::string& text) {
  const auto spec = parse_spec(text, "config.json");
  return spec ? "accepted" : spec.error().text();
}

// The fault of a minimal config with `members` added, without the leading "config.json: ".
std::string fault_with(const std::string& members) {
  const std::string text = R"({"ociVersion":"1.0.2","root":{"path":"r"},)" + members + "}";
  const std::string fault = fault_of(text);
  const std::string name = "config.json: ";
  return fault.starts_with(name) ? fault.substr(name.size()) : fault;
}

std::string linux_fault(const std::string& members) {
  return fault_with(R"("linux":{)" + members + "}");
}

std::string resources_fault(const std::string& members) {
  return linux_fault(R"("resources":{)" + members + "}");
}

std::string process_fault(const std::string& members) {
  return fault_with(R"("process":{"cwd":"/",)" + members + "}");
}

TEST(Reader, reads_every_field) {
  const auto spec = parse_spec(test::full_config(), "full.json");
  ASSERT_TRUE(spec) << spec.error().text();
  EXPECT_EQ(spec->process->user.uid, Uid(1000));
  EXPECT_EQ(spec->process->user.additional_gids, (std::vector{Gid(5), Gid(4294967294U)}));
  EXPECT_EQ(spec->process->rlimits[0].hard, UINT64_MAX);
  EXPECT_EQ(spec->process->oom_score_adj, -500);
  EXPECT_EQ(spec->linux.namespaces[1].type, NamespaceType::kNetwork);
  EXPECT_EQ(spec->linux.namespaces[7].type, NamespaceType::kTime);
  EXPECT_EQ(spec->linux.devices[1].type, 'p');
  EXPECT_EQ(spec->linux.resources->devices[1].type, 'b');
  EXPECT_EQ(spec->linux.resources->devices[1].major, -1);
  EXPECT_EQ(spec->linux.resources->memory->limit, 536870912);
  EXPECT_EQ(spec->linux.net_devices[0].host_name, "eth1");
  EXPECT_EQ(spec->linux.net_devices[0].name, "net0");
  EXPECT_EQ(spec->linux.time_offsets[1].clock, "boottime");
  EXPECT_EQ(spec->linux.time_offsets[1].secs, -604800);
  EXPECT_EQ(spec->linux.seccomp->syscalls[1].args[0].value, UINT64_MAX);
  EXPECT_EQ(spec->hooks.poststop[0].timeout, 6);
  EXPECT_EQ(spec->linux.resources->rdma[0].device, "mlx5_1");
}

// ---- every field refuses every wrong type ----

struct Replacement {
  std::string path;
  json::Kind kind;
};

// Writes `value` to `out`, with the value at `path` replaced by the JSON text `other`.
void copy_replacing(const json::Value& value, const std::string& at, const std::string& path,
                    const std::string& other, std::string& out) {
  const auto quoted = [](std::string_view text) {
    json::Writer w;
    w.value(text);
    return w.take();
  };
  if (at == path) {
    out += other;
    return;
  }
  switch (value.kind()) {
    case json::Kind::kNull:
      out += "null";
      return;
    case json::Kind::kBool:
      out += value.as_bool() ? "true" : "false";
      return;
    case json::Kind::kUnsigned:
      out += std::to_string(value.as_unsigned());
      return;
    case json::Kind::kNegative:
      out += std::to_string(value.as_negative());
      return;
    case json::Kind::kReal:
      out += std::to_string(value.as_real());
      return;
    case json::Kind::kString:
      out += quoted(value.as_text());
      return;
    case json::Kind::kArray: {
      out += '[';
      for (std::size_t i = 0; i < value.elements().size(); ++i) {
        if (i > 0) out += ',';
        copy_replacing(value.elements()[i], at + "[" + std::to_string(i) + "]", path, other, out);
      }
      out += ']';
      return;
    }
    case json::Kind::kObject: {
      out += '{';
      for (const json::Member& member : value.members()) {
        if (out.back() != '{') out += ',';
        const std::string key(member.key.as_text());
        out += quoted(key) + ":";
        const bool plain = key.find('.') == std::string::npos;
        const std::string name = plain ? (at.empty() ? key : "." + key) : "['" + key + "']";
        copy_replacing(member.value, at + name, path, other, out);
      }
      out += '}';
      return;
    }
  }
}

void list_places(const json::Value& value, const std::string& at, std::vector<Replacement>& out) {
  if (!at.empty()) out.push_back({at, value.kind()});
  if (value.kind() == json::Kind::kArray) {
    for (std::size_t i = 0; i < value.elements().size(); ++i) {
      list_places(value.elements()[i], at + "[" + std::to_string(i) + "]", out);
    }
  }
  if (value.kind() != json::Kind::kObject) return;
  for (const json::Member& member : value.members()) {
    const std::string key(member.key.as_text());
    const bool plain = key.find('.') == std::string::npos;
    list_places(member.value, at + (plain ? (at.empty() ? key : "." + key) : "['" + key + "']"),
                out);
  }
}

bool is_number(json::Kind kind) {
  return kind == json::Kind::kUnsigned || kind == json::Kind::kNegative;
}

class EveryPlace : public ::testing::Test {
 protected:
  EveryPlace() : document_(json::Document::parse(test::full_config(), "full.json")) {
    list_places(document_->root(), "", places_);
  }
  std::string fault_when(const std::string& path, const std::string& other) {
    std::string text;
    copy_replacing(document_->root(), "", path, other, text);
    return fault_of(text);
  }
  Result<json::Document> document_;
  std::vector<Replacement> places_;
};

TEST_F(EveryPlace, refuses_every_wrong_type_and_names_the_place) {
  struct Wrong {
    std::string text;
    std::function<bool(json::Kind)> is_right_for;
  };
  const std::vector<Wrong> wrongs = {
      {"true", [](json::Kind k) { return k == json::Kind::kBool; }},
      {"7", is_number},
      {"\"text\"", [](json::Kind k) { return k == json::Kind::kString; }},
      {"[]", [](json::Kind k) { return k == json::Kind::kArray; }},
      {"{}", [](json::Kind k) { return k == json::Kind::kObject; }},
      {"1.5", [](json::Kind) { return false; }},
      {"1e99", [](json::Kind) { return false; }},
      {"18446744073709551616", [](json::Kind) { return false; }},
  };
  ASSERT_GT(places_.size(), 200U);
  for (const Replacement& place : places_) {
    for (const Wrong& wrong : wrongs) {
      if (wrong.is_right_for(place.kind)) continue;
      EXPECT_THAT(fault_when(place.path, wrong.text),
                  StartsWith("config.json: " + place.path + ": "))
          << "with " << wrong.text;
    }
  }
}

TEST_F(EveryPlace, refuses_an_embedded_nul_in_every_text) {
  for (const Replacement& place : places_) {
    if (place.kind != json::Kind::kString) continue;
    EXPECT_EQ(fault_when(place.path, R"("a\u0000b")"),
              "config.json: " + place.path + ": has a NUL character");
  }
}

TEST_F(EveryPlace, refuses_numbers_beyond_64_bits_below) {
  for (const Replacement& place : places_) {
    if (!is_number(place.kind)) continue;
    EXPECT_THAT(fault_when(place.path, "-9223372036854775809"),
                StartsWith("config.json: " + place.path + ": "));
  }
}

// null is "absent" for a member, as in Go, and never an element.
TEST_F(EveryPlace, takes_null_as_absent_but_not_in_lists_and_maps) {
  for (const Replacement& place : places_) {
    const std::string fault = fault_when(place.path, "null");
    const bool element = place.path.ends_with(']');
    const bool map_value =
        place.path.starts_with("annotations.") || place.path.starts_with("linux.sysctl") ||
        place.path.starts_with("linux.resources.unified") ||
        place.path == "linux.resources.rdma.mlx5_1" || place.path == "linux.netDevices.eth1" ||
        place.path == "linux.netDevices.eth2" || place.path == "linux.timeOffsets.monotonic" ||
        place.path == "linux.timeOffsets.boottime";
    const bool whole = place.path == "linux.sysctl" || place.path == "linux.resources.unified";
    if (element || (map_value && !whole)) {
      EXPECT_THAT(fault, StartsWith("config.json: " + place.path + ": is null")) << place.path;
    } else if (fault != "accepted") {
      EXPECT_EQ(fault, "config.json: " + place.path + ": is missing");
    }
  }
}

// ---- numbers ----

TEST(Numbers, have_the_range_of_their_field) {
  EXPECT_EQ(resources_fault(R"("memory":{"limit":-5})"),
            "linux.resources.memory.limit: -5 is below -1");
  EXPECT_EQ(resources_fault(R"("memory":{"limit":9223372036854775808})"),
            "linux.resources.memory.limit: 9223372036854775808 is above 9223372036854775807");
  EXPECT_EQ(resources_fault(R"("memory":{"limit":9223372036854775807})"), "accepted");
  EXPECT_EQ(resources_fault(R"("memory":{"limit":1.5})"),
            "linux.resources.memory.limit: 1.5 is not written as a whole number");
  EXPECT_EQ(resources_fault(R"("memory":{"limit":1e3})"),
            "linux.resources.memory.limit: 1000 is not written as a whole number");
  EXPECT_EQ(resources_fault(R"("cpu":{"shares":18446744073709551615})"), "accepted");
  EXPECT_EQ(resources_fault(R"("cpu":{"shares":18446744073709551616})"),
            "linux.resources.cpu.shares: 1.84467440737096e+19 is above 18446744073709551615");
  EXPECT_EQ(resources_fault(R"("cpu":{"shares":-1})"), "linux.resources.cpu.shares: -1 is below 0");
  EXPECT_EQ(resources_fault(R"("blockIO":{"weight":65546})"),
            "linux.resources.blockIO.weight: 65546 is above 1000");
  EXPECT_EQ(process_fault(R"("oomScoreAdj":1001)"), "process.oomScoreAdj: 1001 is above 1000");
  EXPECT_EQ(process_fault(R"("oomScoreAdj":-1001)"), "process.oomScoreAdj: -1001 is below -1000");
  EXPECT_EQ(process_fault(R"("scheduler":{"policy":"SCHED_OTHER","nice":20})"),
            "process.scheduler.nice: 20 is above 19");
  EXPECT_EQ(process_fault(R"("ioPriority":{"class":"IOPRIO_CLASS_RT","priority":8})"),
            "process.ioPriority.priority: 8 is above 7");
  EXPECT_EQ(process_fault(R"("consoleSize":{"height":65536,"width":1})"),
            "process.consoleSize.height: 65536 is above 65535");
}

TEST(Numbers, an_id_never_wraps_to_root) {
  for (const std::string number : {"4294967295", "4294967296", "8589934592"}) {
    EXPECT_EQ(process_fault(R"("user":{"uid":)" + number + R"(,"gid":0})"),
              "process.user.uid: " + number + " is above 4294967294");
    EXPECT_EQ(process_fault(R"("user":{"uid":0,"gid":)" + number + "}"),
              "process.user.gid: " + number + " is above 4294967294");
    EXPECT_EQ(process_fault(R"("user":{"uid":0,"gid":0,"additionalGids":[1,)" + number + "]}"),
              "process.user.additionalGids[1]: " + number + " is above 4294967294");
  }
  EXPECT_EQ(process_fault(R"("user":{"uid":-1,"gid":0})"), "process.user.uid: -1 is below 0");
  EXPECT_EQ(process_fault(R"("user":{"uid":4294967294,"gid":0})"), "accepted");
}

TEST(Numbers, mappings_do_not_wrap) {
  const auto mapping = [](const std::string& inside, const std::string& outside,
                          const std::string& size) {
    return linux_fault(R"("uidMappings":[{"containerID":)" + inside + R"(,"hostID":)" + outside +
                       R"(,"size":)" + size + "}]");
  };
  EXPECT_EQ(mapping("0", "0", "4294967295"), "accepted");
  EXPECT_EQ(mapping("1", "0", "4294967295"),
            "linux.uidMappings[0]: the range of containerID and size is too long");
  EXPECT_EQ(mapping("0", "4294967295", "1"),
            "linux.uidMappings[0]: the range of hostID and size is too long");
  EXPECT_EQ(mapping("0", "0", "0"), "linux.uidMappings[0].size: 0 is below 1");
  EXPECT_EQ(mapping("0", "0", "4294967296"),
            "linux.uidMappings[0].size: 4294967296 is above 4294967295");
}

// ---- names ----

TEST(Names, unknown_ones_are_refused_with_the_nearest) {
  EXPECT_EQ(linux_fault(R"("namespaces":[{"type":"pid"},{"type":"networks"}])"),
            "linux.namespaces[1].type: 'networks' is not known, did you mean 'network'?");
  EXPECT_EQ(process_fault(R"("rlimits":[{"type":"RLIMIT_NOFILES","hard":1,"soft":1}])"),
            "process.rlimits[0].type: 'RLIMIT_NOFILES' is not known, did you mean "
            "'RLIMIT_NOFILE'?");
  EXPECT_EQ(linux_fault(R"("seccomp":{"defaultAction":"SCMP_ACT_ALLOWED"})"),
            "linux.seccomp.defaultAction: 'SCMP_ACT_ALLOWED' is not known, did you mean "
            "'SCMP_ACT_ALLOW'?");
  EXPECT_EQ(linux_fault(R"("rootfsPropagation":"sharred")"),
            "linux.rootfsPropagation: 'sharred' is not known, did you mean 'shared'?");
  EXPECT_EQ(linux_fault(R"("timeOffsets":{"realtime":{"secs":1}})"),
            "linux.timeOffsets.realtime: 'realtime' is not known; known are monotonic, boottime");
  EXPECT_EQ(linux_fault(R"("personality":{"domain":"linux"})"),
            "linux.personality.domain: 'linux' is not known; known are LINUX, LINUX32");
  EXPECT_EQ(linux_fault(R"("devices":[{"path":"/dev/x","type":"d","major":1,"minor":1}])"),
            "linux.devices[0].type: 'd' is not known; known are c, b, u, p");
}

// ---- the document ----

TEST(Document, must_have_a_version_1_and_a_root) {
  EXPECT_EQ(fault_of("{}"), "config.json: 2 faults\n  ociVersion: is missing\n  root: is missing");
  EXPECT_EQ(fault_of(R"({"ociVersion":"2.0.0","root":{"path":"r"}})"),
            "config.json: ociVersion: '2.0.0' is not a version 1.x.y");
  for (const std::string version : {"1.0.0", "1.0.2-dev", "1.0.0-rc5", "1.3.0+build.7", "1.99.0"}) {
    EXPECT_EQ(fault_of(R"({"ociVersion":")" + version + R"(","root":{"path":"r"}})"), "accepted");
  }
  for (const std::string version : {"1", "1.0", "1.0.x", "v1.0.0", "1.0.0.0", "one", "11.0.0"}) {
    EXPECT_THAT(fault_of(R"({"ociVersion":")" + version + R"(","root":{"path":"r"}})"),
                HasSubstr("is not a version"));
  }
  EXPECT_EQ(fault_of(R"({"ociVersion":"1.0.0","root":{}})"), "config.json: root.path: is missing");
  EXPECT_EQ(fault_of(R"({"ociVersion":"1.0.0","root":{"path":""}})"),
            "config.json: root.path: is empty");
}

TEST(Document, reports_all_faults_at_once) {
  EXPECT_EQ(fault_with(R"("process":{"args":"sh","terminal":1},"hostname":[])"),
            "4 faults\n  process.terminal: is a number, not true or false\n"
            "  process.args: is a string, not a list\n"
            "  process.cwd: is missing\n"
            "  hostname: is a list, not a string");
}

TEST(Document, counts_the_faults_that_it_does_not_show) {
  std::string list;
  for (int i = 0; i < 100; ++i)
    list += i == 0 ? "1" : ",1";
  const std::string fault = process_fault(R"("args":[)" + list + "]");
  EXPECT_THAT(fault, StartsWith("100 faults\n  process.args[0]: is a number, not a string\n"));
  EXPECT_THAT(fault,
              ::testing::EndsWith("process.args[63]: is a number, not a string\n  and 36 more"));
}

TEST(Document, accepts_unknown_members) {
  EXPECT_EQ(fault_with(R"("windows":{"layerFolders":1},"vms":[],"x":{"y":[{}]})"), "accepted");
  EXPECT_EQ(process_fault(R"("commandLine":"x","user":{"uid":0,"gid":0,"username":"n"})"),
            "accepted");
}

// Go's decoder ignores case, so runc would apply these; ignoring them would differ in silence.
TEST(Document, refuses_members_that_differ_in_case_only) {
  EXPECT_EQ(linux_fault(R"("Seccomp":{})"), "linux.Seccomp: must be written 'seccomp'");
  EXPECT_EQ(process_fault(R"("noNewPrivilegeS":true)"),
            "process.noNewPrivilegeS: must be written 'noNewPrivileges'");
  EXPECT_EQ(fault_with(R"("annotations":{"A":"1","a":"2"})"), "accepted");
}

TEST(Document, refuses_duplicate_members) {
  EXPECT_EQ(fault_with(R"("hostname":"a","hostname":"b")"), "hostname: is there twice");
  EXPECT_EQ(fault_with(R"("hostname":"a","ho\u0073tname":"b")"), "hostname: is there twice");
  EXPECT_EQ(fault_with(R"("unknown":[{"a":1,"a":1}])"), "unknown[0].a: is there twice");
  std::string many;
  for (int i = 0; i < 100; ++i)
    many += "\"k" + std::to_string(i % 99) + "\":\"v\",";
  many.pop_back();
  EXPECT_EQ(fault_with(R"("annotations":{)" + many + "}"), "annotations.k0: is there twice");
}

TEST(Document, refuses_nul_in_names_too) {
  EXPECT_EQ(fault_with(R"("annotations":{"a\u0000b":"v"})"),
            "annotations['a\\x00b']: has a NUL character in its name");
  EXPECT_THAT(fault_of(std::string("{}\0{}", 5)), HasSubstr("has a NUL byte"));
}

TEST(Document, refuses_what_is_not_json) {
  EXPECT_THAT(fault_of(""), HasSubstr("line 1, column 1: not valid JSON: the document is empty"));
  EXPECT_THAT(fault_of("{\n \"a\": 1,\n}"), HasSubstr("line 3, column 1: not valid JSON: "));
  EXPECT_THAT(fault_of("{} {}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(fault_of("{\"a\":\"\xff\"}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(fault_of("{\"a\":\"\\ud800\"}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(fault_of("// c\n{}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(fault_of("{\"a\":NaN}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(fault_of("{\"a\":1e999}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(fault_of("[]"), HasSubstr("config.json: is a list, not an object"));
  EXPECT_THAT(fault_of("null"), HasSubstr("config.json: is null, not an object"));
}

TEST(Document, has_limits_of_depth_and_size) {
  const auto nested = [](std::size_t depth) {
    return R"({"ociVersion":"1.0.0","root":{"path":"r"},"x":)" + std::string(depth - 1, '[') +
           std::string(depth - 1, ']') + "}";
  };
  EXPECT_EQ(fault_of(nested(64)), "accepted");
  EXPECT_EQ(fault_of(nested(65)), "config.json: nested deeper than 64 levels");
  EXPECT_EQ(fault_of(std::string(1U << 20U, '[')), "config.json: nested deeper than 64 levels");
  EXPECT_THAT(fault_of(std::string(kMaxConfigBytes + 1, ' ')),
              HasSubstr("config.json: has 16777217 bytes, the limit is 16777216"));
}

TEST(Document, never_shows_control_characters_raw) {
  const std::string fault = fault_with(R"("annotations":{"\u001b[31m\n":1})") +
                            linux_fault(R"("rootfsPropagation":"\u001b]0;x\u0007")");
  EXPECT_THAT(fault, Not(HasSubstr("\x1b")));
  EXPECT_THAT(fault, Not(HasSubstr("\x07")));
  EXPECT_THAT(fault, Not(HasSubstr("\n")));
}

// ---- what engines really write ----

TEST(Engines, the_old_list_of_capabilities_is_explained) {
  EXPECT_EQ(process_fault(R"("capabilities":["CAP_KILL"])"),
            "process.capabilities: is a list, the form before version 1.0; it must be an object "
            "with the sets");
}

TEST(Engines, swappiness_minus_one_of_old_docker_clients_is_unset) {
  const auto resources =
      parse_resources(R"({"memory":{"swappiness":18446744073709551615}})", "resources");
  ASSERT_TRUE(resources) << resources.error().text();
  EXPECT_FALSE(resources->memory->swappiness);
  EXPECT_EQ(resources_fault(R"("memory":{"swappiness":101})"),
            "linux.resources.memory.swappiness: 101 is above 100");
}

TEST(Engines, zeros_and_nulls_of_docker_are_kept_or_absent) {
  const auto resources = parse_resources(
      R"({"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":null,"minor":-1}],)"
      R"("memory":{"disableOOMKiller":false},"cpu":{"shares":0,"quota":0},"pids":{},)"
      R"("blockIO":{"weight":0,"weightDevice":null}})",
      "resources");
  ASSERT_TRUE(resources) << resources.error().text();
  EXPECT_EQ(resources->devices[0].type, 'a');
  EXPECT_FALSE(resources->devices[1].major);
  EXPECT_EQ(resources->devices[1].minor, -1);
  EXPECT_EQ(resources->block_io->weight, 0);
  EXPECT_FALSE(resources->pids_limit);
}

TEST(Engines, the_old_monitoring_switches_are_understood) {
  for (const std::string name : {"enableCMT", "enableMBM", "enableMonitoring"}) {
    const auto spec =
        parse_spec(R"({"ociVersion":"1.0.2","root":{"path":"r"},"linux":{"intelRdt":{")" + name +
                       R"(":true}}})",
                   "config.json");
    ASSERT_TRUE(spec) << spec.error().text();
    EXPECT_TRUE(spec->linux.intel_rdt->enable_monitoring) << name;
  }
}

TEST(Engines, a_config_without_process_or_linux_is_read) {
  const auto spec = parse_spec(R"({"ociVersion":"1.0.2","root":{"path":"r"}})", "config.json");
  ASSERT_TRUE(spec) << spec.error().text();
  EXPECT_FALSE(spec->process);
  EXPECT_EQ(spec->linux, Linux());
}

TEST(Reader, parts_are_named_from_their_own_root) {
  const auto process = parse_process(R"({"cwd":"/","args":[1]})", "process.json");
  ASSERT_FALSE(process);
  EXPECT_EQ(process.error().text(), "process.json: args[0]: is a number, not a string");
  EXPECT_EQ(process.error().code(), Code::kInvalid);
  const auto resources = parse_resources(R"({"pids":{"limit":-2}})", "resources");
  ASSERT_FALSE(resources);
  EXPECT_EQ(resources.error().text(), "resources: pids.limit: -2 is below -1");
}

}  // namespace
}  // namespace vrun::oci
