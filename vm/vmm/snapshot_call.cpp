#include "vm/vmm/snapshot_call.hpp"

#include <array>

#include <poll.h>

#include "base/json_writer.hpp"
#include "base/sys.hpp"

namespace vrun::vmm {
namespace {

constexpr int kForAFileMs = 5000;

// The next packet; empty at the end of the other side.
Result<sys::Received> next(const Fd& pair, int patience_ms) {
  std::array<pollfd, 1> ready{pollfd{pair.get(), POLLIN, 0}};
  int count = 0;
  do {
    count = TRY(sys::poll(ready, patience_ms));
  } while (count == 0 && patience_ms < 0);
  if (count == 0) return Error(Code::kTimeout, "snapshot: no file came");
  std::array<char, 16> buffer;
  return sys::receive(pair.get(), buffer);
}

Result<Fd> next_file(const Fd& pair) {
  sys::Received received = TRY(next(pair, kForAFileMs));
  if (received.fd) return std::move(received.fd);
  return Error(Code::kInvalid, "snapshot: a file for the state and one for the memory are wanted");
}

// The machine, which is paused, goes on at its end.
class Standstill {
 public:
  explicit Standstill(Machine& machine) : machine_(machine) {}
  Standstill(const Standstill&) = delete;
  Standstill& operator=(const Standstill&) = delete;
  ~Standstill() {
    if (!for_good_) machine_.resume();
  }
  void keep_for_good() { for_good_ = true; }

 private:
  Machine& machine_;
  bool for_good_ = false;
};

Result<std::string> take(Machine& machine, const MachineShape& shape, const Fd& pair) {
  const Fd state_file = TRY(next_file(pair));
  const Fd memory_file = TRY(next_file(pair));
  TRY(machine.pause());
  Standstill still(machine);
  StateWriter state;
  TRY(machine.save(state, memory_file));
  TRY(write_state(state_file, state.bytes()));
  const std::string facts = json::Writer()
                                .begin_object()
                                .member("bytes", shape.memory)
                                .member("processors", std::uint64_t{shape.processors})
                                .end_object()
                                .take();
  TRY(sys::send(pair.get(), facts));
  const sys::Received word = TRY(next(pair, -1));
  if (word.bytes > 0) {
    still.keep_for_good();
    machine.end_saved();
  }
  return facts;
}

}  // namespace

std::map<std::string, Control::FileCall> snapshot_calls(Machine& machine,
                                                        const MachineShape& shape) {
  return {{"snapshot",
           [&machine, shape](std::string_view, Fd pair) { return take(machine, shape, pair); }}};
}

}  // namespace vrun::vmm
