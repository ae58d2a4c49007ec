// What the boots of a whole machine tell the process above them of its disks: those that came and
// went while the machine ran belong to the next boot as well (main_machine.hpp).
#pragma once

#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vm/vmm/options.hpp"

namespace vrun::vmm {

inline constexpr std::size_t kMostDiskName = 40;

// Over a SOCK_SEQPACKET pair; kState when the other side is behind.
Result<void> tell_disk_came(const Fd& news, const std::string& name, bool read_only,
                            const Fd& file);
Result<void> tell_disk_went(const Fd& news, const std::string& name);

// Everything that was told, into the list.
Result<void> take_disk_news(const Fd& news, std::vector<DiskOption>& disks);

// Takes the disk out of the list, and what is kept of it.
void forget_disk(const std::string& name, std::vector<DiskOption>& disks, Kept* kept);

}  // namespace vrun::vmm
