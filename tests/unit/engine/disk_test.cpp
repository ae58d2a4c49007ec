#include "engine/disk.hpp"

#include <gtest/gtest.h>

namespace vrun::engine {
namespace {

RunRequest on_disk() {
  RunRequest request;
  request.isolation = "vm";
  request.disks = {"/srv/a.raw"};
  return request;
}

std::string fault_of(const RunRequest& request) {
  const Result<void> checked = check_disks(request);
  return checked ? "" : checked.error().text();
}

TEST(Disk, FileAndOptions) {
  EXPECT_EQ(parse_disk("/a.raw")->file, "/a.raw");
  EXPECT_FALSE(parse_disk("/a.raw")->read_only);
  EXPECT_TRUE(parse_disk("/a.raw:ro")->read_only);
  EXPECT_FALSE(parse_disk("/a.raw:rw")->read_only);
  for (const char* text : {"", ":ro", "/a.raw:", "/a.raw:read", "/a.raw:ro,odd"})
    EXPECT_FALSE(parse_disk(text)) << text;
}

TEST(Disk, OnlyForMicroVms) {
  RunRequest request = on_disk();
  EXPECT_EQ(fault_of(request), "");
  request.isolation = "container";
  EXPECT_NE(fault_of(request).find("micro-VMs"), std::string::npos);
  request.disks.clear();
  EXPECT_EQ(fault_of(request), "");
  request.kernel = "6.1";
  EXPECT_NE(fault_of(request), "");
}

TEST(Disk, AllThatDoesNotFitIsSaidAtOnce) {
  RunRequest request = on_disk();
  request.image = "base";
  request.volumes = {"/a:/b"};
  request.cap_add = {"ALL"};
  const std::string fault = fault_of(request);
  for (const char* word : {"an image", "--volume", "--cap-add"})
    EXPECT_NE(fault.find(word), std::string::npos) << fault;
}

TEST(Disk, HealthIsLookedAtByTheAgentAndHooksAreItsInits) {
  RunRequest request = on_disk();
  request.health.cmd = "tcp://:80";
  EXPECT_EQ(fault_of(request), "");
  request.post_start = {"true"};
  EXPECT_NE(fault_of(request).find("--post-start"), std::string::npos);
}

TEST(Disk, WithNobodyThereItHasATerminal) {
  RunRequest request = on_disk();
  request.disks = {"a.raw:ro", "/b.raw"};
  request.kernel = "./vmlinux";
  request.initrd = "initrd";
  request.detach = true;
  settle_disks(request, "/home/me");
  EXPECT_EQ(request.disks, (std::vector<std::string>{"/home/me/a.raw:ro", "/b.raw"}));
  EXPECT_EQ(request.kernel, "/home/me/vmlinux");
  EXPECT_EQ(request.initrd, "/home/me/initrd");
  settle_disks(request, "/home/me");
  EXPECT_EQ(request.initrd, "/home/me/initrd") << "what is settled stays";
  EXPECT_EQ(request.tty, true);
  EXPECT_EQ(request.interactive, true);
  RunRequest named = on_disk();
  named.kernel = "6.1.0-cloud";
  settle_disks(named, "/home/me");
  EXPECT_EQ(named.kernel, "6.1.0-cloud");
  EXPECT_FALSE(named.tty.has_value());
}

TEST(Disk, LimitsAreOfTheDisksByPathOrName) {
  RunRequest request = on_disk();
  request.disks.emplace_back("/srv/b.raw:ro");
  request.device_read_bps = {"/srv/a.raw:1m", "b.raw:2m", "a.raw:3m"};
  request.device_write_iops = {"/srv/b.raw:50", "/srv/b.raw:0"};
  const auto limits = limits_of_disks(request);
  ASSERT_TRUE(limits);
  EXPECT_EQ((*limits)[0], (vm::DiskLimits{.read_bytes = 3 << 20}));
  EXPECT_EQ((*limits)[1], (vm::DiskLimits{.read_bytes = 2 << 20}));
  for (const char* text : {"/srv/c.raw:1m", "/other/a.raw:1m", "a.raw", "a.raw:fast", ":1m"}) {
    request.device_read_bps = {text};
    EXPECT_FALSE(limits_of_disks(request)) << text;
  }
}

TEST(Disk, AMicroVmWithAnImageHasNoDiskToLimit) {
  RunRequest request;
  request.isolation = "vm";
  request.image = "base";
  EXPECT_TRUE(check_disks(request));
  request.device_write_bps = {"/dev/vda:1m"};
  const auto refused = check_disks(request);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().hint().find("has no disk"), std::string::npos);
  request.device_write_bps = {"/dev/vda"};
  EXPECT_FALSE(check_disks(request));
  request.isolation = "container";
  request.device_write_bps = {"/dev/vda:1m"};
  EXPECT_TRUE(check_disks(request));
}

TEST(Disk, WordsForTheNetwork) {
  RunRequest request = on_disk();
  request.kernel_parameters = {"root=/dev/vda3"};
  request.hostname = "web";
  vm::GuestCard card;
  card.name = "eth0";
  card.mac = "02:00:00:00:00:01";
  card.addresses = {"10.0.0.2/20", "fd00::2/64"};
  card.gateways = {"10.0.0.1", "fd00::1"};
  const std::vector<vm::GuestCard> cards{card};
  EXPECT_EQ(*boot_words(request, Fd(), cards, "# by vrun\nnameserver 10.0.0.1\nsearch x\n"),
            " ifname=eth0:02:00:00:00:00:01 ip=10.0.0.2::10.0.0.1:255.255.240.0::eth0:off "
            "ip=[fd00::2]::[fd00::1]:64::eth0:off nameserver=10.0.0.1 systemd.hostname=web");
  request.hostname.clear();
  EXPECT_EQ(*boot_words(request, Fd(), {}, "nameserver 10.0.0.1\n"), "");
}

}  // namespace
}  // namespace vrun::engine
