#include "cli/everyday_verbs.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "cli/help.hpp"
#include "cli/verbs_cron.hpp"
#include "cli/verbs_guests.hpp"
#include "cli/verbs_images.hpp"
#include "cli/verbs_manifest.hpp"
#include "cli/verbs_micro_vms.hpp"
#include "cli/verbs_network.hpp"
#include "cli/verbs_registry.hpp"
#include "cli/verbs_snapshots.hpp"
#include "cli/verbs_system.hpp"
#include "cli/verbs_tenants.hpp"
#include "cli/verbs_tools.hpp"
#include "cli/verbs_volumes.hpp"

namespace vrun::cli {
namespace {

constexpr std::array kGlobals{
    Flag{"data-dir", "", Kind::kText, "DIR",
         "where images and guests are kept; default: $VRUN_DATA_DIR or /var/lib/vrun"},
    Flag{
        "tenant", "", Kind::kText, "NAME",
        "whose guests, images and networks; also after the verb; default: $VRUN_TENANT or default"},
    Flag{"debug", "", Kind::kSwitch, "", "write debug lines to stderr"},
    Flag{"version", "v", Kind::kSwitch, "", "print the version"},
};

constexpr std::array kOwnVerbs{
    EverydayVerb{.name = "images",
                 .arguments = "[NAME]",
                 .summary = "list the images that guests can be made from",
                 .text = "With NAME only those of that name: deb, deb:12, or a pattern.",
                 .flag_set = EverydayFlags::kImages,
                 .most = 1},
};

template <std::size_t... kSizes>
constexpr auto joined(const std::array<EverydayVerb, kSizes>&... tables) {
  std::array<EverydayVerb, (kSizes + ...)> all{};
  auto next = all.begin();
  ((next = std::copy(tables.begin(), tables.end(), next)), ...);
  return all;
}

constexpr auto kVerbs = joined(kGuestVerbs, kToolVerbs, kOwnVerbs, kRegistryVerbs, kImageVerbs,
                               kNetworkVerbs, kVolumeVerbs, kTenantVerbs, kManifestVerbs,
                               kSnapshotVerbs, kSystemVerbs, kCronVerbs, kMicroVmVerbs);

std::string flags_word(const EverydayVerb& verb) {
  return verb.flags().empty() ? "" : " [FLAGS]";
}

std::string verb_line(const EverydayVerb& verb) {
  constexpr std::size_t kColumn = 16;
  std::string line = "  " + std::string(verb.name.view());
  line.append(std::max<std::size_t>(kColumn, line.size() + 2) - line.size(), ' ');
  return line + std::string(verb.summary.view()) + "\n";
}

bool is_in_group(const EverydayVerb& verb, std::string_view group) {
  const std::string_view name = verb.name;
  return name.size() > group.size() && name.starts_with(group) && name[group.size()] == ' ';
}

}  // namespace

std::span<const Flag> EverydayVerb::flags() const {
  switch (flag_set) {
    case EverydayFlags::kRun:
      return kRun;
    case EverydayFlags::kImages:
      return kImages;
    case EverydayFlags::kPull:
      return kPull;
    case EverydayFlags::kPush:
      return kPush;
    case EverydayFlags::kLogin:
      return kLogin;
    case EverydayFlags::kImageFormat:
      return kImageFormat;
    case EverydayFlags::kImageInspect:
      return kImageInspect;
    case EverydayFlags::kDiskUse:
      return kDiskUse;
    case EverydayFlags::kGuestPrune:
      return kGuestPrune;
    case EverydayFlags::kRmi:
      return kRmi;
    case EverydayFlags::kPrune:
      return kPrune;
    case EverydayFlags::kFsck:
      return kFsck;
    case EverydayFlags::kSave:
      return kSave;
    case EverydayFlags::kLoad:
      return kLoad;
    case EverydayFlags::kImport:
      return kImport;
    case EverydayFlags::kNetworkCreate:
      return kNetworkCreate;
    case EverydayFlags::kNetworkList:
      return kNetworkList;
    case EverydayFlags::kNetworkInspect:
      return kNetworkInspect;
    case EverydayFlags::kNetworkRemove:
      return kNetworkRemove;
    case EverydayFlags::kNetworkConnect:
      return kNetworkConnect;
    case EverydayFlags::kNetworkDisconnect:
      return kNetworkDisconnect;
    case EverydayFlags::kNetworkPrune:
      return kNetworkPrune;
    case EverydayFlags::kStart:
      return kStart;
    case EverydayFlags::kStop:
      return kStop;
    case EverydayFlags::kKill:
      return kKill;
    case EverydayFlags::kRm:
      return kRm;
    case EverydayFlags::kPs:
      return kPs;
    case EverydayFlags::kInspect:
      return kInspect;
    case EverydayFlags::kLogs:
      return kLogs;
    case EverydayFlags::kAttach:
      return kAttach;
    case EverydayFlags::kExec:
      return kExec;
    case EverydayFlags::kEvents:
      return kEvents;
    case EverydayFlags::kWait:
      return kWait;
    case EverydayFlags::kFormat:
      return kFormat;
    case EverydayFlags::kStats:
      return kStats;
    case EverydayFlags::kTop:
      return kTop;
    case EverydayFlags::kUpdate:
      return kUpdate;
    case EverydayFlags::kCp:
      return kCp;
    case EverydayFlags::kDiff:
      return kDiff;
    case EverydayFlags::kExport:
      return kExport;
    case EverydayFlags::kCommit:
      return kCommit;
    case EverydayFlags::kDebug:
      return kDebug;
    case EverydayFlags::kSystemPrune:
      return kSystemPrune;
    case EverydayFlags::kCheckpoint:
      return kCheckpoint;
    case EverydayFlags::kKernelAdd:
      return kKernelAdd;
    case EverydayFlags::kMachineClone:
      return kMachineClone;
    case EverydayFlags::kBuildDisk:
      return kBuildDisk;
    case EverydayFlags::kVolumeCreate:
      return kVolumeCreate;
    case EverydayFlags::kVolumeList:
      return kVolumeList;
    case EverydayFlags::kVolumeInspect:
      return kVolumeInspect;
    case EverydayFlags::kVolumeRemove:
      return kVolumeRemove;
    case EverydayFlags::kVolumePrune:
      return kVolumePrune;
    case EverydayFlags::kTenantCreate:
      return kTenantCreate;
    case EverydayFlags::kTenantUpdate:
      return kTenantUpdate;
    case EverydayFlags::kTenantShow:
      return kTenantShow;
    case EverydayFlags::kTenantExport:
      return kTenantExport;
    case EverydayFlags::kTenantList:
      return kTenantList;
    case EverydayFlags::kTenantStop:
      return kTenantStop;
    case EverydayFlags::kTenantRemove:
      return kTenantRemove;
    case EverydayFlags::kMetrics:
      return kMetrics;
    case EverydayFlags::kTenantUsage:
      return kTenantUsage;
    case EverydayFlags::kApply:
      return kApply;
    case EverydayFlags::kValidate:
      return kValidate;
    case EverydayFlags::kDelete:
      return kDelete;
    case EverydayFlags::kConvert:
      return kConvert;
    case EverydayFlags::kSnapshotCreate:
      return kSnapshotCreate;
    case EverydayFlags::kSnapshotList:
      return kSnapshotList;
    case EverydayFlags::kSnapshotRollback:
      return kSnapshotRollback;
    case EverydayFlags::kClone:
      return kClone;
    case EverydayFlags::kGuestExport:
      return kGuestExport;
    case EverydayFlags::kGuestImport:
      return kGuestImport;
    case EverydayFlags::kShell:
      return kShell;
    case EverydayFlags::kNone:
      break;
  }
  return {};
}

std::span<const Flag> everyday_globals() {
  return kGlobals;
}

std::span<const EverydayVerb> everyday_verbs() {
  return kVerbs;
}

const EverydayVerb* find_everyday_verb(std::string_view name) {
  const auto found = std::find_if(kVerbs.begin(), kVerbs.end(), [&](const EverydayVerb& verb) {
    return verb.name.view() == name;
  });
  return found == kVerbs.end() ? nullptr : &*found;
}

std::string everyday_name(std::string_view name) {
  if (find_everyday_verb(name) != nullptr) return std::string(name);
  struct Other {
    std::string_view docker, ours;
  };
  constexpr std::array kOthers{Other{"container ls", "ps"},
                               Other{"container list", "ps"},
                               Other{"container ps", "ps"},
                               Other{"image list", "image ls"},
                               Other{"container checkpoint", "checkpoint"},
                               Other{"image remove", "rmi"},
                               Other{"container remove", "rm"},
                               Other{"network list", "network ls"},
                               Other{"network remove", "network rm"},
                               Other{"system events", "events"},
                               Other{"system info", "info"}};
  const auto other = std::find_if(kOthers.begin(), kOthers.end(),
                                  [&](const Other& one) { return one.docker == name; });
  if (other != kOthers.end()) return std::string(other->ours);
  const std::size_t blank = name.find(' ');
  if (blank == std::string_view::npos) return std::string(name);
  const std::string_view group = name.substr(0, blank), verb = name.substr(blank + 1);
  const auto among = [&](const auto& table) {
    return std::any_of(table.begin(), table.end(),
                       [&](const EverydayVerb& one) { return one.name.view() == verb; });
  };
  const bool of_guests = group == "container" && (among(kGuestVerbs) || among(kToolVerbs));
  const bool of_images = group == "image" && (among(kImageVerbs) || among(kRegistryVerbs));
  return std::string(of_guests || of_images ? verb : name);
}

std::string everyday_usage(const EverydayVerb& verb) {
  std::string text = "vrun " + std::string(verb.name.view()) + flags_word(verb);
  if (!verb.arguments.view().empty()) text += " " + std::string(verb.arguments.view());
  return text;
}

bool is_everyday_group(std::string_view word) {
  return std::any_of(kVerbs.begin(), kVerbs.end(),
                     [&](const EverydayVerb& verb) { return is_in_group(verb, word); });
}

std::string everyday_group_help(std::string_view group) {
  std::string out = "usage: vrun " + std::string(group) + " VERB [FLAGS] [ARGUMENTS]\n\nverbs:\n";
  for (const EverydayVerb& verb : kVerbs) {
    if (is_in_group(verb, group)) out += verb_line(verb);
  }
  // Those that go by one word here have Docker's two as well.
  for (const EverydayVerb& verb : kVerbs) {
    const std::string both = std::string(group) + " " + std::string(verb.name.view());
    const bool listed = find_everyday_verb(both) != nullptr;
    if (!listed && everyday_name(both) == verb.name.view()) out += verb_line(verb);
  }
  return out;
}

std::string everyday_help() {
  std::string out =
      "vrun - runs isolated guests on one Linux server\n\n"
      "usage: vrun [GLOBAL FLAGS] VERB [FLAGS] [ARGUMENTS]\n\n"
      "verbs:\n";
  for (const EverydayVerb& verb : kVerbs)
    out += verb_line(verb);
  out += "  oci           the OCI runtime with runc's command line (also as vrun-oci)\n";
  out += "\nglobal flags:\n" + flag_lines(kGlobals);
  return out + "\n`vrun VERB --help` explains a verb.  Try: vrun run --rm base sh\n";
}

std::string everyday_help(const EverydayVerb& verb) {
  std::string out = "vrun " + std::string(verb.name.view()) + " - " +
                    std::string(verb.summary.view()) + "\n\nusage: " + everyday_usage(verb) + "\n";
  std::string_view text = verb.text.view();
  while (!text.empty()) {
    const std::size_t end = std::min(text.find("\n\n"), text.size());
    out += "\n" + wrap(text.substr(0, end), 0);
    text.remove_prefix(std::min(end + 2, text.size()));
  }
  if (!verb.flags().empty()) out += "\nflags:\n" + flag_lines(verb.flags());
  return out;
}

}  // namespace vrun::cli
