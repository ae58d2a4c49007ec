#include "vm/qemu_root.hpp"

#include <gtest/gtest.h>

namespace vrun::vm {
namespace {

TEST(QemuRoot, libraries_are_those_with_a_file) {
  EXPECT_EQ(
      libraries_of("\tlinux-vdso.so.1 (0x00007ffd3a5f2000)\n"
                   "\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f1d0a000000)\n"
                   "\t/lib64/ld-linux-x86-64.so.2 (0x00007f1d0b000000)\n"
                   "\tlibnone.so => not found\n"),
      (std::vector<std::string>{"/lib/x86_64-linux-gnu/libz.so.1", "/lib64/ld-linux-x86-64.so.2"}));
  EXPECT_TRUE(libraries_of("").empty());
}

}  // namespace
}  // namespace vrun::vm
