// The bounded log of a guest: logs/NUMBER.log, numbers rising, the highest is being written.
//
// One record a line, the format that Kubernetes' runtimes write (CRI):
//
//   2026-01-31T10:20:30.123456789Z stdout F the whole line
//   2026-01-31T10:20:30.123456789Z stderr P the beginning of a line, to be continued
//
// A file that would grow beyond its limit is followed by the next number, and the oldest one is
// removed when there are too many: whoever reads along finds every line in the order of numbers.
// What is read from the guest is written at once, so that a killed monitor takes nothing with it.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace vrun::monitor {

enum class Stream : uint8_t { kOut, kErr };

class Log {
 public:
  struct Limits {
    int64_t bytes = 10 << 20;  // of one file; 0: nothing is kept
    int64_t files = 3;
  };
  // Goes on with the highest number in `dir`.
  void open(int dir, Limits limits);
  void close();
  // Where the next record goes: for undoing one whose source is still there (journal.hpp).
  struct Place {
    int64_t file, bytes;
  };
  Place place() const { return {number_, used_}; }
  void undo_to(Place place);
  // The bytes that the records from `place` on were made of, at most `room`.
  size_t read_back(Place place, char* to, size_t room) const;
  // Never blocks for longer than the disk does. What cannot be written (disk full) is counted, and
  // the log says so once it can again.
  void write(Stream stream, const char* bytes, size_t count);

 private:
  void start_file(int64_t number);
  void flush();
  void put(const char* bytes, size_t count);
  void note_loss();

  int dir_ = -1, file_ = -1;
  Limits limits_;
  int64_t number_ = 0, used_ = 0, lost_ = 0;
  size_t filled_ = 0;
  int64_t stamped_second_ = -1;
};

}  // namespace vrun::monitor
