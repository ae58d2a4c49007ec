// Ownership of file descriptors.
#pragma once

#include <utility>

namespace vrun {

// Owns one descriptor and closes it on destruction; -1 means none. close(2) is never retried: on
// Linux the descriptor is gone even when it answers EINTR.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// A descriptor that somebody else owns, or AT_FDCWD: the directory a relative path starts at.
class At {
 public:
  At(const Fd& fd) : fd_(fd.get()) {}  // NOLINT(google-explicit-constructor)
  static At cwd();
  static At borrowed(int fd) { return At(fd); }
  int get() const { return fd_; }

 private:
  explicit At(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace vrun
