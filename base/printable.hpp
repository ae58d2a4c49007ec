// Which bytes of a text may go to a terminal.
#pragma once

#include <cstddef>
#include <string_view>

namespace vrun {

// Bytes of the character at `at` that may be shown as it is: 0 for control characters (C0, DEL, and
// C1, which are U+0080 to U+009F) and for bytes that are no UTF-8. Those could be control
// characters too: a terminal in 8-bit mode takes a lone 0x9B for the begin of an escape sequence.
// So is it for what turns the direction of the text that follows (U+202A to U+202E, U+2066 to
// U+2069) or begins a line (U+2028, U+2029).
std::size_t printable_bytes(std::string_view text, std::size_t at);

}  // namespace vrun
