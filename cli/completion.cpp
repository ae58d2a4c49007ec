// Completions for bash, zsh and fish, from the tables.
#include <array>

#include "base/text.hpp"
#include "cli/manual.hpp"

namespace vrun::cli {
namespace {

// What can stand for a value, by the word that --help uses for it.
enum class Values { kAnything, kFolders, kFiles, kWords };

struct Completed {
  Values values = Values::kAnything;
  std::string words;
};

Completed values_of(const Flag& flag) {
  const std::string_view name = flag.name;
  const std::string_view value = flag.value;
  if (name == "format") return {Values::kWords, "table json"};
  if (name == "log-format") return {Values::kWords, "text json"};
  if (name == "rootless") return {Values::kWords, "true false auto"};
  if (name == "manage-cgroups-mode") return {Values::kWords, "soft full strict ignore"};
  if (name == "empty-ns") return {Values::kWords, "network"};
  if (value == "DIR") return {Values::kFolders, ""};
  if (value == "FILE" || value == "SOCKET" || value == "PATH") return {Values::kFiles, ""};
  return {};
}

std::string spellings(const Flag& flag) {
  std::string out = "--" + std::string(flag.name.view());
  if (!flag.alias.view().empty()) out += " -" + std::string(flag.alias.view());
  return out;
}

std::string shown_flags(std::span<const Flag> flags) {
  std::string out;
  for (const Flag& flag : flags) {
    if (flag.shown == Shown::kAlways) out += (out.empty() ? "" : " ") + spellings(flag);
  }
  return out;
}

// Shells complete word by word: of "image ls", "image rm" ... only "image" is offered.
Manual folded(const Manual& manual) {
  Manual out = manual;
  out.verbs.clear();
  for (const Manual::Verb& verb : manual.verbs) {
    const std::size_t blank = verb.name.find(' ');
    if (blank == std::string_view::npos) {
      out.verbs.push_back(verb);
      continue;
    }
    const std::string_view group = verb.name.substr(0, blank);
    if (!out.verbs.empty() && out.verbs.back().name == group) continue;
    Manual::Verb& one = out.verbs.emplace_back();
    one.name = group;
    one.summary = "verbs of two words; alone it lists them";
  }
  return out;
}

std::string verb_names(const Manual& manual) {
  std::string out;
  for (const Manual::Verb& verb : manual.verbs)
    out += (out.empty() ? "" : " ") + std::string(verb.name);
  return out;
}

// "--bundle|-b": a pattern of `case`.
std::string pattern(const Flag& flag) {
  std::string out = spellings(flag);
  for (char& c : out) {
    if (c == ' ') c = '|';
  }
  return out;
}

std::string bash_values(std::span<const Flag> flags) {
  std::string out;
  for (const Flag& flag : flags) {
    if (flag.kind == Kind::kSwitch) continue;
    const Completed completed = values_of(flag);
    out += "    " + pattern(flag) + ") ";
    if (completed.values == Values::kFolders)
      out += "compopt -o filenames; COMPREPLY=($(compgen -d -- \"$cur\"))";
    if (completed.values == Values::kFiles)
      out += "compopt -o filenames; COMPREPLY=($(compgen -f -- \"$cur\"))";
    if (completed.values == Values::kWords)
      out += "COMPREPLY=($(compgen -W '" + completed.words + "' -- \"$cur\"))";
    if (completed.values == Values::kAnything) out += ":";
    out += "; return ;;\n";
  }
  return out;
}

// Flags whose value is the next word, as "|"-separated patterns: to find the verb behind them.
std::string valued(std::span<const Flag> flags) {
  std::string out;
  for (const Flag& flag : flags) {
    if (flag.kind != Kind::kSwitch) out += (out.empty() ? "" : "|") + pattern(flag);
  }
  return out;
}

std::string escaped(std::string_view text, std::string_view what) {
  std::string out;
  for (const char c : text) {
    if (what.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

// Inside single quotes of a shell.
std::string zsh_quoted(std::string_view text) {
  std::string out;
  for (const char c : text)
    out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out;
}

// _arguments of zsh: '(-b --bundle)'{-b,--bundle}'[help]:DIR:_files -/'
std::string zsh_flag(const Flag& flag) {
  const std::string help = escaped(flag.help.view(), "[]:");
  std::string tail = "[" + help + "]";
  const Completed completed = values_of(flag);
  if (flag.kind != Kind::kSwitch) {
    tail += ":" + escaped(flag.value.view(), ":[]") + ":";
    if (completed.values == Values::kFolders) tail += "_files -/";
    if (completed.values == Values::kFiles) tail += "_files";
    if (completed.values == Values::kWords) tail += "(" + completed.words + ")";
  }
  const std::string repeat = flag.kind == Kind::kList ? "*" : "";
  const std::string quoted = zsh_quoted(tail);
  const std::string name(flag.name.view());
  if (flag.alias.view().empty()) return "'" + repeat + "--" + name + quoted + "'";
  return "'" + repeat + "'{-" + std::string(flag.alias.view()) + ",--" + name + "}'" + quoted + "'";
}

std::string zsh_flags(std::span<const Flag> flags, std::string_view indent) {
  std::string out;
  for (const Flag& flag : flags) {
    if (flag.shown == Shown::kAlways) out += " \\\n" + std::string(indent) + zsh_flag(flag);
  }
  return out;
}

std::string zsh_words(const Manual::Verb& verb) {
  if (!verb.takes_name) return "";
  std::string out = " \\\n          ':name:@function@_names'";
  if (verb.name == "kill") out += " \\\n          ':signal:_signals'";
  if (verb.takes_command) out += " \\\n          '*::command:_normal'";
  return out;
}

// Puts the program's own words into a script: @name@, @function@ (the same as an identifier) and
// @list@.
std::string filled(std::string script, const Manual& manual) {
  std::string function = "_" + std::string(manual.name);
  for (char& c : function) {
    if (c == '-') c = '_';
  }
  const std::array<std::pair<std::string_view, std::string_view>, 3> words{
      {{"@name@", manual.name}, {"@function@", function}, {"@list@", manual.list_names}}};
  for (const auto& [mark, word] : words) {
    for (std::size_t at = script.find(mark); at != std::string::npos; at = script.find(mark, at)) {
      script.replace(at, mark.size(), word);
    }
  }
  return script;
}

std::string fish_flag(const Flag& flag, const std::string& condition) {
  if (flag.shown != Shown::kAlways) return "";
  std::string out = "complete -c @name@ -n '" + condition + "' -l " + std::string(flag.name.view());
  if (!flag.alias.view().empty()) out += " -s " + std::string(flag.alias.view());
  const Completed completed = values_of(flag);
  if (flag.kind != Kind::kSwitch) out += " -r";
  if (completed.values == Values::kFolders) out += " -a '(__fish_complete_directories)'";
  if (completed.values == Values::kFiles) out += " -F";
  if (completed.values == Values::kWords) out += " -a '" + completed.words + "'";
  return out + " -d '" + escaped(flag.help.view(), "'\\") + "'\n";
}

constexpr const char* kBashHead = R"sh(# bash completion for @name@
@function@() {
  local cur prev verb='' at word
  COMPREPLY=()
  cur=${COMP_WORDS[COMP_CWORD]}
  prev=${COMP_WORDS[COMP_CWORD-1]}
  for ((at = 1; at < COMP_CWORD; at++)); do
    word=${COMP_WORDS[at]}
    case $word in
)sh";

constexpr const char* kBashTail = R"sh(  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$cur"))
  elif [[ -n $names ]]; then
    COMPREPLY=($(compgen -W "$(@list@ 2>/dev/null)" -- "$cur"))
  fi
}
complete -F @function@ @name@
)sh";

// Before the verb: global flags, their values, verbs.
std::string bash_globals(const Manual& manual) {
  return "      " + valued(manual.globals) +
         ") ((at++)) ;;\n"
         "      -*) ;;\n"
         "      *) verb=$word; break ;;\n"
         "    esac\n  done\n"
         "  if [[ -z $verb ]]; then\n    case $prev in\n" +
         bash_values(manual.globals) + "    esac\n    local offered='" + verb_names(manual) +
         " help'\n"
         "    [[ $cur == -* ]] && offered='" +
         shown_flags(manual.globals) +
         " --help'\n"
         "    COMPREPLY=($(compgen -W \"$offered\" -- \"$cur\"))\n    return\n  fi\n";
}

constexpr const char* kZshHead = R"sh(#compdef @name@
# zsh completion for @name@
@function@_names() {
  local -a names
  names=(${(f)"$(@list@ 2>/dev/null)"})
  compadd -a names
}
@function@() {
  local curcontext=$curcontext state line
  local -a verbs
  verbs=(
)sh";

}  // namespace

std::string bash_completion(const Manual& whole) {
  const Manual manual = folded(whole);
  std::string out =
      kBashHead + bash_globals(manual) + "  local flags='' names=''\n  case $verb in\n";
  for (const Manual::Verb& verb : manual.verbs) {
    out += "  " + std::string(verb.name) + ")\n    case $prev in\n" + bash_values(verb.flags) +
           "    esac\n    flags='" + shown_flags(verb.flags) + " --help'\n";
    if (verb.takes_name) out += "    names=yes\n";
    out += "    ;;\n";
  }
  out += "  help) flags='' COMPREPLY=($(compgen -W '" + verb_names(manual) +
         "' -- \"$cur\")); return ;;\n";
  return filled(out + kBashTail, manual);
}

std::string zsh_completion(const Manual& whole) {
  const Manual manual = folded(whole);
  std::string out = kZshHead;
  for (const Manual::Verb& verb : manual.verbs) {
    out += "    '" + std::string(verb.name) + ":" + zsh_quoted(escaped(verb.summary, ":")) + "'\n";
  }
  out += "  )\n  _arguments -C" + zsh_flags(manual.globals, "    ") +
         " \\\n    '1: :->verb' \\\n    '*:: :->words'\n"
         "  case $state in\n"
         "    verb) _describe verb verbs ;;\n"
         "    words)\n"
         "      case $line[1] in\n";
  for (const Manual::Verb& verb : manual.verbs) {
    out += "        " + std::string(verb.name) +
           ")\n          _arguments '--help[explain the verb]'" +
           zsh_flags(verb.flags, "          ") + zsh_words(verb) + "\n          ;;\n";
  }
  return filled(out + "      esac\n      ;;\n  esac\n}\n@function@ \"$@\"\n", manual);
}

std::string fish_completion(const Manual& whole) {
  const Manual manual = folded(whole);
  std::string out = "# fish completion for @name@\ncomplete -c @name@ -f\n";
  for (const Flag& flag : manual.globals)
    out += fish_flag(flag, "__fish_use_subcommand");
  for (const Manual::Verb& verb : manual.verbs) {
    const std::string name(verb.name);
    out += "complete -c @name@ -n __fish_use_subcommand -a " + name + " -d '" +
           escaped(verb.summary, "'\\") + "'\n";
    const std::string condition = "__fish_seen_subcommand_from " + name;
    for (const Flag& flag : verb.flags)
      out += fish_flag(flag, condition);
    if (verb.takes_name)
      out += "complete -c @name@ -n '" + condition + "' -a '(@list@ 2>/dev/null)'\n";
  }
  return filled(out, manual);
}

}  // namespace vrun::cli
