#include "runtime/fault.hpp"

#include <cerrno>

#include "base/text.hpp"
#include "process/plan.hpp"
#include "rootfs/plan.hpp"

namespace vrun::runtime {

Error to_error(const steps::Message& message, steps::Op op, const std::string& words,
               const std::string& where, const std::vector<std::string>& argv) {
  const std::string_view note(message.text,
                              std::min<std::size_t>(message.text_bytes, sizeof message.text));
  if (op == steps::Op::kFindProgram || op == steps::Op::kExec) {
    return process::program_error(op, message.error, note, argv).step(steps::name_of(op));
  }
  if (op == steps::Op::kHook && !note.empty()) {
    return Error(Code::kSystem, words + ": " + printable(note)).at(where).step(steps::name_of(op));
  }
  Error error = Error::system(message.error, words).at(where).step(steps::name_of(op));
  if (note.empty()) return error;
  return std::move(error).detail(printable(trim(note)));
}

Error to_error(const steps::Message& message, const steps::Builder& builder,
               const std::vector<std::string>& argv) {
  if (message.step >= builder.steps().size()) {
    return Error(Code::kInternal, "the container stage reported a step that does not exist");
  }
  const steps::Step& step = builder.steps()[message.step];
  const steps::Origin& origin = builder.origin(message.step);
  Error error =
      to_error(message, step.op, origin.words.empty() ? steps::describe(step) : origin.words,
               origin.where, argv);
  std::string hint = rootfs::hint_for(step, message.error);
  if (hint.empty()) hint = process::hint_for(step, message.error);
  if (hint.empty()) return error;
  return std::move(error).hint(hint);
}

Error died(const sys::Exit& exit, const steps::Builder& builder) {
  const std::string how = exit.signaled ? "killed by signal " + std::to_string(exit.value)
                                        : "ended with status " + std::to_string(exit.value);
  const std::uint32_t current = const_cast<steps::Builder&>(builder).program().current;
  if (current >= builder.steps().size())
    return Error(Code::kInternal, "the container process was " + how);
  const steps::Origin& origin = builder.origin(current);
  return Error(Code::kSystem, "the container process was " + how +
                                  " during: " + steps::describe(builder.steps()[current]))
      .at(origin.where);
}

}  // namespace vrun::runtime
