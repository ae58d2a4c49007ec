#include "cli/tenant_flag.hpp"

#include "base/text.hpp"

namespace vrun::cli {
namespace {

constexpr std::string_view kName = "tenant";

struct Spelled {
  std::string_view name;
  bool has_value;
};
Spelled spell(std::string_view word) {
  word.remove_prefix(word.starts_with("--") ? 2 : 1);
  const std::size_t equals = word.find('=');
  return {word.substr(0, equals), equals != std::string_view::npos};
}

}  // namespace

Result<std::string> take_tenant_flag(const EverydayVerb& verb, std::vector<std::string>& words) {
  std::string tenant;
  for (std::size_t at = 0; at < words.size();) {
    const std::string word = words[at];
    if (word == "--") break;
    const bool is_flag = word.size() > 1 && word[0] == '-';
    if (!is_flag && !verb.flags_anywhere) break;
    const Spelled spelled = is_flag ? spell(word) : Spelled{};
    if (spelled.name != kName) {
      const Flag* flag = is_flag ? find_flag(verb.flags(), spelled.name) : nullptr;
      const bool takes_next = flag != nullptr && flag->kind != Kind::kSwitch && !spelled.has_value;
      at += takes_next ? 2 : 1;
      continue;
    }
    if (!spelled.has_value && at + 1 == words.size()) {
      return Error(Code::kInvalid, "flag --tenant needs a value").hint("write --tenant NAME");
    }
    tenant = spelled.has_value ? word.substr(word.find('=') + 1) : words[at + 1];
    if (tenant.empty()) return Error(Code::kInvalid, "flag --tenant: its value is empty");
    const auto first = words.begin() + static_cast<std::ptrdiff_t>(at);
    words.erase(first, first + (spelled.has_value ? 1 : 2));
  }
  return tenant;
}

std::string tenant_of(const std::string& of_verb, const Arguments& globals, const Host& host) {
  if (!of_verb.empty()) return of_verb;
  if (globals.has(kName)) return globals.text(kName);
  const std::string_view variable = host.variable("VRUN_TENANT");
  return variable.empty() ? "default" : std::string(variable);
}

}  // namespace vrun::cli
