// Image names: an accepted name is made of safe path parts only, and both its spellings mean the
// same.

#include "oci/image.hpp"
#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vrun;
  const std::string_view text = fuzz::text_of(data, size);
  const auto reference = oci::Reference::parse(text);
  if (!reference) {
    fuzz::require(reference.error().text().find('\n') == std::string::npos);
    return 0;
  }
  fuzz::require(reference->path.find("..") == std::string::npos);
  fuzz::require(!reference->path.empty() && reference->path.front() != '/');
  fuzz::require(reference->tag.find('/') == std::string::npos);
  for (const std::string& spelling : {reference->str(), reference->familiar()}) {
    const auto again = oci::Reference::parse(spelling);
    fuzz::require(again && *again == *reference);
  }
  return 0;
}
