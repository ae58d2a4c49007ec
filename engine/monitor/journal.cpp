#include "engine/monitor/journal.hpp"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

namespace vrun::monitor {
namespace {

constexpr uint32_t kDone = 0, kWriting = 1, kWritten = 2;

// Exactly `count` bytes that are known to be there.
void drop(int pipe, char* scratch, size_t count) {
  while (count > 0) {
    const ssize_t n = ::read(pipe, scratch, count);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    count -= static_cast<size_t>(n);
  }
}

}  // namespace

int Journal::open(int dir) {
  const int file = ::openat(dir, "journal", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) return -1;
  void* page = MAP_FAILED;
  if (::ftruncate(file, 4096) == 0) {
    page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  }
  ::close(file);
  if (page == MAP_FAILED || ::pipe2(copy_, O_CLOEXEC | O_NONBLOCK) != 0) return -1;
  page_ = static_cast<volatile Page*>(page);
  return 0;
}

long Journal::look(int pipe, char* to, size_t room) {
  const ssize_t seen = ::tee(pipe, copy_[1], room, SPLICE_F_NONBLOCK);
  if (seen < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
  if (seen == 0) return -1;
  size_t got = 0;
  while (got < static_cast<size_t>(seen)) {
    const ssize_t n = ::read(copy_[0], to + got, static_cast<size_t>(seen) - got);
    if (n <= 0) break;
    got += static_cast<size_t>(n);
  }
  return static_cast<long>(got);
}

long Journal::take(int pipe, Stream stream, Log& log, char* to, size_t room) {
  const long seen = look(pipe, to, room);
  if (seen <= 0) return seen;
  const Log::Place place = log.place();
  page_->stream = static_cast<uint32_t>(stream);
  page_->file = place.file;
  page_->bytes = place.bytes;
  page_->count = static_cast<uint64_t>(seen);
  page_->state = kWriting;
  log.write(stream, to, static_cast<size_t>(seen));
  page_->state = kWritten;
  drop(pipe, to, static_cast<size_t>(seen));
  page_->state = kDone;
  return seen;
}

void Journal::recover(const int (&pipes)[2], Log& log, char* scratch, size_t room) {
  const uint32_t state = page_->state;
  page_->state = kDone;
  const Log::Place place{page_->file, page_->bytes};
  if (state == kWriting) log.undo_to(place);
  if (state != kWritten || page_->stream > 1 || page_->count > room / 2) return;
  const auto count = static_cast<size_t>(page_->count);
  const size_t logged = log.read_back(place, scratch, count);
  char* const head = scratch + room / 2;
  const long seen = look(pipes[page_->stream], head, count);
  const bool still_there = logged == count && seen >= 0 && static_cast<size_t>(seen) == count &&
                           ::memcmp(scratch, head, count) == 0;
  if (still_there) drop(pipes[page_->stream], scratch, count);
}

}  // namespace vrun::monitor
