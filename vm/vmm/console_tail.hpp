// The last lines of a guest's console, for the error that says why it did not come up.
#pragma once

#include <mutex>
#include <string>
#include <string_view>

namespace vrun::vmm {

class ConsoleTail {
 public:
  static constexpr std::size_t kMost = 16384;  // a panic with its call trace
  // Any thread.
  void add(std::string_view text);
  // At most `lines` whole lines, the newest, without control characters; empty: none was said.
  std::string last(std::size_t lines) const;
  // What the kernel panicked of; empty: it did not.
  std::string panic() const;
  // Why our initramfs could not start the system of the disk; empty: it did.
  std::string boot_failure() const;

 private:
  std::string line_behind(std::string_view sign) const;
  mutable std::mutex lock_;
  std::string text_;
};

}  // namespace vrun::vmm
