// How much of a tenant's disk budget a command may still use for images: counted down by all of its
// processes, before they write. What does not fit is refused and never written.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/result.hpp"

namespace vrun::images {

class Meter {
 public:
  // Shared with the processes that are forked later.
  static Result<std::shared_ptr<Meter>> create(std::uint64_t bytes);
  // Typed: the words of EDQUOT, and a hint.
  Result<void> take(std::uint64_t bytes);
  bool refused() const { return refused_.load(); }
  std::uint64_t left() const;

 private:
  explicit Meter(std::uint64_t bytes) : left_(static_cast<std::int64_t>(bytes)) {}
  std::atomic<std::int64_t> left_;
  std::atomic<bool> refused_{false};
};

// Nothing where nothing is limited.
Result<void> take(Meter* meter, std::uint64_t bytes);

}  // namespace vrun::images
