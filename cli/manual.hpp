// Man pages and completions, made from the tables that the parser reads: they cannot disagree.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/options.hpp"

namespace vrun::cli {

// A program as its pages describe it.
struct Manual {
  struct Verb {
    std::string_view name, summary, text;
    std::string usage;
    std::span<const Flag> flags;
    std::string_view names;      // command that prints what its first word can be, one a line
    bool takes_command = false;  // then the command of a guest follows
  };
  std::string_view name;  // "vrun-oci"
  char section;
  std::string_view purpose;  // the line of NAME
  std::string_view description;
  std::span<const Flag> globals;
  std::vector<Verb> verbs;
  std::string_view tail;  // roff: the sections after the verbs
};

Manual oci_manual();
Manual everyday_manual();

std::string manual_page(const Manual& manual);  // roff
std::string bash_completion(const Manual& manual);
std::string zsh_completion(const Manual& manual);
std::string fish_completion(const Manual& manual);

// Text as roff wants it: no line begins with a request, dashes are dashes.
std::string roff(std::string_view text);

}  // namespace vrun::cli
