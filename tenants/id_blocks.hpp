// Which user and group ids belong to which tenant: data/tenants/ids.json, under the lock of all
// tenants.
//
// A block is 64 ranges of 65536 ids, one range for each guest. Blocks are handed out from the upper
// end of the space; the guests of `default` take theirs from the lower end. A block whose tenant is
// gone is not handed out again: files on disk (in directories of the host that guests could write
// to, in volumes that were copied away) may still carry its ids.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "tenants/record.hpp"

namespace vrun::tenants {

inline constexpr std::uint64_t kIdsPerRange = 65536;
inline constexpr std::uint64_t kRangesPerBlock = 64;
inline constexpr std::uint64_t kIdsPerBlock = kIdsPerRange * kRangesPerBlock;

struct GivenBlock {
  std::uint64_t first = 0, count = 0;
  std::string tenant;
  std::string retired;  // when the tenant was removed; empty: it has it
  bool operator==(const GivenBlock&) const = default;
};
struct IdBook {
  std::uint32_t version = 1;
  std::vector<GivenBlock> blocks;
};

std::string to_json(const IdBook& book);
Result<IdBook> parse_id_book(std::string_view json, std::string_view file);
// An empty one when there is none.
Result<IdBook> read_id_book(const std::string& tenants_dir);
Result<void> save_id_book(const std::string& tenants_dir, const IdBook& book);

struct IdArea {
  std::uint64_t first = 0, end = 0;
  // Does a range of 65536 ids at `start` belong to nobody else of the host?
  std::function<bool(std::uint64_t start)> is_free;
};
// The highest block that nobody has or had; noted in the book, which the caller saves. kState when
// the area is used up.
Result<IdBlock> take_block(IdBook& book, const IdArea& area, const std::string& tenant);
// Its blocks stay in the book, marked.
void retire_blocks(IdBook& book, std::string_view tenant, const std::string& when);

// How many blocks so many guests need; 0 (no limit) is one block.
std::uint64_t blocks_for(std::uint64_t guests);

}  // namespace vrun::tenants
