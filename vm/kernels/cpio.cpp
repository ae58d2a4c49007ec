#include "vm/kernels/cpio.hpp"

#include <array>
#include <utility>

#include <sys/stat.h>

namespace vrun::vm {
namespace {

void put_hex(std::string& out, std::uint64_t value) {
  static constexpr char kDigits[] = "0123456789abcdef";
  for (int shift = 28; shift >= 0; shift -= 4)
    out.push_back(kDigits[(value >> shift) & 15]);
}

}  // namespace

void Cpio::add_directory(std::string_view path, unsigned mode) {
  add({.path = path, .content = {}, .mode = S_IFDIR | mode});
}

void Cpio::add_file(std::string_view path, std::string_view content, unsigned mode) {
  add({.path = path, .content = content, .mode = S_IFREG | mode});
}

void Cpio::add_device(std::string_view path, unsigned mode, unsigned major, unsigned minor) {
  add({.path = path, .content = {}, .mode = S_IFCHR | mode, .major = major, .minor = minor});
}

void Cpio::add(const Entry& entry) {
  bytes_ += "070701";
  // Inode, mode, owner, group, links, time, size, device, device of a node, name's length,
  // checksum.
  const std::array<std::uint64_t, 13> fields = {++inode_,
                                                entry.mode,
                                                0,
                                                0,
                                                1,
                                                0,
                                                entry.content.size(),
                                                0,
                                                0,
                                                entry.major,
                                                entry.minor,
                                                entry.path.size() + 1,
                                                0};
  for (const std::uint64_t field : fields)
    put_hex(bytes_, field);
  bytes_.append(entry.path).push_back('\0');
  bytes_.resize((bytes_.size() + 3) & ~std::size_t{3});
  bytes_.append(entry.content);
  bytes_.resize((bytes_.size() + 3) & ~std::size_t{3});
}

std::string Cpio::finished() {
  add({.path = "TRAILER!!!", .content = {}});
  return std::exchange(bytes_, {});
}

}  // namespace vrun::vm
