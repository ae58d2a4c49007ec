// The everyday command line of `vrun` as data: verbs, flags, words of --help. The parser, the help,
// the man pages and the completions are made from the same rows.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "cli/options.hpp"

namespace vrun::cli {

enum class EverydayFlags : std::uint8_t {
  kNone,
  kRun,
  kImages,
  kStart,
  kStop,
  kKill,
  kRm,
  kPs,
  kInspect,
  kLogs,
  kAttach,
  kExec,
  kEvents,
  kFormat,
  kStats,
  kTop,
  kUpdate,
  kCp,
  kDiff,
  kExport,
  kCommit,
  kDebug,
};

// One row for each verb; free of pointers (see Label).
struct EverydayVerb {
  Label<16> name;
  Label<40> arguments;  // "IMAGE [COMMAND [ARGUMENT...]]"
  Label<72> summary;
  Label<1024> text;  // paragraphs, separated by an empty line
  EverydayFlags flag_set = EverydayFlags::kNone;
  std::size_t least = 0;  // positional arguments
  std::size_t most = 0;
  // run and plan hand what follows the image to the guest: flags end there.
  bool flags_anywhere = true;

  std::span<const Flag> flags() const;
};

std::span<const Flag> everyday_globals();  // before the verb
std::span<const EverydayVerb> everyday_verbs();
const EverydayVerb* find_everyday_verb(std::string_view name);

std::string everyday_help();
std::string everyday_help(const EverydayVerb& verb);
std::string everyday_usage(const EverydayVerb& verb);

}  // namespace vrun::cli
