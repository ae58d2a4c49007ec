#include "seccomp/decisions.hpp"

#include <cstddef>
#include <limits>
#include <utility>

#include <linux/seccomp.h>

namespace vrun::seccomp {
namespace {

constexpr std::uint32_t kLast = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint32_t kCallOffset = offsetof(seccomp_data, nr);
constexpr std::uint32_t kArchOffset = offsetof(seccomp_data, arch);

struct Interval {
  std::uint32_t low = 0, high = kLast;  // both ends belong to it
  bool holds(std::uint32_t value) const { return low <= value && value <= high; }
};

// The accumulator: what was loaded last.
enum class Loaded { kNothing, kCall, kArch, kOther };

// A map from all 2^32 values; later assignments win.
class RangeMap {
 public:
  void assign(Interval interval, std::uint32_t value) {
    const std::uint32_t after = interval.high == kLast ? 0 : value_at(interval.high + 1);
    auto at = starts_.lower_bound(interval.low);
    while (at != starts_.end() && at->first <= interval.high)
      at = starts_.erase(at);
    starts_[interval.low] = value;
    if (interval.high != kLast) starts_[interval.high + 1] = after;
  }
  // With equal neighbours joined.
  std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges() const {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> out;
    for (const auto& start : starts_) {
      if (out.empty() || out.back().second != start.second) out.emplace_back(start);
    }
    return out;
  }

 private:
  std::uint32_t value_at(std::uint32_t key) const {
    auto at = starts_.upper_bound(key);
    return at == starts_.begin() ? 0 : std::prev(at)->second;
  }
  std::map<std::uint32_t, std::uint32_t> starts_;
};

enum class Verdict { kYes, kNo, kDepends, kUnknown };

// The verdict of a jump when the accumulator is anything in the interval.
Verdict judge(const sock_filter& jump, Interval in) {
  switch (BPF_OP(jump.code)) {
    case BPF_JEQ:
      if (!in.holds(jump.k)) return Verdict::kNo;
      return in.low == in.high ? Verdict::kYes : Verdict::kDepends;
    case BPF_JGE:
      if (in.low >= jump.k) return Verdict::kYes;
      return in.high < jump.k ? Verdict::kNo : Verdict::kDepends;
    case BPF_JGT:
      if (in.low > jump.k) return Verdict::kYes;
      return in.high <= jump.k ? Verdict::kNo : Verdict::kDepends;
    default:
      return Verdict::kUnknown;
  }
}

// Walks the program over one subject, the architecture or the call, and fills `leaves`.
class Walk {
 public:
  Walk(const Program& program, Nodes& nodes) : program_(program), nodes_(nodes) {}

  // Which instruction each architecture comes to when something else than it is looked at.
  bool by_arch(RangeMap& leaves) { return walk(Loaded::kArch, 0, leaves); }
  // What each call comes to, from instruction `pc` on, for architectures in `arch`.
  bool by_call(Interval arch, std::size_t pc, RangeMap& leaves) {
    arch_ = arch;
    return walk(Loaded::kCall, pc, leaves);
  }

 private:
  struct Place {
    std::size_t pc;
    Loaded loaded;
    Interval values;  // of the subject
  };

  static Loaded loaded_by(const sock_filter& load) {
    if (load.k == kCallOffset) return Loaded::kCall;
    return load.k == kArchOffset ? Loaded::kArch : Loaded::kOther;
  }
  static bool is_load(const sock_filter& at) { return at.code == (BPF_LD | BPF_W | BPF_ABS); }
  static bool is_jump(const sock_filter& at) {
    return BPF_CLASS(at.code) == BPF_JMP && BPF_SRC(at.code) == BPF_K;
  }
  // Nothing the subject's value can change happens from here on.
  bool is_leaf(Loaded subject, const sock_filter& at) const {
    if (at.code == (BPF_RET | BPF_K)) return true;
    if (!is_load(at)) return false;
    const Loaded next = loaded_by(at);
    return subject == Loaded::kArch ? next != Loaded::kArch : next == Loaded::kOther;
  }

  bool walk(Loaded subject, std::size_t start, RangeMap& leaves) {
    subject_ = subject;
    todo_.assign(1, Place{start, Loaded::kNothing, {}});
    // Last in, first out: of two assignments to one value, the one decided earlier in the program
    // is made later, and wins.
    while (!todo_.empty()) {
      Place place = todo_.back();
      todo_.pop_back();
      if (!follow(place, leaves)) return false;
    }
    return true;
  }

  bool follow(Place place, RangeMap& leaves) {
    while (place.pc < program_.size()) {
      const sock_filter& at = program_[place.pc];
      if (is_leaf(subject_, at)) return finish(place, leaves);
      if (is_load(at)) {
        place.loaded = loaded_by(at);
        ++place.pc;
      } else if (at.code == (BPF_JMP | BPF_JA)) {
        place.pc += at.k + std::size_t{1};
      } else if (!is_jump(at) || !jump(place, at)) {
        return false;
      }
    }
    return false;
  }

  bool finish(const Place& place, RangeMap& leaves) {
    if (subject_ == Loaded::kArch) {
      leaves.assign(place.values, static_cast<std::uint32_t>(place.pc));
      return true;
    }
    calls_ = place.values;
    built_.clear();
    const auto node = code_from(place.pc, place.loaded);
    if (node) leaves.assign(place.values, *node);
    return node.has_value();
  }

  std::optional<Interval> known(Loaded loaded, Interval calls) const {
    if (loaded == Loaded::kCall) return calls;
    if (loaded == Loaded::kArch) return arch_;
    return std::nullopt;
  }

  // Moves `place` past a jump; where both ways are possible, one is put off.
  bool jump(Place& place, const sock_filter& at) {
    const bool on_subject = place.loaded == subject_;
    const auto values = on_subject ? place.values : known(place.loaded, place.values);
    if (!values) return false;
    const Verdict verdict = judge(at, *values);
    const std::size_t yes = place.pc + 1 + at.jt;
    const std::size_t no = place.pc + 1 + at.jf;
    if (verdict == Verdict::kYes || verdict == Verdict::kNo) {
      place.pc = verdict == Verdict::kYes ? yes : no;
      return true;
    }
    if (verdict == Verdict::kUnknown || !on_subject) return false;
    split(place, at, yes, no);
    return true;
  }

  void split(Place& place, const sock_filter& at, std::size_t yes, std::size_t no) {
    const Interval all = place.values;
    if (BPF_OP(at.code) == BPF_JEQ) {
      // the single value is assigned after all the others, over what they say of it
      todo_.push_back({yes, place.loaded, {at.k, at.k}});
      place.pc = no;
      return;
    }
    const std::uint32_t first_yes = BPF_OP(at.code) == BPF_JGE ? at.k : at.k + 1;
    todo_.push_back({yes, place.loaded, {first_yes, all.high}});
    place.pc = no;
    place.values.high = first_yes - 1;
  }

  // The code from `pc` on as a node, with everything decided that call and architecture decide.
  std::optional<NodeId> code_from(std::size_t pc, Loaded loaded) {
    if (pc >= program_.size()) return std::nullopt;
    const auto done = built_.find({pc, loaded});
    if (done != built_.end()) return done->second;
    const auto node = build(pc, loaded);
    if (node) built_[{pc, loaded}] = *node;
    return node;
  }

  std::optional<NodeId> build(std::size_t pc, Loaded loaded) {
    const sock_filter& at = program_[pc];
    if (at.code == (BPF_RET | BPF_K)) return nodes_.add({at.code, at.k, 0, 0});
    if (at.code == (BPF_JMP | BPF_JA)) return code_from(pc + 1 + at.k, loaded);
    if (is_load(at)) {
      const Loaded now = loaded_by(at);
      const auto next = code_from(pc + 1, now);
      if (!next || now != Loaded::kOther || !looks_at_value(*next)) return next;
      return nodes_.add({at.code, at.k, *next, 0});
    }
    if (at.code == (BPF_ALU | BPF_AND | BPF_K) && loaded == Loaded::kOther) {
      const auto next = code_from(pc + 1, loaded);
      return next ? std::optional(nodes_.add({at.code, at.k, *next, 0})) : std::nullopt;
    }
    return is_jump(at) ? build_jump(pc, at, loaded) : std::nullopt;
  }

  bool looks_at_value(NodeId id) const {
    const std::uint16_t kind = BPF_CLASS(nodes_[id].code);
    return kind == BPF_JMP || kind == BPF_ALU;
  }

  std::optional<NodeId> build_jump(std::size_t pc, const sock_filter& at, Loaded loaded) {
    if (const auto values = known(loaded, calls_)) {
      const Verdict verdict = judge(at, *values);
      if (verdict == Verdict::kYes) return code_from(pc + 1 + at.jt, loaded);
      if (verdict == Verdict::kNo) return code_from(pc + 1 + at.jf, loaded);
      return std::nullopt;
    }
    if (loaded != Loaded::kOther) return std::nullopt;
    const auto yes = code_from(pc + 1 + at.jt, loaded);
    const auto no = code_from(pc + 1 + at.jf, loaded);
    if (!yes || !no) return std::nullopt;
    return *yes == *no ? *yes : nodes_.add({at.code, at.k, *yes, *no});
  }

  const Program& program_;
  Nodes& nodes_;
  Loaded subject_ = Loaded::kNothing;
  Interval arch_;
  Interval calls_;
  std::vector<Place> todo_;
  std::map<std::pair<std::size_t, Loaded>, NodeId> built_;
};

Ranges to_ranges(const RangeMap& map) {
  Ranges ranges;
  for (const auto& [first, node] : map.ranges())
    ranges.push_back({first, node});
  return ranges;
}

}  // namespace

std::optional<Decisions> decide(const Program& program, Nodes& nodes) {
  Walk walk(program, nodes);
  RangeMap arch_leaves;
  if (!walk.by_arch(arch_leaves)) return std::nullopt;
  const auto archs = arch_leaves.ranges();
  Decisions decisions;
  for (std::size_t i = 0; i < archs.size(); ++i) {
    const std::uint32_t last = i + 1 < archs.size() ? archs[i + 1].first - 1 : kLast;
    RangeMap calls;
    if (!walk.by_call({archs[i].first, last}, archs[i].second, calls)) return std::nullopt;
    Ranges ranges = to_ranges(calls);
    if (decisions.empty() || decisions.back().calls != ranges)
      decisions.push_back({archs[i].first, std::move(ranges)});
  }
  return decisions;
}

}  // namespace vrun::seccomp
