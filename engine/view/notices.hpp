// sysinfo(2) and sched_getaffinity(2) of the guest, by seccomp notifications (seccomp_unotify(2)).
//
// A call that cannot be answered truly goes on in the kernel: it is no fence, only a view. An answer
// is written by process_vm_writev(2) after the notification was found to be valid: its sender waits,
// and our only capability ends at the guest's user namespace, so no process outside can be reached.
// (/proc/PID/mem belongs to the process's own user: opening it would need one capability more.)
#pragma once

#include <functional>

#include "engine/view/facts.hpp"
#include "engine/view/shared.hpp"

namespace vrun::view {

class Notices {
 public:
  using Look = std::function<Facts()>;
  Notices(Shared& shared, const Host& host, Look look)
      : shared_(shared), host_(host), look_(std::move(look)) {}

  // A listener for us: handed over on one connection of shared.listen.
  void accept();
  // Takes a notification and answers it. False: nobody is left who could send one.
  bool serve(int listener);
  // Answers the one in the buffer, if any.
  void finish();
  // Lets the kernel answer it: several processes ended over it.
  void refuse();

 private:
  struct Answer {
    bool goes_on = true;  // the kernel does the call
    int error = 0;
    long value = 0;
  };
  void send(int listener, const Answer& answer) const;
  bool is_valid(int listener) const;
  Answer system_info(int listener) const;
  Answer affinity(int listener) const;
  Answer write(int listener, std::uint64_t at, const void* bytes, std::size_t count) const;
  bool asks_for_itself(std::uint64_t pid) const;

  Shared& shared_;
  const Host& host_;
  Look look_;
};

}  // namespace vrun::view
