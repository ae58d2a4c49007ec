// The command line of `vrun-oci`: runc's verbs and flags, word for word, so that containerd,
// CRI-O, Podman, Docker, Buildah and BuildKit can call it in runc's place.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "cli/options.hpp"

namespace vrun::cli {

enum class FlagSet : std::uint8_t {
  kNone,
  kCreate,
  kRun,
  kKill,
  kDelete,
  kExec,
  kList,
  kPs,
  kUpdate,
  kEvents,
  kSpec,
  kCheckpoint,
  kRestore,
};
std::span<const Flag> flags_of(FlagSet set);

// One row for each verb; free of pointers (see Label).
struct Verb {
  Label<16> name;
  Label<40> arguments;  // "CONTAINER [SIGNAL]"
  Label<72> summary;
  Label<640> text;  // paragraphs of --help and of the man page, separated by an empty line
  FlagSet flag_set = FlagSet::kNone;
  std::size_t least = 0;  // positional arguments
  std::size_t most = 0;
  // exec and ps hand what follows the container's id to somebody else: flags end at the first
  // positional argument. Elsewhere flags may also follow it.
  bool flags_anywhere = true;
  int failure = 1;  // exit code of any failure

  std::span<const Flag> flags() const { return flags_of(flag_set); }
};

std::span<const Flag> oci_globals();  // before the verb
std::span<const Verb> oci_verbs();    // in the order of --help
const Verb* find_verb(std::string_view name);
std::string usage(const Verb& verb);  // "vrun-oci [GLOBAL FLAGS] kill [FLAGS] CONTAINER [SIGNAL]"

// Reads the words after the verb and checks the number of positional ones (unless help is asked
// for).
Result<Arguments> parse(const Verb& verb, std::span<char* const> argv);

}  // namespace vrun::cli
