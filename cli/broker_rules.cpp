#include "cli/broker_rules.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "cli/everyday.hpp"
#include "cli/everyday_verbs.hpp"
#include "cli/tenant_flag.hpp"

namespace vrun::cli {
namespace {

// Verbs of one tenant's own guests, images, networks and volumes.
constexpr auto kAllowed = std::to_array<std::string_view>({
    "apply",
    "attach",
    "checkpoint",
    "clone",
    "commit",
    "container prune",
    "convert",
    "cp",
    "create",
    "cron ls",
    "delete",
    "diff",
    "events",
    "exec",
    "export",
    "guest export",
    "guest import",
    "history",
    "image history",
    "image inspect",
    "image ls",
    "image rm",
    "image tag",
    "images",
    "import",
    "inspect",
    "kill",
    "load",
    "login",
    "logout",
    "logs",
    "machine-id",
    "network connect",
    "network create",
    "network disconnect",
    "network inspect",
    "network ls",
    "network prune",
    "network rm",
    "pause",
    "plan",
    "port",
    "ps",
    "pull",
    "push",
    "rename",
    "restart",
    "restore",
    "rm",
    "rmi",
    "run",
    "save",
    "shell",
    "snapshot create",
    "snapshot ls",
    "snapshot rm",
    "snapshot rollback",
    "start",
    "stats",
    "stop",
    "tag",
    "tenant export",
    "tenant freeze",
    "tenant show",
    "tenant stop",
    "tenant thaw",
    "tenant top",
    "tenant usage",
    "top",
    "unpause",
    "update",
    "validate",
    "version",
    "vm clone",
    "vm snapshot",
    "volume create",
    "volume inspect",
    "volume ls",
    "volume prune",
    "volume rm",
    "wait",
});

// Flags that name files of the host.
constexpr std::array<std::string_view, 12> kFileFlags{"env-file",   "output", "input",    "cidfile",
                                                      "label-file", "file",   "authfile", "pidfile",
                                                      "secret",     "disk",   "disk-add", "initrd"};

// Of these the caller's vrun sends the texts; root's opens none.
constexpr std::array<std::string_view, 3> kSentFlags{"env-file", "label-file", "file"};

bool has(const auto& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

bool all_sent(const std::vector<std::string>& paths, std::span<const std::string> sent) {
  return std::all_of(paths.begin(), paths.end(),
                     [&](const std::string& path) { return has(sent, path); });
}

Error refused(const std::string& what, const std::string& hint) {
  return Error(Code::kDenied, what).hint(hint);
}

constexpr const char* kByRoot = "root may: sudo vrun ...";

// The verb's own words, behind --debug and the like; "--tenant" was taken out by the client.
Result<std::size_t> first_of_verb(const std::vector<std::string>& words) {
  std::size_t at = 0;
  while (at < words.size() && words[at].starts_with('-')) {
    if (words[at] == "--debug" || words[at] == "-debug") {
      ++at;
      continue;
    }
    if (words[at] == "--version" || words[at] == "--help" || words[at] == "-h" || words[at] == "-v")
      return words.size();
    return refused("the flag " + quote(words[at].substr(0, words[at].find('='))) +
                       " before the verb is not for admins of a tenant",
                   kByRoot);
  }
  return at;
}

Result<void> check_files(const Arguments& arguments, std::span<const std::string> sent) {
  for (const std::string_view flag : kFileFlags) {
    if (!arguments.has(flag) || (has(kSentFlags, flag) && all_sent(arguments.list(flag), sent)))
      continue;
    return refused(
        "--" + std::string(flag) + " names a file, which root would open for you",
        "use stdin and stdout: `vrun save IMAGE >FILE`, `vrun load <FILE`, -e NAME=VALUE");
  }
  if (arguments.text("kernel").find('/') != std::string::npos)
    return refused("--kernel with a path names a file, which root would open for you",
                   "a name of `vrun vm kernel ls`");
  if (arguments.on("trust"))
    return refused("--trust: what an archive asks of this host is root's to allow", kByRoot);
  for (const std::string& option : arguments.list("security-opt")) {
    // Both are taken: seccomp=FILE and seccomp:FILE.
    const std::size_t sign = option.find_first_of("=:");
    const bool filter = option.substr(0, sign) == "seccomp" && sign != std::string::npos;
    if (filter && option.substr(sign + 1) != "unconfined")
      return refused(
          "--security-opt " + quote(option) + " names a file, which root would open for you",
          kByRoot);
  }
  return {};
}

// The caller's directory is not the broker's.
Result<void> check_surroundings(const Arguments& arguments) {
  for (const char* flag : {"volume", "volume-add"}) {
    for (const std::string& volume : arguments.list(flag)) {
      if (volume.starts_with('.') || volume.starts_with('~'))
        return refused("--" + std::string(flag) + " " + quote(volume) +
                           ": the caller's directory is not known to root's vrun",
                       "write the whole path");
    }
  }
  return {};
}

Result<void> check_words(std::string_view verb, const std::string& tenant,
                         const Arguments& arguments) {
  const std::string stream = "use '-' and a pipe: `vrun cp GUEST:/etc - | tar -x`";
  if (verb == "cp") {
    const bool in = arguments.word(0) == "-" && arguments.word(1).find(':') != std::string::npos;
    const bool out = arguments.word(1) == "-" && arguments.word(0).find(':') != std::string::npos;
    if (!in && !out)
      return refused("cp with files of the host, which root would open for you", stream);
  }
  // Routes are the whole host's: a subnet that lies elsewhere would draw others' traffic here.
  for (const std::string_view flag : {"subnet", "gateway"}) {
    if (verb == "network create" && arguments.has(flag))
      return refused(
          "network create --" + std::string(flag) + ": addresses are chosen by vrun or root",
          "leave it out: free ones are taken");
  }
  if (verb == "restore" && arguments.words().empty())
    return refused("verb \"restore\" without names is not for admins of a tenant", kByRoot);
  if (verb == "import" && arguments.word(0) != "-")
    return refused("import of a file, which root would open for you", "use '-' and a pipe");
  if (verb.starts_with("tenant ")) {
    for (const std::string_view word : arguments.words()) {
      if (word != tenant)
        return refused("no tenant " + quote(word.substr(0, 80)) + " that you may manage",
                       "ask root to name you in `vrun tenant update NAME --admin user:YOU`");
    }
    if (arguments.words().empty())
      return refused("the tenant has to be named", "vrun " + std::string(verb) + " " + tenant);
  }
  return {};
}

}  // namespace

bool is_brokered_verb(std::string_view verb) {
  return has(kAllowed, verb);
}

Result<BrokeredCall> check_brokered(const std::string& tenant,
                                    const std::vector<std::string>& words,
                                    std::span<const std::string> sent) {
  BrokeredCall call;
  call.words = words;
  const std::size_t first = TRY(first_of_verb(words));
  // Without a verb vrun prints its help, to anybody.
  if (first >= words.size() || words[first] == "help") return call;
  std::size_t behind = first + 1;
  call.verb = words[first];
  if (is_everyday_group(call.verb)) {
    if (behind >= words.size() || words[behind].starts_with('-')) return call;  // help of the group
    call.verb += " " + words[behind++];
  }
  const EverydayVerb* verb = find_everyday_verb(call.verb);
  if (verb == nullptr || !is_brokered_verb(call.verb)) {
    return refused("verb " + quote(call.verb.substr(0, 80)) + " is not for admins of a tenant",
                   kByRoot);
  }
  std::vector<std::string> rest(words.begin() + static_cast<std::ptrdiff_t>(behind), words.end());
  const std::string asked = TRY(take_tenant_flag(*verb, rest));
  if (!asked.empty() && asked != tenant) {
    return refused("no tenant " + quote(asked.substr(0, 80)) + " that you may manage",
                   "one call is about one tenant");
  }
  rest = spread_short_flags(verb->flags(), rest);
  std::vector<char*> argv;
  for (std::string& word : rest)
    argv.push_back(word.data());
  // The parser of vrun itself, so that both read the same words in the same way.
  const Result<Arguments> arguments = parse(verb->flags(), verb->flags_anywhere, argv);
  if (!arguments)
    return Error(arguments.error().code(), call.verb + ": " + arguments.error().text())
        .hint(arguments.error().hint());
  if (arguments->help()) return call;
  TRY(check_files(*arguments, sent));
  TRY(check_surroundings(*arguments));
  TRY(check_words(call.verb, tenant, *arguments));
  return call;
}

}  // namespace vrun::cli
