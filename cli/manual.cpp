#include "cli/manual.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace vrun::cli {
namespace {

std::string bold(std::string_view text) {
  return "\\fB" + roff(text) + "\\fR";
}

std::string italic(std::string_view text) {
  return "\\fI" + roff(text) + "\\fR";
}

std::string flag_entry(const Flag& flag) {
  std::string out = ".TP\n";
  if (!flag.alias.view().empty()) out += bold("-" + std::string(flag.alias.view())) + ", ";
  out += bold("--" + std::string(flag.name.view()));
  if (flag.kind != Kind::kSwitch) out += " " + italic(flag.value.view());
  out += "\n" + roff(flag.help.view());
  if (flag.kind == Kind::kList) out += "; may be repeated";
  if (!flag.fallback.view().empty()) out += "; default: " + roff(flag.fallback.view());
  if (flag.shown == Shown::kDeprecated) out += " (deprecated)";
  return out + ".\n";
}

std::string flag_entries(std::span<const Flag> flags) {
  std::string out;
  for (const Flag& flag : flags)
    out += flag_entry(flag);
  return out;
}

std::string paragraphs(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find("\n\n"), text.size());
    out += ".PP\n" + roff(text.substr(0, end)) + "\n";
    text.remove_prefix(std::min(end + 2, text.size()));
  }
  return out;
}

std::string verb_section(const Manual::Verb& verb) {
  std::string out = ".SS " + roff(verb.name) + "\n.B " + roff(verb.usage) + "\n.PP\n";
  out += static_cast<char>(verb.summary[0] - 'a' + 'A');
  out += roff(verb.summary.substr(1)) + ".\n";
  return out + paragraphs(verb.text) + flag_entries(verb.flags);
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

}  // namespace

std::string roff(std::string_view text) {
  std::string out;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '-') {
      out += "\\-";
    } else if (c == '\\') {
      out += "\\e";
    } else {
      out += c;
    }
    line_start = c == '\n';
  }
  return out;
}

std::string manual_page(const Manual& manual) {
  const std::string name = roff(manual.name);
  std::string out =
      ".TH " + upper(name) + " " + manual.section + " \"\" \"vrun " VRUN_VERSION "\"\n";
  out += ".SH NAME\n" + name + " \\- " + roff(manual.purpose) + "\n";
  out += ".SH SYNOPSIS\n.B " + name + "\n[GLOBAL FLAGS] VERB [FLAGS] [ARGUMENTS]\n";
  out += ".SH DESCRIPTION\n" + roff(manual.description) +
         "\n.PP\nA flag may be written with one dash or two. Its value follows after an equals "
         "sign or "
         "as the next word. Two dashes alone end the flags.\n";
  out += ".SH GLOBAL FLAGS\n" + flag_entries(manual.globals) + ".SH VERBS\n";
  for (const Manual::Verb& verb : manual.verbs)
    out += verb_section(verb);
  return out + std::string(manual.tail);
}

}  // namespace vrun::cli
