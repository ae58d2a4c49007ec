// exec --process: as for config.json.

#include "oci/documents.hpp"
#include "oci/reader.hpp"
#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vrun;
  const auto process = oci::parse_process(fuzz::text_of(data, size), "process");
  if (!process) return 0;
  const auto checked = oci::check(*process, "process");
  if (!checked) fuzz::require(checked.error().text().starts_with("process: "));
  const auto again = oci::parse_process(oci::to_json(*process, true), "again");
  fuzz::require(again && *again == *process);
  return 0;
}
