// Compiled with exceptions: yaml-cpp throws.
#include "images/transfer/registries.hpp"

#include <algorithm>
#include <array>
#include <set>

#include <yaml-cpp/yaml.h>

#include "base/faults.hpp"
#include "base/fs.hpp"
#include "base/text.hpp"
#include "oci/image.hpp"

namespace vrun::images {
namespace {

constexpr std::size_t kFileBytes = 1U << 20U;

// One document while it is read: adds "file:line:column" to every fault.
class Reader {
 public:
  explicit Reader(const std::string& name) : name_(name) {}

  Registries read(const YAML::Node& root) {
    Registries out;
    if (root.IsNull()) return out;
    each(root, {"registries", "timeouts"}, [&](const std::string& key, const YAML::Node& value) {
      if (key == "timeouts") read_timeouts(value, out.timeouts);
      if (key == "registries") read_rules(value, out.rules);
    });
    return out;
  }
  Result<void> result() const { return faults_.result(); }

 private:
  void fault(const YAML::Mark& mark, const std::string& text) {
    faults_.add(name_ + ":" + std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1),
                text);
  }

  // Calls `use` for each member of a map whose key is known (all are when `known` is empty).
  template <typename Use>
  void each(const YAML::Node& map, std::span<const std::string_view> known, Use use) {
    if (!map.IsMap()) return fault(map.Mark(), "should be a map of keys and values");
    std::set<std::string> seen;
    for (const auto& member : map) {
      if (!member.first.IsScalar()) {
        fault(member.first.Mark(), "the key should be a word");
        continue;
      }
      const std::string& key = member.first.Scalar();
      if (!seen.insert(key).second) {
        fault(member.first.Mark(), quote(key) + " stands there twice");
      } else if (!known.empty() && std::find(known.begin(), known.end(), key) == known.end()) {
        unknown(member.first.Mark(), key, known);
      } else {
        use(key, member.second);
      }
    }
  }
  template <typename Use>
  void each(const YAML::Node& map, std::initializer_list<std::string_view> known, Use use) {
    each(map, std::span(known.begin(), known.size()), use);
  }

  void unknown(const YAML::Mark& mark, const std::string& key,
               std::span<const std::string_view> known) {
    std::string text = "unknown key " + quote(key);
    if (const auto near = nearest(key, known)) text += ", did you mean " + quote(*near) + "?";
    fault(mark, text);
  }

  void read_timeouts(const YAML::Node& node, Timeouts& out) {
    each(node, {"connect", "stall", "overall"},
         [&](const std::string& key, const YAML::Node& value) {
           const auto seconds = value.IsScalar() ? parse_u64(value.Scalar()) : std::nullopt;
           constexpr std::uint64_t kWeek = 7 * 24 * 3600;
           if (!seconds || *seconds == 0 || *seconds > kWeek) {
             return fault(value.Mark(), key + " should be a number of seconds, 1 to 604800");
           }
           const std::chrono::seconds time(*seconds);
           (key == "connect" ? out.connect : key == "stall" ? out.stall : out.overall) = time;
         });
  }

  void read_rules(const YAML::Node& node, std::vector<RegistryRule>& out) {
    const std::array<std::string_view, 0> any{};
    each(node, any, [&](const std::string& host, const YAML::Node& value) {
      if (!is_host(host)) {
        return fault(node.Mark(), quote(host) + " is not a host as it stands in image names");
      }
      RegistryRule rule;
      rule.host = host;
      read_rule(value, rule);
      out.push_back(std::move(rule));
    });
  }

  void read_rule(const YAML::Node& node, RegistryRule& rule) {
    each(node, {"mirrors", "ca", "insecure"}, [&](const std::string& key, const YAML::Node& value) {
      if (key == "mirrors") return read_mirrors(value, rule.mirrors);
      if (key == "ca") return read_ca(value, rule.ca_file);
      if (value.IsScalar() && (value.Scalar() == "true" || value.Scalar() == "false")) {
        rule.insecure = value.Scalar() == "true";
      } else {
        fault(value.Mark(), "insecure should be true or false");
      }
    });
  }

  void read_ca(const YAML::Node& node, std::string& out) {
    if (!node.IsScalar() || !node.Scalar().starts_with('/')) {
      return fault(node.Mark(), "ca should be the absolute path of a PEM file");
    }
    out = node.Scalar();
  }

  void read_mirrors(const YAML::Node& node, std::vector<std::string>& out) {
    if (!node.IsSequence()) return fault(node.Mark(), "mirrors should be a list");
    for (const YAML::Node& mirror : node) {
      const bool good = mirror.IsScalar() && is_mirror(mirror.Scalar());
      if (good) {
        out.push_back(mirror.Scalar());
      } else {
        fault(mirror.Mark(), "a mirror should be host[:port][/path], without a scheme");
      }
    }
  }

  // The grammar of image names decides: what cannot stand in a name is never looked up.
  static bool is_host(const std::string& text) {
    const auto reference = oci::Reference::parse(text + "/x");
    return reference && reference->domain == text;
  }
  static bool is_mirror(const std::string& text) {
    const std::size_t slash = text.find('/');
    if (slash == std::string::npos) return is_host(text);
    return is_host(text.substr(0, slash)) && oci::Reference::parse(text + "/x").has_value();
  }

  std::string name_;
  Faults faults_;
};

std::string config_path(const Host& host) {
  if (!host.variable("VRUN_REGISTRIES").empty())
    return std::string(host.variable("VRUN_REGISTRIES"));
  const std::string system = "/etc/vrun/registries.yaml";
  if (!host.rootless() && !host.nested()) return system;
  std::string base(host.variable("XDG_CONFIG_HOME"));
  if (base.empty()) base = fs::join(host.variable("HOME"), ".config");
  const std::string own = fs::join(base, "vrun/registries.yaml");
  const bool there = fs::read_file(At::cwd(), own, kFileBytes, fs::Kind::kRegularOnly).has_value();
  return there ? own : system;
}

}  // namespace

Result<Registries> Registries::parse(const std::string& text, const std::string& name) {
  try {
    Reader reader(name);
    Registries out = reader.read(YAML::Load(text));
    TRY(reader.result());
    return out;
  } catch (const YAML::Exception& error) {
    return Error(Code::kInvalid, name + ":" + std::to_string(error.mark.line + 1) + ":" +
                                     std::to_string(error.mark.column + 1) + ": " +
                                     printable(error.msg));
  }
}

Result<Registries> Registries::load(const Host& host) {
  const std::string path = config_path(host);
  Result<std::string> text = fs::read_file(At::cwd(), path, kFileBytes, fs::Kind::kRegularOnly);
  if (text) return parse(*text, path);
  const bool asked_for = !host.variable("VRUN_REGISTRIES").empty();
  if (text.error().code() == Code::kNotFound && !asked_for) return Registries();
  return std::move(text).error().during("configuration of registries");
}

const RegistryRule* Registries::find(std::string_view host) const {
  const auto found = std::find_if(rules.begin(), rules.end(),
                                  [&](const RegistryRule& rule) { return rule.host == host; });
  return found == rules.end() ? nullptr : &*found;
}

}  // namespace vrun::images
