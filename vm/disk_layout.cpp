#include "vm/disk_layout.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include <unistd.h>

namespace vrun::vm {
namespace {

constexpr std::uint64_t kSector = 512;
constexpr std::uint64_t kMostEntries = 128;
constexpr std::uint64_t kLastSector = std::uint64_t{1} << 50U;  // beyond any disk
// 4f68bce3-e8cd-4db1-96e7-fbcaf984b709 (Discoverable Partitions Specification), as it lies on disk.
constexpr std::array<unsigned char, 16> kLinuxRoot{0xe3, 0xbc, 0x68, 0x4f, 0xcd, 0xe8, 0xb1, 0x4d,
                                                   0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09};

struct Partition {
  unsigned number = 0;
  std::uint64_t first = 0;  // sector
  bool is_root = false;
};

// What is not there reads as zeroes.
Result<std::string> piece(const Fd& disk, std::uint64_t offset, std::size_t size) {
  std::string bytes(size, '\0');
  const ssize_t got = ::pread(disk.get(), bytes.data(), size, static_cast<off_t>(offset));
  if (got < 0) return Error::system(errno, "read the disk image");
  return bytes;
}

template <typename T>
T number_at(std::string_view bytes, std::size_t offset) {
  T value{};
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

Result<std::string> file_system_at(const Fd& disk, std::uint64_t base) {
  const std::string head = TRY(piece(disk, base, 2048));
  if (number_at<std::uint16_t>(head, 1080) == 0xef53) return std::string("ext4");
  if (head.starts_with("XFSB")) return std::string("xfs");
  const std::string magic = TRY(piece(disk, base + 0x10040, 8));
  if (magic == "_BHRfS_M") return std::string("btrfs");
  return std::string();
}

// UEFI specification, section 5.3.
Result<std::vector<Partition>> gpt(const Fd& disk, std::string_view header) {
  const auto table = number_at<std::uint64_t>(header, 72);
  const std::uint64_t count =
      std::min<std::uint64_t>(number_at<std::uint32_t>(header, 80), kMostEntries);
  const auto size = number_at<std::uint32_t>(header, 84);
  std::vector<Partition> partitions;
  if (size < 128 || size > 4096 || table > kLastSector) return partitions;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string entry = TRY(piece(disk, table * kSector + i * size, 128));
    const auto first = number_at<std::uint64_t>(entry, 32);
    if (first == 0 || first > kLastSector) continue;
    partitions.push_back({static_cast<unsigned>(i + 1), first,
                          std::memcmp(entry.data(), kLinuxRoot.data(), kLinuxRoot.size()) == 0});
  }
  return partitions;
}

std::vector<Partition> mbr(std::string_view sector) {
  std::vector<Partition> partitions;
  for (unsigned i = 0; i < 4; ++i) {
    const auto first = number_at<std::uint32_t>(sector, 446 + 16 * i + 8);
    if (first != 0) partitions.push_back({i + 1, first, false});
  }
  return partitions;
}

Result<std::vector<Partition>> partitions_of(const Fd& disk) {
  const std::string head = TRY(piece(disk, 0, 2 * kSector));
  if (number_at<std::uint16_t>(head, 510) != 0xaa55) return std::vector<Partition>();
  const std::string_view second = std::string_view(head).substr(kSector);
  if (second.starts_with("EFI PART")) return gpt(disk, second);
  return mbr(head);
}

}  // namespace

Result<std::optional<RootPlace>> find_root(const Fd& disk) {
  std::string type = TRY(file_system_at(disk, 0));
  if (!type.empty()) return std::optional(RootPlace{0, std::move(type)});
  std::optional<RootPlace> found;
  for (const Partition& partition : TRY(partitions_of(disk))) {
    type = TRY(file_system_at(disk, partition.first * kSector));
    if (type.empty()) continue;
    if (partition.is_root) return std::optional(RootPlace{partition.number, std::move(type)});
    if (!found) found = RootPlace{partition.number, std::move(type)};
  }
  return found;
}

Result<std::string> volume_name(const Fd& disk) {
  constexpr std::size_t kSuperblock = 1024, kMagic = 56, kName = 120, kMostName = 16;
  const std::string head = TRY(piece(disk, kSuperblock, 1024));
  if (number_at<std::uint16_t>(head, kMagic) != 0xef53) return std::string();
  const std::string name = head.substr(kName, kMostName);
  return name.substr(0, name.find('\0'));
}

Result<std::string> foreign_format(const Fd& disk) {
  struct Format {
    std::string_view magic, name;
  };
  constexpr std::array<Format, 4> kFormats{Format{"QFI\xfb", "qcow2"}, Format{"KDMV", "VMDK"},
                                           Format{"vhdxfile", "VHDX"}, Format{"conectix", "VHD"}};
  const std::string head = TRY(piece(disk, 0, 16));
  for (const Format& format : kFormats)
    if (head.starts_with(format.magic)) return std::string(format.name);
  return std::string();
}

}  // namespace vrun::vm
