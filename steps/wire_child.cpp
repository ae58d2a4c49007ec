// The stage's end of the wire, and the memory functions that the compiler may call.
#include <linux/mount.h>

#include "steps/child.hpp"

extern "C" {
// The compiler turns copies and clears into these calls; there is no C library to have them.
#ifdef VRUN_STAGE
void* memcpy(void* to, const void* from, size_t bytes);
void* memmove(void* to, const void* from, size_t bytes);
void* memset(void* to, int value, size_t bytes);
int memcmp(const void* a, const void* b, size_t bytes);

// -fno-tree-loop-distribute-patterns (see runtime/CMakeLists.txt) keeps these from calling
// themselves.
void* memcpy(void* to, const void* from, size_t bytes) {
  auto* out = static_cast<char*>(to);
  const auto* in = static_cast<const char*>(from);
  for (size_t i = 0; i < bytes; ++i)
    out[i] = in[i];
  return to;
}

void* memmove(void* to, const void* from, size_t bytes) {
  auto* out = static_cast<char*>(to);
  const auto* in = static_cast<const char*>(from);
  if (out <= in) return memcpy(to, from, bytes);
  for (size_t i = bytes; i > 0; --i)
    out[i - 1] = in[i - 1];
  return to;
}

void* memset(void* to, int value, size_t bytes) {
  auto* out = static_cast<char*>(to);
  for (size_t i = 0; i < bytes; ++i)
    out[i] = static_cast<char>(value);
  return to;
}

int memcmp(const void* a, const void* b, size_t bytes) {
  const auto* left = static_cast<const unsigned char*>(a);
  const auto* right = static_cast<const unsigned char*>(b);
  for (size_t i = 0; i < bytes; ++i) {
    if (left[i] != right[i]) return left[i] - right[i];
  }
  return 0;
}
#endif
}

namespace vrun::steps {
namespace {

// <sys/socket.h> is the C library's; these are the kernel's layouts (linux/socket.h, internal).
struct IoVector {
  const void* base;
  size_t bytes;
};
struct MessageHeader {
  void* name;
  int name_bytes;
  IoVector* vectors;
  size_t vector_count;
  void* control;
  size_t control_bytes;
  unsigned flags;
};
struct ControlMessage {
  size_t bytes;
  int level;
  int type;
  int fd;
  int pad;
};
constexpr int kSolSocket = 1;
constexpr int kScmRights = 1;
constexpr long kMsgNoSignal = 0x4000;
constexpr long kEpipe = 32;
constexpr long kEintr = 4;

}  // namespace

long send_message(Context& context, MessageKind kind, int error, int fd) {
  Message message;
  __builtin_memset(&message, 0, offsetof(Message, text));
  message.kind = kind;
  message.step = context.step != nullptr ? context.step->index : 0;
  message.op = context.step != nullptr ? static_cast<uint32_t>(context.step->op) : 0;
  message.error = error;
  if (kind == MessageKind::kFault) {
    message.text_bytes = context.note_bytes;
    __builtin_memcpy(message.text, context.note, context.note_bytes);
  }
  IoVector vector{&message, offsetof(Message, text) + message.text_bytes};
  ControlMessage control{sizeof(size_t) + 3 * sizeof(int), kSolSocket, kScmRights, fd, 0};
  MessageHeader header{nullptr, 0, &vector, 1, nullptr, 0, 0};
  if (fd >= 0) {
    header.control = &control;
    header.control_bytes = sizeof control;
  }
  const int to = context.gate_connection >= 0 ? context.gate_connection : context.wire;
  long n;
  // A fault may come after the seccomp filter, and hardly one of those refuses write(2). SIGPIPE
  // does no harm: nothing follows a fault.
  do {
    n = kind == MessageKind::kFault ? raw::write(to, &message, vector.bytes)
                                    : raw::call(__NR_sendmsg, to, raw::ptr(&header), kMsgNoSignal);
  } while (n == -kEintr);
  return n < 0 ? n : 0;
}

long await_answer(Context& context) {
  Message message;
  const int from = context.gate_connection >= 0 ? context.gate_connection : context.wire;
  long n;
  do {
    n = raw::read(from, &message, sizeof message);
  } while (n == -kEintr);
  if (n < 0) return n;
  if (n == 0) return -kEpipe;
  return message.kind == MessageKind::kAnswer ? -message.error : -kEpipe;
}

long open_own_proc(Context& context) {
  if (context.proc_fd >= 0) return 0;
  const long fs = raw::call(__NR_fsopen, raw::ptr("proc"), FSOPEN_CLOEXEC);
  if (fs < 0) return fs;
  long result = raw::call(__NR_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0);
  if (result == 0) {
    result = raw::call(__NR_fsmount, fs, FSMOUNT_CLOEXEC,
                       MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  }
  raw::close(static_cast<int>(fs));
  if (result < 0) return result;
  context.proc_fd = static_cast<int>(result);
  return 0;
}

}  // namespace vrun::steps
