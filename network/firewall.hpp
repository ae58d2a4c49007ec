// Access to the kernel's nft tables: asked directly, changed by the helper vrun-net.
#pragma once

#include <string>

#include "base/result.hpp"

namespace vrun::network {

// Is `bridge` an element of the set `bridges` of table inet vrun? One question to the kernel, no
// program is run: the check that the wall stands, before every guest.
Result<bool> rules_cover(const std::string& bridge);

// One transaction: all of the text or nothing.
Result<void> apply_rules(const std::string& text);

}  // namespace vrun::network
