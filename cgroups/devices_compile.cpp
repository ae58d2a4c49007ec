#include <cstddef>

#include "cgroups/devices.hpp"

namespace vrun::cgroups {
namespace {

// What the registers hold after the prologue.
constexpr std::uint8_t kType = BPF_REG_2;    // BPF_DEVCG_DEV_*
constexpr std::uint8_t kAccess = BPF_REG_3;  // BPF_DEVCG_ACC_*
constexpr std::uint8_t kMajor = BPF_REG_4;
constexpr std::uint8_t kMinor = BPF_REG_5;
constexpr std::uint8_t kNumber = BPF_REG_6;  // major << 20 | minor
constexpr std::uint8_t kAllowed = BPF_REG_7;
constexpr std::uint8_t kMatch = BPF_REG_8;
constexpr std::uint8_t kScratch = BPF_REG_9;

using Code = std::vector<bpf_insn>;

bpf_insn insn(unsigned code, std::uint8_t dst, std::uint8_t src, std::size_t offset,
              std::uint32_t value) {
  bpf_insn one = {};
  one.code = static_cast<std::uint8_t>(code);
  one.dst_reg = static_cast<std::uint8_t>(dst & 0xfU);
  one.src_reg = static_cast<std::uint8_t>(src & 0xfU);
  one.off = static_cast<std::int16_t>(offset);
  one.imm = static_cast<std::int32_t>(value);
  return one;
}

bpf_insn load(std::uint8_t dst, std::size_t offset) {
  return insn(BPF_LDX | BPF_MEM | BPF_W, dst, BPF_REG_1, offset, 0);
}
bpf_insn alu(unsigned op, std::uint8_t dst, std::uint32_t value) {
  return insn(BPF_ALU | op | BPF_K, dst, 0, 0, value);
}
bpf_insn alu64(unsigned op, std::uint8_t dst, std::uint32_t value) {
  return insn(BPF_ALU64 | op | BPF_K, dst, 0, 0, value);
}
bpf_insn alu_reg(unsigned op, std::uint8_t dst, std::uint8_t src) {
  return insn(BPF_ALU | op | BPF_X, dst, src, 0, 0);
}
bpf_insn skip_unless(std::uint8_t reg, std::uint32_t value, std::size_t skipped) {
  return insn(BPF_JMP32 | BPF_JNE | BPF_K, reg, 0, skipped, value);
}
bpf_insn leave() {
  return insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

// Answers the request: 1 if all that is asked for is among `allowed`.
void answer(Code& code, unsigned allowed) {
  if (allowed == 0 || allowed == kMayAll) {
    code.push_back(alu(BPF_MOV, BPF_REG_0, allowed == 0 ? 0 : 1));
    code.push_back(leave());
    return;
  }
  code.push_back(alu(BPF_AND, kAccess, kMayAll & ~allowed));
  code.push_back(alu(BPF_MOV, BPF_REG_0, 0));
  code.push_back(skip_unless(kAccess, 0, 1));
  code.push_back(alu(BPF_MOV, BPF_REG_0, 1));
  code.push_back(leave());
}

// if (reg == value) return answer. One pending branch at a time, so that the verifier neither
// queues (it gives up at 8,192 pending branches) nor sees an instruction twice.
void answer_if(Code& code, std::uint8_t reg, std::uint32_t value, unsigned allowed) {
  Code body;
  answer(body, allowed);
  code.push_back(skip_unless(reg, value, body.size()));
  code.insert(code.end(), body.begin(), body.end());
}

// A jump has 16 bits: the code of a type is cut into pieces that can be jumped over.
constexpr std::size_t kPiece = 16000;

class Section {
 public:
  Section(Code& code, std::uint32_t type) : code_(code), type_(type) {}
  Code& unit() {
    if (piece_.size() >= kPiece) flush();
    return piece_;
  }
  void flush() {
    if (piece_.empty()) return;
    code_.push_back(skip_unless(kType, type_, piece_.size()));
    code_.insert(code_.end(), piece_.begin(), piece_.end());
    piece_.clear();
  }

 private:
  Code& code_;
  std::uint32_t type_;
  Code piece_;
};

std::uint32_t number(std::uint32_t major, std::uint32_t minor) {
  return major << 20U | minor;
}

// The usual form: first the devices named by number, then by major, then the rest. Entries that
// say what the next wider one says are left out.
void compile_nested(const DeviceTable& table, Section& section) {
  std::map<std::uint32_t, unsigned> majors;
  for (const auto& [major, verdict] : table.by_major) {
    DeviceTable wider;
    wider.any = table.any;
    wider.by_major[major] = verdict;
    majors[major] = wider.allowed(major, 0);
  }
  for (const auto& [key, verdict] : table.by_number) {
    unsigned allowed = table.allowed(key.first, key.second);
    auto wider = majors.find(key.first);
    if (allowed == (wider == majors.end() ? table.any.allowed : wider->second)) continue;
    answer_if(section.unit(), kNumber, number(key.first, key.second), allowed);
  }
  for (const auto& [major, allowed] : majors) {
    if (allowed != table.any.allowed) answer_if(section.unit(), kMajor, major, allowed);
  }
  answer(section.unit(), table.any.allowed);
}

// One rule of the straight form.
struct Row {
  std::uint8_t reg = 0;  // 0: every device
  std::uint32_t value = 0;
  unsigned access = 0, allowed = 0;
};

void add_rows(std::multimap<std::uint32_t, Row>& rows, const DeviceVerdict& verdict, Row row) {
  for (unsigned bit = 0; bit < 3; ++bit) {
    if (verdict.order[bit] == 0) continue;
    row.access = 1U << bit;
    row.allowed = verdict.allowed & row.access;
    auto [first, last] = rows.equal_range(verdict.order[bit]);
    bool merged = false;
    for (; first != last && !merged; ++first) {
      if (first->second.reg != row.reg || first->second.value != row.value) continue;
      first->second.access |= row.access;
      first->second.allowed |= row.allowed;
      merged = true;
    }
    if (!merged) rows.emplace(verdict.order[bit], row);
  }
}

// allowed = matches ? (allowed & ~access) | row.allowed : allowed, without a branch.
void apply_row(Code& code, const Row& row) {
  if (row.reg == 0) {
    code.push_back(alu(BPF_AND, kAllowed, kMayAll & ~row.access));
    code.push_back(alu(BPF_OR, kAllowed, row.allowed));
    return;
  }
  code.push_back(alu_reg(BPF_MOV, kMatch, row.reg));
  code.push_back(alu(BPF_XOR, kMatch, row.value));  // 0 where it matches, upper half zero
  code.push_back(alu64(BPF_SUB, kMatch, 1));        // then all ones
  code.push_back(alu64(BPF_RSH, kMatch, 32));       // now 0xffffffff or 0
  code.push_back(alu_reg(BPF_MOV, kScratch, kMatch));
  code.push_back(alu(BPF_AND, kScratch, row.access));
  code.push_back(alu(BPF_XOR, kScratch, kMayAll));
  code.push_back(alu_reg(BPF_AND, kAllowed, kScratch));
  code.push_back(alu(BPF_AND, kMatch, row.allowed));
  code.push_back(alu_reg(BPF_OR, kAllowed, kMatch));
}

// With rules for a minor of every major the tables cross: the rules are then run through in their
// order by arithmetic alone. Branches would double the verifier's work at each rule.
void compile_straight(const DeviceTable& table, Section& section) {
  std::multimap<std::uint32_t, Row> rows;
  add_rows(rows, table.any, {});
  for (const auto& [major, verdict] : table.by_major)
    add_rows(rows, verdict, {kMajor, major});
  for (const auto& [minor, verdict] : table.by_minor)
    add_rows(rows, verdict, {kMinor, minor});
  for (const auto& [key, verdict] : table.by_number) {
    add_rows(rows, verdict, {kNumber, number(key.first, key.second)});
  }
  for (const auto& [place, row] : rows)
    apply_row(section.unit(), row);
  Code& end = section.unit();
  end.push_back(alu(BPF_XOR, kAllowed, kMayAll));
  end.push_back(alu_reg(BPF_AND, kAccess, kAllowed));  // what is asked for and denied
  end.push_back(alu(BPF_MOV, BPF_REG_0, 0));
  end.push_back(skip_unless(kAccess, 0, 1));
  end.push_back(alu(BPF_MOV, BPF_REG_0, 1));
  end.push_back(leave());
}

void compile_table(const DeviceTable& table, std::uint32_t type, Code& code) {
  Section section(code, type);
  if (table.by_minor.empty()) {
    compile_nested(table, section);
  } else {
    compile_straight(table, section);
  }
  section.flush();
}

}  // namespace

std::vector<bpf_insn> compile(const DeviceTables& tables) {
  if (tables.allow_everything()) return {};
  Code code = {
      load(kType, offsetof(bpf_cgroup_dev_ctx, access_type)),  // access << 16 | type
      load(kMajor, offsetof(bpf_cgroup_dev_ctx, major)),
      load(kMinor, offsetof(bpf_cgroup_dev_ctx, minor)),
      alu_reg(BPF_MOV, kAccess, kType),
      alu(BPF_RSH, kAccess, 16),
      alu(BPF_AND, kType, 0xffff),
      alu_reg(BPF_MOV, kNumber, kMajor),
      alu(BPF_LSH, kNumber, 20),
      alu_reg(BPF_OR, kNumber, kMinor),
      alu(BPF_MOV, kAllowed, 0),  // here: the verifier follows paths past the first piece as well
  };
  compile_table(tables.character, BPF_DEVCG_DEV_CHAR, code);
  compile_table(tables.block, BPF_DEVCG_DEV_BLOCK, code);
  code.push_back(alu(BPF_MOV, BPF_REG_0, 0));  // a type that no rule can name
  code.push_back(leave());
  return code;
}

}  // namespace vrun::cgroups
