#include "base/json_table.hpp"

#include <array>

#include <gtest/gtest.h>

namespace vrun::json {

enum class Color { kRed, kGreen };
inline constexpr std::string_view kColors[] = {"red", "green"};
constexpr auto json_names(const Color*) {
  return std::to_array(kColors);
}

struct Wheel {
  std::string place;
  std::int8_t size = 0;
  bool operator==(const Wheel&) const = default;
};
constexpr auto json_fields(const Wheel*) {
  return fields(field("size", &Wheel::size, {.required = true}));
}

struct Car {
  std::string name;
  Color color = Color::kRed;
  std::optional<std::uint16_t> doors;
  std::vector<std::string> seats;
  std::vector<Wheel> wheels;
  std::int64_t speed = 0;
  std::map<std::string, std::string> notes;
  Uid owner;
  bool operator==(const Car&) const = default;
};
constexpr auto json_fields(const Car*) {
  return fields(field("name", &Car::name, {.required = true, .non_empty = true}),
                field("color", &Car::color), field("doors", &Car::doors, {.max = 5}),
                field("seats", &Car::seats, {.non_empty = true}),
                keyed("wheels", &Car::wheels, &Wheel::place),
                group("engine", field("speed", &Car::speed, {.min = -10})),
                field("notes", &Car::notes), field("owner", &Car::owner, {.always = true}));
}
void json_check(const In& in, const Car& car) {
  if (car.speed > 300) in.fault("is too fast");
}

namespace {

std::string fault_of(std::string_view text) {
  const auto car = read<Car>(text, "car");
  return car ? "accepted" : car.error().text();
}

TEST(JsonTable, reads_what_it_writes) {
  const std::string text =
      R"({"name":"n","color":"green","doors":0,"seats":["a"],"wheels":{"left":{"size":-3}},)"
      R"("engine":{"speed":7},"notes":{"k":"v"},"owner":4294967294})";
  const auto car = read<Car>(text, "car");
  ASSERT_TRUE(car) << car.error().text();
  EXPECT_EQ(car->color, Color::kGreen);
  EXPECT_EQ(car->doors, 0);
  EXPECT_EQ(car->wheels.at(0).place, "left");
  EXPECT_EQ(car->wheels.at(0).size, -3);
  EXPECT_EQ(car->speed, 7);
  EXPECT_EQ(write(*car), text);
}

TEST(JsonTable, leaves_defaults_out) {
  EXPECT_EQ(write(Car()), R"({"name":"","owner":0})");
}

TEST(JsonTable, reads_members_in_any_order) {
  EXPECT_EQ(fault_of(R"({"owner":1,"engine":{},"x":0,"name":"n","doors":null})"), "accepted");
}

TEST(JsonTable, collects_all_faults) {
  EXPECT_EQ(
      fault_of(R"({"color":"blu","doors":6,"seats":[],"wheels":{"l":{}},"engine":{"speed":-11},)"
               R"("notes":{"a":1},"owner":4294967295})"),
      "car: 8 faults\n"
      "  name: is missing\n"
      "  color: 'blu' is not known; known are red, green\n"
      "  doors: 6 is above 5\n"
      "  seats: is empty\n"
      "  wheels.l.size: is missing\n"
      "  engine.speed: -11 is below -10\n"
      "  notes.a: is a number, not a string\n"
      "  owner: 4294967295 is above 4294967294");
}

TEST(JsonTable, numbers_have_the_range_of_their_type) {
  const auto wheel = [](const std::string& size) {
    return fault_of(R"({"name":"n","wheels":{"l":{"size":)" + size + "}}}");
  };
  EXPECT_EQ(wheel("127"), "accepted");
  EXPECT_EQ(wheel("-128"), "accepted");
  EXPECT_EQ(wheel("128"), "car: wheels.l.size: 128 is above 127");
  EXPECT_EQ(wheel("-129"), "car: wheels.l.size: -129 is below -128");
  EXPECT_EQ(wheel("0.5"), "car: wheels.l.size: 0.5 is not written as a whole number");
  EXPECT_EQ(wheel("1e30"), "car: wheels.l.size: 1e+30 is above 127");
  EXPECT_EQ(wheel("-1e30"), "car: wheels.l.size: -1e+30 is below -128");
}

TEST(JsonTable, runs_the_check_of_a_struct) {
  EXPECT_EQ(fault_of(R"({"name":"n","engine":{"speed":301}})"), "car: is too fast");
}

}  // namespace
}  // namespace vrun::json
