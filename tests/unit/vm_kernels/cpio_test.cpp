#include "vm/kernels/cpio.hpp"

#include <gtest/gtest.h>

namespace vrun::vm {
namespace {

TEST(Cpio, entries_are_aligned_and_the_trailer_ends_them) {
  Cpio cpio;
  cpio.add_directory("d");
  cpio.add_file("d/f", "hello", 0755);
  cpio.add_device("d/c", 0600, 5, 1);
  const std::string bytes = cpio.finished();
  EXPECT_EQ(bytes.size() % 4, 0u);
  EXPECT_EQ(bytes.substr(0, 6), "070701");
  EXPECT_EQ(bytes.substr(14, 8), "000041ed");  // mode of the directory
  const std::size_t file = bytes.find("070701", 6);
  EXPECT_EQ(file % 4, 0u);
  EXPECT_EQ(bytes.substr(file + 54, 8), "00000005");  // size
  EXPECT_EQ(bytes.substr(file + 110, 4), std::string("d/f\0", 4));
  EXPECT_EQ(bytes.substr(file + 116, 5), "hello");
  EXPECT_NE(bytes.find("TRAILER!!!"), std::string::npos);
}

}  // namespace
}  // namespace vrun::vm
