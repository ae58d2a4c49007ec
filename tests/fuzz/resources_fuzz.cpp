// update --resources: as for config.json.

#include "oci/documents.hpp"
#include "oci/reader.hpp"
#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vrun;
  const auto resources = oci::parse_resources(fuzz::text_of(data, size), "resources");
  if (!resources) return 0;
  const auto checked = oci::check(*resources, "resources");
  if (!checked) fuzz::require(checked.error().text().starts_with("resources: "));
  const auto again = oci::parse_resources(oci::to_json(*resources, false), "again");
  fuzz::require(again && *again == *resources);
  return 0;
}
