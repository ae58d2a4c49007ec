#include "cli/oci_main.hpp"

#include <string>

#include <unistd.h>

#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/complain.hpp"
#include "cli/help.hpp"
#include "cli/oci.hpp"
#include "cli/oci_verbs.hpp"
#include "engine/oci_machine.hpp"

namespace vrun::cli {
namespace {

constexpr const char* kProgram = "vrun";
constexpr int kUsage = 1;
constexpr int kUnknownVerb = 3;  // as runc

Result<int> call_verb(const Verb& verb, const OciCall& call) {
  const std::string_view name = verb.name;
  if (name == "state") return oci_state(call);
  if (name == "create") return oci_create(call);
  if (name == "start") return oci_start(call);
  if (name == "run") return oci_run(call);
  if (name == "exec") return oci_exec(call);
  if (name == "kill") return oci_kill(call);
  if (name == "delete") return oci_delete(call);
  if (name == "list") return oci_list(call);
  if (name == "ps") return oci_ps(call);
  if (name == "pause") return oci_pause(call);
  if (name == "resume") return oci_resume(call);
  if (name == "update") return oci_update(call);
  if (name == "events") return oci_events(call);
  if (name == "features") return oci_features(call);
  if (name == "spec") return oci_spec(call);
  if (name == "checkpoint") return oci_checkpoint(call);
  if (name == "restore") return oci_restore(call);
  return Error(Code::kInternal, "verb " + std::string(name) + " has no function");
}

Result<log::Format> log_format(const Arguments& globals) {
  const std::string format = globals.text("log-format");
  if (format == "text") return log::Format::kText;
  if (format == "json") return log::Format::kJson;
  return Error(Code::kInvalid, "flag --log-format: " + quote(format) + " is neither text nor json");
}

Result<void> set_log(const Arguments& globals) {
  return log::open({.file = globals.text("log"),
                    .format = TRY(log_format(globals)),
                    .debug = globals.on("debug")});
}

Result<std::string> state_root(const Arguments& globals, const Host& host) {
  if (!globals.has("root")) return host.runtime_dir + "/oci";
  const std::string root = globals.text("root");
  if (root.empty()) return Error(Code::kInvalid, "flag --root: the folder's name is empty");
  if (root[0] == '/') return fs::clean(root);
  return fs::clean(fs::join(TRY(sys::read_link(At::cwd(), "/proc/self/cwd")), root));
}

Result<runtime::Context> make_context(const Arguments& globals) {
  runtime::Context context;
  context.host = Host::current();
  context.root = TRY(state_root(globals, context.host));
  context.systemd_cgroup = globals.on("systemd-cgroup");
  context.rootless = globals.text("rootless");
  context.lower = engine::lower_to_machine(context.host);
  if (context.rootless == "auto") return context;
  const auto rootless = parse_switch(context.rootless);
  if (!rootless) {
    return Error(Code::kInvalid,
                 "flag --rootless: " + quote(context.rootless) + " is not true, false or auto");
  }
  context.rootless = *rootless ? "true" : "false";
  return context;
}

Result<const Verb*> look_up(std::string_view name) {
  if (const Verb* verb = find_verb(name)) return verb;
  std::vector<std::string_view> names;
  for (const Verb& verb : oci_verbs())
    names.push_back(verb.name.view());
  Error error(Code::kInvalid, "unknown verb " + quote(name));
  const auto near = nearest(name, names);
  if (near) return std::move(error).hint("did you mean " + std::string(*near) + "?");
  return std::move(error).hint("vrun-oci --help lists the verbs");
}

int fail(Error error, const Arguments& globals, int code) {
  complain(kProgram, error, globals.has("log") ? AlsoLog::kYes : AlsoLog::kNo);
  return code;
}

int show(const std::string& text) {
  const Result<int> shown = print(text);
  return shown ? *shown : kUsage;
}

int show_help(std::span<const std::string_view> words, const Arguments& globals) {
  if (words.empty()) return show(help_text());
  const Result<const Verb*> verb = look_up(words[0]);
  if (!verb)
    return fail(Error(Code::kInvalid, verb.error().text()).hint(verb.error().hint()), globals,
                kUnknownVerb);
  return show(help_text(**verb));
}

// "create web": the verb and the container it was for.
std::string subject(const Verb& verb, const Arguments& arguments) {
  std::string text(verb.name.view());
  if (verb.least > 0 && !arguments.words().empty()) text += " " + printable(arguments.word(0));
  return text;
}

int run_verb(const Verb& verb, const Arguments& globals, std::span<char* const> argv) {
  Result<Arguments> arguments = parse(verb, argv);
  if (!arguments) {
    return fail(std::move(arguments).error().during(verb.name.view()), globals, kUsage);
  }
  if (arguments->help()) return show(help_text(verb));
  Result<runtime::Context> context = make_context(globals);
  if (!context) return fail(std::move(context).error(), globals, kUsage);
  log::debug(subject(verb, *arguments) + ": state below " + context->root);
  const OciCall call{.globals = globals, .arguments = *arguments, .context = *std::move(context)};
  Result<int> done = call_verb(verb, call);
  if (done) return *done;
  return fail(std::move(done).error().during(subject(verb, *arguments)), globals, verb.failure);
}

}  // namespace

int oci_main(std::span<char* const> argv) {
  Result<Arguments> parsed = parse(oci_globals(), false, argv);
  if (!parsed) return fail(std::move(parsed).error(), Arguments(), kUsage);
  const Arguments& globals = *parsed;
  if (globals.on("version")) return show(version_text());
  if (Result<void> set = set_log(globals); !set) {
    return fail(std::move(set).error(), Arguments(), kUsage);
  }
  const auto& words = globals.words();
  if (globals.help() || words.empty()) return show(help_text());
  if (words[0] == "help" || words[0] == "h") {
    return show_help(std::span(words).subspan(1), globals);
  }
  Result<const Verb*> verb = look_up(words[0]);
  if (!verb) return fail(std::move(verb).error(), globals, kUnknownVerb);
  return run_verb(**verb, globals, argv.last(words.size() - 1));
}

bool means_bundle(std::span<char* const> argv) {
  if (argv.empty()) return false;
  const std::string_view name = argv[0];
  if (name != "create" && name != "run") return false;
  const Verb* verb = find_verb(name);
  const std::span<char* const> rest = argv.subspan(1);
  const auto flags = rest.first(leading_flags(verb->flags(), rest));
  const Result<Arguments> arguments = parse(verb->flags(), false, flags);
  return arguments && arguments->has("bundle");
}

}  // namespace vrun::cli
