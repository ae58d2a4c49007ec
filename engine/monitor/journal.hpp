// Takes bytes out of a pipe only after they are in the log, so that kill -9 of the monitor loses
// none: a shared page says what was being done, and the next monitor completes or undoes it.
//
//   1  look at the bytes (tee(2)), note "from log place P, N bytes"
//   2  write them to the log            killed here: the log is cut back to P, the pipe has all
//   3  note "written"
//   4  read N bytes from the pipe       killed here: the pipe's head is compared with the log; if
//   5  note "done"                      equal, N bytes are taken out
//
// The comparison in step 4 is wrong only where the guest says the same N bytes twice in a row and
// the kill hits that one system call: then the second time is missing.
#pragma once

#include <stdint.h>

#include "engine/monitor/log.hpp"

namespace vrun::monitor {

class Journal {
 public:
  // `dir`: run/monitors/TENANT/ID, which keeps the page.
  int open(int dir);
  // One read of at most `room` bytes from `pipe`; answers their count, 0 when there is nothing, -1
  // at its end. `to` has them afterwards.
  long take(int pipe, Stream stream, Log& log, char* to, size_t room);
  // After a monitor was killed; `pipes`: of stdout and stderr.
  void recover(const int (&pipes)[2], Log& log, char* scratch, size_t room);

 private:
  struct Page {
    uint32_t state;  // 0: done, 1: being written, 2: written
    uint32_t stream;
    int64_t file, bytes;
    uint64_t count;
  };
  long look(int pipe, char* to, size_t room);
  volatile Page* page_ = nullptr;
  int copy_[2] = {-1, -1};
};

}  // namespace vrun::monitor
