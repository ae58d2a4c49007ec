#include "cli/docker_flags.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"

namespace vrun::cli {
namespace {

struct Pair {
  std::string_view name, words;
};

constexpr std::array kSpellings{Pair{"net", "network"}, Pair{"net-alias", "network-alias"},
                                Pair{"dns-opt", "dns-option"}};

constexpr std::array kInstead{
    Pair{"gpus", "vrun hands out no GPUs; name their nodes with --device"},
    Pair{"cgroup-parent", "guests live below the group of their tenant; limits are set by flags"},
    Pair{"link", "guests of one network find each other by name"},
    Pair{"volumes-from", "name the same --volume for both guests"},
    Pair{"volume-driver", "mount it on the host and name the directory with --volume"},
    Pair{"storage-opt", "a guest writes into an overlay below $VRUN_DATA_DIR"},
    Pair{"runtime", "vrun is the runtime"},
    Pair{"device-cgroup-rule", "name each device with --device PATH:INSIDE:rwm"},
    Pair{"oom-kill-disable", "cgroup v2 cannot do it; --oom-score-adj says who dies first"},
    Pair{"memory-swappiness", "cgroup v2 has no such knob; --memory-swap bounds swap"},
    Pair{"kernel-memory", "cgroup v2 counts it within --memory"},
    Pair{"cpu-rt-runtime", "cgroup v2 has no such knob; --ulimit rtprio=N allows priorities"},
    Pair{"cpu-rt-period", "cgroup v2 has no such knob; --ulimit rtprio=N allows priorities"},
    Pair{"blkio-weight-device", "--blkio-weight is for all disks; --device-read-bps for one"},
    Pair{"health-start-interval", "--health-interval is the same from the start on"},
    Pair{"attach", "a guest in the foreground shows both streams: use 2>/dev/null or >/dev/null"},
    Pair{"disable-content-trust", "vrun checks digests, not signatures, of images"},
    Pair{"manifest", "a manifest is made so by `vrun apply -f FILE`"},
    Pair{"pod", "--network container:GUEST shares a network namespace"},
};

template <std::size_t N>
std::string_view find_words(const std::array<Pair, N>& pairs, std::string_view name) {
  const auto found =
      std::find_if(pairs.begin(), pairs.end(), [&](const Pair& pair) { return pair.name == name; });
  return found == pairs.end() ? std::string_view() : found->words;
}

struct LongFlag {
  std::string_view name, rest;  // rest: "=value" or nothing
};

bool is_long(std::string_view word) {
  return word.size() > 2 && word.starts_with("--");
}

LongFlag split_flag(std::string_view word) {
  word.remove_prefix(2);
  const std::size_t sign = std::min(word.find('='), word.size());
  return {word.substr(0, sign), word.substr(sign)};
}

// Calls `work` with each flag before the first positional word; values are passed over.
template <typename Words, typename Work>
Result<void> for_each_flag(std::span<const Flag> flags, Words& words, const Work& work) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i].size() < 2 || words[i][0] != '-' || words[i] == "--") return {};
    TRY(work(words[i]));
    const std::string_view word = words[i];
    const std::string_view bare = word.substr(word[1] == '-' ? 2 : 1);
    const Flag* flag = find_flag(flags, bare.substr(0, bare.find('=')));
    const bool takes_next =
        flag != nullptr && flag->kind != Kind::kSwitch && word.find('=') == std::string_view::npos;
    if (takes_next) ++i;
  }
  return {};
}

}  // namespace

std::vector<std::string> with_our_spelling(std::span<const Flag> flags,
                                           std::vector<std::string> words) {
  static_cast<void>(for_each_flag(flags, words, [&](std::string& word) -> Result<void> {
    if (!is_long(word)) return {};
    const LongFlag flag = split_flag(word);
    const std::string_view ours = find_words(kSpellings, flag.name);
    if (ours.empty() || find_flag(flags, flag.name) || !find_flag(flags, ours)) return {};
    word = "--" + std::string(ours) + std::string(flag.rest);
    return {};
  }));
  return words;
}

std::string_view instead_of_flag(std::string_view name) {
  return find_words(kInstead, name);
}

Result<void> check_known_missing(std::span<const Flag> flags, std::span<const std::string> words) {
  return for_each_flag(flags, words, [&](const std::string& word) -> Result<void> {
    const std::string_view name = is_long(word)  ? split_flag(word).name
                                  : word == "-a" ? std::string_view("attach")
                                                 : std::string_view();
    if (find_flag(flags, word == "-a" ? "a" : name) != nullptr) return {};
    const std::string_view instead = instead_of_flag(name);
    if (instead.empty()) return {};
    return Error(Code::kUnsupported, "vrun has no flag " + quote(word.substr(0, word.find('='))))
        .hint(instead);
  });
}

}  // namespace vrun::cli
