#include "base/id.hpp"

#include <algorithm>
#include <cctype>

#include "base/text.hpp"

namespace vrun {
namespace {

constexpr std::size_t kMaxIdLength = 1024;

bool is_id_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '+' || c == '.' ||
         c == '-';
}

}  // namespace

Result<ContainerId> ContainerId::parse(std::string_view text) {
  const bool good = !text.empty() && text.size() <= kMaxIdLength && text != "." && text != ".." &&
                    std::all_of(text.begin(), text.end(), is_id_char);
  if (good) return ContainerId(std::string(text));
  return Error(Code::kInvalid, "container id " + quote(text.substr(0, 80)) + ": invalid id format")
      .hint("use 1 to 1024 letters, digits and the characters _ + . -");
}

}  // namespace vrun
