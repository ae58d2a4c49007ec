// Guests that are there as a manifest.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

struct ExportedManifest {
  std::string text;                // YAML, whose values are written as JSON
  std::vector<std::string> notes;  // what it cannot say
};

// Of the guests named, or of all. Networks that they are on come first; Secrets and Configs are
// named and not written out: their contents belong into no file.
Result<ExportedManifest> export_manifest(const Guests& guests,
                                         const std::vector<std::string>& names);

// All networks of the tenant but its default one.
Result<std::string> networks_text(const Guests& guests);

// Without those that apply keeps for itself.
std::vector<std::string> own_labels(std::vector<std::string> labels);

// One guest's fields, as the reader reads them.
std::string manifest_of(const GuestRecord& record, std::vector<std::string>& notes);

}  // namespace vrun::engine
