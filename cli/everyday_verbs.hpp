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
  kPull,
  kPush,
  kLogin,
  kImageFormat,
  kImageInspect,
  kGuestPrune,
  kDiskUse,
  kRmi,
  kPrune,
  kFsck,
  kSave,
  kLoad,
  kImport,
  kNetworkCreate,
  kNetworkList,
  kNetworkInspect,
  kNetworkRemove,
  kNetworkConnect,
  kNetworkDisconnect,
  kNetworkPrune,
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
  kWait,
  kStats,
  kTop,
  kUpdate,
  kCp,
  kDiff,
  kExport,
  kCommit,
  kDebug,
  kSystemPrune,
  kCheckpoint,
  kKernelAdd,
  kMachineClone,
  kBuildDisk,
  kVolumeCreate,
  kVolumeList,
  kVolumeInspect,
  kVolumeRemove,
  kVolumePrune,
  kTenantCreate,
  kTenantUpdate,
  kTenantShow,
  kTenantExport,
  kTenantList,
  kTenantStop,
  kTenantRemove,
  kTenantUsage,
  kMetrics,
  kApply,
  kValidate,
  kDelete,
  kConvert,
  kSnapshotCreate,
  kSnapshotList,
  kSnapshotRollback,
  kClone,
  kGuestExport,
  kGuestImport,
  kShell,
};

// One row for each verb; free of pointers (see Label).
struct EverydayVerb {
  Label<24> name;       // "run", "image ls"
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

// The verb that Docker's words mean: "container ls" is "ps", "image pull" is "pull". Itself where
// it is none of them.
std::string everyday_name(std::string_view name);

// Is it the first word of verbs of two words, as "image"?
bool is_everyday_group(std::string_view word);

std::string everyday_help();
std::string everyday_group_help(std::string_view group);
std::string everyday_help(const EverydayVerb& verb);
std::string everyday_usage(const EverydayVerb& verb);

}  // namespace vrun::cli
