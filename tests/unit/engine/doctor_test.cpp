#include "engine/doctor.hpp"

#include <algorithm>

#include <gtest/gtest.h>

namespace vrun::engine {
namespace {

HostFacts good_host() {
  HostFacts facts;
  facts.kernel_major = 6;
  facts.kernel_minor = 1;
  facts.kernel = "6.1.0";
  facts.has_cgroup_tree = facts.one_cgroup_tree = true;
  facts.cgroup_words = "cgroup v2";
  facts.controllers = {"cpu", "cpuset", "io", "memory", "pids"};
  facts.max_user_namespaces = 1000;
  facts.free_id_ranges = 1000;
  facts.data = "/var/lib/vrun";
  facts.data_filesystem = "ext4";
  facts.data_free = 10ULL << 30U;
  facts.has_nftables = facts.has_seccomp = facts.has_criu = true;
  facts.micro_vms = {{vm::Kvm::kWorks, ""}, "/x/vrun-vmm", ""};
  facts.guest_kernel = "6.1.0-28-cloud-amd64";
  return facts;
}

Finding about(const HostFacts& facts, std::string_view subject) {
  for (Finding& one : judge(facts)) {
    if (one.subject == subject) return std::move(one);
  }
  ADD_FAILURE() << "nothing about " << subject;
  return {};
}

TEST(Doctor, finds_nothing_on_a_good_host) {
  for (const Finding& one : judge(good_host())) {
    EXPECT_EQ(one.grade, Grade::kGood) << one.subject;
    EXPECT_EQ(one.remedy, "") << one.subject;
  }
}

// One gap each: what it is called, how bad it is, and a word of its remedy.
struct Gap {
  const char* subject;
  Grade grade;
  const char* remedy;
  void (*open)(HostFacts&);
};
// Without root, and nothing missing.
void make_rootless(HostFacts& facts) {
  facts.rootless = true;
  facts.own_ids = 65537;
  facts.has_uplink = true;
  facts.has_nftables = false;  // of no use to a user
}

constexpr Gap kGaps[] = {
    {"kernel", Grade::kFault, "linux-image", [](HostFacts& f) { f.kernel_major = 5; }},
    {"kernel", Grade::kFault, "linux-image", [](HostFacts& f) { f.kernel_minor = 0; }},
    {"root", Grade::kFault, "uidmap",
     [](HostFacts& f) {
       make_rootless(f);
       f.entry_failure = "map the ids of the user: run 'newuidmap': no such file (ENOENT)";
       f.entry_remedy = "install the package uidmap";
     }},
    {"ids for guests", Grade::kNote, "usermod",
     [](HostFacts& f) {
       make_rootless(f);
       f.own_ids = 1;
     }},
    {"network", Grade::kNote, "apt install passt",
     [](HostFacts& f) {
       make_rootless(f);
       f.has_uplink = false;
     }},
    {"own groups", Grade::kNote, "systemd-run --user",
     [](HostFacts& f) {
       make_rootless(f);
       f.group_failure = "permission denied (EACCES)";
     }},
    {"cgroups", Grade::kFault, "mount -t cgroup2",
     [](HostFacts& f) { f.has_cgroup_tree = f.one_cgroup_tree = false; }},
    {"cgroups", Grade::kNote, "systemd.unified_cgroup_hierarchy=1",
     [](HostFacts& f) { f.one_cgroup_tree = false; }},
    {"controllers", Grade::kNote, "cgroup_enable=memory",
     [](HostFacts& f) {
       f.controllers = {"cpu", "cpuset", "io", "pids"};
     }},
    {"own groups", Grade::kFault, "Delegate=yes",
     [](HostFacts& f) { f.group_failure = "read-only file system (EROFS)"; }},
    {"user namespaces", Grade::kFault, "sysctl -w user.max_user_namespaces",
     [](HostFacts& f) {
       f.max_user_namespaces = 0;
       f.user_namespace_failure = "no space left on device (ENOSPC)";
     }},
    {"ids for guests", Grade::kFault, "/etc/subuid", [](HostFacts& f) { f.free_id_ranges = 0; }},
    {"ids for guests", Grade::kNote, "/etc/subuid", [](HostFacts& f) { f.free_id_ranges = 3; }},
    {"data directory", Grade::kFault, "--data-dir",
     [](HostFacts& f) { f.data_filesystem = "overlayfs"; }},
    {"data directory", Grade::kNote, "prune", [](HostFacts& f) { f.data_free = 1000; }},
    {"id-mapped mounts", Grade::kFault, "ext4",
     [](HostFacts& f) { f.id_map_failure = "invalid argument (EINVAL)"; }},
    {"overlay", Grade::kFault, "modprobe overlay",
     [](HostFacts& f) { f.overlay_failure = "no such device (ENODEV)"; }},
    {"seccomp", Grade::kFault, "CONFIG_SECCOMP_FILTER",
     [](HostFacts& f) { f.has_seccomp = false; }},
    {"nftables", Grade::kNote, "modprobe nf_tables", [](HostFacts& f) { f.has_nftables = false; }},
    {"micro-vms", Grade::kNote, "modprobe kvm",
     [](HostFacts& f) {
       f.micro_vms.kvm = {vm::Kvm::kAbsent, "no /dev/kvm"};
     }},
    {"micro-vms", Grade::kNote, "nested",
     [](HostFacts& f) {
       f.micro_vms.kvm = {vm::Kvm::kEmulates, "paravirtual"};
     }},
    {"micro-vms", Grade::kNote, "add a kernel",
     [](HostFacts& f) {
       f.guest_kernel.clear();
       f.guest_kernel_failure = "no kernel";
       f.guest_kernel_remedy = "add a kernel";
     }},
    {"criu", Grade::kNote, "apt install criu", [](HostFacts& f) { f.has_criu = false; }},
    {"helpers", Grade::kFault, "install", [](HostFacts& f) { f.missing_helpers = {"vrun-image"}; }},
    {"helpers", Grade::kNote, "install", [](HostFacts& f) { f.missing_helpers = {"vrun-net"}; }},
};

TEST(Doctor, names_each_gap_with_its_remedy_and_no_other) {
  for (const Gap& gap : kGaps) {
    HostFacts facts = good_host();
    gap.open(facts);
    const Finding finding = about(facts, gap.subject);
    EXPECT_EQ(finding.grade, gap.grade) << gap.subject;
    EXPECT_NE(finding.remedy.find(gap.remedy), std::string::npos) << finding.remedy;
    const auto findings = judge(facts);
    EXPECT_EQ(std::count_if(findings.begin(), findings.end(),
                            [](const Finding& one) { return one.grade != Grade::kGood; }),
              1)
        << gap.subject;
  }
}

TEST(Doctor, repeats_what_the_kernel_said) {
  HostFacts facts = good_host();
  facts.overlay_failure = "mount overlay: no such device (ENODEV)";
  EXPECT_EQ(about(facts, "overlay").text, facts.overlay_failure);
}

}  // namespace
}  // namespace vrun::engine
