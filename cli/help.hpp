// --help and --version of `vrun-oci`, made from the tables.
#pragma once

#include <span>
#include <string>

#include "cli/oci_verbs.hpp"

namespace vrun::cli {

std::string help_text();                  // the program
std::string help_text(const Verb& verb);  // one verb
std::string version_text();               // the lines that Docker, containerd and Podman parse

// "  -b, --bundle DIR   the bundle ... (default: x)": one line for each flag that is shown.
std::string flag_lines(std::span<const Flag> flags);
// Text broken at blanks into lines of at most `width`, each after `indent` blanks.
std::string wrap(std::string_view text, std::size_t indent, std::size_t width = 80);

}  // namespace vrun::cli
