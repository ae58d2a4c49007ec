#include "cgroups/devices.hpp"

#include <optional>

#include "base/text.hpp"
#include "cgroups/group.hpp"
#include "cgroups/knob.hpp"

namespace vrun::cgroups {
namespace {

// Device numbers have 12 and 20 bits (linux/kdev_t.h): rules beyond them match nothing.
constexpr std::uint32_t kMaxMajor = (1U << 12U) - 1;
constexpr std::uint32_t kMaxMinor = (1U << 20U) - 1;

std::string where_of(std::size_t index) {
  return "linux.resources.devices[" + std::to_string(index) + "]";
}

Result<unsigned> parse_access(const std::string& access, std::size_t index) {
  if (access.empty()) return kMayAll;
  unsigned bits = 0;
  for (char letter : access) {
    if (letter == 'r') {
      bits |= kMayRead;
    } else if (letter == 'w') {
      bits |= kMayWrite;
    } else if (letter == 'm') {
      bits |= kMayMknod;
    } else {
      return Error(Code::kInvalid, "access " + quote(access) + " is not made of r, w and m")
          .at(where_of(index) + ".access");
    }
  }
  return bits;
}

using Number = std::optional<std::uint32_t>;  // none: any

Result<Number> parse_number(const std::optional<std::int64_t>& number, std::size_t index,
                            const char* field) {
  if (!number || *number == -1) return Number();
  if (*number < 0 || *number > 0xffffffff) {
    return Error(Code::kInvalid, "device number " + std::to_string(*number) + " is out of range")
        .at(where_of(index) + "." + field);
  }
  return Number(static_cast<std::uint32_t>(*number));
}

void add_rule(DeviceTable& table, Number major, Number minor, unsigned access, bool allow,
              std::uint32_t place) {
  if (major.value_or(0) > kMaxMajor || minor.value_or(0) > kMaxMinor) return;
  if (!major && !minor) {
    if (access == kMayAll) table = {};  // decides everything: what came before is void
    table.any.apply(access, allow, place);
    return;
  }
  DeviceVerdict& verdict = !minor   ? table.by_major[*major]
                           : !major ? table.by_minor[*minor]
                                    : table.by_number[{*major, *minor}];
  verdict.apply(access, allow, place);
}

// For each access the later of two verdicts counts.
DeviceVerdict later(const DeviceVerdict& a, const DeviceVerdict& b) {
  DeviceVerdict result = a;
  for (unsigned bit = 0; bit < 3; ++bit) {
    if (b.order[bit] <= a.order[bit]) continue;
    result.order[bit] = b.order[bit];
    result.allowed = (result.allowed & ~(1U << bit)) | (b.allowed & (1U << bit));
  }
  return result;
}

template <typename Map, typename Key>
DeviceVerdict find(const Map& map, const Key& key) {
  auto found = map.find(key);
  return found == map.end() ? DeviceVerdict{} : found->second;
}

std::string access_text(unsigned bits) {
  std::string text;
  if ((bits & kMayRead) != 0) text += 'r';
  if ((bits & kMayWrite) != 0) text += 'w';
  if ((bits & kMayMknod) != 0) text += 'm';
  return text;
}

// The v1 controller holds a list of exceptions to one default: exceptions can only add to what a
// wider exception says.
class LineMaker {
 public:
  LineMaker(const DeviceTable& table, char type, bool allow_default, std::vector<DeviceLine>& lines)
      : table_(table), type_(type), allow_default_(allow_default), lines_(lines) {}

  Result<void> run() {
    unsigned base = allow_default_ ? kMayAll : 0;
    TRY(line(base, table_.any.allowed, "*:*"));
    for (const auto& [major, verdict] : table_.by_major) {
      TRY(line(table_.any.allowed, later(table_.any, verdict).allowed,
               std::to_string(major) + ":*"));
    }
    for (const auto& [minor, verdict] : table_.by_minor) {
      TRY(line(table_.any.allowed, later(table_.any, verdict).allowed,
               "*:" + std::to_string(minor)));
    }
    for (const auto& [number, verdict] : table_.by_number) {
      DeviceVerdict wider = later(later(table_.any, find(table_.by_major, number.first)),
                                  find(table_.by_minor, number.second));
      TRY(line(wider.allowed, later(wider, verdict).allowed,
               std::to_string(number.first) + ":" + std::to_string(number.second)));
    }
    return {};
  }

 private:
  Result<void> line(unsigned wider, unsigned wanted, const std::string& number) {
    unsigned added = wanted & ~wider;
    unsigned removed = wider & ~wanted;
    if ((allow_default_ ? added : removed) != 0) {
      return unenforceable("linux.resources.devices",
                           std::string("the v1 devices controller cannot hold a rule for ") +
                               type_ + " " + number + " inside a wider one that says the opposite");
    }
    unsigned access = allow_default_ ? removed : added;
    // The whole access of the exception: v1 wants one entry to cover a request.
    if (access != 0) {
      lines_.push_back({!allow_default_, std::string(1, type_) + " " + number + " " +
                                             access_text(allow_default_ ? removed : wanted)});
    }
    return {};
  }

  const DeviceTable& table_;
  char type_;
  bool allow_default_;
  std::vector<DeviceLine>& lines_;
};

}  // namespace

void DeviceVerdict::apply(unsigned access, bool allow, std::uint32_t place) {
  for (unsigned bit = 0; bit < 3; ++bit) {
    if ((access & (1U << bit)) != 0) order[bit] = place;
  }
  allowed = allow ? allowed | access : allowed & ~access;
}

unsigned DeviceTable::allowed(std::uint32_t major, std::uint32_t minor) const {
  DeviceVerdict verdict = later(any, find(by_major, major));
  verdict = later(verdict, find(by_minor, minor));
  return later(verdict, find(by_number, std::pair(major, minor))).allowed;
}

bool DeviceTable::allows_everything() const {
  if (any.allowed != kMayAll) return false;
  auto all = [this](const auto& map) {
    for (const auto& [key, verdict] : map) {
      if (later(any, verdict).allowed != kMayAll) return false;
    }
    return true;
  };
  return all(by_major) && all(by_minor) && all(by_number);
}

Result<DeviceTables> normalise(const std::vector<oci::DeviceRule>& rules) {
  DeviceTables tables;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const oci::DeviceRule& rule = rules[i];
    unsigned access = TRY(parse_access(rule.access, i));
    Number major = TRY(parse_number(rule.major, i, "major"));
    Number minor = TRY(parse_number(rule.minor, i, "minor"));
    auto place = static_cast<std::uint32_t>(i + 1);
    if (rule.type != 'b') add_rule(tables.character, major, minor, access, rule.allow, place);
    if (rule.type == 'b' || rule.type == 'a') {
      add_rule(tables.block, major, minor, access, rule.allow, place);
    }
  }
  return tables;
}

Result<void> check_skippable(const std::vector<oci::DeviceRule>& rules) {
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const oci::DeviceRule& rule = rules[i];
    bool everything = rule.major.value_or(-1) == -1 && rule.minor.value_or(-1) == -1;
    if (rule.allow || everything) continue;
    return unenforceable(where_of(i),
                         "denying one device needs a device filter, and this user may "
                         "not load one")
        .hint("drop the rule, or run as root");
  }
  return {};
}

Result<std::vector<DeviceLine>> device_lines(const DeviceTables& tables) {
  // The kernel's list has one default for both types; the one that fits is tried first.
  bool allow_default =
      tables.character.any.allowed == kMayAll && tables.block.any.allowed == kMayAll;
  std::vector<DeviceLine> lines = {{allow_default, "a"}};
  TRY(LineMaker(tables.character, 'c', allow_default, lines).run());
  TRY(LineMaker(tables.block, 'b', allow_default, lines).run());
  return lines;
}

std::vector<oci::DeviceRule> default_devices() {
  auto rule = [](std::int64_t major, std::int64_t minor) {
    return oci::DeviceRule{true, 'c', major, minor, "rwm"};
  };
  return {
      {true, 'c', -1, -1, "m"},  // mknod of anything; use of it is another access
      {true, 'b', -1, -1, "m"},
      rule(1, 3),     // null
      rule(1, 5),     // zero
      rule(1, 7),     // full
      rule(1, 8),     // random
      rule(1, 9),     // urandom
      rule(5, 0),     // tty
      rule(5, 2),     // ptmx
      rule(136, -1),  // pts
      rule(10, 200),  // net/tun
  };
}

}  // namespace vrun::cgroups
