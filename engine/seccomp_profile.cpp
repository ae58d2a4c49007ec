#include "engine/seccomp_profile.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include <sys/utsname.h>

#include "base/fs.hpp"
#include "base/json_table.hpp"
#include "base/text.hpp"
#include "images/layout.hpp"
#include "oci/reader.hpp"
#include "oci/table_seccomp.hpp"

namespace vrun::engine {
namespace docker {

// A group of conditions; an empty list says nothing.
struct Conditions {
  std::vector<std::string> capabilities, architectures;
  std::string min_kernel;
  bool operator==(const Conditions&) const = default;
};
constexpr auto json_fields(const Conditions*) {
  return json::fields(json::field("caps", &Conditions::capabilities),
                      json::field("arches", &Conditions::architectures),
                      json::field("minKernel", &Conditions::min_kernel));
}

struct Rule {
  std::string name;  // the older form: one call
  std::vector<std::string> names;
  std::string action;
  std::optional<std::uint32_t> errno_ret;
  std::vector<oci::SyscallArg> args;
  Conditions includes, excludes;
  bool operator==(const Rule&) const = default;
};
constexpr auto json_fields(const Rule*) {
  return json::fields(
      json::field("name", &Rule::name), json::field("names", &Rule::names),
      json::field("action", &Rule::action, {.names = oci::kSeccompActions, .required = true}),
      json::field("errnoRet", &Rule::errno_ret), json::field("args", &Rule::args),
      json::field("includes", &Rule::includes), json::field("excludes", &Rule::excludes));
}

struct Architecture {
  std::string architecture;
  std::vector<std::string> sub_architectures;
  bool operator==(const Architecture&) const = default;
};
constexpr auto json_fields(const Architecture*) {
  return json::fields(json::field("architecture", &Architecture::architecture,
                                  {.names = oci::kSeccompArchitectures, .required = true}),
                      json::field("subArchitectures", &Architecture::sub_architectures,
                                  {.names = oci::kSeccompArchitectures}));
}

struct Profile {
  std::string default_action;
  std::optional<std::uint32_t> default_errno_ret;
  std::vector<std::string> architectures, flags;
  std::vector<Architecture> map;
  std::vector<Rule> rules;
};
constexpr auto json_fields(const Profile*) {
  return json::fields(
      json::field("defaultAction", &Profile::default_action,
                  {.names = oci::kSeccompActions, .required = true}),
      json::field("defaultErrnoRet", &Profile::default_errno_ret),
      json::field("architectures", &Profile::architectures, {.names = oci::kSeccompArchitectures}),
      json::field("flags", &Profile::flags, {.names = oci::kSeccompFlags}),
      json::field("archMap", &Profile::map), json::field("syscalls", &Profile::rules));
}

// More than a type and a list of names can say; called when all of it was read.
void json_check(const json::In& in, const Rule& rule) {
  if (rule.name.empty() == rule.names.empty()) in.fault("has not one of name and names");
}
void json_check(const json::In& in, const Profile& profile) {
  if (!profile.map.empty() && !profile.architectures.empty())
    in.fault_below("archMap", "excludes architectures");
}

}  // namespace docker

namespace {

bool has(const std::vector<std::string>& list, const std::string& word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

// "6.1.0-13-amd64": {6, 1}. What is no number is 0, as in "4".
std::pair<std::uint64_t, std::uint64_t> version_of(std::string_view text) {
  const auto number = [&text] {
    const std::size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto value = parse_u64(text.substr(0, end)).value_or(0);
    text.remove_prefix(std::min(end + 1, text.size()));
    return value;
  };
  const std::uint64_t major = number();
  return {major, number()};
}

bool is_since(const std::string& min_kernel, const ProfileFacts& facts) {
  return version_of(facts.kernel) >= version_of(min_kernel);
}

// Every capability of `includes` and none of `excludes`; the other conditions likewise.
bool holds(const docker::Rule& rule, const ProfileFacts& facts) {
  const auto owned = [&](const std::string& name) { return has(facts.capabilities, name); };
  const docker::Conditions& in = rule.includes;
  const docker::Conditions& out = rule.excludes;
  if (std::any_of(out.capabilities.begin(), out.capabilities.end(), owned)) return false;
  if (has(out.architectures, facts.architecture)) return false;
  if (!out.min_kernel.empty() && is_since(out.min_kernel, facts)) return false;
  if (!std::all_of(in.capabilities.begin(), in.capabilities.end(), owned)) return false;
  if (!in.architectures.empty() && !has(in.architectures, facts.architecture)) return false;
  return in.min_kernel.empty() || is_since(in.min_kernel, facts);
}

std::string seccomp_name(const std::string& architecture) {
  if (architecture == "amd64") return "SCMP_ARCH_X86_64";
  if (architecture == "arm64") return "SCMP_ARCH_AARCH64";
  return {};
}

bool is_conditional(const json::Value& root) {
  if (root.find("archMap") != nullptr) return true;
  const json::Value* rules = root.find("syscalls");
  if (rules == nullptr || rules->kind() != json::Kind::kArray) return false;
  const auto rows = rules->elements();
  return std::any_of(rows.begin(), rows.end(), [](const json::Value& rule) {
    return rule.find("includes") != nullptr || rule.find("excludes") != nullptr ||
           rule.find("name") != nullptr;
  });
}

void add_architectures(const std::vector<docker::Architecture>& map, const ProfileFacts& facts,
                       oci::Seccomp& profile) {
  for (const docker::Architecture& row : map) {
    if (row.architecture != seccomp_name(facts.architecture)) continue;
    profile.architectures.push_back(row.architecture);
    profile.architectures.insert(profile.architectures.end(), row.sub_architectures.begin(),
                                 row.sub_architectures.end());
  }
}

Result<oci::Seccomp> resolve(const json::Document& document, const std::string& name,
                             const ProfileFacts& facts) {
  json::Faults faults(name);
  const auto read = json::decode_document<docker::Profile>(document, faults);
  if (!faults.empty()) return faults.error();
  oci::Seccomp profile;
  profile.default_action = read.default_action;
  profile.default_errno_ret = read.default_errno_ret;
  profile.architectures = read.architectures;
  profile.flags = read.flags;
  add_architectures(read.map, facts, profile);
  for (const docker::Rule& rule : read.rules) {
    oci::SyscallRule plain{rule.names, rule.action, rule.errno_ret, rule.args};
    if (!rule.name.empty()) plain.names.push_back(rule.name);
    if (holds(rule, facts)) profile.syscalls.push_back(std::move(plain));
  }
  return profile;
}

}  // namespace

Result<oci::Seccomp> parse_profile(std::string_view text, const std::string& name,
                                   const ProfileFacts& facts) {
  const json::Document document = TRY(json::Document::parse(text, name));
  if (is_conditional(document.root())) return resolve(document, name, facts);
  const oci::Spec spec = TRY(oci::parse_spec(
      R"({"ociVersion":"1.3.0","root":{"path":"/"},"linux":{"seccomp":)" + std::string(text) + "}}",
      name));
  if (!spec.linux.seccomp)
    return Error(Code::kInvalid, "seccomp profile " + quote(name) + ": null");
  return *spec.linux.seccomp;
}

Result<oci::Seccomp> read_seccomp(const std::string& path,
                                  const std::vector<std::string>& capabilities) {
  constexpr std::size_t kMost = 4U << 20U;
  const std::string text = TRY(fs::read_file(At::cwd(), path, kMost, fs::Kind::kRegularOnly));
  utsname machine{};
  ::uname(&machine);
  return parse_profile(text, path,
                       {capabilities, std::string(images::machine_architecture()),
                        static_cast<const char*>(machine.release)});
}

}  // namespace vrun::engine
