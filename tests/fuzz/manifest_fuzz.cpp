// Manifests: whatever a text says, reading ends soon, with faults that have a place, or with
// objects that say the same again; what convert writes is what the reader reads.

#include "base/json.hpp"
#include "manifest/convert.hpp"
#include "manifest/reader.hpp"
#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vrun;
  const std::string text(fuzz::text_of(data, size));
  const std::vector<manifest::Source> sources{{"f", text}};
  const std::vector<std::string> settings{"guests.web.env.A=" + text.substr(0, 64)};
  const manifest::Manifest read = manifest::read_manifest(sources);
  for (const manifest::Fault& fault : read.faults)
    fuzz::require(fault.line().find('\n') == std::string::npos);
  for (const manifest::Object& object : read.objects) {
    if (read.faults.empty()) fuzz::require(json::Document::parse(object.spec, "spec").has_value());
  }
  static_cast<void>(manifest::read_manifest(sources, settings));
  const manifest::Converted converted = manifest::convert(sources);
  if (converted.faults.empty()) {
    const std::vector<manifest::Source> again{{"again", converted.text}};
    fuzz::require(manifest::read_manifest(again).faults.empty());
  }
  return 0;
}
