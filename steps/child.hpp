// What a child half (*_child.cpp) sees: the context of the running stage.
//
// A child half is a plain function `long do_something(Context&, const SomethingArgs&)` that answers
// 0 or -errno. It allocates nothing, logs nothing, keeps buffers on the stack (the stage has 256
// KiB) and reaches the kernel only through base/raw_child.hpp. Words that help the reader of the
// error (the file-system context's log, the entry of a path that was missing) go into note().
#pragma once

#include "base/raw_child.hpp"
#include "steps/ops.hpp"

namespace vrun::steps {

struct Context {
  Program* program;
  const Step* step;
  int wire;
  int root_fd = -1;  // the container's root: targets resolve beneath it. After kPivot: "/"
  int proc_fd =
      -1;  // a procfs of our own (detached mount) for labels and sysctls, opened on demand
  int gate_connection = -1;  // the caller of `start`; faults go there once it is there
  uint64_t propagation = 0;  // what kRoot made of the host's mounts
  int null_mount = -1;       // a clone of the host's /dev/null, verified (kRoot, for kMaskPath)
  int mask_tree = -1;        // the empty read-only tmpfs that covers masked directories
  bool exec_announced = false;  // MessageKind::kExec was sent
  bool cwd_entered = false;  // the first of two kChdir has succeeded
  uint32_t note_bytes = 0;
  char note[kMaxMessageText];

  void say(const char* text) {
    for (; *text != '\0' && note_bytes + 1 < kMaxMessageText; ++text)
      note[note_bytes++] = *text;
    note[note_bytes] = '\0';
  }
  void say_bytes(const void* data, size_t bytes) {
    const char* from = static_cast<const char*>(data);
    for (size_t i = 0; i < bytes && note_bytes + 1 < kMaxMessageText; ++i)
      note[note_bytes++] = from[i];
  }
};

// Sends a message to whoever waits for this stage (the parent, or `start` once it has connected),
// with a descriptor if `fd` is not -1. Answers 0 or -errno.
long send_message(Context& context, MessageKind kind, int error, int fd = -1);
// Waits for the parent's kAnswer. End of file (the parent died) is -EPIPE.
long await_answer(Context& context);
// A procfs of our own that nothing in the image or its mounts can shadow: context.proc_fd.
// A new detached mount of the current pid namespace's procfs. Answers 0 or -errno.
long open_own_proc(Context& context);

}  // namespace vrun::steps
