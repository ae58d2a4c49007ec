#include "images/platform.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "base/text.hpp"
#include "images/layout.hpp"

namespace vrun::images {
namespace {

struct Alias {
  std::string_view name, architecture, variant;
};
constexpr std::array kAliases{
    Alias{"x86_64", "amd64", ""}, Alias{"x86-64", "amd64", ""}, Alias{"aarch64", "arm64", ""},
    Alias{"armhf", "arm", "v7"},  Alias{"armel", "arm", "v6"},  Alias{"i386", "386", ""},
    Alias{"i686", "386", ""},
};

bool is_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
  });
}

// Those of Go's linux ports, which is what registries use, and the aliases.
bool is_architecture(std::string_view name) {
  constexpr std::array<std::string_view, 14> kKnown{
      "386",    "amd64",    "arm",   "arm64",   "loong64", "mips",  "mipsle",
      "mips64", "mips64le", "ppc64", "ppc64le", "riscv64", "s390x", "wasm"};
  return std::find(kKnown.begin(), kKnown.end(), name) != kKnown.end() ||
         std::any_of(kAliases.begin(), kAliases.end(),
                     [&](const Alias& alias) { return alias.name == name; });
}

void normalise(oci::Platform& platform) {
  for (const Alias& alias : kAliases) {
    if (platform.architecture != alias.name) continue;
    platform.architecture = alias.architecture;
    if (platform.variant.empty()) platform.variant = alias.variant;
  }
}

// "v8" is 8; what an absent variant means depends on the architecture.
std::optional<std::uint64_t> level(const oci::Platform& platform) {
  if (platform.variant.empty()) {
    if (platform.architecture == "arm64") return 8;
    if (platform.architecture == "arm") return 7;
    return 1;
  }
  if (platform.variant[0] != 'v') return std::nullopt;
  return parse_u64(std::string_view(platform.variant).substr(1));
}

// How well `offered` serves `wanted`: empty when it cannot run there.
std::optional<std::uint64_t> fitness(const oci::Platform& offered, const oci::Platform& wanted) {
  oci::Platform there = offered;
  normalise(there);
  if (there.os != wanted.os || there.architecture != wanted.architecture) return std::nullopt;
  if (there.variant == wanted.variant) return level(wanted).value_or(0);
  const auto has = level(there);
  const auto most = level(wanted);
  if (!has || !most || *has > *most) return std::nullopt;
  return has;
}

Error none_fits(const oci::Index& index, const oci::Platform& wanted) {
  std::vector<std::string> offers;
  for (const oci::Descriptor& manifest : index.manifests) {
    if (!manifest.platform || manifest.platform->os == "unknown") continue;
    offers.push_back(printable(to_text(*manifest.platform)));
  }
  Error error(Code::kNotFound, "no image for " + to_text(wanted) + " in it");
  if (offers.empty()) return error;
  constexpr std::size_t kShown = 20;
  if (offers.size() > kShown) offers.resize(kShown);
  return std::move(error).hint("there is: " + join(offers, ", ") + "; choose with --platform");
}

}  // namespace

Result<oci::Platform> parse_platform(std::string_view text) {
  const auto refuse = [&](const std::string& why) {
    return Error(Code::kInvalid, "platform " + quote(text) + ": " + why)
        .hint("write os/architecture[/variant], such as linux/arm64 or linux/arm/v7");
  };
  std::vector<std::string_view> parts = split(text, '/');
  if (!std::all_of(parts.begin(), parts.end(), is_word)) return refuse("not of words and /");
  if (parts.size() == 1 && parts[0] == "linux") return machine_platform();
  if (parts.size() == 1) parts.insert(parts.begin(), "linux");
  if (parts.size() > 3) return refuse("has more than three parts");
  if (parts[0] != "linux") return refuse("only images for linux can run here");
  if (!is_architecture(parts[1])) return refuse("unknown operating system or architecture");
  oci::Platform platform;
  platform.os = parts[0];
  platform.architecture = parts[1];
  if (parts.size() == 3) platform.variant = parts[2];
  normalise(platform);
  return platform;
}

oci::Platform machine_platform() {
  oci::Platform platform;
  platform.os = "linux";
  platform.architecture = machine_architecture();
  return platform;
}

std::string to_text(const oci::Platform& platform) {
  std::string text = platform.os + "/" + platform.architecture;
  if (!platform.variant.empty()) text += "/" + platform.variant;
  return text;
}

Result<oci::Descriptor> pick_manifest(const oci::Index& index, const oci::Platform& wanted) {
  const oci::Descriptor* best = nullptr;
  std::uint64_t best_level = 0;
  for (const oci::Descriptor& manifest : index.manifests) {
    if (!oci::is_manifest_type(manifest.media_type) || !manifest.platform) continue;
    const auto fits = fitness(*manifest.platform, wanted);
    if (!fits || (best != nullptr && *fits <= best_level)) continue;
    best = &manifest;
    best_level = *fits;
  }
  if (best != nullptr) return *best;
  // An index of one manifest often says nothing of its platform; its configuration will.
  const bool lone = index.manifests.size() == 1 && !index.manifests[0].platform &&
                    oci::is_manifest_type(index.manifests[0].media_type);
  if (lone) return index.manifests[0];
  return none_fits(index, wanted);
}

}  // namespace vrun::images
