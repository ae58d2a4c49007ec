// The clock of a PC (MC146818), read-only: a stock kernel polls for seconds where it is missing.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "vm/vmm/bus.hpp"
#include "vm/vmm/state.hpp"

namespace vrun::vmm {

class Rtc : public BusDevice {
 public:
  // `now`: seconds since 1970, UTC.
  explicit Rtc(std::function<std::int64_t()> now) : now_(std::move(now)) {}
  void read(std::uint64_t offset, std::span<std::uint8_t> bytes) override;
  void write(std::uint64_t offset, std::span<const std::uint8_t> bytes) override;
  void save(StateWriter& to) const { to.put(index_.load()); }
  Result<void> load(StateReader& from) {
    index_ = TRY(from.get<std::uint8_t>()) & 0x7f;
    return {};
  }

 private:
  std::uint8_t load(std::uint8_t index) const;
  std::function<std::int64_t()> now_;
  std::atomic<std::uint8_t> index_ = 0;
};

}  // namespace vrun::vmm
