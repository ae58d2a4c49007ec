// Columns for people, laid out as runc lays them out: at least 12 wide, 3 blanks between them.
#pragma once

#include <string>
#include <vector>

namespace vrun::cli {

// Cells are printed without control characters; the last column is not padded.
std::string table(const std::vector<std::vector<std::string>>& rows);

}  // namespace vrun::cli
