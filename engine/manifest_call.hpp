// Asking vrun-manifest, the helper that reads YAML.
#pragma once

#include <string>

#include "base/host.hpp"
#include "base/result.hpp"
#include "manifest/wire.hpp"

namespace vrun::engine {

// `verb`: read, objects or convert. Faults of the texts are in the answer, not errors.
Result<manifest::WireAnswer> ask_manifest(const std::string& verb,
                                          const manifest::WireRequest& request, const Host& host);

// The texts of FILE, of all *.yaml, *.yml and *.json of a directory (by name), or of stdin for "-".
// In a call of vrun-broker they are what the caller sent.
Result<std::vector<manifest::WireFile>> read_manifest_files(const std::vector<std::string>& paths,
                                                            const Host& host);

}  // namespace vrun::engine
