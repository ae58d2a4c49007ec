// The documents of an image, which come from strangers: nothing is manifest and index at once, and
// what is accepted survives writing and reading.

#include "oci/image.hpp"
#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vrun;
  const std::string_view text = fuzz::text_of(data, size);
  const auto manifest = oci::parse_manifest(text, "manifest");
  const auto index = oci::parse_index(text, "index");
  const auto config = oci::parse_image_config(text, "config");
  fuzz::require(!(manifest && index));
  if (manifest) {
    const auto again = oci::parse_manifest(oci::to_json(*manifest), "again");
    fuzz::require(again && *again == *manifest);
  }
  if (index) {
    const auto again = oci::parse_index(oci::to_json(*index), "again");
    fuzz::require(again && *again == *index);
  }
  if (config) {
    const auto again = oci::parse_image_config(oci::to_json(*config), "again");
    fuzz::require(again && *again == *config);
  }
  if (!oci::check_layout(text, "oci-layout")) return 0;
  return 0;
}
