#include "engine/monitor/log.hpp"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine/monitor/kernel.hpp"

namespace vrun::monitor {
namespace {

constexpr size_t kLongestRecord = 16384;
constexpr size_t kBuffer = 65536;
// Not a member: untouched, it costs no page.
char buffer[kBuffer];
char stamp[32];  // "2026-01-31T10:20:30." and nine digits and "Z"

Line<32> name_of(int64_t number) {
  Line<32> name;
  name.number(number, 8).add(".log");
  return name;
}

int64_t highest_number(int dir) {
  const int copy = ::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return 0;
  DIR* list = ::fdopendir(copy);
  if (list == nullptr) {
    ::close(copy);
    return 0;
  }
  int64_t highest = 0;
  while (const dirent* entry = ::readdir(list)) {
    char* end = nullptr;
    const int64_t number = ::strtoll(entry->d_name, &end, 10);
    if (end != entry->d_name && ::strcmp(end, ".log") == 0 && number > highest) highest = number;
  }
  ::closedir(list);
  return highest;
}

// The date once a second, the fraction each time.
size_t write_stamp(int64_t& stamped_second) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  if (now.tv_sec != stamped_second) {
    stamped_second = now.tv_sec;
    tm utc{};
    ::gmtime_r(&now.tv_sec, &utc);
    Line<32> date;
    date.number(utc.tm_year + 1900, 4).add("-").number(utc.tm_mon + 1, 2).add("-");
    date.number(utc.tm_mday, 2).add("T").number(utc.tm_hour, 2).add(":");
    date.number(utc.tm_min, 2).add(":").number(utc.tm_sec, 2).add(".");
    ::memcpy(stamp, date.c_str(), 20);
  }
  Line<16> fraction;
  fraction.number(now.tv_nsec, 9).add("Z");
  ::memcpy(stamp + 20, fraction.c_str(), 10);
  return 30;
}

}  // namespace

void Log::open(int dir, Limits limits) {
  dir_ = dir;
  limits_ = limits;
  start_file(highest_number(dir));
}

void Log::start_file(int64_t number) {
  if (file_ >= 0) ::close(file_);
  number_ = number > 0 ? number : 1;
  file_ = ::openat(dir_, name_of(number_).c_str(),
                   O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
  struct stat about {};
  used_ = file_ >= 0 && ::fstat(file_, &about) == 0 ? about.st_size : 0;
  const int64_t oldest = number_ - limits_.files;
  if (oldest > 0) ::unlinkat(dir_, name_of(oldest).c_str(), 0);
}

void Log::close() {
  if (file_ >= 0) ::close(file_);
  file_ = -1;
}

void Log::undo_to(Place place) {
  if (place.file != number_) {
    // The batch had begun in the file before.
    ::unlinkat(dir_, name_of(number_).c_str(), 0);
    start_file(place.file);
  }
  if (place.bytes < used_ && ::ftruncate(file_, place.bytes) == 0) used_ = place.bytes;
}

size_t Log::read_back(Place place, char* to, size_t room) const {
  size_t filled = 0;
  for (int64_t number = place.file; number <= number_; ++number) {
    const int file = ::openat(dir_, name_of(number).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0) continue;
    off_t at = number == place.file ? place.bytes : 0;
    // A state machine over the bytes: 39 of header ("stamp stdout F "), then text up to '\n'.
    constexpr size_t kHeader = 30 + 1 + 6 + 1 + 1 + 1;
    size_t column = 0;
    char flag = 0;
    while (true) {
      const ssize_t n = ::pread(file, buffer, sizeof buffer, at);
      if (n <= 0) break;
      at += n;
      for (ssize_t i = 0; i < n; ++i) {
        const char c = buffer[i];
        if (column == kHeader - 2) flag = c;
        const bool ends = column >= kHeader && c == '\n';
        if (column >= kHeader && (!ends || flag == 'F') && filled < room) to[filled++] = c;
        column = ends ? 0 : column + 1;
      }
    }
    ::close(file);
  }
  return filled;
}

void Log::flush() {
  size_t done = 0;
  while (done < filled_ && file_ >= 0) {
    const ssize_t n = ::write(file_, buffer + done, filled_ - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  lost_ += static_cast<int64_t>(filled_ - done);
  used_ += static_cast<int64_t>(done);
  // A record cut in two by a full disk would spoil the next one.
  if (done > 0 && done < filled_ && buffer[done - 1] != '\n' && ::write(file_, "\n", 1) == 1) {
    ++used_;
  }
  filled_ = 0;
}

void Log::put(const char* bytes, size_t count) {
  ::memcpy(buffer + filled_, bytes, count);
  filled_ += count;
}

void Log::note_loss() {
  Line<128> note;
  note.add(stamp, 30).add(" stderr F vrun: ").number(lost_);
  note.add(" bytes of the log were lost: the disk was full\n");
  if (file_ < 0 || ::write(file_, note.c_str(), note.size()) < 0) return;
  used_ += static_cast<int64_t>(note.size());
  lost_ = 0;
}

void Log::write(Stream stream, const char* bytes, size_t count) {
  if (limits_.bytes == 0) return;
  const size_t stamp_size = write_stamp(stamped_second_);
  if (lost_ > 0) note_loss();
  while (count > 0) {
    const void* newline = ::memchr(bytes, '\n', count < kLongestRecord ? count : kLongestRecord);
    const bool whole = newline != nullptr;
    const size_t most = count < kLongestRecord ? count : kLongestRecord;
    const size_t length =
        whole ? static_cast<size_t>(static_cast<const char*>(newline) - bytes) : most;
    const size_t record = stamp_size + 10 + length + 1;
    if (filled_ + record > kBuffer) flush();
    if (used_ + static_cast<int64_t>(filled_ + record) > limits_.bytes &&
        used_ + static_cast<int64_t>(filled_) > 0) {
      flush();
      start_file(number_ + 1);
    }
    put(stamp, stamp_size);
    put(stream == Stream::kOut ? " stdout " : " stderr ", 8);
    put(whole ? "F " : "P ", 2);
    put(bytes, length);
    put("\n", 1);
    bytes += length + (whole ? 1 : 0);
    count -= length + (whole ? 1 : 0);
  }
  flush();
}

}  // namespace vrun::monitor
