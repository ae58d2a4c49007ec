#include "engine/doctor.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace vrun::engine {
namespace {

Finding good(std::string subject, std::string text) {
  return {std::move(subject), Grade::kGood, std::move(text), ""};
}

Finding kernel(const HostFacts& facts) {
  const bool new_enough =
      facts.kernel_major > 6 || (facts.kernel_major == 6 && facts.kernel_minor >= 1);
  if (new_enough) return good("kernel", facts.kernel);
  return {
      "kernel", Grade::kFault, facts.kernel + ": guests need 6.1 or newer",
      "install a newer kernel: apt install linux-image-amd64 (Debian 12 or newer), then reboot"};
}

Finding privilege(const HostFacts& facts) {
  if (!facts.rootless) return good("root", "yes");
  if (facts.entry_failure.empty()) {
    return good("root", "no: guests live in a user namespace of this user");
  }
  return {"root", Grade::kFault, facts.entry_failure, facts.entry_remedy};
}

Finding cgroups(const HostFacts& facts) {
  const char* subject = "cgroups";
  if (!facts.has_cgroup_tree) {
    return {subject, Grade::kFault, facts.cgroup_words + ": no cgroup v2 tree is mounted",
            "boot with systemd.unified_cgroup_hierarchy=1, or: mount -t cgroup2 none "
            "/sys/fs/cgroup"};
  }
  if (facts.one_cgroup_tree) return good(subject, facts.cgroup_words);
  return {subject, Grade::kNote,
          facts.cgroup_words + ": limits work, but pressure figures and some limits do not",
          "boot with systemd.unified_cgroup_hierarchy=1 (and without "
          "systemd.legacy_systemd_cgroup_controller)"};
}

Finding controllers(const HostFacts& facts) {
  std::vector<std::string> missing;
  for (const char* name : {"cpu", "cpuset", "io", "memory", "pids"}) {
    const auto& all = facts.controllers;
    if (std::find(all.begin(), all.end(), name) == all.end()) missing.emplace_back(name);
  }
  const std::string found = join(facts.controllers, " ");
  if (missing.empty()) return good("controllers", found);
  std::string remedy;
  for (const std::string& name : missing) {
    if (name == "memory") remedy = "boot with cgroup_enable=memory; ";
  }
  remedy +=
      "see /proc/cgroups; inside another container its manager must delegate them "
      "(systemd: Delegate=yes)";
  return {"controllers", Grade::kNote,
          "no " + join(missing, ", ") +
              ": these limits are refused (there is: " + (found.empty() ? "none" : found) + ")",
          remedy};
}

Finding delegation(const HostFacts& facts) {
  if (facts.group_failure.empty()) return good("own groups", "can be made");
  if (facts.rootless) {
    return {"own groups", Grade::kNote,
            "no cgroup is delegated to this user: guests run, but without limits, pause, stats",
            "run vrun below a delegated unit: systemd-run --user --scope -p Delegate=yes vrun ..."};
  }
  return {"own groups", Grade::kFault, facts.group_failure,
          "/sys/fs/cgroup must be writable: in a service say Delegate=yes, in a container mount it "
          "read-write"};
}

Finding user_namespaces(const HostFacts& facts) {
  const char* subject = "user namespaces";
  const bool off = facts.max_user_namespaces == 0;
  const std::string& failure = facts.user_namespace_failure;
  if (failure.empty() && !off) {
    return good(subject, "at most " + std::to_string(facts.max_user_namespaces));
  }
  return {subject, Grade::kFault, failure.empty() ? "none can be made" : failure,
          off ? "sysctl -w user.max_user_namespaces=65536, and the same in "
                "/etc/sysctl.d/90-vrun.conf"
              : "user namespaces with mapped ids must be allowed (sysctl user.max_user_namespaces, "
                "kernel.unprivileged_userns_clone)"};
}

Finding ids(const HostFacts& facts) {
  const char* subject = "ids for guests";
  constexpr std::uint32_t kUsual = 65536;  // nobody is 65534
  if (facts.rootless && facts.own_ids >= kUsual) {
    return good(subject, std::to_string(facts.own_ids) + ", which all guests of this user share");
  }
  if (facts.rootless) {
    return {
        subject, Grade::kNote,
        "only " + std::to_string(facts.own_ids) + ": files of others belong to the guest's root",
        "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER, and "
        "apt install uidmap"};
  }
  constexpr std::uint64_t kComfortable = 64;
  if (facts.free_id_ranges >= kComfortable) {
    return good(subject, "ranges for " + std::to_string(facts.free_id_ranges) + " guests");
  }
  const Grade grade = facts.free_id_ranges == 0 ? Grade::kFault : Grade::kNote;
  return {subject, grade, "ranges for only " + std::to_string(facts.free_id_ranges) + " guests",
          "a line vrun:524288:1878523904 in /etc/subuid and /etc/subgid, which no other line "
          "overlaps"};
}

Finding data(const HostFacts& facts) {
  const char* subject = "data directory";
  constexpr std::uint64_t kLittle = 1ULL << 30U;
  const std::string where = facts.data + " on " + facts.data_filesystem;
  if (facts.data_filesystem == "overlayfs") {
    return {subject, Grade::kFault, where + ", which cannot carry guests",
            "use a directory on a disk: --data-dir DIR, or VRUN_DATA_DIR in the environment"};
  }
  if (facts.data_free < kLittle) {
    return {subject, Grade::kNote,
            where + ": only " + std::to_string(facts.data_free >> 20U) + " MiB are free",
            "vrun image prune, or another directory: --data-dir DIR"};
  }
  return good(subject, where);
}

Finding id_maps(const HostFacts& facts) {
  if (facts.rootless) return good("id-mapped mounts", "not needed without root");
  if (facts.id_map_failure.empty()) return good("id-mapped mounts", "work there");
  return {"id-mapped mounts", Grade::kFault, facts.id_map_failure,
          "use a data directory on ext4, xfs or btrfs (tmpfs since Linux 6.3): --data-dir DIR"};
}

Finding overlay(const HostFacts& facts) {
  if (facts.overlay_failure.empty()) return good("overlay", "works there");
  return {"overlay", Grade::kFault, facts.overlay_failure,
          "modprobe overlay; and the data directory must be on a file system that can be an upper "
          "layer (ext4, xfs with ftype=1, btrfs)"};
}

Finding simple(const char* subject, bool there, const char* yes, Grade grade, const char* no,
               const char* remedy) {
  if (there) return good(subject, yes);
  return {subject, grade, no, remedy};
}

Finding network(const HostFacts& facts) {
  if (facts.rootless) {
    return simple("network", facts.has_uplink, "by pasta or slirp4netns", Grade::kNote,
                  "neither pasta nor slirp4netns: guests have loopback only", "apt install passt");
  }
  return simple("nftables", facts.has_nftables, "works", Grade::kNote,
                "the kernel has no nf_tables: published ports and networks with a way out do not "
                "work",
                "modprobe nf_tables, or a kernel with CONFIG_NF_TABLES");
}

Finding micro_vms(const HostFacts& facts) {
  constexpr const char* kOthers = "; guests with the host's kernel do not need it";
  const Result<vm::EngineChoice> choice = vm::choose_engine(facts.micro_vms);
  if (!choice) {
    return {"micro-vms", Grade::kNote, choice.error().text(), choice.error().hint() + kOthers};
  }
  if (facts.guest_kernel.empty()) {
    return {"micro-vms", Grade::kNote, facts.guest_kernel_failure,
            facts.guest_kernel_remedy + kOthers};
  }
  const std::string what = std::string("engine ") + vm::to_text(choice->engine) + ": " +
                           choice->reason + "; kernel " + facts.guest_kernel;
  if (choice->engine == vm::Engine::kKvm) return good("micro-vms", what);
  return {"micro-vms", Grade::kNote, what,
          "emulation is slow: for speed a machine of its own, or a virtual one with nested "
          "virtualization"};
}

Finding helpers(const HostFacts& facts) {
  if (facts.missing_helpers.empty()) return good("helpers", "all found");
  const auto lacks = [&](const char* name) {
    const auto& all = facts.missing_helpers;
    return std::find(all.begin(), all.end(), name) != all.end();
  };
  // Without vrun-net there are guests without a network of their own.
  const bool fatal = lacks("vrun-image") || lacks("vrun-monitor");
  return {
      "helpers", fatal ? Grade::kFault : Grade::kNote,
      "missing: " + join(facts.missing_helpers, ", "),
      "install the whole package: apt install --reinstall vrun, or cmake --install of the build"};
}

}  // namespace

const char* to_text(Grade grade) {
  switch (grade) {
    case Grade::kGood:
      return "ok";
    case Grade::kNote:
      return "note";
    case Grade::kFault:
      return "FAULT";
  }
  return "unknown";
}

std::vector<Finding> judge(const HostFacts& facts) {
  return {kernel(facts),
          privilege(facts),
          cgroups(facts),
          controllers(facts),
          delegation(facts),
          user_namespaces(facts),
          ids(facts),
          data(facts),
          id_maps(facts),
          overlay(facts),
          simple("seccomp", facts.has_seccomp, "filters work", Grade::kFault,
                 "the kernel has no seccomp filters", "a kernel with CONFIG_SECCOMP_FILTER=y"),
          network(facts),
          micro_vms(facts),
          simple("criu", facts.has_criu, "found", Grade::kNote,
                 "not found: checkpoint and restore do not work", "apt install criu"),
          helpers(facts)};
}

}  // namespace vrun::engine
