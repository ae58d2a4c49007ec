#include "cgroups/systemd_unit.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>

#include "base/text.hpp"
#include "cgroups/convert.hpp"

namespace vrun::cgroups {
namespace {

constexpr std::uint64_t kInfinity = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kUsPerSecond = 1000000;
constexpr std::uint64_t kMaxBit = 8191;  // more cpus or nodes than any kernel is built for

Error wrong_path(const std::string& path, std::string_view why) {
  return Error(Code::kInvalid, "cgroup path " + quote(path) + " " + std::string(why))
      .at("linux.cgroupsPath")
      .hint("with the systemd driver it has the form slice:prefix:name");
}

// systemd's own rule for names of units (systemd.unit(5)).
bool is_unit_text(std::string_view text) {
  return !text.empty() && text.size() < 256 &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  std::string_view(":-_.\\@").find(static_cast<char>(c)) != std::string_view::npos;
         });
}

std::uint64_t unlimited_or(std::int64_t value) {
  return value < 0 ? kInfinity : static_cast<std::uint64_t>(value);
}

class Maker {
 public:
  Maker(const oci::Resources& resources, bool v2) : resources_(resources), v2_(v2) {}

  Result<std::vector<Property>> run() {
    if (resources_.memory) TRY(memory(*resources_.memory));
    if (resources_.cpu) TRY(cpu(*resources_.cpu));
    if (resources_.pids_limit) {
      std::int64_t limit = *resources_.pids_limit;
      add("TasksMax", limit <= 0 ? kInfinity : static_cast<std::uint64_t>(limit));
    }
    if (resources_.block_io) io(*resources_.block_io);
    for (const auto& [key, value] : resources_.unified)
      TRY(unified(key, value));
    return std::move(properties_);
  }

 private:
  void add(std::string_view name, std::uint64_t value) { put(name, bus_u64(value)); }
  // The last word on a property counts: the map `unified` comes after the fields.
  void put(std::string_view name, BusValue value) {
    std::erase_if(properties_, [&](const Property& one) { return one.name == name; });
    properties_.push_back({std::string(name), std::move(value)});
  }

  Result<void> memory(const oci::Memory& memory) {
    if (memory.limit.value_or(0) != 0) {
      add(v2_ ? "MemoryMax" : "MemoryLimit", unlimited_or(*memory.limit));
    }
    if (!v2_) return {};
    if (memory.reservation.value_or(0) != 0) add("MemoryLow", unlimited_or(*memory.reservation));
    std::int64_t both = memory.swap.value_or(0);
    if (both == 0 && memory.limit.value_or(0) < 0) both = -1;
    // Without a limit beside it the number is taken by the file, which knows the present one.
    if (both == 0 || (both > 0 && memory.limit.value_or(0) <= 0)) return {};
    Result<std::string> value = swap_max(both, memory.limit.value_or(-1));
    if (!value) return std::move(value).error().at("linux.resources.memory.swap");
    add("MemorySwapMax", parse_u64(*value).value_or(kInfinity));
    return {};
  }

  Result<void> cpu(const oci::Cpu& cpu) {
    if (cpu.shares.value_or(0) != 0) {
      if (v2_) {
        add("CPUWeight", weight_from_shares(*cpu.shares));
      } else {
        add("CPUShares", *cpu.shares);
      }
    }
    quota(cpu.quota.value_or(0), cpu.period.value_or(0));
    if (!v2_) return {};
    if (!cpu.cpus.empty()) TRY(mask("AllowedCPUs", cpu.cpus, "linux.resources.cpu.cpus"));
    if (!cpu.mems.empty()) TRY(mask("AllowedMemoryNodes", cpu.mems, "linux.resources.cpu.mems"));
    return {};
  }

  void quota(std::int64_t quota, std::uint64_t period) {
    if (period != 0) add("CPUQuotaPeriodUSec", period);
    if (quota == 0) return;
    std::uint64_t per_second = kInfinity;
    if (quota > 0) {
      std::uint64_t length = period != 0 ? period : 100000;
      per_second =
          static_cast<std::uint64_t>(static_cast<__uint128_t>(quota) * kUsPerSecond / length);
      // systemd keeps whole percents: rounded up, so that the exact value fits below.
      per_second = (per_second + 9999) / 10000 * 10000;
    }
    add("CPUQuotaPerSecUSec", per_second);
  }

  Result<void> mask(std::string_view name, std::string_view list, std::string_view where) {
    BusValue bytes{"ay", "", {}};
    for (unsigned char byte : TRY(cpu_mask(list, where))) {
      bytes.items.push_back({"y", std::to_string(byte), {}});
    }
    put(name, std::move(bytes));
    return {};
  }

  void io(const oci::BlockIo& io) {
    if (io.weight.value_or(0) != 0) {
      if (v2_) {
        add("IOWeight", io_weight_from_blkio(*io.weight));
      } else {
        add("BlockIOWeight", *io.weight);
      }
    }
    if (!v2_) return;
    throttle("IOReadBandwidthMax", io.throttle_read_bps);
    throttle("IOWriteBandwidthMax", io.throttle_write_bps);
    throttle("IOReadIOPSMax", io.throttle_read_iops);
    throttle("IOWriteIOPSMax", io.throttle_write_iops);
  }

  void throttle(std::string_view name, const std::vector<oci::ThrottleDevice>& devices) {
    if (devices.empty()) return;
    BusValue list{"a(st)", "", {}};
    for (const oci::ThrottleDevice& one : devices) {
      std::string path =
          "/dev/block/" + std::to_string(one.major) + ":" + std::to_string(one.minor);
      list.items.push_back(
          {"(st)", "", {bus_string(path), bus_u64(one.rate == 0 ? kInfinity : one.rate)}});
    }
    put(name, std::move(list));
  }

  Result<void> unified(const std::string& key, const std::string& value) {
    struct Row {
      std::string_view key, property;
    };
    static constexpr std::array kRows = {
        Row{"cpu.weight", "CPUWeight"},          Row{"io.weight", "IOWeight"},
        Row{"memory.high", "MemoryHigh"},        Row{"memory.low", "MemoryLow"},
        Row{"memory.max", "MemoryMax"},          Row{"memory.min", "MemoryMin"},
        Row{"memory.swap.max", "MemorySwapMax"}, Row{"pids.max", "TasksMax"},
    };
    std::string where = "linux.resources.unified[" + quote(key) + "]";
    std::string_view text = trim(value);
    if (!v2_) return {};
    if (key == "cpuset.cpus") return mask("AllowedCPUs", text, where);
    if (key == "cpuset.mems") return mask("AllowedMemoryNodes", text, where);
    if (key == "cpu.max") return cpu_max(text, where);
    for (const Row& row : kRows) {
      if (row.key != key) continue;
      std::optional<std::uint64_t> number = text == "max" ? kInfinity : parse_u64(text);
      // "default 100" and other forms are the file's alone.
      if (number) add(row.property, *number);
    }
    return {};
  }

  Result<void> cpu_max(std::string_view text, const std::string& where) {
    std::vector<std::string_view> words = split(text, ' ');
    std::optional<std::uint64_t> length = words.size() == 2 ? parse_u64(words[1]) : 100000;
    std::optional<std::int64_t> most = words[0] == "max" ? -1 : parse_i64(words[0]);
    if (words.size() > 2 || !length || *length == 0 || !most || *most == 0) {
      return Error(Code::kInvalid, quote(text) + " is not of the form QUOTA PERIOD").at(where);
    }
    quota(*most, *length);
    return {};
  }

  const oci::Resources& resources_;
  bool v2_;
  std::vector<Property> properties_;
};

// Seconds in any number type become the microseconds that the bus wants.
Result<BusValue> to_microseconds(const BusValue& value, const std::string& where) {
  double seconds = 0;
  constexpr std::string_view kNumbers = "ynqiuxtd";
  bool number = value.signature.size() == 1 &&
                kNumbers.find(value.signature.front()) != std::string_view::npos;
  const char* end = value.text.data() + value.text.size();
  bool read = std::from_chars(value.text.data(), end, seconds).ec == std::errc();
  if (!number || !read || seconds < 0 || seconds > 1e13) {
    return Error(Code::kInvalid, quote(value.text) + " is no number of seconds").at(where);
  }
  return bus_u64(static_cast<std::uint64_t>(seconds * 1e6));
}

}  // namespace

Result<UnitName> unit_name(const std::string& cgroups_path, const ContainerId& id, bool rootless) {
  UnitName name;
  name.slice = rootless ? "user.slice" : "system.slice";
  if (cgroups_path.empty()) {
    name.unit = "vrun-" + id.str() + ".scope";
  } else {
    std::vector<std::string_view> parts = split(cgroups_path, ':');
    if (parts.size() != 3) return wrong_path(cgroups_path, "does not have three parts");
    if (!parts[0].empty()) name.slice = parts[0] == "-" ? "-.slice" : std::string(parts[0]);
    name.unit = std::string(parts[2]);
    if (!name.is_slice()) {
      name.unit = (parts[1].empty() ? "" : std::string(parts[1]) + "-") + name.unit + ".scope";
    }
    if (parts[2].empty()) return wrong_path(cgroups_path, "has no name");
  }
  if (!is_unit_text(name.unit)) return wrong_path(name.unit, "is not a unit name");
  Result<std::string> expanded = expand_slice(name.slice);
  if (!expanded) return std::move(expanded).error().at("linux.cgroupsPath");
  if (name.is_slice()) TRY(expand_slice(name.unit));
  return name;
}

Result<std::string> expand_slice(std::string_view slice) {
  constexpr std::string_view kEnd = ".slice";
  auto wrong = [&] {
    return Error(Code::kInvalid, quote(slice) + " is not the name of a slice")
        .at("linux.cgroupsPath");
  };
  if (!slice.ends_with(kEnd) || slice.size() == kEnd.size() || !is_unit_text(slice)) return wrong();
  std::string_view name = slice.substr(0, slice.size() - kEnd.size());
  if (name == "-") return std::string("/");
  std::string path, prefix;
  for (std::string_view part : split(name, '-')) {
    if (part.empty()) return wrong();
    prefix += (prefix.empty() ? "" : "-") + std::string(part);
    path += "/" + prefix + std::string(kEnd);
  }
  return path;
}

std::vector<Property> unit_properties(const UnitName& name, const ContainerId& id) {
  std::vector<Property> properties;
  properties.push_back({"Description", bus_string("vrun container " + id.str())});
  if (name.is_slice()) {
    properties.push_back({"Wants", bus_array("s", {bus_string(name.slice)})});
  } else {
    properties.push_back({"Slice", bus_string(name.slice)});
    properties.push_back({"Delegate", bus_bool(true)});
  }
  for (const char* what :
       {"CPUAccounting", "IOAccounting", "MemoryAccounting", "TasksAccounting"}) {
    properties.push_back({what, bus_bool(true)});
  }
  // Else systemd would stop the container before the services it may belong to.
  properties.push_back({"DefaultDependencies", bus_bool(false)});
  return properties;
}

Result<std::vector<Property>> resource_properties(const oci::Resources& resources, bool v2) {
  return Maker(resources, v2).run();
}

Result<std::vector<Property>> annotation_properties(
    const std::map<std::string, std::string>& annotations) {
  constexpr std::string_view kPrefix = "org.systemd.property.";
  std::vector<Property> properties;
  for (const auto& [key, text] : annotations) {
    if (!key.starts_with(kPrefix)) continue;
    std::string where = "annotations[" + quote(key) + "]";
    std::string name = key.substr(kPrefix.size());
    bool letters = name.size() >= 3 && std::all_of(name.begin(), name.end(), [](char c) {
                     return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
                   });
    if (!letters) {
      return Error(Code::kInvalid, quote(name) + " is not the name of a property").at(where);
    }
    Result<BusValue> value = parse_gvariant(text);
    if (!value) return std::move(value).error().at(where);
    bool seconds = name.size() > 3 && name.ends_with("Sec") && !name.ends_with("USec");
    if (seconds) {
      name = name.substr(0, name.size() - 3) + "USec";
      value = TRY(to_microseconds(*value, where));
    }
    properties.push_back({std::move(name), *std::move(value)});
  }
  return properties;
}

Result<std::vector<unsigned char>> cpu_mask(std::string_view list, std::string_view where) {
  std::vector<unsigned char> bytes;
  auto wrong = [&] {
    return Error(Code::kInvalid, quote(list) + " is not a list of numbers").at(where);
  };
  for (std::string_view part : split(trim(list), ',')) {
    part = trim(part);
    std::size_t dash = part.find('-');
    std::optional<std::uint64_t> first = parse_u64(part.substr(0, dash));
    std::optional<std::uint64_t> last =
        dash == std::string_view::npos ? first : parse_u64(part.substr(dash + 1));
    if (!first || !last || *first > *last || *last > kMaxBit) return wrong();
    if (bytes.size() <= *last / 8) bytes.resize(*last / 8 + 1);
    for (std::uint64_t bit = *first; bit <= *last; ++bit) {
      bytes[bit / 8] = static_cast<unsigned char>(bytes[bit / 8] | 1U << bit % 8);
    }
  }
  return bytes;
}

}  // namespace vrun::cgroups
