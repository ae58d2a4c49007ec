// Brings an image's layers into the store.
#pragma once

#include <string>

#include "base/host.hpp"
#include "base/result.hpp"
#include "images/layout.hpp"
#include "images/store.hpp"

namespace vrun::images {

bool has_all_layers(const Store& store, const Image& image);

// When every layer is there (the usual case), nothing is read. Otherwise runs the program
// `importer` (vrun-image), which verifies and unpacks them; concurrent commands do it once.
Result<void> ensure_layers(const Store& store, const Image& image, const std::string& importer,
                           const Host& host);

// What vrun-image says at its end when it fails, on stderr: the sentence and the hint, a line each.
std::string to_report(const Error& error);
Error from_report(const std::string& output, int exit_code);

}  // namespace vrun::images
