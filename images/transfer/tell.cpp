#include "images/transfer/tell.hpp"

#include <string>

#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::images {

void tell(const Error& error) {
  std::string text;
  const std::string words = error.text();
  for (const std::string_view line : split(words, '\n'))
    text += (text.empty() ? "vrun: " : "  ") + printable(line) + "\n";
  if (!error.hint().empty()) text += "  hint: " + printable(error.hint()) + "\n";
  static_cast<void>(sys::write_all(STDERR_FILENO, text));
}

}  // namespace vrun::images
