// Mount options: what is parsed can be written out again and parses to the same; nothing is both
// set and cleared but the access time, whose old value is always cleared.
#include <linux/mount.h>

#include "base/text.hpp"
#include "rootfs/options.hpp"
#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vrun;
  std::vector<std::string> texts;
  for (const std::string_view line : split(fuzz::text_of(data, size), '\n'))
    texts.emplace_back(line);
  const rootfs::MountOptions options = rootfs::parse_options(texts);
  for (const auto& change : {options.attributes, options.recursive_attributes}) {
    fuzz::require((change.set & change.clear & ~std::uint64_t{MOUNT_ATTR__ATIME}) == 0);
  }
  for (const rootfs::FilesystemOption& one : options.filesystem) {
    fuzz::require(!one.key.empty() || one.value);
  }
  const rootfs::MountOptions again = rootfs::parse_options({options.data});
  const bool balanced = options.data.find('"') == std::string::npos;
  if (balanced) {
    fuzz::require(again.filesystem == options.filesystem);
    fuzz::require(again.data == options.data);
  }
  return 0;
}
