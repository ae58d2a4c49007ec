// Work on foreign bytes in a child process that has lost everything it does not need (sandbox.hpp).
#pragma once

#include <functional>
#include <span>
#include <string>

#include <sys/types.h>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "images/transfer/extract.hpp"

namespace vrun::images {

// One child and its one answer. Dropped before its end it is killed.
class Confined {
 public:
  // Runs `work` with the descriptors `keep` and nothing else; `what` names it in messages when the
  // child dies without a word. With `privileged` it may still set owners and attributes.
  static Result<Confined> start(std::span<const int> keep, bool privileged, std::string what,
                                const std::function<Result<Extracted>()>& work);
  Confined(Confined&&) noexcept;
  Confined& operator=(Confined&&) = delete;
  Confined(const Confined&) = delete;
  Confined& operator=(const Confined&) = delete;
  ~Confined();

  const Fd& verdict() const { return verdict_; }  // readable when finish() will not block
  Result<Extracted> finish();

 private:
  Confined(pid_t pid, Fd verdict, std::string what)
      : pid_(pid), verdict_(std::move(verdict)), what_(std::move(what)) {}
  pid_t pid_;
  Fd verdict_;
  std::string what_;
};

}  // namespace vrun::images
