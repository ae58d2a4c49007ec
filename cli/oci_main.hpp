// The OCI persona: `vrun-oci ...`, `vrun oci ...`, `vrun create --bundle DIR ID`.
#pragma once

#include <span>

namespace vrun::cli {

// `argv` without the program's name. Answers the exit code.
int oci_main(std::span<char* const> argv);

// True for the words after `vrun` that mean the OCI persona although they do not begin with "oci":
// create and run with --bundle. The flag decides; words of a guest's own command do not count.
bool means_bundle(std::span<char* const> argv);

}  // namespace vrun::cli
