#include "cgroups/systemd_unit.hpp"

#include <gtest/gtest.h>

#include "cgroups/systemd.hpp"

namespace vrun::cgroups {
namespace {

ContainerId id() {
  return *ContainerId::parse("web");
}

std::string value_of(const std::vector<Property>& properties, const std::string& name) {
  for (const Property& one : properties) {
    if (one.name == name) return to_gvariant(one.value);
  }
  return "";
}

TEST(SystemdUnit, names_from_the_path) {
  auto name = unit_name("machine.slice:libpod:abc", id(), false);
  ASSERT_TRUE(name);
  EXPECT_EQ(name->unit, "libpod-abc.scope");
  EXPECT_EQ(name->slice, "machine.slice");
  EXPECT_EQ(unit_name("", id(), false)->unit, "vrun-web.scope");
  EXPECT_EQ(unit_name("", id(), false)->slice, "system.slice");
  EXPECT_EQ(unit_name("", id(), true)->slice, "user.slice");
  EXPECT_EQ(unit_name(":runc:x", id(), false)->slice, "system.slice");
  EXPECT_EQ(unit_name("-:runc:x", id(), false)->slice, "-.slice");
  EXPECT_EQ(unit_name("a.slice::x", id(), false)->unit, "x.scope");
  EXPECT_EQ(unit_name("a.slice:ignored:a-b.slice", id(), false)->unit, "a-b.slice");
}

TEST(SystemdUnit, wrong_paths_are_refused) {
  for (const char* path :
       {"/a/b", "a.slice:x", "a:b:c:d", "a.slice:x:", "a/b.slice:x:y", "-a.slice:x:y",
        "a--b.slice:x:y", ".slice:x:y", "a:x:y", "a.slice:x:../../y", "a.slice:x:y z"}) {
    auto name = unit_name(path, id(), false);
    ASSERT_FALSE(name) << path;
    EXPECT_EQ(name.error().where(), "linux.cgroupsPath") << path;
  }
}

TEST(SystemdUnit, slices_nest_by_their_dashes) {
  EXPECT_EQ(*expand_slice("a-b-c.slice"), "/a.slice/a-b.slice/a-b-c.slice");
  EXPECT_EQ(*expand_slice("system.slice"), "/system.slice");
  EXPECT_EQ(*expand_slice("-.slice"), "/");
}

TEST(SystemdUnit, limits_as_properties) {
  oci::Resources resources;
  resources.memory.emplace();
  resources.memory->limit = 100;
  resources.memory->swap = 150;
  resources.memory->reservation = 50;
  resources.cpu.emplace();
  resources.cpu->shares = 1024;
  resources.cpu->quota = 12345;
  resources.cpu->period = 50000;
  resources.cpu->cpus = "0-2,9";
  resources.pids_limit = 0;
  resources.block_io.emplace();
  resources.block_io->weight = 1000;
  resources.block_io->throttle_read_bps = {{8, 16, 1000}};
  auto all = resource_properties(resources, true);
  ASSERT_TRUE(all) << all.error().text();
  EXPECT_EQ(value_of(*all, "MemoryMax"), "@t 100");
  EXPECT_EQ(value_of(*all, "MemorySwapMax"), "@t 50");
  EXPECT_EQ(value_of(*all, "MemoryLow"), "@t 50");
  EXPECT_EQ(value_of(*all, "CPUWeight"), "@t 100");
  EXPECT_EQ(value_of(*all, "CPUQuotaPerSecUSec"), "@t 250000");  // 24.69 % rounded up
  EXPECT_EQ(value_of(*all, "CPUQuotaPeriodUSec"), "@t 50000");
  EXPECT_EQ(value_of(*all, "AllowedCPUs"), "@ay [7, 2]");
  EXPECT_EQ(value_of(*all, "TasksMax"), "@t 18446744073709551615");
  EXPECT_EQ(value_of(*all, "IOWeight"), "@t 10000");
  EXPECT_EQ(value_of(*all, "IOReadBandwidthMax"), "@a(st) [('/dev/block/8:16', 1000)]");
  all = resource_properties(resources, false);
  EXPECT_EQ(value_of(*all, "MemoryLimit"), "@t 100");
  EXPECT_EQ(value_of(*all, "CPUShares"), "@t 1024");
  EXPECT_EQ(value_of(*all, "BlockIOWeight"), "@t 1000");
  EXPECT_EQ(value_of(*all, "AllowedCPUs"), "");
}

TEST(SystemdUnit, unified_keys_have_the_last_word) {
  oci::Resources resources;
  resources.pids_limit = 5;
  resources.unified = {{"pids.max", "7"},
                       {"memory.high", "max"},
                       {"cpu.max", "max 20000"},
                       {"cpuset.cpus", "1"},
                       {"io.weight", "default 50"}};
  auto all = resource_properties(resources, true);
  ASSERT_TRUE(all) << all.error().text();
  EXPECT_EQ(value_of(*all, "TasksMax"), "@t 7");
  EXPECT_EQ(value_of(*all, "MemoryHigh"), "@t 18446744073709551615");
  EXPECT_EQ(value_of(*all, "CPUQuotaPerSecUSec"), "@t 18446744073709551615");
  EXPECT_EQ(value_of(*all, "AllowedCPUs"), "@ay [2]");
  EXPECT_EQ(value_of(*all, "IOWeight"), "");
  resources.unified = {{"cpu.max", "lots"}};
  EXPECT_FALSE(resource_properties(resources, true));
}

TEST(SystemdUnit, annotations_become_properties) {
  auto all = annotation_properties({{"org.systemd.property.TimeoutStopUSec", "uint64 123"},
                                    {"org.systemd.property.CollectMode", "'inactive-or-failed'"},
                                    {"org.systemd.property.RuntimeMaxSec", "1.5"},
                                    {"org.systemd.property.Before", "['a.service']"},
                                    {"unrelated", "["}});
  ASSERT_TRUE(all) << all.error().text();
  EXPECT_EQ(all->size(), 4U);
  EXPECT_EQ(value_of(*all, "TimeoutStopUSec"), "@t 123");
  EXPECT_EQ(value_of(*all, "RuntimeMaxUSec"), "@t 1500000");
  EXPECT_EQ(value_of(*all, "Before"), "@as ['a.service']");
  for (auto& [name, text] : std::map<std::string, std::string>{
           {"Bad-Name", "1"}, {"x", "1"}, {"Foo", "["}, {"TimeoutSec", "'1'"}, {"FooSec", "-1"}}) {
    auto wrong = annotation_properties({{"org.systemd.property." + name, text}});
    ASSERT_FALSE(wrong) << name;
    EXPECT_NE(wrong.error().where().find("annotations["), std::string::npos);
  }
}

TEST(SystemdUnit, cpu_lists_as_bit_masks) {
  EXPECT_EQ(*cpu_mask("0", ""), std::vector<unsigned char>{1});
  EXPECT_EQ(*cpu_mask("7-8", ""), (std::vector<unsigned char>{0x80, 1}));
  for (const char* list : {"", "a", "3-1", "1-", "-1", "99999", "1,,2"}) {
    EXPECT_FALSE(cpu_mask(list, "")) << list;
  }
}

TEST(SystemdUnit, requests_are_lines) {
  UnitRequest request{
      UnitRequest::Verb::kSet, "a.scope", {{"Description", bus_string("two\nlines")}}};
  EXPECT_EQ(request_text(request, true),
            "bus\tuser\nverb\tset\nunit\ta.scope\nproperty\tDescription\t@s 'two\\nlines'\n");
}

TEST(Gvariant, values_survive_a_round) {
  for (const char* text : {"@t 5", "@s 'it\\'s'", "@as ['a', 'b']", "@as []", "@ay [1, 255]",
                           "@(st) ('x', 1)", "@v <@u 7>", "@a{sv} {'k': <@b true>}",
                           "@a(st) [('/dev/sda', 5)]", "@d 1.5", "@x -5", "@(s,) ('x',)"}) {
    auto value = parse_gvariant(text);
    if (std::string_view(text).find("(s,)") != std::string_view::npos) {
      EXPECT_FALSE(value);  // no such signature
      continue;
    }
    ASSERT_TRUE(value) << value.error().text();
    EXPECT_EQ(to_gvariant(*value), text);
  }
}

TEST(Gvariant, types_by_word_and_by_form) {
  EXPECT_EQ(parse_gvariant("5")->signature, "i");
  EXPECT_EQ(parse_gvariant("uint64 5")->signature, "t");
  EXPECT_EQ(parse_gvariant("0x10")->text, "16");
  EXPECT_EQ(parse_gvariant("010")->text, "8");
  EXPECT_EQ(parse_gvariant("1.5")->signature, "d");
  EXPECT_EQ(parse_gvariant(" true ")->signature, "b");
  EXPECT_EQ(parse_gvariant("[byte 1, 2]")->signature, "ay");
  EXPECT_EQ(parse_gvariant("(1, 'a')")->signature, "(is)");
  EXPECT_EQ(parse_gvariant("('a',)")->signature, "(s)");
  EXPECT_EQ(parse_gvariant("b'ab'")->items.size(), 3U);
  EXPECT_EQ(parse_gvariant("objectpath '/a'")->signature, "o");
  EXPECT_EQ(parse_gvariant("{'a': uint32 1, 'b': 2}")->signature, "a{su}");
}

TEST(Gvariant, nonsense_is_refused) {
  for (const char* text :
       {"",       "[",     "[]",           "byte 256", "uint32 -1", "int32 2147483648",
        "'open",  "1 2",   "[1, 'a']",     "@z 1",     "@s 5",      "nothing",
        "just 5", "{}",    "()",           "<1",       "{'a' 1}",   "[1 2]",
        "--5",    "1.5.5", "@as ['a', 5]", "\\"}) {
    EXPECT_FALSE(parse_gvariant(text)) << text;
  }
  EXPECT_FALSE(parse_gvariant(std::string(100, '[')));
  EXPECT_FALSE(parse_gvariant("@" + std::string(100, 'a') + "s []"));
  EXPECT_FALSE(parse_gvariant(std::string(100000, ' ')));
}

}  // namespace
}  // namespace vrun::cgroups
