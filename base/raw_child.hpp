// System calls without a C library, for the freestanding stage (*_child.cpp).
//
// Every call answers as the kernel does: -errno on failure. No errno, no cancellation, no
// allocation. The parent uses base/sys.hpp instead.
#pragma once

#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

namespace vrun::raw {

#if defined(__x86_64__)
inline long call(long nr, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
inline long call(long nr, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  register long x8 __asm__("x8") = nr;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                   : "memory");
  return x0;
}
#else
#error "add the system call convention of this architecture"
#endif

// For buffers that the kernel fills; with a const pointer the compiler would expect them to be
// read.
inline long ptr(void* p) {
  return reinterpret_cast<long>(p);
}
inline long ptr(const void* p) {
  return reinterpret_cast<long>(p);
}

inline long close(int fd) {
  return call(__NR_close, fd);
}
inline long read(int fd, void* buffer, size_t bytes) {
  return call(__NR_read, fd, ptr(buffer), static_cast<long>(bytes));
}
inline long write(int fd, const void* buffer, size_t bytes) {
  return call(__NR_write, fd, ptr(buffer), static_cast<long>(bytes));
}
inline long openat(int at, const char* path, long flags, long mode = 0) {
  return call(__NR_openat, at, ptr(path), flags, mode);
}
// A seccomp filter may refuse either call; nothing refuses an illegal instruction.
[[noreturn]] inline void exit_group(int status) {
  call(__NR_exit_group, status);
  call(__NR_exit, status);
  __builtin_trap();
}

inline size_t length(const char* text) {
  size_t n = 0;
  while (text[n] != '\0')
    ++n;
  return n;
}

}  // namespace vrun::raw
