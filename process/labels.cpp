#include "process/labels.hpp"

#include "base/fs.hpp"
#include "base/text.hpp"

namespace vrun::process {
namespace {

// The first field of a line of /proc/filesystems is "nodev" or empty, the second the name.
bool lists_filesystem(std::string_view filesystems, std::string_view name) {
  for (const std::string_view line : split(filesystems, '\n')) {
    const std::size_t tab = line.find('\t');
    if (tab != std::string_view::npos && line.substr(tab + 1) == name) return true;
  }
  return false;
}

std::string read_small(const std::string& path) {
  return fs::read_file(At::cwd(), path, 65536).value_or("");
}

}  // namespace

SecurityModules read_security_modules(const Host& host, const std::string& sys) {
  SecurityModules modules;
  modules.apparmor = trim(read_small(sys + "/module/apparmor/parameters/enabled")) == "Y";
  // selinuxfs is registered only when SELinux is on (is_selinux_enabled(3) asks the same)
  modules.selinux = lists_filesystem(read_small(host.proc + "/filesystems"), "selinuxfs");
  return modules;
}

std::vector<ExecLabel> check_labels(const oci::Process& process, const SecurityModules& modules,
                                    std::string_view where, Faults& faults) {
  std::vector<ExecLabel> labels;
  const std::string prefix = std::string(where) + ".";
  if (!process.apparmor_profile.empty()) {
    if (modules.apparmor) {
      labels.push_back(
          {steps::LabelKind::kAppArmor, "exec " + process.apparmor_profile, "apparmorProfile"});
    } else if (process.apparmor_profile != "unconfined") {
      faults.add(prefix + "apparmorProfile",
                 "this kernel does not enforce AppArmor, so " + quote(process.apparmor_profile) +
                     " cannot be applied; drop the key, or boot with apparmor=1");
    }
  }
  if (!process.selinux_label.empty()) {
    if (modules.selinux) {
      labels.push_back({steps::LabelKind::kSelinux, process.selinux_label, "selinuxLabel"});
    } else {
      faults.add(prefix + "selinuxLabel",
                 "this kernel does not enforce SELinux, so " + quote(process.selinux_label) +
                     " cannot be applied; drop the key, or boot with selinux=1");
    }
  }
  return labels;
}

}  // namespace vrun::process
