#include "steps/builder.hpp"

#include <cstring>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "base/sys.hpp"

namespace vrun::steps {
namespace {

TEST(Builder, copies_text_and_arrays_into_the_block) {
  Result<Builder> builder = Builder::create(1U << 16U);
  ASSERT_TRUE(builder);
  std::string name = "alpha";
  const Text text = builder->text(name);
  name = "omega";
  EXPECT_STREQ(text, "alpha");
  const std::vector<std::string> argv{"sh", "-c", ""};
  const Text* array = builder->text_array(argv);
  EXPECT_STREQ(array[0], "sh");
  EXPECT_STREQ(array[2], "");
  EXPECT_EQ(array[3], nullptr);
  EXPECT_EQ(builder->text_or_null(""), nullptr);
}

TEST(Builder, another_mapping_of_the_block_sees_the_same_program) {
  Result<Builder> builder = Builder::create(1U << 16U);
  ASSERT_TRUE(builder);
  builder->add(Op::kHostname, TextArgs{builder->text("web")}, {"hostname", ""});
  const Program* program = builder->finish();
  ASSERT_NE(program, nullptr);
  void* second = ::mmap(nullptr, program->block_bytes, PROT_READ, MAP_SHARED, program->block_fd, 0);
  ASSERT_NE(second, MAP_FAILED);
  // Pointers are addresses in the parent's mapping: the stage maps the block at that address.
  const auto offset_of = [&](const void* at) {
    return reinterpret_cast<std::uint64_t>(at) - program->block_address;
  };
  const char* base = static_cast<const char*>(second);
  const auto* steps = reinterpret_cast<const Step*>(base + offset_of(program->steps));
  EXPECT_EQ(program->step_count, 2U);
  EXPECT_EQ(steps[0].op, Op::kHostname);
  EXPECT_EQ(steps[1].op, Op::kEnd);
  const auto* args = reinterpret_cast<const TextArgs*>(base + offset_of(steps[0].args));
  EXPECT_STREQ(base + offset_of(args->text), "web");
  ::munmap(second, program->block_bytes);
}

TEST(Builder, a_program_that_does_not_fit_never_runs) {
  Result<Builder> builder = Builder::create(sizeof(Program) + 64);
  ASSERT_TRUE(builder);
  builder->text(std::string(100, 'x'));
  EXPECT_TRUE(builder->overflowed());
  EXPECT_EQ(builder->finish(), nullptr);
}

TEST(Builder, keeps_inherited_descriptors_open_until_it_ends) {
  int number = -1;
  {
    Result<Builder> builder = Builder::create(1U << 16U);
    ASSERT_TRUE(builder);
    Result<Fd> fd = sys::open(At::cwd(), "/dev/null", O_RDONLY);
    ASSERT_TRUE(fd);
    number = builder->inherit(*std::move(fd));
    EXPECT_GE(::fcntl(number, F_GETFD), 0);
    ASSERT_EQ(builder->inherited().size(), 1U);
  }
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
}

TEST(Builder, dump_names_each_step_and_where_it_was_asked_for) {
  Result<Builder> builder = Builder::create(1U << 16U);
  ASSERT_TRUE(builder);
  builder->add(Op::kNewSession);
  builder->add(Op::kHostname, TextArgs{builder->text("web")}, {"hostname", ""});
  ASSERT_NE(builder->finish(), nullptr);
  EXPECT_EQ(builder->dump(), "make a session\nset hostname 'web'  (hostname)\n");
}

}  // namespace
}  // namespace vrun::steps
