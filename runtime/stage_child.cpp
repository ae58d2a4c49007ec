// vrun-stage: the program between clone and exec. See docs/decisions/001-freestanding-stage.md.
//
// argv: [0] a name for ps, [1] descriptor, [2] address and [3] size of the program block. It maps
// the block where the parent has it, so that pointers in it hold, and performs its steps until one
// of them executes the guest's process. A step that fails is reported as {step, errno, words} and
// ends the process.
#include <linux/prctl.h>
#include <linux/sched.h>

#include "runtime/gate_child.hpp"

extern "C" [[noreturn]] void vrun_stage_main(const long* stack);

namespace vrun::runtime {
namespace {

constexpr long kProtReadWrite = 3;
constexpr long kMapSharedFixedNoReplace = 0x01 | 0x100000;
constexpr int kBadCall = 126;

uint64_t parse_number(const char* text) {
  uint64_t value = 0;
  for (; *text >= '0' && *text <= '9'; ++text)
    value = value * 10 + static_cast<uint64_t>(*text - '0');
  return value;
}

steps::Program* map_program(const char* const* argv) {
  const auto fd = static_cast<long>(parse_number(argv[1]));
  const auto address = static_cast<long>(parse_number(argv[2]));
  const auto bytes = static_cast<long>(parse_number(argv[3]));
  const long mapped =
      raw::call(__NR_mmap, address, bytes, kProtReadWrite, kMapSharedFixedNoReplace, fd, 0);
  if (mapped != address) return nullptr;
  auto* program = reinterpret_cast<steps::Program*>(mapped);
  const bool good =
      program->magic == steps::kProgramMagic && program->version == steps::kProgramVersion;
  return good ? program : nullptr;
}

[[noreturn]] void perform_all(steps::Context& context) {
  steps::Program& program = *context.program;
  for (uint32_t i = 0; i < program.step_count; ++i) {
    const steps::Step& step = program.steps[i];
    program.current = i;
    context.step = &step;
    context.note_bytes = 0;
    const long result = perform(context, step);
    if (result >= 0) continue;
    steps::send_message(context, steps::MessageKind::kFault, static_cast<int>(-result));
    raw::exit_group(1);
  }
  raw::exit_group(kBadCall);  // a program ends with an exec
}

}  // namespace
}  // namespace vrun::runtime

void vrun_stage_main(const long* stack) {
  using namespace vrun;
  const auto argc = stack[0];
  const auto* argv = reinterpret_cast<const char* const*>(stack + 1);
  if (argc < 4) raw::exit_group(runtime::kBadCall);
  steps::Program* program = runtime::map_program(argv);
  if (program == nullptr) raw::exit_group(runtime::kBadCall);
  // Nobody may look into us or at our descriptors through /proc, or attach to us, until the exec.
  // In a new user namespace we are alone until become_root() does this: before its id maps are
  // written, it would hand our /proc files to the host's root, and an unprivileged caller could not
  // write the maps.
  if ((program->clone_flags & CLONE_NEWUSER) == 0)
    raw::call(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
  raw::call(__NR_prctl, PR_SET_NAME, raw::ptr("vrun:[INIT]"), 0, 0, 0);
  steps::Context context;
  context.program = program;
  context.step = nullptr;
  context.wire = program->wire;
  runtime::perform_all(context);
}

#if defined(VRUN_STAGE)
#if defined(__x86_64__)
__asm__(
    ".globl _start\n"
    "_start:\n"
    "  xor %ebp, %ebp\n"
    "  mov %rsp, %rdi\n"
    "  and $-16, %rsp\n"
    "  call vrun_stage_main\n");
#elif defined(__aarch64__)
__asm__(
    ".globl _start\n"
    "_start:\n"
    "  mov x29, #0\n"
    "  mov x30, #0\n"
    "  mov x0, sp\n"
    "  bl vrun_stage_main\n");
#endif
#endif
