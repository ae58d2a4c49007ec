#include "vm/vmm/directory_stream.hpp"

#include <cerrno>

#include <sys/syscall.h>
#include <unistd.h>

namespace vrun::vmm {

int DirectoryStream::seek(std::uint64_t position) {
  if (position == position_ && position != 0) return 0;
  if (::lseek(directory_.get(), static_cast<off_t>(position), SEEK_SET) < 0) return errno;
  at_ = end_ = 0;
  position_ = position;
  return 0;
}

const struct dirent64* DirectoryStream::current(int& error) {
  if (at_ == end_) {
    const long got = ::syscall(SYS_getdents64, directory_.get(), buffer_.data(), buffer_.size());
    if (got < 0) error = errno;
    if (got <= 0) return nullptr;
    at_ = 0;
    end_ = static_cast<std::size_t>(got);
  }
  return reinterpret_cast<const struct dirent64*>(buffer_.data() + at_);
}

void DirectoryStream::advance() {
  const auto* entry = reinterpret_cast<const struct dirent64*>(buffer_.data() + at_);
  position_ = static_cast<std::uint64_t>(entry->d_off);
  at_ += entry->d_reclen;
}

}  // namespace vrun::vmm
