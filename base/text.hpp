// Small text functions. Nothing here interprets a locale.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vrun {

// 'text' in single quotes with control characters, quotes and backslashes as \xNN, so that a name
// from outside can neither play with a terminal nor hide where it ends.
std::string quote(std::string_view text);
// The same without the quotes, for text that already stands in a sentence or a table.
std::string printable(std::string_view text);

std::vector<std::string_view> split(std::string_view text, char separator);
std::string_view trim(std::string_view text);
std::string join(std::span<const std::string> parts, std::string_view separator);

// Whole-string decimal numbers only: no sign for the unsigned one, no blanks, no overflow.
std::optional<std::uint64_t> parse_u64(std::string_view text);
std::optional<std::int64_t> parse_i64(std::string_view text);

// Bytes with an optional binary unit: "64m", "1.5G", "512", "2GiB". Nothing else.
std::optional<std::uint64_t> parse_bytes(std::string_view text);

// The candidate nearest to `word`, if any is near: at most 2 letters or a third of them wrong (1 of
// a word of three), where two neighbours swapped count as one.
std::optional<std::string_view> nearest(std::string_view word,
                                        std::span<const std::string_view> candidates);

}  // namespace vrun
