#include "vm/lower.hpp"

#include <algorithm>

#include <gtest/gtest.h>

namespace vrun::vm {
namespace {

oci::Mount mount(const std::string& destination, const std::string& type) {
  oci::Mount made;
  made.destination = destination;
  made.type = type;
  made.source = type;
  return made;
}

oci::Spec guest() {
  oci::Spec spec;
  spec.oci_version = "1.3.0";
  spec.hostname = "web";
  spec.root.path = "/";
  spec.process.emplace();
  spec.process->args = {"sh", "-c", "true"};
  spec.process->terminal = true;
  spec.process->user.uid = Uid(33);
  spec.mounts = {mount("/proc", "proc"),        mount("/sys", "sysfs"),
                 mount("/etc/hosts", "bind"),   mount("/data", "bind"),
                 mount("/tmp", "tmpfs"),        mount("/sys/fs/cgroup", "cgroup"),
                 mount("/dev/mqueue", "mqueue")};
  spec.linux.sysctl = {{"net.ipv4.ping_group_range", "0 0"}};
  spec.linux.resources.emplace();
  spec.linux.resources->pids_limit = 7;
  return spec;
}

oci::Spec with_limits(std::int64_t memory, std::int64_t quota) {
  oci::Spec spec = guest();
  spec.linux.resources->memory.emplace();
  spec.linux.resources->memory->limit = memory;
  spec.linux.resources->cpu.emplace();
  spec.linux.resources->cpu->quota = quota;
  spec.linux.resources->cpu->period = 100000;
  return spec;
}

bool has(const std::vector<std::string>& list, const std::string& word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

TEST(Lower, size_is_that_of_the_limits) {
  EXPECT_EQ(*size_of(guest()), (MachineSize{kDefaultMemory, 1}));
  EXPECT_EQ(*size_of(with_limits((256 << 20) + 5, 150000)), (MachineSize{256U << 20U, 2}));
  EXPECT_EQ(size_of(with_limits(1 << 30, 200000))->processors, 2U);
  EXPECT_EQ(size_of(with_limits(1 << 30, 1000))->processors, 1U);
}

TEST(Lower, the_vm_object_comes_before_the_limits) {
  oci::Spec spec = with_limits(256 << 20, 200000);
  spec.vm.emplace().hardware.emplace() = {.device_tree = {}, .vcpus = 3, .memory = 300 << 20};
  EXPECT_EQ(*size_of(spec), (MachineSize{300U << 20U, 3}));
  spec.vm->hardware->vcpus = 255;
  EXPECT_FALSE(size_of(spec).has_value());
  spec.vm->hardware.emplace();
  spec.vm->kernel.emplace() = {.path = "/boot/x", .parameters = {"a=b", "c"}, .initrd = {}};
  const oci::Spec jail = jail_of(spec, *size_of(spec), {});
  EXPECT_TRUE(has(jail.process->args, "--command-line=console=ttyS0 quiet panic=-1 reboot=k a=b c"));
  EXPECT_FALSE(jail.vm.has_value());
}

TEST(Lower, the_vmm_has_its_proc_whatever_the_specification_has) {
  oci::Spec spec = guest();
  std::erase_if(spec.mounts, [](const oci::Mount& one) { return one.type == "proc"; });
  EXPECT_EQ(jail_of(spec, *size_of(spec), {}).mounts.front().destination, "/proc");
}

TEST(Lower, too_little_memory_and_too_many_processors_are_said) {
  EXPECT_EQ(size_of(with_limits(32 << 20, 1000)).error().hint(), "--memory 80m or more");
  EXPECT_FALSE(size_of(with_limits(1 << 30, 25'500'000)).has_value());
}

TEST(Lower, the_jail_runs_the_vmm_and_nothing_of_the_guest) {
  const MachineSize size{256U << 20U, 2};
  const oci::Spec jail = jail_of(guest(), size,
                                 {.program = 3,
                                  .kvm = 4,
                                  .kernel = 5,
                                  .initramfs = 6,
                                  .run = 7,
                                  .agent = 8,
                                  .control = 9,
                                  .report = 10});
  const oci::Process& process = *jail.process;
  EXPECT_EQ(process.args[0], "/proc/self/fd/3");
  for (const char* word :
       {"--kvm=4", "--kernel=5", "--initrd=6", "--run=7", "--agent=8", "--control=9", "--report=10",
        "--memory=268435456", "--processors=2", "--share=root:/"})
    EXPECT_TRUE(has(process.args, word)) << word;
  EXPECT_TRUE(process.terminal);
  EXPECT_TRUE(process.no_new_privileges);
  EXPECT_EQ(process.user.uid.value, 0U);
  EXPECT_FALSE(has(process.capabilities->bounding, "CAP_SYS_ADMIN"));
  EXPECT_TRUE(process.capabilities->ambient.empty());
  std::string mounts;
  for (const oci::Mount& one : jail.mounts)
    mounts += one.type + ":" + one.destination + " ";
  EXPECT_EQ(mounts, "proc:/proc tmpfs:/sys bind:/etc/hosts bind:/data tmpfs:/tmp ");
  EXPECT_TRUE(jail.linux.sysctl.empty());
}

TEST(Lower, qemu_has_its_folder_and_room_instead_of_kvm) {
  const MachineSize size{256U << 20U, 2};
  const oci::Spec jail = jail_of(guest(), size, {.program = 3, .qemu = 4, .run = 7, .agent = 8});
  EXPECT_TRUE(has(jail.process->args, "--qemu=4"));
  EXPECT_TRUE(has(jail.process->capabilities->bounding, "CAP_SYS_CHROOT"));
  for (const std::string& word : jail.process->args)
    EXPECT_FALSE(word.starts_with("--kvm") || word.starts_with("--kernel")) << word;
  EXPECT_GT(overhead_of(size, Engine::kQemu), overhead_of(size, Engine::kKvm));
}

TEST(Lower, the_cgroup_has_room_for_the_vmm) {
  const MachineSize size{256U << 20U, 2};
  oci::Spec spec = with_limits(256 << 20, 200000);
  spec.linux.resources->memory->swap = 256 << 20;
  const oci::Spec jail = jail_of(spec, size, {});
  const auto overhead = static_cast<std::int64_t>(overhead_of(size, Engine::kKvm));
  EXPECT_GE(overhead, (32 + 256 / 4) << 20) << "also for a guest whose memory is full of inodes";
  EXPECT_EQ(jail.linux.resources->memory->limit, (256 << 20) + overhead);
  EXPECT_EQ(jail.linux.resources->memory->swap, (256 << 20) + overhead);
  EXPECT_GT(*jail.linux.resources->pids_limit, 7);
  EXPECT_EQ(jail.linux.resources->cpu->quota, 200000);
}

oci::Resources left_of(const oci::Spec& asked, const std::vector<std::string>& controllers) {
  oci::Spec jail = jail_of(asked, *size_of(asked), {.program = 9, .run = 8, .agent = 7});
  leave_out_own_limits(asked, controllers, jail);
  return *jail.linux.resources;
}

TEST(Lower, without_a_controller_the_machine_holds_its_size_by_itself) {
  oci::Spec asked = with_limits(256 << 20, 200000);
  asked.linux.resources->memory->swap = 256 << 20;  // none beside the memory
  const oci::Resources all = left_of(asked, {"cpu", "memory", "pids"});
  EXPECT_TRUE(all.memory && all.pids_limit && all.cpu->quota);
  const oci::Resources none = left_of(asked, {});
  EXPECT_FALSE(none.memory || none.pids_limit || none.cpu->quota || none.cpu->period);
  // These are the host's.
  asked.linux.resources->memory->swap = 512 << 20;
  asked.linux.resources->cpu->quota = 150000;
  const oci::Resources hosts = left_of(asked, {});
  EXPECT_TRUE(hosts.memory && hosts.cpu->quota);
}

TEST(Lower, the_agent_learns_of_what_the_guests_kernel_does) {
  const std::string text = guest_document(guest());
  for (const char* part : {"\"sh\"", "\"uid\":33", "\"/proc\"", "\"/tmp\"", "\"limit\":7",
                           "\"web\"", "ping_group_range"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
  // The jail made these.
  EXPECT_EQ(text.find("/etc/hosts"), std::string::npos);
  EXPECT_EQ(text.find("/data"), std::string::npos);
}

TEST(Lower, a_network_is_a_socket_for_the_vmm_and_cards_for_the_agent) {
  EXPECT_EQ(jail_of(guest(), {}, {}).process->args.back().find("--cards"), std::string::npos);
  EXPECT_EQ(jail_of(guest(), {}, {.cards = 9}).process->args.back(), "--cards=9");
  const GuestCard card{.name = "eth1",
                       .mac = "02:42:0a:00:00:02",
                       .addresses = {"10.0.0.2/24"},
                       .gateways = {"10.0.0.1"}};
  EXPECT_NE(
      guest_document(guest(), std::span(&card, 1))
          .find("\"networks\":[{\"name\":\"eth1\",\"mac\":\"02:42:0a:00:00:02\",\"addresses\":["
                "\"10.0.0.2/24\"],\"gateways\":[\"10.0.0.1\"]}]"),
      std::string::npos);
}

TEST(Lower, a_saved_machine_goes_on_instead_of_booting) {
  const oci::Spec jail = jail_of(guest(), {}, {.kvm = 4, .run = 7, .state = 8, .memory = 9});
  const std::vector<std::string>& args = jail.process->args;
  for (const char* word : {"--kvm=4", "--restore=8", "--memory-file=9", "--run=7"})
    EXPECT_TRUE(has(args, word)) << word;
  for (const std::string& arg : args)
    EXPECT_FALSE(arg.starts_with("--kernel") || arg.starts_with("--initrd")) << arg;
  const GuestCard card{.name = "eth0", .mac = "02:42:0a:00:00:02", .addresses = {}, .gateways = {}};
  EXPECT_EQ(adoption_document(guest(), std::span(&card, 1)),
            R"({"hostname":"web","networks":[{"name":"eth0","mac":"02:42:0a:00:00:02",)"
            R"("addresses":[],"gateways":[]}]})");
}

TEST(Lower, a_system_on_disks_gets_them_and_no_root_of_ours) {
  Handed handed;
  handed.words = 8;
  handed.disks = {{.file = 5, .limits = {.read_bytes = 1000, .write_operations = 7}},
                  {.file = 6, .read_only = true}};
  const oci::Spec jail = jail_of(guest(), {}, handed);
  const std::vector<std::string>& args = jail.process->args;
  for (const char* word :
       {"--boot-words=8", "--disk=5,read-bytes=1000,write-operations=7", "--read-only-disk=6"})
    EXPECT_TRUE(has(args, word)) << word;
  EXPECT_FALSE(has(args, "--share=root:/"));
  for (const std::string& word : args)
    EXPECT_FALSE(word.starts_with("--run=")) << word;
}

}  // namespace
}  // namespace vrun::vm
