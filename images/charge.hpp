// What the images of a tenant count for in its disk budget.
//
// Every tenant is charged for the whole of what its names, its guests and its marks (holdings.hpp)
// lead to, as if nobody else had it: what it pays says nothing of others. Images shipped with vrun
// are free. The sum is made from what is there, so no crash can leave a wrong one; sizes of layers
// are remembered, as they never change:
//
//   images/sizes/HEX         bytes of a layer, written when somebody first asks
//   images/charged/TENANT    the last sum: what the other half of the budget (guests, volumes) is
//                            lowered by, without adding up at every command
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "images/gc.hpp"
#include "images/store.hpp"

namespace vrun::images {

// A file or directory costs this beside its content: an inode and its place in a directory.
inline constexpr std::uint64_t kEntryCharge = 1024;
// Content is charged in whole blocks.
constexpr std::uint64_t charge_of_bytes(std::uint64_t bytes) {
  constexpr std::uint64_t kBlock = 4096;
  return (bytes + kBlock - 1) / kBlock * kBlock;
}

std::uint64_t charge_of(const Store& store, const Content& content);
// Of all that the tenant has now.
Result<std::uint64_t> charged(const Store& store, const std::string& tenant,
                              const std::vector<Image>& shipped);

// The same, noted; after a command brought or removed images of the tenant.
Result<std::uint64_t> note_charge(const Store& store, const std::string& tenant,
                                  const std::vector<Image>& shipped);
// 0 for a tenant that has no note.
std::uint64_t noted_charge(const std::string& data_dir, const std::string& tenant);
// Of every tenant that has a note: after content went.
void note_all_charges(const Store& store, const std::vector<Image>& shipped);
void forget_size(const Store& store, const std::string& layer);
void forget_charge(const std::string& data_dir, const std::string& tenant);

}  // namespace vrun::images
