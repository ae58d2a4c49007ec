// For which machine an image was built, and which manifest of an index fits best. Pure values.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "oci/image.hpp"

namespace vrun::images {

// "linux/amd64", "linux/arm/v7", "arm64" (linux is meant); kernel names such as "aarch64" are
// turned into Go's. Only linux is accepted: nothing else can run here.
Result<oci::Platform> parse_platform(std::string_view text);

// linux, this program's architecture.
oci::Platform machine_platform();

std::string to_text(const oci::Platform& platform);

// A manifest for `wanted`: of several the one with the highest variant that is not above the wanted
// one, then the first. Without any the error lists what there is.
Result<oci::Descriptor> pick_manifest(const oci::Index& index, const oci::Platform& wanted);

}  // namespace vrun::images
