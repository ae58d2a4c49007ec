#include "cli/everyday.hpp"

#include <algorithm>
#include <array>
#include <iterator>

#include <sys/resource.h>
#include <unistd.h>

#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/broker_call.hpp"
#include "cli/broker_files.hpp"
#include "cli/complain.hpp"
#include "cli/docker_flags.hpp"
#include "cli/help.hpp"
#include "cli/run.hpp"
#include "cli/tenant_flag.hpp"
#include "cli/verb_apply.hpp"
#include "cli/verb_build_disk.hpp"
#include "cli/verb_checkpoint.hpp"
#include "cli/verb_cron.hpp"
#include "cli/verb_guests.hpp"
#include "cli/verb_images.hpp"
#include "cli/verb_micro_vms.hpp"
#include "cli/verb_network.hpp"
#include "cli/verb_registry.hpp"
#include "cli/verb_snapshots.hpp"
#include "cli/verb_tenant.hpp"
#include "cli/verb_tools.hpp"
#include "cli/verb_volumes.hpp"
#include "engine/caller_files.hpp"
#include "engine/flag_words.hpp"
#include "engine/rootless.hpp"
#include "engine/run.hpp"

namespace vrun::cli {
namespace {

constexpr const char* kProgram = "vrun";

int fail(const Error& error, int code = kOwnFailure) {
  complain(kProgram, error);
  return code;
}

int show(std::string_view text) {
  return sys::write_all(STDOUT_FILENO, text) ? 0 : kOwnFailure;
}

// Docker's verbs that vrun has not: what to do instead.
std::string_view hint_for_verb(std::string_view name) {
  struct Known {
    std::string_view verb, hint;
  };
  constexpr std::array kKnown{
      Known{"build", "vrun does not build images: pull or load one, or `vrun commit` a guest"},
      Known{"image build",
            "vrun does not build images: pull or load one, or `vrun commit` a guest"},
      Known{"buildx", "vrun does not build images: pull or load one, or `vrun commit` a guest"},
      Known{"search", "vrun does not search registries; `vrun pull NAME` fetches by name"},
      Known{"compose",
            "`vrun convert -f compose.yaml | vrun apply -f -` runs what a Compose file says"},
      Known{"up", "`vrun apply -f FILE` makes what a manifest describes"},
      Known{"down", "`vrun delete -f FILE` deletes what a manifest made"},
      Known{"swarm", "vrun runs guests on one host"},
      Known{"service", "vrun runs guests on one host; run --restart keeps one alive"},
      Known{"context", "vrun runs guests on this host; $VRUN_DATA_DIR says where they are kept"}};
  const auto found = std::find_if(kKnown.begin(), kKnown.end(),
                                  [&](const Known& one) { return one.verb == name; });
  return found == kKnown.end() ? std::string_view() : found->hint;
}

Result<const EverydayVerb*> look_up(std::string_view name) {
  if (const EverydayVerb* verb = find_everyday_verb(name)) return verb;
  std::vector<std::string_view> names{"oci"};
  for (const EverydayVerb& verb : everyday_verbs()) {
    names.push_back(verb.name.view());
    names.push_back(verb.name.view().substr(0, verb.name.view().find(' ')));  // a group: "tenant"
  }
  Error error(Code::kInvalid, "unknown verb " + quote(name));
  if (const std::string_view known = hint_for_verb(name); !known.empty()) {
    return std::move(error).hint(known);
  }
  const auto near = nearest(name, names);
  if (near) return std::move(error).hint("did you mean " + std::string(*near) + "?");
  return std::move(error).hint("vrun --help lists the verbs");
}

// A guest with a disk has no image.
Result<void> check_count(const EverydayVerb& verb, const Arguments& arguments) {
  const std::size_t words = arguments.words().size();
  if (words == 0 && find_flag(verb.flags(), "disk") != nullptr && arguments.has("disk")) return {};
  if (words >= verb.least && words <= verb.most) return {};
  const auto count = [](std::size_t number) {
    return std::to_string(number) + (number == 1 ? " argument" : " arguments");
  };
  std::string what = "takes no arguments, got ";
  if (verb.most > 0) what = "takes at most " + count(verb.most) + ", got ";
  if (words < verb.least) what = "needs at least " + count(verb.least) + ", got ";
  if (verb.least == verb.most && verb.most > 0) what = "needs " + count(verb.least) + ", got ";
  Error error(Code::kInvalid, what + std::to_string(words));
  // A file is what people give it.
  std::string more;
  if (verb.name.view() == "load") more = "; the file is named by --input";
  if (is_manifest_verb(verb.name.view()))
    more = "; files are named by -f: vrun " + std::string(verb.name.view()) + " -f " +
           std::string(arguments.words()[0]);
  return std::move(error).hint("usage: " + everyday_usage(verb) + more);
}

Result<int> call_verb(const EverydayVerb& verb, const EverydayCall& call) {
  const std::string_view name = verb.name;
  if (name == "run") return everyday_run(call);
  if (name == "plan") return everyday_plan(call);
  if (name == "image build-disk") return everyday_build_disk(call);
  if (is_image_verb(name)) return everyday_image(name, call);
  if (is_registry_verb(name)) return everyday_registry(name, call);
  if (is_network_verb(name)) return everyday_network(name, call);
  if (is_micro_vm_verb(name)) return everyday_micro_vm(name, call);
  if (is_volume_verb(name)) return everyday_volume(name, call);
  if (is_snapshot_verb(name)) return everyday_snapshot(name, call);
  if (is_tenant_verb(name)) return everyday_tenant(name, call);
  if (name == "cron ls") return everyday_cron_list(call);
  if (name == "checkpoint") return everyday_checkpoint(call);
  if (is_guest_verb(name)) return everyday_guest(name, call);
  if (is_manifest_verb(name)) return everyday_manifest(name, call);
  if (is_tool_verb(name)) return everyday_tool(name, call);
  return Error(Code::kInternal, "verb " + std::string(name) + " has no function");
}

// argv of the parser: pointers into `words`, which must outlive it.
std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> argv;
  std::transform(words.begin(), words.end(), std::back_inserter(argv),
                 [](std::string& word) { return word.data(); });
  return argv;
}

// An empty value is most often an unset variable of a script, and must not mean "no limit". Only an
// entrypoint can be cleared.
Result<void> check_filled(const EverydayVerb& verb, const Arguments& arguments) {
  for (const Flag& flag : verb.flags()) {
    const std::string_view name = flag.name.view();
    if (flag.kind != Kind::kText || name == "entrypoint" || !arguments.has(name)) continue;
    if (arguments.text(name).empty())
      return Error(Code::kInvalid, "flag --" + std::string(name) + ": its value is empty");
  }
  return {};
}

// Verbs that put files of images on disk, and so say what one id alone means.
bool brings_layers(std::string_view verb) {
  constexpr std::array<std::string_view, 6> kVerbs{"run",  "create", "pull",
                                                   "load", "import", "start"};
  return std::find(kVerbs.begin(), kVerbs.end(), verb) != kVerbs.end();
}

// What an unprivileged user does is done as root of a user namespace. The doctor tries that itself.
Result<engine::NamespaceMember> enter(const EverydayVerb& verb, const engine::Places& places,
                                      Host& host) {
  if (verb.name.view() == "doctor") return engine::NamespaceMember();
  engine::NamespaceMember member = TRY(engine::NamespaceMember::enter(places, host));
  const std::string warning = engine::single_id_warning(host);
  if (!warning.empty() && brings_layers(verb.name.view())) log::warning(warning);
  return member;
}

// `top GUEST -ef`: what follows the guest and is no flag of ours belongs to ps.
std::vector<std::string> with_ps_options(std::span<const Flag> flags,
                                         std::vector<std::string> words) {
  const auto guest = std::find_if(words.begin(), words.end(),
                                  [](const std::string& word) { return !word.starts_with('-'); });
  if (guest == words.end() || guest + 1 == words.end()) return words;
  const std::string& next = *(guest + 1);
  const std::string name = next.substr(std::min(next.find_first_not_of('-'), next.size()));
  const bool ours = find_flag(flags, name.substr(0, name.find('='))) != nullptr || name == "help";
  if (next.starts_with('-') && next != "--" && !ours) words.insert(guest + 1, "--");
  return words;
}

int through_broker(const std::string& tenant, const EverydayVerb& verb, const Arguments& globals,
                   const Arguments& arguments, const std::vector<std::string>& typed) {
  const Host host = Host::current();
  Result<CallerHalf> half = CallerHalf::prepare(verb, arguments, typed, host);
  if (!half) return fail(std::move(std::move(half).error().during(verb.name.view())));
  std::vector<std::string> words;
  if (globals.on("debug")) words.emplace_back("--debug");
  for (const std::string_view part : split(verb.name.view(), ' '))
    words.emplace_back(part);
  words.insert(words.end(), half->words().begin(), half->words().end());
  Result<int> code = call_broker(tenant, words, {half->in(), half->out(), half->files()}, host);
  if (code) code = half->finish(*code);
  return code ? *code : fail(std::move(code).error());
}

int run_verb(const EverydayVerb& verb, const Arguments& globals, std::vector<std::string> words) {
  const auto during = [&](Error error) {
    return std::move(std::move(error).during(verb.name.view()));
  };
  Result<std::string> tenant = take_tenant_flag(verb, words);
  if (!tenant) return fail(during(std::move(tenant).error()));
  const std::vector<std::string> typed = words;
  words = with_our_spelling(verb.flags(), spread_short_flags(verb.flags(), words));
  if (verb.name.view() == "top") words = with_ps_options(verb.flags(), std::move(words));
  if (auto known = check_known_missing(verb.flags(), words); !known) {
    return fail(during(std::move(known).error()));
  }
  std::vector<char*> argv = pointers(words);
  Result<Arguments> arguments = parse(verb.flags(), verb.flags_anywhere, argv);
  if (!arguments) return fail(during(std::move(arguments).error()));
  if (arguments->help()) return show(everyday_help(verb));
  if (auto counted = check_count(verb, *arguments); !counted) {
    return fail(during(std::move(counted).error()));
  }
  if (auto filled = check_filled(verb, *arguments); !filled) {
    return fail(during(std::move(filled).error()));
  }
  Host host = Host::current();
  engine::keep_caller_files(host);
  Result<engine::Places> places = engine::Places::find(host, globals.text("data-dir"));
  if (!places) return fail(std::move(places).error());
  const EverydayCall asked{*arguments, *std::move(places), host, tenant_of(*tenant, globals, host)};
  const std::string broker_tenant = brokered_tenant(verb.name.view(), asked);
  if (wants_broker(broker_tenant, host)) {
    return through_broker(broker_tenant, verb, globals, *arguments, typed);
  }
  Result<engine::NamespaceMember> member = enter(verb, asked.places, host);
  if (!member) return fail(during(std::move(member).error()));
  const EverydayCall call{asked.arguments, asked.places, host, asked.tenant};
  if (auto known = check_tenant(call); !known) return fail(std::move(known).error());
  Result<int> done = call_verb(verb, call);
  int code = done ? *done : 0;
  if (!done) {
    const Error error = engine::as_flags(std::move(done).error());
    code = fail(error, engine::exit_code_of(error));
  }
  note_call(verb.name.view(), call, typed, code);
  return code;
}

// With fewer descriptors a list would be shorter than what there is, and a guest half made. Raising
// the limit is not for us: guests inherit it.
Result<void> check_descriptors() {
  constexpr rlim_t kLeast = 64;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kLeast) return {};
  return Error(Code::kInvalid, "only " + std::to_string(limit.rlim_cur) +
                                   " open files are allowed to this process, vrun needs " +
                                   std::to_string(kLeast))
      .hint("raise the limit: ulimit -n 1024");
}

}  // namespace

int everyday(int argc, char** argv) {
  const std::span<char* const> words(argv + 1, static_cast<std::size_t>(std::max(argc - 1, 0)));
  Result<Arguments> globals = parse(everyday_globals(), false, words);
  if (!globals) return fail(globals.error());
  if (globals->on("version")) return show("vrun version " VRUN_VERSION "\n");
  log::configure({.file = "", .format = log::Format::kPeople, .debug = globals->on("debug")});
  const auto& rest = globals->words();
  if (globals->help() || rest.empty()) return show(everyday_help());
  if (rest[0] == "guest-step") return guest_step({rest.begin() + 1, rest.end()});
  if (auto enough = check_descriptors(); !enough) return fail(enough.error());
  const std::size_t first = rest[0] == "help" ? 1 : 0;
  if (first == rest.size()) return show(everyday_help());
  // "image ls" is one verb of two words, "vm kernel ls" of three.
  std::string name(rest[first]);
  std::size_t behind = first + 1;
  while (is_everyday_group(name)) {
    if (behind == rest.size() || rest[behind].starts_with('-'))
      return show(everyday_group_help(name));
    name = everyday_name(name + " " + std::string(rest[behind++]));
  }
  Result<const EverydayVerb*> verb = look_up(name);
  if (!verb) return fail(verb.error());
  if (first == 1) return show(everyday_help(**verb));
  return run_verb(**verb, *globals,
                  {rest.begin() + static_cast<std::ptrdiff_t>(behind), rest.end()});
}

}  // namespace vrun::cli
