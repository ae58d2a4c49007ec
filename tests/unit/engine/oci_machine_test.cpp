// Which OCI bundles are micro-VMs.
#include "engine/oci_machine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "oci/documents.hpp"
#include "oci/reader.hpp"

namespace vrun::engine {
namespace {

using ::testing::HasSubstr;

oci::Spec annotated(const std::string& value) {
  oci::Spec spec;
  spec.annotations[kIsolationAnnotation] = value;
  return spec;
}

TEST(OciMachine, is_asked_for_by_the_object_or_the_annotation) {
  EXPECT_FALSE(*wants_machine(oci::Spec()));
  EXPECT_TRUE(*wants_machine(annotated("vm")));
  EXPECT_FALSE(*wants_machine(annotated("container")));
  oci::Spec spec;
  spec.vm.emplace();
  EXPECT_TRUE(*wants_machine(spec));
}

TEST(OciMachine, contradictions_are_faults) {
  EXPECT_THAT(wants_machine(annotated("VM")).error().text(), HasSubstr("neither"));
  oci::Spec spec = annotated("container");
  spec.vm.emplace();
  EXPECT_THAT(wants_machine(spec).error().text(), HasSubstr("exclude"));
}

TEST(OciMachine, the_object_is_read_and_written_as_the_specification_has_it) {
  const oci::Spec spec = *oci::parse_spec(
      R"({"ociVersion":"1.3.0","root":{"path":"/r"},"vm":{)"
      R"("hypervisor":{"path":"/h","parameters":["a"]},)"
      R"("kernel":{"path":"/k","parameters":["b"],"initrd":"/i"},)"
      R"("image":{"path":"/d","format":"raw"},"hwConfig":{"vcpus":2,"memory":1048576}}})",
      "config.json");
  ASSERT_TRUE(spec.vm && spec.vm->hypervisor && spec.vm->kernel && spec.vm->image &&
              spec.vm->hardware);
  EXPECT_EQ(spec.vm->kernel->initrd, "/i");
  EXPECT_EQ(spec.vm->hardware->memory, 1048576u);
  EXPECT_EQ(*oci::parse_spec(oci::to_json(spec, false), "config.json"), spec);
}

TEST(OciMachine, what_of_the_object_cannot_be_done_is_all_told_before_anything_is_made) {
  oci::Spec spec;
  spec.process.emplace();
  spec.vm.emplace().hypervisor.emplace() = {.path = "/usr/bin/qemu", .parameters = {"x"}};
  spec.vm->image.emplace() = {.path = "/d", .format = "raw"};
  spec.vm->kernel.emplace() = {.path = "/k", .parameters = {}, .initrd = "/i"};
  const Host host = Host::current();
  const auto lowered = lower_to_machine(host)(Fd(), spec);
  ASSERT_FALSE(lowered.has_value());
  EXPECT_EQ(lowered.error().code(), Code::kUnsupported);
  for (const char* part :
       {"vm.hypervisor:", "vm.hypervisor.parameters", "vm.image", "vm.kernel.initrd"})
    EXPECT_THAT(lowered.error().text(), HasSubstr(part));
}

TEST(OciMachine, what_only_the_hosts_kernel_could_give_is_refused_and_not_left_out) {
  oci::Spec spec = annotated("vm");
  spec.process.emplace();
  spec.process->apparmor_profile = "mine";
  spec.process->selinux_label = "mine";
  spec.linux.devices.emplace_back().path = "/dev/fuse";
  const auto lowered = lower_to_machine(Host::current())(Fd(), spec);
  ASSERT_FALSE(lowered.has_value());
  for (const char* part : {"apparmorProfile", "selinuxLabel", "linux.devices"})
    EXPECT_THAT(lowered.error().text(), HasSubstr(part));
}

TEST(OciMachine, a_container_stays_what_it_is) {
  oci::Spec spec;
  spec.hostname = "web";
  const oci::Spec before = spec;
  EXPECT_TRUE(lower_to_machine(Host::current())(Fd(), spec)->empty());
  EXPECT_EQ(spec, before);
}

}  // namespace
}  // namespace vrun::engine
