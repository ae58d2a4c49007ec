#include "vm/vmm/state.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/sys.hpp"

namespace vrun::vmm {
namespace {

Fd file_of(std::string_view bytes) {
  Fd fd = *sys::memfd("test-state");
  EXPECT_TRUE(sys::write_all(fd.get(), bytes).has_value());
  EXPECT_EQ(::lseek(fd.get(), 0, SEEK_SET), 0);
  return fd;
}

std::string written(std::string_view state) {
  const Fd fd = *sys::memfd("test-state");
  EXPECT_TRUE(write_state(fd, state).has_value());
  std::string all(static_cast<std::size_t>(::lseek(fd.get(), 0, SEEK_END)), '\0');
  EXPECT_EQ(::pread(fd.get(), all.data(), all.size(), 0), static_cast<ssize_t>(all.size()));
  return all;
}

TEST(State, what_was_put_comes_back_in_its_order) {
  StateWriter writer;
  writer.section("ABCD");
  writer.put(std::uint16_t{7});
  writer.put_text("text");
  StateReader reader(writer.bytes());
  EXPECT_TRUE(reader.section("ABCD").has_value());
  EXPECT_EQ(*reader.get<std::uint16_t>(), 7);
  EXPECT_EQ(*reader.get_text(4), "text");
  EXPECT_TRUE(reader.at_end());
}

TEST(State, a_reader_never_reads_beyond_the_end) {
  StateWriter writer;
  writer.put(std::uint32_t{100});
  StateReader number(std::string_view(writer.bytes()).substr(0, 3));
  EXPECT_EQ(number.get<std::uint32_t>().error().code(), Code::kInvalid);
  StateReader text(writer.bytes());
  EXPECT_EQ(text.get_text(1000).error().code(), Code::kInvalid);
  StateReader most(writer.bytes());
  EXPECT_EQ(most.get_text(99).error().code(), Code::kInvalid);
  StateReader section("AB");
  EXPECT_EQ(section.section("ABCD").error().code(), Code::kInvalid);
}

TEST(State, a_file_is_read_as_it_was_written) {
  EXPECT_EQ(*read_state(file_of(written("the state"))), "the state");
  EXPECT_EQ(*read_state(file_of(written(""))), "");
}

TEST(State, a_file_that_is_none_or_damaged_is_refused) {
  const std::string good = written("the state");
  EXPECT_EQ(read_state(file_of("")).error().code(), Code::kInvalid);
  EXPECT_EQ(read_state(file_of(std::string(1000, 'x'))).error().code(), Code::kInvalid);
  for (std::size_t cut = 0; cut < good.size(); ++cut)
    EXPECT_EQ(read_state(file_of(good.substr(0, cut))).error().code(), Code::kInvalid) << cut;
  std::string bad = good;
  bad.back() = 'E';
  EXPECT_NE(read_state(file_of(bad)).error().text().find("damaged"), std::string::npos);
  std::string later = good;
  later[16] = 9;
  EXPECT_EQ(read_state(file_of(later)).error().code(), Code::kUnsupported);
  std::string huge = good;
  huge[30] = 1;
  EXPECT_EQ(read_state(file_of(huge)).error().code(), Code::kInvalid);
}

}  // namespace
}  // namespace vrun::vmm
