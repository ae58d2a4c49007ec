#include "tenants/id_blocks.hpp"

#include <algorithm>

#include "base/fs.hpp"
#include "base/json_table.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::tenants {
namespace {

constexpr const char* kFile = "ids.json";
constexpr std::size_t kMostBytes = 4U << 20U;

bool overlaps(const GivenBlock& given, std::uint64_t first) {
  return first < given.first + given.count && given.first < first + kIdsPerBlock;
}

bool is_free(const IdBook& book, const IdArea& area, std::uint64_t first) {
  const auto covers = [first](const GivenBlock& given) { return overlaps(given, first); };
  if (std::any_of(book.blocks.begin(), book.blocks.end(), covers)) return false;
  for (std::uint64_t range = first; range < first + kIdsPerBlock; range += kIdsPerRange) {
    if (!area.is_free(range)) return false;
  }
  return true;
}

}  // namespace

constexpr auto json_fields(const GivenBlock*) {
  using json::field;
  constexpr std::uint64_t kMost = 0xFFFFFFFFU;
  return json::fields(
      field("first", &GivenBlock::first, {.min = 1, .max = kMost, .required = true}),
      field("count", &GivenBlock::count, {.min = 1, .max = kMost, .required = true}),
      field("tenant", &GivenBlock::tenant, {.required = true}),
      field("retired", &GivenBlock::retired));
}

constexpr auto json_fields(const IdBook*) {
  using json::field;
  return json::fields(field("version", &IdBook::version, {.min = 1, .max = 1, .required = true}),
                      field("blocks", &IdBook::blocks, {.required = true}));
}

std::string to_json(const IdBook& book) {
  return json::write(book, json::Style::kSpaces) + "\n";
}

Result<IdBook> parse_id_book(std::string_view text, std::string_view file) {
  return json::read<IdBook>(text, file);
}

Result<IdBook> read_id_book(const std::string& tenants_dir) {
  const std::string path = tenants_dir + "/" + kFile;
  const Result<std::string> text =
      fs::read_file(At::cwd(), path, kMostBytes, fs::Kind::kRegularOnly);
  if (text) return parse_id_book(*text, path);
  if (text.error().code() == Code::kNotFound) return IdBook();
  return Error(text.error().code(), text.error().text());
}

Result<void> save_id_book(const std::string& tenants_dir, const IdBook& book) {
  const Fd dir = TRY(sys::open_dir(At::cwd(), tenants_dir));
  return fs::replace_file(dir, kFile, to_json(book));
}

Result<IdBlock> take_block(IdBook& book, const IdArea& area, const std::string& tenant) {
  // On one grid, so that blocks never overlap in part.
  const std::uint64_t lowest = (area.first + kIdsPerBlock - 1) / kIdsPerBlock;
  for (std::uint64_t at = area.end / kIdsPerBlock; at > lowest; --at) {
    const std::uint64_t first = (at - 1) * kIdsPerBlock;
    if (!is_free(book, area, first)) continue;
    book.blocks.push_back({first, kIdsPerBlock, tenant, ""});
    return IdBlock{first, kIdsPerBlock};
  }
  return Error(Code::kState, "no free block of " + std::to_string(kIdsPerBlock) +
                                 " user ids for tenant " + quote(tenant) + " between " +
                                 std::to_string(area.first) + " and " + std::to_string(area.end))
      .hint(
          "give a larger range in lines vrun:START:COUNT of /etc/subuid and /etc/subgid; ids of "
          "removed tenants are not given again");
}

void retire_blocks(IdBook& book, std::string_view tenant, const std::string& when) {
  for (GivenBlock& block : book.blocks) {
    if (block.tenant == tenant && block.retired.empty()) block.retired = when;
  }
}

std::uint64_t blocks_for(std::uint64_t guests) {
  return std::max<std::uint64_t>(1, (guests + kRangesPerBlock - 1) / kRangesPerBlock);
}

}  // namespace vrun::tenants
