// The calls by which the engine changes what the machine has while the guest runs.
//
//   {"call": "plug-card", "mac": N, "mtu": N}, with the tap       a network card more
//   {"call": "plug-disk", "disk": NAME, "readOnly": B}, with the file
//   {"call": "unplug-card", "mac": N}      the guest shall let go of it
//   {"call": "unplug-disk", "disk": NAME}
//   {"call": "keep-card", "mac": N}        ... after all it may keep it
//   {"call": "keep-disk", "disk": NAME}
//
// A hardware address is a number here, its first byte the highest of six. The answer to the first
// two and the last two is {}, to the others {"gone": B}: whether there is none such any more. The
// engine asks again until it is, or it has waited for long enough.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "vm/vmm/block.hpp"
#include "vm/vmm/control.hpp"
#include "vm/vmm/machine.hpp"
#include "vm/vmm/net_cards.hpp"
#include "vm/vmm/worker.hpp"

namespace vrun::vmm {

class Plugs {
 public:
  // Devices are made and ended on a thread of its own. `machine` outlives it.
  static Result<std::unique_ptr<Plugs>> create(Machine& machine);

  // Those of the start, so that they can be unplugged.
  void know_card(const NetCard& card, const VirtioDevice& device);
  void know_disk(const std::string& name, const VirtioDevice& device);

  // What else is to be done about a disk that comes or has gone, on the control's thread. comes()
  // answers its serial; a fault of it is the call's, and the disk does not come.
  struct Tell {
    std::function<Result<std::string>(const std::string& name, bool read_only, const Fd& file)>
        comes;
    std::function<void(const std::string& name, Block& disk)> has_come;
    std::function<void(const std::string& name)> has_gone;
  };
  void tell_of_disks(Tell tell) { tell_ = std::move(tell); }

  void add_calls(std::map<std::string, Control::Call>& calls,
                 std::map<std::string, Control::FileCall>& file_calls);

 private:
  Plugs(Machine& machine, std::unique_ptr<Worker> maker)
      : machine_(machine), maker_(std::move(maker)) {}
  Result<std::string> plug_card(std::string_view json, Fd tap);
  Result<std::string> plug_disk(std::string_view json, Fd file);
  Result<void> plug(const std::string& key,
                    const std::function<Result<std::unique_ptr<VirtioDevice>>()>& make);
  Result<std::string> unplug(const std::string& key, const std::function<void()>& gone);
  Result<std::string> keep(const std::string& key);

  Machine& machine_;
  std::unique_ptr<Worker> maker_;
  std::map<std::string, const VirtioDevice*> devices_;
  Tell tell_;
};

}  // namespace vrun::vmm
