#include "runtime/mount_table.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace vrun::runtime {
namespace {

bool is_octal(char c) {
  return c >= '0' && c <= '7';
}

// Blanks, tabs, newlines and backslashes stand there as \ooo.
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escaped = text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) &&
                         is_octal(text[i + 2]) && is_octal(text[i + 3]);
    if (!escaped) {
      out += text[i];
      continue;
    }
    out +=
        static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + text[i + 3] - '0');
    i += 3;
  }
  return out;
}

}  // namespace

Result<std::vector<MountLine>> parse_mount_table(std::string_view text) {
  constexpr std::size_t kId = 0;
  constexpr std::size_t kRoot = 3;
  constexpr std::size_t kPoint = 4;
  std::vector<MountLine> table;
  for (const std::string_view line : split(text, '\n')) {
    if (line.empty()) continue;
    const std::vector<std::string_view> words = split(line, ' ');
    // Optional fields of any number end with a lone "-"; the type follows.
    const auto dash = std::find(words.begin(), words.end(), "-");
    const auto id = parse_u64(words[kId]);
    if (!id || words.size() <= kPoint || words.end() - dash < 2)
      return Error(Code::kInternal, "mountinfo has the line " + quote(line));
    table.push_back(
        {*id, unescape(words[kRoot]), unescape(words[kPoint]), std::string(*(dash + 1))});
  }
  return table;
}

const MountLine* find_mount(const std::vector<MountLine>& table, std::uint64_t id) {
  const auto found = std::find_if(table.begin(), table.end(),
                                  [id](const MountLine& line) { return line.id == id; });
  return found == table.end() ? nullptr : &*found;
}

Result<std::uint64_t> parse_mount_id(std::string_view fdinfo) {
  constexpr std::string_view kKey = "mnt_id:";
  for (const std::string_view line : split(fdinfo, '\n')) {
    if (!line.starts_with(kKey)) continue;
    if (const auto id = parse_u64(trim(line.substr(kKey.size())))) return *id;
  }
  return Error(Code::kInternal, "fdinfo has no mnt_id");
}

}  // namespace vrun::runtime
