// The default profile for a set of capabilities, from the data in default_profile.json.
#include <algorithm>
#include <string>
#include <string_view>

#define RAPIDJSON_HAS_STDSTRING 1
#include <rapidjson/document.h>

#include "seccomp/default_profile_data.hpp"
#include "seccomp/seccomp.hpp"

namespace vrun::seccomp {
namespace {

using Json = rapidjson::Value;

#if defined(__x86_64__)
constexpr const char* kMachine = "x86_64";
#elif defined(__aarch64__)
constexpr const char* kMachine = "aarch64";
#else
#error "name this architecture in default_profile.json"
#endif

std::string text_of(const Json& object, const char* key) {
  const auto member = object.FindMember(key);
  return member == object.MemberEnd() ? std::string() : std::string(member->value.GetString());
}

std::vector<std::string> list_of(const Json& array) {
  std::vector<std::string> list;
  for (const Json& item : array.GetArray())
    list.emplace_back(item.GetString());
  return list;
}

std::uint64_t number_of(const Json& object, const char* key) {
  const auto member = object.FindMember(key);
  return member == object.MemberEnd() ? 0 : member->value.GetUint64();
}

bool holds(const Json& group, const std::vector<std::string>& capabilities, GuestKind kind) {
  const std::string guest = text_of(group, "guest");
  if (!guest.empty() && (guest == "system") != (kind == GuestKind::kSystem)) return false;
  const auto has = [&](const std::string& name) {
    return std::find(capabilities.begin(), capabilities.end(), name) != capabilities.end();
  };
  const std::string needed = text_of(group, "capability");
  const std::string without = text_of(group, "without");
  return (needed.empty() || has(needed)) && (without.empty() || !has(without));
}

oci::SyscallRule rule_of(const Json& group) {
  oci::SyscallRule rule;
  rule.names = list_of(group["names"]);
  rule.action = text_of(group, "action");
  if (rule.action.empty()) rule.action = "SCMP_ACT_ALLOW";
  if (group.HasMember("errnoRet"))
    rule.errno_ret = static_cast<std::uint32_t>(number_of(group, "errnoRet"));
  if (!group.HasMember("args")) return rule;
  for (const Json& arg : group["args"].GetArray())
    rule.args.push_back({static_cast<std::uint32_t>(number_of(arg, "index")),
                         number_of(arg, "value"), number_of(arg, "valueTwo"), text_of(arg, "op")});
  return rule;
}

}  // namespace

Result<oci::Seccomp> default_profile(const std::vector<std::string>& capabilities, GuestKind kind) {
  rapidjson::Document document;
  document.Parse(kDefaultProfile.data(), kDefaultProfile.size());
  // built in, and read by a unit test
  if (document.HasParseError() || !document.IsObject())
    return Error(Code::kInternal, "the built-in seccomp profile is not JSON");
  oci::Seccomp profile;
  profile.default_action = text_of(document, "defaultAction");
  profile.default_errno_ret = static_cast<std::uint32_t>(number_of(document, "defaultErrnoRet"));
  profile.architectures = list_of(document["architectures"][kMachine]);
  for (const Json& group : document["groups"].GetArray()) {
    if (holds(group, capabilities, kind)) profile.syscalls.push_back(rule_of(group));
  }
  return profile;
}

}  // namespace vrun::seccomp
