// config.json: what is accepted can be checked, written, and read again as the same.

#include "oci/documents.hpp"
#include "oci/reader.hpp"
#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vrun;
  const auto spec = oci::parse_spec(fuzz::text_of(data, size), "config.json");
  if (!spec) {
    fuzz::require(spec.error().text().starts_with("config.json: "));
    return 0;
  }
  const auto checked = oci::check(*spec);
  if (!checked) fuzz::require(!checked.error().text().empty());
  const auto again = oci::parse_spec(oci::to_json(*spec, false), "again");
  fuzz::require(again && *again == *spec);
  return 0;
}
