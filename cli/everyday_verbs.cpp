#include "cli/everyday_verbs.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "cli/help.hpp"
#include "cli/verbs_images.hpp"
#include "cli/verbs_registry.hpp"
#include "cli/verbs_network.hpp"

namespace vrun::cli {
namespace {

constexpr std::array kGlobals{
    Flag{"data-dir", "", Kind::kText, "DIR",
         "where images and guests are kept; default: $VRUN_DATA_DIR or /var/lib/vrun"},
    Flag{"debug", "", Kind::kSwitch, "", "write debug lines to stderr"},
    Flag{"version", "v", Kind::kSwitch, "", "print the version"},
};

// The order is that of --help: what the guest is, what it may use, what it sees.
constexpr std::array kRun{
    Flag{"name", "", Kind::kText, "NAME", "name of the guest; default: made from the image's name"},
    Flag{"hostname", "", Kind::kText, "NAME", "host name inside; default: the guest's name"},
    Flag{"rm", "", Kind::kSwitch, "", "remove the guest when it ends; always so in this version",
         "true"},
    Flag{"tty", "t", Kind::kSwitch, "",
         "give the guest a terminal; default: when stdin and stdout are terminals"},
    Flag{"interactive", "i", Kind::kSwitch, "",
         "keep stdin open to the guest; --interactive=false gives it none", "true"},
    Flag{"env", "e", Kind::kList, "NAME=VALUE",
         "set an environment variable; NAME alone takes the caller's value"},
    Flag{"env-file", "", Kind::kList, "FILE", "environment variables from the lines of FILE"},
    Flag{"workdir", "w", Kind::kText, "DIR", "working directory inside"},
    Flag{"user", "u", Kind::kText, "USER[:GROUP]", "user inside, by name or number"},
    Flag{"entrypoint", "", Kind::kText, "PROGRAM",
         "program to run instead of the image's; empty clears it"},
    Flag{"memory", "m", Kind::kText, "SIZE", "most memory and swap together: 512m, 2g"},
    Flag{"cpus", "", Kind::kText, "NUMBER", "most cpu time, in CPUs: 0.5, 2"},
    Flag{"pids-limit", "", Kind::kText, "COUNT", "most processes and threads"},
    Flag{"volume", "v", Kind::kList, "SOURCE:TARGET",
         "show a path of the host inside, owners mapped; with :ro read-only, with :noidmap as it "
         "is"},
    Flag{"tmpfs", "", Kind::kList, "TARGET[:OPTS]",
         "an empty directory in memory: /cache:size=64m,mode=1777"},
    Flag{"read-only", "", Kind::kSwitch, "", "the guest cannot change its root directory"},
    Flag{"network", "", Kind::kText, "none|host",
         "none: loopback only; host: the network of the host itself", "none"},
    Flag{"cap-add", "", Kind::kList, "CAPABILITY",
         "give the guest's root one more capability, or ALL"},
    Flag{"cap-drop", "", Kind::kList, "CAPABILITY", "take one away, or ALL"},
    Flag{"no-new-privs", "", Kind::kSwitch, "", "set-id programs inside give no rights"},
    Flag{"isolation", "", Kind::kText, "KIND", "container; vm comes with a later version",
         "container"},
    Flag{"pull", "", Kind::kText, "WHEN", "comes with a later version", "", Shown::kDeprecated},
};

constexpr std::array kOwnVerbs{
    EverydayVerb{
        .name = "run",
        .arguments = "IMAGE [COMMAND [ARGUMENT...]]",
        .summary = "run a command in a new guest made from an image",
        .text = "Makes a guest with namespaces, ids, host name, process numbers and file tree "
                "of its own, runs COMMAND (or what the image says) in it, and removes the "
                "guest when that ends. Flags for vrun stand before IMAGE; what follows it "
                "belongs to the guest.\n\n"
                "The exit code is the command's, or 128 + N when signal N killed it. 125: vrun "
                "itself failed, 126: the command cannot be executed, 127: it was not found.\n\n"
                "Whatever stdin is, the guest reads it; a shell loop that reads lines wants "
                "--interactive=false. On a terminal the guest gets a terminal.",
        .flag_set = EverydayFlags::kRun,
        .least = 1,
        .most = static_cast<std::size_t>(-1),
        .flags_anywhere = false},
    EverydayVerb{
        .name = "plan",
        .arguments = "IMAGE [COMMAND [ARGUMENT...]]",
        .summary = "show what `run` with the same flags would do; change nothing",
        .text = "Prints the guest's ids, its OCI specification and the steps of its start.",
        .flag_set = EverydayFlags::kRun,
        .least = 1,
        .most = static_cast<std::size_t>(-1),
        .flags_anywhere = false},
    EverydayVerb{.name = "images",
                 .arguments = "",
                 .summary = "list the images that guests can be made from",
                 .text = "",
                 .flag_set = EverydayFlags::kImages},
};

template <std::size_t... kSizes>
constexpr auto joined(const std::array<EverydayVerb, kSizes>&... tables) {
  std::array<EverydayVerb, (kSizes + ...)> all{};
  auto next = all.begin();
  ((next = std::copy(tables.begin(), tables.end(), next)), ...);
  return all;
}

constexpr auto kVerbs = joined(kOwnVerbs, kRegistryVerbs, kImageVerbs, kNetworkVerbs);

std::string flags_word(const EverydayVerb& verb) {
  return verb.flags().empty() ? "" : " [FLAGS]";
}

std::string verb_line(const EverydayVerb& verb) {
  constexpr std::size_t kColumn = 16;
  std::string line = "  " + std::string(verb.name.view());
  line.append(std::max<std::size_t>(kColumn, line.size() + 1) - line.size(), ' ');
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
  return out + "\n`vrun VERB --help` explains a verb.  Try: vrun run base sh\n";
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
