// Completions for bash, zsh and fish, from the tables.
#include <algorithm>
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

// Of "image ls" the "image"; empty for a verb of one word.
std::string_view group_of(const Manual::Verb& verb) {
  const std::size_t blank = verb.name.find(' ');
  return blank == std::string_view::npos ? std::string_view() : verb.name.substr(0, blank);
}

// "ls" of "image ls".
std::string_view second_of(const Manual::Verb& verb) {
  return verb.name.substr(verb.name.find(' ') + 1);
}

std::vector<std::string_view> groups_of(const Manual& manual) {
  std::vector<std::string_view> groups;
  for (const Manual::Verb& verb : manual.verbs) {
    const std::string_view group = group_of(verb);
    const bool is_new = std::find(groups.begin(), groups.end(), group) == groups.end();
    if (!group.empty() && is_new) groups.push_back(group);
  }
  return groups;
}

std::vector<Manual::Verb> verbs_of(const Manual& manual, std::string_view group) {
  std::vector<Manual::Verb> verbs;
  for (const Manual::Verb& verb : manual.verbs) {
    if (group_of(verb) == group) verbs.push_back(verb);
  }
  return verbs;
}

std::string seconds_of(const Manual& manual, std::string_view group) {
  std::string out;
  for (const Manual::Verb& verb : verbs_of(manual, group))
    out += (out.empty() ? "" : " ") + std::string(second_of(verb));
  return out;
}

// Shells complete word by word: of "image ls", "image rm" ... "image" is offered first.
Manual folded(const Manual& manual) {
  Manual out = manual;
  out.verbs = verbs_of(manual, "");
  for (const std::string_view group : groups_of(manual)) {
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
  if (verb.names.empty()) return "";
  std::string out = " \\\n          ':name:@function@_names " + std::string(verb.names) + "'";
  if (verb.name == "kill") out += " \\\n          ':signal:_signals'";
  if (verb.takes_command) out += " \\\n          '*::command:_normal'";
  return out;
}

// Puts the program's own words into a script: @name@ and @function@ (the same as an identifier).
std::string filled(std::string script, const Manual& manual) {
  std::string function = "_" + std::string(manual.name);
  for (char& c : function) {
    if (c == '-') c = '_';
  }
  const std::array<std::pair<std::string_view, std::string_view>, 2> words{
      {{"@name@", manual.name}, {"@function@", function}}};
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
    COMPREPLY=($(compgen -W "$($names 2>/dev/null)" -- "$cur"))
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

// The second word of a group's verb is offered, or makes the verb whole: "image ls".
std::string bash_groups(const Manual& manual) {
  std::string cases;
  for (const std::string_view group : groups_of(manual)) {
    cases += "  " + std::string(group) +
             ")\n"
             "    if ((at + 1 >= COMP_CWORD)); then\n"
             "      COMPREPLY=($(compgen -W '" +
             seconds_of(manual, group) +
             "' -- \"$cur\"))\n"
             "      return\n"
             "    fi\n"
             "    verb+=\" ${COMP_WORDS[at+1]}\"\n"
             "    ;;\n";
  }
  return cases.empty() ? "" : "  case $verb in\n" + cases + "  esac\n";
}

constexpr const char* kZshHead = R"sh(#compdef @name@
# zsh completion for @name@
@function@_names() {
  local -a names
  names=(${(f)"$($@ 2>/dev/null)"})
  compadd -a names
}
@function@() {
  local curcontext=$curcontext state line
  local -a verbs
  verbs=(
)sh";

// 'NAME:SUMMARY' as _describe takes it.
std::string zsh_described(std::string_view name, std::string_view summary) {
  return "'" + std::string(name) + ":" + zsh_quoted(escaped(summary, ":")) + "'";
}

std::string zsh_case(std::string_view word, const Manual::Verb& verb) {
  return "        " + std::string(word) + ")\n          _arguments '--help[explain the verb]'" +
         zsh_flags(verb.flags, "          ") + zsh_words(verb) + "\n          ;;\n";
}

// A function for each group, which completes its second word and what follows.
std::string zsh_groups(const Manual& manual) {
  std::string out;
  for (const std::string_view group : groups_of(manual)) {
    out += "@function@_" + std::string(group) +
           "() {\n  local curcontext=$curcontext state line\n  local -a verbs\n  verbs=(\n";
    for (const Manual::Verb& verb : verbs_of(manual, group))
      out += "    " + zsh_described(second_of(verb), verb.summary) + "\n";
    out +=
        "  )\n  _arguments -C '1: :->verb' '*:: :->words'\n"
        "  case $state in\n"
        "    verb) _describe verb verbs ;;\n"
        "    words)\n"
        "      case $line[1] in\n";
    for (const Manual::Verb& verb : verbs_of(manual, group))
      out += zsh_case(second_of(verb), verb);
    out += "      esac\n      ;;\n  esac\n}\n";
  }
  return out;
}

// Where a verb's flags and names are offered. The "rm" of "network rm" is not the verb rm.
std::string fish_condition(const Manual& manual, const Manual::Verb& verb) {
  const std::string_view group = group_of(verb);
  if (group.empty()) {
    std::string condition = "__fish_seen_subcommand_from " + std::string(verb.name);
    for (const Manual::Verb& other : manual.verbs) {
      if (group_of(other).empty() || second_of(other) != verb.name) continue;
      condition += "; and not __fish_seen_subcommand_from " + std::string(group_of(other));
    }
    return condition;
  }
  return "__fish_seen_subcommand_from " + std::string(group) +
         "; and __fish_seen_subcommand_from " + std::string(second_of(verb));
}

// The second words, where none of them stands yet.
std::string fish_seconds(const Manual& manual, std::string_view group) {
  std::string out;
  const std::string condition = "__fish_seen_subcommand_from " + std::string(group) +
                                "; and not __fish_seen_subcommand_from " +
                                seconds_of(manual, group);
  for (const Manual::Verb& verb : verbs_of(manual, group)) {
    out += "complete -c @name@ -n '" + condition + "' -a " + std::string(second_of(verb)) +
           " -d '" + escaped(verb.summary, "'\\") + "'\n";
  }
  return out;
}

}  // namespace

std::string bash_completion(const Manual& manual) {
  std::string out = kBashHead + bash_globals(folded(manual)) + bash_groups(manual) +
                    "  local flags='' names=''\n  case $verb in\n";
  for (const Manual::Verb& verb : manual.verbs) {
    out += "  '" + std::string(verb.name) + "')\n    case $prev in\n" + bash_values(verb.flags) +
           "    esac\n    flags='" + shown_flags(verb.flags) + " --help'\n";
    if (!verb.names.empty()) out += "    names='" + std::string(verb.names) + "'\n";
    out += "    ;;\n";
  }
  out += "  help) flags='' COMPREPLY=($(compgen -W '" + verb_names(folded(manual)) +
         "' -- \"$cur\")); return ;;\n";
  return filled(out + kBashTail, manual);
}

std::string zsh_completion(const Manual& manual) {
  std::string out = kZshHead;
  for (const Manual::Verb& verb : folded(manual).verbs)
    out += "    " + zsh_described(verb.name, verb.summary) + "\n";
  out += "  )\n  _arguments -C" + zsh_flags(manual.globals, "    ") +
         " \\\n    '1: :->verb' \\\n    '*:: :->words'\n"
         "  case $state in\n"
         "    verb) _describe verb verbs ;;\n"
         "    words)\n"
         "      case $line[1] in\n";
  for (const Manual::Verb& verb : verbs_of(manual, ""))
    out += zsh_case(verb.name, verb);
  for (const std::string_view group : groups_of(manual)) {
    out += "        " + std::string(group) + ") @function@_" + std::string(group) + " ;;\n";
  }
  return filled(
      out + "      esac\n      ;;\n  esac\n}\n" + zsh_groups(manual) + "@function@ \"$@\"\n",
      manual);
}

std::string fish_completion(const Manual& manual) {
  std::string out = "# fish completion for @name@\ncomplete -c @name@ -f\n";
  for (const Flag& flag : manual.globals)
    out += fish_flag(flag, "__fish_use_subcommand");
  for (const Manual::Verb& verb : folded(manual).verbs) {
    out += "complete -c @name@ -n __fish_use_subcommand -a " + std::string(verb.name) + " -d '" +
           escaped(verb.summary, "'\\") + "'\n";
  }
  for (const std::string_view group : groups_of(manual))
    out += fish_seconds(manual, group);
  for (const Manual::Verb& verb : manual.verbs) {
    const std::string condition = fish_condition(manual, verb);
    for (const Flag& flag : verb.flags)
      out += fish_flag(flag, condition);
    if (!verb.names.empty()) {
      out += "complete -c @name@ -n '" + condition + "' -a '(" + std::string(verb.names) +
             " 2>/dev/null)'\n";
    }
  }
  return filled(out, manual);
}

}  // namespace vrun::cli
