#include "cli/help.hpp"

#include <algorithm>

#include "base/text.hpp"

#ifndef VRUN_VERSION
#error "the build defines VRUN_VERSION"
#endif

namespace vrun::cli {
namespace {

std::string spelled(const Flag& flag) {
  std::string text =
      flag.alias.view().empty() ? "    --" : "-" + std::string(flag.alias.view()) + ", --";
  text += flag.name.view();
  if (flag.kind != Kind::kSwitch) text += " " + std::string(flag.value.view());
  return text;
}

std::string explained(const Flag& flag) {
  std::string text(flag.help.view());
  if (flag.kind == Kind::kList) text += " (may be repeated)";
  if (!flag.fallback.view().empty())
    text += " (default: " + std::string(flag.fallback.view()) + ")";
  return text;
}

std::string two_columns(const std::vector<std::pair<std::string, std::string>>& rows) {
  std::size_t left = 0;
  for (const auto& [name, text] : rows)
    left = std::max(left, name.size());
  std::string out;
  for (const auto& [name, text] : rows) {
    const std::string body = wrap(text, left + 5);
    out += "  " + name + std::string(left + 3 - name.size(), ' ') + body.substr(left + 5);
  }
  return out;
}

std::string paragraphs(std::string_view text, std::size_t indent) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find("\n\n"), text.size());
    out += "\n" + wrap(text.substr(0, end), indent);
    text.remove_prefix(std::min(end + 2, text.size()));
  }
  return out;
}

}  // namespace

std::string wrap(std::string_view text, std::size_t indent, std::size_t width) {
  const std::string margin(indent, ' ');
  std::string out;
  std::string line = margin;
  for (const std::string_view word : split(text, ' ')) {
    const bool first = line.size() == indent;
    if (!first && line.size() + 1 + word.size() > width) {
      out += line + "\n";
      line = margin;
    }
    if (line.size() > indent) line += ' ';
    line += word;
  }
  return out + line + "\n";
}

std::string flag_lines(std::span<const Flag> flags) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const Flag& flag : flags) {
    if (flag.shown == Shown::kAlways) rows.emplace_back(spelled(flag), explained(flag));
  }
  return two_columns(rows);
}

std::string help_text() {
  std::string out =
      "vrun-oci - OCI runtime: runs containers from bundles, in runc's place\n\n"
      "usage: vrun-oci [GLOBAL FLAGS] VERB [FLAGS] [ARGUMENTS]\n\n"
      "verbs:\n";
  std::vector<std::pair<std::string, std::string>> rows;
  for (const Verb& verb : oci_verbs())
    rows.emplace_back(verb.name.view(), verb.summary.view());
  out += two_columns(rows) + "\nglobal flags:\n" + flag_lines(oci_globals());
  return out + "\n`vrun-oci VERB --help` explains a verb.\n";
}

std::string help_text(const Verb& verb) {
  const std::span<const Flag> flags = verb.flags();
  std::string out = "vrun-oci " + std::string(verb.name.view()) + " - " +
                    std::string(verb.summary.view()) + "\n\nusage: " + usage(verb) + "\n";
  out += paragraphs(verb.text.view(), 0);
  if (!flags.empty()) out += "\nflags:\n" + flag_lines(flags);
  return out;
}

// "NAME version X" and "commit: Y" are the lines that Docker and containerd look for; Podman shows
// the whole text.
std::string version_text() {
  std::string out = "vrun-oci version " VRUN_VERSION "\n";
#ifdef VRUN_COMMIT
  out += "commit: " VRUN_COMMIT "\n";
#endif
  return out + "spec: 1.3.0\n";
}

}  // namespace vrun::cli
