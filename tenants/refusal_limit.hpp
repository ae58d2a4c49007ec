// How many refusals of callers who manage nothing are written down: who may not use vrun must not
// fill root's disk with lines about it.
//
// Of each user the first 20 of an hour, then the 32nd, 64th and so on; of all of them together the
// first 500, then likewise. Shared by a process and those that it forks later.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/id.hpp"
#include "base/result.hpp"

namespace vrun::tenants {

class RefusalLimit {
 public:
  static Result<RefusalLimit> create();

  // Counts one more. Its number in this hour if it is to be written down.
  std::optional<std::uint32_t> next(Uid uid, std::int64_t now_seconds);

 private:
  // Users of the same slot share its count: a table that grew would be another way to use up
  // memory.
  static constexpr std::size_t kSlots = 4096;
  struct Counts {
    std::atomic<std::int64_t> hour;
    std::atomic<std::uint32_t> all;
    std::array<std::atomic<std::uint32_t>, kSlots> of_users;
  };
  struct Unmap {
    void operator()(Counts* counts) const;
  };
  explicit RefusalLimit(Counts* counts) : counts_(counts) {}
  std::unique_ptr<Counts, Unmap> counts_;
};

}  // namespace vrun::tenants
