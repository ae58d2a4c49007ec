#include "base/fd.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace vrun {

void Fd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

At At::cwd() {
  return At(AT_FDCWD);
}

}  // namespace vrun
