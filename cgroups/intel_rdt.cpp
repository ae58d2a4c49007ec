#include "cgroups/intel_rdt.hpp"

#include <cerrno>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::cgroups {
namespace {

constexpr std::size_t kMaxMountinfo = 64U << 20U;
constexpr std::size_t kMaxFile = 1U << 20U;

bool has_schemata(const oci::IntelRdt& config) {
  return !config.schemata.empty() || !config.l3_cache_schema.empty() ||
         !config.mem_bw_schema.empty();
}

std::string schemata_field(const oci::IntelRdt& config) {
  if (!config.schemata.empty()) return "linux.intelRdt.schemata";
  return config.l3_cache_schema.empty() ? "linux.intelRdt.memBwSchema"
                                        : "linux.intelRdt.l3CacheSchema";
}

Result<std::string> mountinfo_of(const Host& host) {
  return fs::read_file(At::cwd(), fs::join(host.proc, "self/mountinfo"), kMaxMountinfo);
}

Result<std::string> mounted_root(const Host& host) {
  std::string text = TRY(mountinfo_of(host));
  std::string root = find_resctrl(text);
  if (!root.empty()) return root;
  return Error(Code::kUnsupported, "the resctrl filesystem is not mounted")
      .at("linux.intelRdt")
      .hint("mount -t resctrl resctrl /sys/fs/resctrl, on a processor that has resource control");
}

// The names that resctrl keeps for itself (resctrl.rst): a class cannot have them.
bool is_reserved(std::string_view name) {
  return name == "." || name == ".." || name == "info" || name == "mon_groups" ||
         name == "mon_data" || name == "schemata" || name == "tasks" || name == "cpus";
}

Result<void> check_clos_id(const std::string& name) {
  if (name.find_first_of("/\n") == std::string::npos && !is_reserved(name)) return {};
  return Error(Code::kInvalid, quote(name) + " is not the name of a class of service")
      .at("linux.intelRdt.closID");
}

Result<void> remove_if_there(const std::string& dir) {
  if (dir.empty()) return {};
  Result<void> removed = sys::remove_dir(At::cwd(), dir);
  if (!removed && removed.error().code() == Code::kNotFound) return {};
  return removed;
}

}  // namespace

std::string find_resctrl(std::string_view mountinfo) {
  for (std::string_view line : split(mountinfo, '\n')) {
    std::size_t dash = line.find(" - ");
    if (dash == std::string_view::npos || !line.substr(dash + 3).starts_with("resctrl ")) continue;
    std::vector<std::string_view> words = split(line.substr(0, dash), ' ');
    if (words.size() >= 5) return std::string(words[4]);
  }
  return "";
}

bool has_resctrl(const Host& host) {
  Result<std::string> text = mountinfo_of(host);
  return text && !find_resctrl(*text).empty();
}

std::string combined_schemata(const oci::IntelRdt& config) {
  std::string text;
  auto add = [&](std::string_view lines, bool without_bandwidth) {
    for (std::string_view line : split(lines, '\n')) {
      line = trim(line);
      if (line.empty() || (without_bandwidth && line.starts_with("MB:"))) continue;
      text += std::string(line) + "\n";
    }
  };
  add(config.l3_cache_schema, !config.mem_bw_schema.empty());
  add(config.mem_bw_schema, false);
  for (const std::string& lines : config.schemata)
    add(lines, false);
  return text;
}

Result<IntelRdt> IntelRdt::plan(const oci::IntelRdt& config, const ContainerId& id,
                                const Host& host) {
  IntelRdt rdt;
  rdt.config_ = config;
  rdt.root_ = TRY(mounted_root(host));
  rdt.closid_ = config.clos_id.empty() ? id.str() : config.clos_id;
  TRY(check_clos_id(rdt.closid_));
  rdt.location_.clos = fs::join(rdt.root_, rdt.closid_);
  rdt.location_.made_clos = config.clos_id.empty();  // for a record that is written beforehand
  if (config.enable_monitoring) {
    rdt.location_.monitor = fs::join(rdt.location_.clos, "mon_groups/" + id.str());
  }
  return rdt;
}

IntelRdt IntelRdt::open(RdtLocation location) {
  IntelRdt rdt;
  rdt.location_ = std::move(location);
  return rdt;
}

Error IntelRdt::with_kernel_words(Error error) const {
  Result<std::string> words =
      fs::read_file(At::cwd(), fs::join(root_, "info/last_cmd_status"), kMaxFile);
  if (!words || trim(*words).empty() || trim(*words) == "ok") return error;
  return std::move(error).hint("the kernel says: " + printable(trim(*words)));
}

Result<void> IntelRdt::write_schemata() {
  std::string lines = combined_schemata(config_);
  if (lines.empty()) return {};
  Result<void> written = fs::write_value(At::cwd(), fs::join(location_.clos, "schemata"), lines);
  if (written) return {};
  return with_kernel_words(std::move(written).error().at(schemata_field(config_)));
}

Result<void> IntelRdt::fill() {
  TRY(write_schemata());
  if (location_.monitor.empty()) return {};
  Result<void> made = sys::make_dir(At::cwd(), location_.monitor, 0755);
  if (made) return {};
  return with_kernel_words(std::move(made).error().at("linux.intelRdt.enableMonitoring"));
}

Result<void> IntelRdt::create() {
  bool may_make = config_.clos_id.empty() || has_schemata(config_);
  if (!may_make) {
    Result<struct stat> there = sys::stat(At::cwd(), location_.clos);
    if (!there || !S_ISDIR(there->st_mode)) {
      return Error(Code::kNotFound,
                   "the class of service " + quote(config_.clos_id) + " does not exist")
          .at("linux.intelRdt.closID")
          .hint("make it in " + root_ + ", or say what to write into it (schemata)");
    }
  } else {
    Result<void> made = sys::make_dir(At::cwd(), location_.clos, 0755);
    location_.made_clos = made.has_value();
    if (!made && made.error().sys_errno() != EEXIST) {
      // ENOSPC: the processor has no more classes.
      return with_kernel_words(std::move(made).error().at("linux.intelRdt"));
    }
  }
  Result<void> filled = fill();
  if (!filled && location_.made_clos) (void)remove_if_there(location_.clos);
  return filled;
}

Result<void> IntelRdt::join(Pid pid) const {
  for (const std::string& dir : {location_.clos, location_.monitor}) {
    if (dir.empty()) continue;
    Result<void> written =
        fs::write_value(At::cwd(), fs::join(dir, "tasks"), std::to_string(pid.value));
    if (!written) return with_kernel_words(std::move(written).error().at("linux.intelRdt"));
  }
  return {};
}

Result<void> IntelRdt::destroy() const {
  Result<void> monitor = remove_if_there(location_.monitor);
  Result<void> clos = location_.made_clos ? remove_if_there(location_.clos) : Result<void>();
  return monitor ? std::move(clos) : std::move(monitor);
}

Result<void> remove_intel_rdt(const std::string& closid, const Host& host) {
  if (closid.empty()) return {};
  TRY(check_clos_id(closid));  // it comes from a file
  std::string root = TRY(mounted_root(host));
  return remove_if_there(fs::join(root, closid));
}

Result<void> remove_rdt_monitor(const std::string& closid, const ContainerId& id,
                                const Host& host) {
  if (closid.empty()) return {};
  TRY(check_clos_id(closid));
  std::string root = TRY(mounted_root(host));
  return remove_if_there(fs::join(root, closid + "/mon_groups/" + id.str()));
}

Result<void> update_intel_rdt(const std::string& closid, const oci::IntelRdt& config,
                              const Host& host) {
  oci::IntelRdt named = config;
  named.clos_id = closid;
  const ContainerId unused = TRY(ContainerId::parse("update"));  // closID names the class
  IntelRdt rdt = TRY(IntelRdt::plan(named, unused, host));
  return rdt.write_schemata();
}

}  // namespace vrun::cgroups
