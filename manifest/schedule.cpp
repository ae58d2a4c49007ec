#include "manifest/schedule.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/fs.hpp"
#include "base/text.hpp"

namespace vrun::manifest {
namespace {

constexpr std::int64_t kMinute = 60, kHour = 3600, kDay = 86400;

struct Range {
  std::string_view name;
  unsigned least, most;
  std::string_view words;  // of `least` and so on, three letters each
};
constexpr std::array kRanges{Range{"minute", 0, 59, ""}, Range{"hour", 0, 23, ""},
                             Range{"day", 1, 31, ""},
                             Range{"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
                             Range{"weekday", 0, 7, "sunmontuewedthufrisat"}};

struct Nickname {
  std::string_view name, text;
};
constexpr std::array kNicknames{
    Nickname{"@yearly", "0 0 1 1 *"},  Nickname{"@annually", "0 0 1 1 *"},
    Nickname{"@monthly", "0 0 1 * *"}, Nickname{"@weekly", "0 0 * * 0"},
    Nickname{"@daily", "0 0 * * *"},   Nickname{"@midnight", "0 0 * * *"},
    Nickname{"@hourly", "0 * * * *"}};

Error bad(std::string_view text, const std::string& why) {
  return Error(Code::kInvalid, quote(text) + " is no schedule: " + why)
      .hint("such as '30 4 * * mon-fri', @daily or '@every 10m'");
}

std::optional<unsigned> value_of(const Range& range, std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (lower.size() == 3 && !range.words.empty()) {
    for (std::size_t i = 0; i < range.words.size(); i += 3) {
      if (range.words.substr(i, 3) == lower) return range.least + static_cast<unsigned>(i / 3);
    }
  }
  const auto number = parse_u64(text);
  if (!number || *number < range.least || *number > range.most) return std::nullopt;
  return static_cast<unsigned>(*number);
}

// "*", "5", "1-5", "*/15", "1-10/3", "5/15" (from 5 on): bits.
std::optional<std::uint64_t> bits_of_part(const Range& range, std::string_view part) {
  std::uint64_t step = 1;
  const std::size_t slash = part.find('/');
  if (slash != std::string_view::npos) {
    const auto number = parse_u64(part.substr(slash + 1));
    if (!number || *number == 0 || *number > range.most) return std::nullopt;
    step = *number;
  }
  const std::string_view what = part.substr(0, slash);
  unsigned first = range.least, last = range.most;
  if (what != "*") {
    const std::size_t dash = what.find('-');
    const auto from = value_of(range, what.substr(0, dash));
    if (!from) return std::nullopt;
    first = *from;
    if (dash != std::string_view::npos) {
      const auto to = value_of(range, what.substr(dash + 1));
      if (!to || *to < first) return std::nullopt;
      last = *to;
    } else if (slash == std::string_view::npos) {
      last = first;
    }
  }
  std::uint64_t bits = 0;
  for (std::uint64_t value = first; value <= last; value += step)
    bits |= std::uint64_t{1} << value;
  return bits;
}

std::optional<std::uint64_t> bits_of(const Range& range, std::string_view field) {
  std::uint64_t bits = 0;
  for (const std::string_view part : split(field, ',')) {
    const auto more = bits_of_part(range, part);
    if (!more) return std::nullopt;
    bits |= *more;
  }
  return bits;
}

std::vector<std::string_view> words_of_line(std::string_view text) {
  std::vector<std::string_view> words;
  while (true) {
    const std::size_t begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return words;
    text.remove_prefix(begin);
    const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

// "1h30m" in seconds.
std::optional<std::int64_t> seconds_of(std::string_view text) {
  std::int64_t sum = 0;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    const std::size_t end = text.find_first_not_of("0123456789");
    const auto number = parse_u64(text.substr(0, end));
    constexpr std::uint64_t kMost = 366 * 86400;
    if (!number || end == std::string_view::npos || *number > kMost) return std::nullopt;
    const char unit = text[end];
    const std::int64_t size = unit == 's'   ? 1
                              : unit == 'm' ? kMinute
                              : unit == 'h' ? kHour
                              : unit == 'd' ? kDay
                                            : 0;
    if (size == 0) return std::nullopt;
    sum += static_cast<std::int64_t>(*number) * size;
    text.remove_prefix(end + 1);
  }
  return sum > 0 && sum <= 366 * kDay ? std::optional(sum) : std::nullopt;
}

bool has(std::uint64_t bits, int value) {
  return ((bits >> static_cast<unsigned>(value)) & 1U) != 0;
}

// Is there a month with one of the days? 29 February comes.
bool ever_comes(const Schedule& schedule) {
  constexpr std::array<int, 12> kDays{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (!schedule.every_weekday) return true;
  for (int month = 1; month <= 12; ++month) {
    if (!has(schedule.months, month)) continue;
    for (int day = 1; day <= kDays[static_cast<std::size_t>(month - 1)]; ++day) {
      if (has(schedule.days, day)) return true;
    }
  }
  return false;
}

bool is_its_day(const Schedule& schedule, const tm& at) {
  if (!has(schedule.months, at.tm_mon + 1)) return false;
  const bool day = has(schedule.days, at.tm_mday), weekday = has(schedule.weekdays, at.tm_wday);
  // A field of '*' restricts nothing, so the other one decides; of two restrictions one is enough.
  return schedule.every_day || schedule.every_weekday ? day && weekday : day || weekday;
}

// The hour that comes twice when summer time ends, for the second time.
bool comes_again(const TimeZone& zone, std::int64_t time, const tm& at) {
  const tm before = zone.local(time - kHour);
  return before.tm_hour == at.tm_hour && before.tm_mday == at.tm_mday &&
         before.tm_isdst != at.tm_isdst;
}

}  // namespace

Result<Schedule> parse_schedule(std::string_view text) {
  constexpr std::string_view kEvery = "@every ";
  Schedule schedule;
  if (text.starts_with(kEvery)) {
    const auto every = seconds_of(trim(text.substr(kEvery.size())));
    if (!every) return bad(text, "after @every comes a time from 1s to 366d");
    schedule.every = *every;
    return schedule;
  }
  std::string_view line = text;
  if (text.starts_with('@')) {
    const auto found = std::find_if(kNicknames.begin(), kNicknames.end(),
                                    [&](const Nickname& one) { return one.name == text; });
    if (found == kNicknames.end()) {
      return bad(text, "there are @yearly, @monthly, @weekly, @daily, @hourly and @every TIME");
    }
    line = found->text;
  }
  const std::vector<std::string_view> words = words_of_line(line);
  if (words.size() != kRanges.size()) {
    return bad(text, "it has " + std::to_string(words.size()) +
                         " fields, not 5: minute hour day month weekday");
  }
  std::array<std::uint64_t, kRanges.size()> bits{};
  for (std::size_t i = 0; i < kRanges.size(); ++i) {
    const auto field = bits_of(kRanges[i], words[i]);
    if (!field) {
      return bad(text, std::string(kRanges[i].name) + " " + quote(words[i]) + " is not within " +
                           std::to_string(kRanges[i].least) + "-" +
                           std::to_string(kRanges[i].most));
    }
    bits[i] = *field;
  }
  schedule.minutes = bits[0];
  schedule.hours = static_cast<std::uint32_t>(bits[1]);
  schedule.days = static_cast<std::uint32_t>(bits[2]);
  schedule.months = static_cast<std::uint32_t>(bits[3]);
  schedule.weekdays = static_cast<std::uint32_t>(bits[4] | ((bits[4] >> 7U) & 1U));  // 7: Sunday
  schedule.every_hour = words[1].starts_with('*');
  schedule.every_day = words[2].starts_with('*');
  schedule.every_weekday = words[4].starts_with('*');
  if (!ever_comes(schedule)) return bad(text, "no such day ever comes");
  return schedule;
}

Result<TimeZone> TimeZone::find(const std::string& name) {
  if (name.empty() || name == "UTC") return TimeZone("");
  const bool good = name.front() != '/' && name.find("..") == std::string::npos &&
                    std::all_of(name.begin(), name.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                             (c >= '0' && c <= '9') || c == '/' || c == '_' || c == '-' || c == '+';
                    });
  const std::string path = "/usr/share/zoneinfo/" + name;
  constexpr std::size_t kMost = 1U << 20U;
  const Result<std::string> file =
      good ? fs::read_file(At::cwd(), path, kMost, fs::Kind::kRegularOnly)
           : Result<std::string>(Error(Code::kInvalid, "name"));
  if (file && file->starts_with("TZif")) return TimeZone(name);
  return Error(Code::kInvalid, quote(name) + " is no time zone of this host")
      .hint("such as Europe/Paris; the package tzdata has them");
}

tm TimeZone::local(std::int64_t time) const {
  const time_t seconds = time;
  tm out{};
  if (name_.empty()) {
    ::gmtime_r(&seconds, &out);
    return out;
  }
  const char* const now = ::getenv("TZ");
  if (now == nullptr || name_ != now) {
    ::setenv("TZ", name_.c_str(), 1);
    ::tzset();
  }
  ::localtime_r(&seconds, &out);
  return out;
}

std::optional<std::int64_t> next_time(const Schedule& schedule, const TimeZone& zone,
                                      std::int64_t after) {
  if (schedule.every > 0) return (after / schedule.every + 1) * schedule.every;
  // Offsets of time zones are whole minutes today.
  std::int64_t time = (after / kMinute + 1) * kMinute;
  const std::int64_t end = after + 9 * 366 * kDay;  // 29 February: at most eight years away
  while (time < end) {
    const tm at = zone.local(time);
    if (!is_its_day(schedule, at)) {
      // Near the end of the day by hours: the day may have 23 or 25 of them.
      const int hours = at.tm_hour < 20 ? 20 - at.tm_hour : 1;
      time += hours * kHour - at.tm_min * kMinute;
    } else if (!has(schedule.hours, at.tm_hour) ||
               (!schedule.every_hour && comes_again(zone, time, at))) {
      time += kHour - at.tm_min * kMinute;
    } else if (!has(schedule.minutes, at.tm_min)) {
      time += kMinute;
    } else {
      return time;
    }
  }
  return std::nullopt;
}

std::optional<std::int64_t> latest_time(const Schedule& schedule, const TimeZone& zone,
                                        std::int64_t after, std::int64_t until) {
  if (schedule.every > 0) {
    const std::int64_t last = until / schedule.every * schedule.every;
    return last > after ? std::optional(last) : std::nullopt;
  }
  // Windows that grow, so that years of every minute are not walked through.
  for (const std::int64_t window : {kHour, kDay, 32 * kDay, 367 * kDay, 9 * 366 * kDay}) {
    std::int64_t begin = std::max(after, until - window);
    std::optional<std::int64_t> last;
    for (auto next = next_time(schedule, zone, begin); next && *next <= until;
         next = next_time(schedule, zone, *next))
      last = next;
    if (last || begin == after) return last;
  }
  return std::nullopt;
}

}  // namespace vrun::manifest
