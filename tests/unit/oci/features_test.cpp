#include "oci/features.hpp"

#include <gtest/gtest.h>

namespace vrun::oci {
namespace {

TEST(FeaturesDocument, says_no_where_nothing_is_supported) {
  EXPECT_EQ(to_json(Features(), false),
            R"({"ociVersionMin":"1.0.0","ociVersionMax":"1.3.0","hooks":[],"mountOptions":[],)"
            R"("linux":{"namespaces":[],"capabilities":[],)"
            R"("cgroup":{"v1":false,"v2":false,"systemd":false,"systemdUser":false,"rdma":false},)"
            R"("seccomp":{"enabled":false},"apparmor":{"enabled":false},)"
            R"("selinux":{"enabled":false},)"
            R"("intelRdt":{"enabled":false,"schemata":false,"monitoring":false},)"
            R"("memoryPolicy":{},"mountExtensions":{"idmap":{"enabled":false}},)"
            R"("netDevices":{"enabled":false}}})");
}

TEST(FeaturesDocument, has_every_member_of_the_specification) {
  Features features;
  features.hooks = {"prestart"};
  features.mount_options = {"ro"};
  features.linux.namespaces = {"pid"};
  features.linux.capabilities = {"CAP_KILL"};
  features.linux.cgroup = {
      .v1 = true, .v2 = true, .systemd = true, .systemd_user = true, .rdma = true};
  features.linux.seccomp = {.enabled = true,
                            .actions = {"a"},
                            .operators = {"o"},
                            .archs = {"x"},
                            .known_flags = {"k"},
                            .supported_flags = {"s"}};
  features.linux.apparmor = true;
  features.linux.selinux = true;
  features.linux.intel_rdt = {.enabled = true, .schemata = true, .monitoring = true};
  features.linux.memory_policy = {.modes = {"m"}, .flags = {"f"}};
  features.linux.idmap_mounts = true;
  features.linux.net_devices = true;
  features.annotations = {{"a", "b"}};
  features.unsafe_annotations = {"u"};
  EXPECT_EQ(to_json(features, false),
            R"({"ociVersionMin":"1.0.0","ociVersionMax":"1.3.0","hooks":["prestart"],)"
            R"("mountOptions":["ro"],"linux":{"namespaces":["pid"],"capabilities":["CAP_KILL"],)"
            R"("cgroup":{"v1":true,"v2":true,"systemd":true,"systemdUser":true,"rdma":true},)"
            R"("seccomp":{"enabled":true,"actions":["a"],"operators":["o"],"archs":["x"],)"
            R"("knownFlags":["k"],"supportedFlags":["s"]},"apparmor":{"enabled":true},)"
            R"("selinux":{"enabled":true},)"
            R"("intelRdt":{"enabled":true,"schemata":true,"monitoring":true},)"
            R"("memoryPolicy":{"modes":["m"],"flags":["f"]},)"
            R"("mountExtensions":{"idmap":{"enabled":true}},"netDevices":{"enabled":true}},)"
            R"("annotations":{"a":"b"},"potentiallyUnsafeConfigAnnotations":["u"]})");
}

TEST(FeaturesDocument, knows_what_the_reader_knows) {
  const Features features = known_features();
  EXPECT_EQ(features.hooks.size(), 6U);
  EXPECT_EQ(features.linux.namespaces.size(), 8U);
  EXPECT_EQ(features.linux.seccomp.actions.size(), 9U);
  EXPECT_EQ(features.linux.seccomp.operators.size(), 7U);
  EXPECT_FALSE(features.linux.seccomp.enabled);
}

}  // namespace
}  // namespace vrun::oci
