// QEMU's monitor protocol (qmp-spec.rst): commands to a QEMU that runs, one at a time.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vrun::vmm {

class Qmp {
 public:
  // `socket`: connected to QEMU's monitor. Nothing is said before the first command.
  explicit Qmp(Fd socket) : socket_(std::move(socket)) {}

  // {"execute": ...} and its answer's whole line; any thread. kState: QEMU said no, and why, or is
  // gone, or has been silent for seconds.
  Result<std::string> call(std::string_view json);

  // The guest's power button (ACPI).
  Result<void> press_button();
  // QEMU tells of events from the first command on.
  Result<void> greet();
  // Of a QEMU that ended: whether its guest was reset (event SHUTDOWN, with greet() before).
  bool ended_by_reset();

  // What the guest shall have, in bytes, and what it has (virtio-balloon).
  Result<void> set_memory(std::uint64_t bytes);
  Result<std::uint64_t> memory();

 private:
  Result<std::string> answer();
  Result<void> greet_locked();
  Result<std::string> line();

  std::mutex one_at_a_time_;
  Fd socket_;
  std::string read_;
  bool greeted_ = false, reset_ = false;
};

}  // namespace vrun::vmm
