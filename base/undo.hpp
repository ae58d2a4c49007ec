// Undo: what happens if we leave early, written next to what was done.
#pragma once

#include <utility>

namespace vrun {

// Runs its action on destruction unless commit() was called. The action must not fail loudly.
template <typename Action>
class [[nodiscard]] Undo {
 public:
  explicit Undo(Action action) : action_(std::move(action)) {}
  Undo(Undo&& other) noexcept
      : action_(std::move(other.action_)), armed_(std::exchange(other.armed_, false)) {}
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;
  Undo& operator=(Undo&&) = delete;
  ~Undo() {
    if (armed_) action_();
  }
  void commit() { armed_ = false; }

 private:
  Action action_;
  bool armed_ = true;
};

}  // namespace vrun
