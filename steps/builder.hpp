// Builds a Program in a shared memory block (the parent's side of steps/ops.hpp).
//
// Each step remembers where it came from (JSON path) and what it does in words, so that a fault
// {step, errno} from the stage becomes a full Error. Text and arrays are copied into the block;
// descriptors named in arguments must be handed to inherit(), which keeps them open until launch.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "steps/ops.hpp"

namespace vrun::steps {

struct Origin {
  std::string where;  // JSON path: "mounts[2]"; may be empty
  std::string words;  // "mount proc on /proc"; empty: taken from describe()
};

class Builder {
 public:
  // A block of `bytes` address space (memory is used only where it is touched).
  static Result<Builder> create(std::size_t bytes = 8U << 20U);
  Builder(Builder&&) noexcept;
  Builder& operator=(Builder&&) = delete;
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;
  ~Builder();

  Text text(std::string_view value);  // copies; embedded NUL must have been refused before
  Text text_or_null(std::string_view value) { return value.empty() ? nullptr : text(value); }
  const Text* text_array(std::span<const std::string> values);  // NULL-terminated, as argv
  template <typename T>
  Span<T> array(std::span<const T> values) {
    static_assert(std::is_trivially_copyable_v<T>);
    void* at = allocate(values.size_bytes(), alignof(T));
    copy(at, values.data(), values.size_bytes());
    return {static_cast<const T*>(at), static_cast<uint32_t>(values.size())};
  }

  template <typename Args>
  uint32_t add(Op op, const Args& args, Origin origin = {}) {
    static_assert(std::is_trivially_copyable_v<Args>);
    void* at = allocate(sizeof(Args), alignof(Args));
    copy(at, &args, sizeof(Args));
    return append(op, at, std::move(origin));
  }
  uint32_t add(Op op, Origin origin = {}) { return append(op, nullptr, std::move(origin)); }

  // The descriptor is owned by the program and inherited by the stage; answers its number.
  int inherit(Fd fd);
  // The same for one that somebody else owns and that outlives the program.
  int inherit_borrowed(int fd);

  // Closes the list of steps. True if the block overflowed at any point: then nothing may run.
  Program* finish();
  bool overflowed() const { return overflowed_; }

  std::span<const Step> steps() const { return steps_; }
  const Origin& origin(uint32_t step) const { return origins_[step]; }
  std::span<const int> inherited() const { return inherited_; }
  Program& program() { return *program_; }
  int block_fd() const { return block_.get(); }

  // "mount proc on /proc (proc, nosuid,noexec,nodev)": one line a step, without addresses and
  // descriptor numbers. What `vrun plan` prints and golden tests compare.
  std::string dump() const;

 private:
  Builder(Fd block, void* base, std::size_t bytes);
  void* allocate(std::size_t bytes, std::size_t alignment);
  static void copy(void* to, const void* from, std::size_t bytes);
  uint32_t append(Op op, const void* args, Origin origin);

  Fd block_;
  char* base_ = nullptr;
  std::size_t bytes_ = 0;
  std::size_t used_ = 0;
  bool overflowed_ = false;
  Program* program_ = nullptr;
  std::vector<Step> steps_;
  std::vector<Origin> origins_;
  std::vector<int> inherited_;
  std::vector<Fd> owned_;
};

// The step in words: "mount proc on /proc". Never contains control characters.
std::string describe(const Step& step);
std::string_view name_of(Op op);

}  // namespace vrun::steps
