#include "vm/vmm/aml.hpp"

#include <string>

#include <gtest/gtest.h>

namespace vrun::vmm::aml {
namespace {

std::string hex(const Term& term) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : term) {
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

// Bytes as iasl writes them for the same words.
TEST(Aml, numbers_take_the_shortest_form) {
  EXPECT_EQ(hex(number(0)), "00");
  EXPECT_EQ(hex(number(1)), "01");
  EXPECT_EQ(hex(number(0x80)), "0a80");
  EXPECT_EQ(hex(number(0x1234)), "0b3412");
  EXPECT_EQ(hex(number(0x12345678)), "0c78563412");
  EXPECT_EQ(hex(number(0x123456789a)), "0e9a78563412000000");
}

TEST(Aml, eisa_ids_are_packed) {
  EXPECT_EQ(hex(eisa_id("PNP0A08")), "0c41d00a08");
  EXPECT_EQ(hex(eisa_id("PNP0501")), "0c41d00501");
}

TEST(Aml, paths_say_how_many_names_they_have) {
  EXPECT_EQ(path("PWRB"), "PWRB");
  EXPECT_EQ(hex(path("\\_SB_")), "5c5f53425f");
  EXPECT_EQ(path("\\_SB_.PWRB"), "\\.\x5fSB_PWRB");
  EXPECT_EQ(hex(path("\\_SB_.PC00.DEV0")).substr(0, 6), "5c2f03");
}

TEST(Aml, lengths_count_themselves) {
  EXPECT_EQ(hex(scope("ABCD", "")).substr(0, 4), "1005");
  const Term long_scope = scope("ABCD", std::string(100, '\0'));
  EXPECT_EQ(hex(long_scope).substr(0, 6), "104a06");  // 106: 100, the name, two length bytes
  const Term longer = scope("ABCD", std::string(5000, '\0'));
  EXPECT_EQ(hex(longer).substr(0, 8), "108f3801");
}

TEST(Aml, ports_have_fields_of_32_bits) {
  EXPECT_EQ(hex(port_words("ABCD", 0x604, {"EFGH", "IJKL"})),
            "5b8041424344010b04060a08"
            "5b8110414243440345464748"
            "20494a4b4c20");
}

TEST(Aml, resources_end_with_their_tag) {
  EXPECT_EQ(hex(resources({interrupt(5)})), "110e0a0b8906000301050000007900");
}

}  // namespace
}  // namespace vrun::vmm::aml
