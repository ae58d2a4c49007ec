#include "cli/everyday.hpp"

#include <algorithm>
#include <iterator>

#include <unistd.h>

#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/complain.hpp"
#include "cli/help.hpp"
#include "cli/run.hpp"
#include "cli/verb_apply.hpp"
#include "cli/verb_guests.hpp"
#include "cli/verb_images.hpp"
#include "cli/verb_network.hpp"
#include "cli/verb_registry.hpp"
#include "cli/verb_tools.hpp"
#include "engine/run.hpp"

namespace vrun::cli {
namespace {

constexpr const char* kProgram = "vrun";
constexpr int kOwnFailure = 125;  // as Docker and Podman: the guest's codes stay below

int fail(const Error& error, int code = kOwnFailure) {
  complain(kProgram, error);
  return code;
}

int show(std::string_view text) {
  return sys::write_all(STDOUT_FILENO, text) ? 0 : kOwnFailure;
}

Result<const EverydayVerb*> look_up(std::string_view name) {
  if (const EverydayVerb* verb = find_everyday_verb(name)) return verb;
  std::vector<std::string_view> names{"oci"};
  for (const EverydayVerb& verb : everyday_verbs())
    names.push_back(verb.name.view());
  Error error(Code::kInvalid, "unknown verb " + quote(name));
  const auto near = nearest(name, names);
  if (near) return std::move(error).hint("did you mean " + std::string(*near) + "?");
  return std::move(error).hint("vrun --help lists the verbs");
}

Result<void> check_count(const EverydayVerb& verb, std::size_t words) {
  if (words >= verb.least && words <= verb.most) return {};
  const std::string what = words < verb.least ? "needs more words" : "takes fewer words";
  return Error(Code::kInvalid, what).hint("usage: " + everyday_usage(verb));
}

Result<int> call_verb(const EverydayVerb& verb, const EverydayCall& call) {
  const std::string_view name = verb.name;
  if (name == "run") return everyday_run(call);
  if (name == "plan") return everyday_plan(call);
  if (is_image_verb(name)) return everyday_image(name, call);
  if (is_registry_verb(name)) return everyday_registry(name, call);
  if (is_network_verb(name)) return everyday_network(name, call);
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

int run_verb(const EverydayVerb& verb, const Arguments& globals, std::vector<std::string> words) {
  const auto during = [&](Error error) {
    return std::move(std::move(error).during(verb.name.view()));
  };
  words = spread_short_flags(verb.flags(), words);
  std::vector<char*> argv = pointers(words);
  Result<Arguments> arguments = parse(verb.flags(), verb.flags_anywhere, argv);
  if (!arguments) return fail(during(std::move(arguments).error()));
  if (arguments->help()) return show(everyday_help(verb));
  if (auto counted = check_count(verb, arguments->words().size()); !counted) {
    return fail(during(std::move(counted).error()));
  }
  if (auto filled = check_filled(verb, *arguments); !filled) {
    return fail(during(std::move(filled).error()));
  }
  const Host host = Host::current();
  Result<engine::Places> places = engine::Places::find(host, globals.text("data-dir"));
  if (!places) return fail(std::move(places).error());
  Result<int> done = call_verb(verb, {*arguments, *std::move(places), host});
  if (done) return *done;
  return fail(done.error(), engine::exit_code_of(done.error()));
}

}  // namespace

std::vector<std::string> spread_short_flags(std::span<const Flag> flags,
                                            std::span<const std::string> words) {
  std::vector<std::string> out;
  std::size_t i = 0;
  for (; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word.size() < 2 || word[0] != '-' || word == "--") break;
    const std::string name =
        word.substr(word[1] == '-' ? 2 : 1, word.find('=') - (word[1] == '-' ? 2 : 1));
    const Flag* flag = find_flag(flags, name);
    const bool known_long = word[1] == '-' || flag != nullptr;
    if (known_long) {
      out.push_back(word);
      const bool takes_next = flag != nullptr && flag->kind != Kind::kSwitch &&
                              word.find('=') == std::string::npos && i + 1 < words.size();
      if (takes_next) out.push_back(words[++i]);
      continue;
    }
    // One letter after the other, until one takes the rest as its value.
    std::size_t at = 1;
    for (; at < word.size(); ++at) {
      const Flag* letter = find_flag(flags, word.substr(at, 1));
      if (letter == nullptr) break;
      out.push_back("-" + word.substr(at, 1));
      if (letter->kind == Kind::kSwitch) continue;
      if (at + 1 < word.size()) {
        out.push_back(word.substr(at + 1));
      } else if (i + 1 < words.size()) {
        out.push_back(words[++i]);
      }
      at = word.size();
    }
    if (at < word.size())
      out.push_back(at == 1 ? word : "-" + word.substr(at));  // unknown: for the parser to say
  }
  out.insert(out.end(), words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
  return out;
}

int everyday(int argc, char** argv) {
  const std::span<char* const> words(argv + 1, static_cast<std::size_t>(std::max(argc - 1, 0)));
  Result<Arguments> globals = parse(everyday_globals(), false, words);
  if (!globals) return fail(globals.error());
  if (globals->on("version")) return show("vrun version " VRUN_VERSION "\n");
  log::configure({.file = "", .format = log::Format::kText, .debug = globals->on("debug")});
  const auto& rest = globals->words();
  if (globals->help() || rest.empty()) return show(everyday_help());
  if (rest[0] == "guest-step") return guest_step({rest.begin() + 1, rest.end()});
  const std::size_t first = rest[0] == "help" ? 1 : 0;
  if (first == rest.size()) return show(everyday_help());
  // "image ls" is one verb of two words.
  const bool is_group = is_everyday_group(rest[first]);
  if (is_group && (rest.size() == first + 1 || rest[first + 1].starts_with('-'))) {
    return show(everyday_group_help(rest[first]));
  }
  std::string name(rest[first]);
  if (is_group) name += " " + std::string(rest[first + 1]);
  Result<const EverydayVerb*> verb = look_up(name);
  if (!verb) return fail(verb.error());
  if (first == 1) return show(everyday_help(**verb));
  return run_verb(**verb, *globals, {rest.begin() + (is_group ? 2 : 1), rest.end()});
}

}  // namespace vrun::cli
