// The order of starts at a boot.
#include "engine/start_order.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vrun::engine {
namespace {

using ::testing::ElementsAre;

Guest guest(std::string name, std::vector<std::string> after = {}) {
  Guest made;
  made.record.name = std::move(name);
  made.record.request.start_after = std::move(after);
  return made;
}

std::vector<std::string> ordered(std::vector<Guest> guests) {
  put_in_start_order(guests);
  std::vector<std::string> names;
  for (const Guest& one : guests)
    names.push_back(one.record.name);
  return names;
}

TEST(StartOrder, without_wishes_guests_keep_their_places) {
  EXPECT_THAT(ordered({guest("c"), guest("a"), guest("b")}), ElementsAre("c", "a", "b"));
}

TEST(StartOrder, a_guest_comes_behind_all_that_it_waits_for) {
  EXPECT_THAT(ordered({guest("a", {"c", "b"}), guest("b", {"c"}), guest("c"), guest("d")}),
              ElementsAre("c", "b", "a", "d"));
}

TEST(StartOrder, names_that_are_not_there_and_its_own_hold_nobody_up) {
  EXPECT_THAT(ordered({guest("a", {"gone", "a"}), guest("b")}), ElementsAre("a", "b"));
}

TEST(StartOrder, those_that_wait_for_each_other_come_last) {
  EXPECT_THAT(ordered({guest("a", {"b"}), guest("b", {"a"}), guest("x", {"a"}), guest("y")}),
              ElementsAre("y", "a", "b", "x"));
}

}  // namespace
}  // namespace vrun::engine
