#include "vm/kernels/modules.hpp"

#include <gtest/gtest.h>

namespace vrun::vm {
namespace {

constexpr const char* kDep =
    "kernel/drivers/virtio/virtio.ko.xz:\n"
    "kernel/drivers/virtio/virtio_ring.ko.xz: kernel/drivers/virtio/virtio.ko.xz\n"
    "kernel/drivers/virtio/virtio_pci.ko.xz: kernel/drivers/virtio/virtio_ring.ko.xz "
    "kernel/drivers/virtio/virtio.ko.xz\n"
    "kernel/drivers/char/hw_random/virtio-rng.ko.xz: kernel/drivers/virtio/virtio_ring.ko.xz "
    "kernel/drivers/virtio/virtio.ko.xz\n";

TEST(Modules, each_comes_once_and_after_what_it_needs) {
  const ModuleIndex index = ModuleIndex::parse(kDep, "");
  const auto order = index.order({"virtio_rng", "virtio_pci"});
  ASSERT_TRUE(order.has_value());
  EXPECT_EQ(*order, (std::vector<std::string>{"kernel/drivers/virtio/virtio.ko.xz",
                                              "kernel/drivers/virtio/virtio_ring.ko.xz",
                                              "kernel/drivers/char/hw_random/virtio-rng.ko.xz",
                                              "kernel/drivers/virtio/virtio_pci.ko.xz"}));
}

TEST(Modules, built_in_ones_need_no_file) {
  const ModuleIndex index = ModuleIndex::parse(kDep, "kernel/fs/fuse/virtiofs.ko\n");
  EXPECT_TRUE(index.order({"virtiofs"})->empty());
}

TEST(Modules, all_that_are_missing_are_named) {
  const auto order = ModuleIndex::parse(kDep, "").order({"virtiofs", "virtio_pci", "overlay"});
  ASSERT_FALSE(order.has_value());
  EXPECT_EQ(order.error().text(), "the kernel has no module virtiofs, overlay");
}

TEST(Modules, dashes_are_underscores) {
  EXPECT_EQ(module_name("kernel/a/virtio-rng.ko"), "virtio_rng");
  EXPECT_EQ(module_name("b.ko.zst"), "b");
}

}  // namespace
}  // namespace vrun::vm
