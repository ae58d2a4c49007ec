#include "images/transfer/unpack.hpp"

#include <array>
#include <cstring>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "images/transfer/sandbox.hpp"

namespace vrun::images {
namespace {

Error wrong_digest(const std::string& what, const oci::Digest& wanted, const std::string& got) {
  return Error(Code::kInvalid,
               what + " " + wanted.str() + ": its content has the digest sha256:" + got)
      .hint("the data was damaged or changed on its way: fetch or build the image again");
}

// What the confined child says to its parent: one write to a pipe.
struct Verdict {
  bool failed = false;
  Code code = Code::kInternal;
  Extracted counts;
  std::array<char, 1536> text{};
  std::array<char, 512> hint{};
};

template <std::size_t N>
void put(std::array<char, N>& to, const std::string& from) {
  std::memcpy(to.data(), from.data(), std::min(from.size(), N - 1));
}

Verdict to_verdict(Result<Extracted> result) {
  Verdict verdict;
  verdict.failed = !result;
  if (result) {
    verdict.counts = *result;
    return verdict;
  }
  verdict.code = result.error().code();
  put(verdict.text, result.error().text());
  put(verdict.hint, result.error().hint());
  return verdict;
}

Result<Extracted> to_result(const Verdict& verdict) {
  if (!verdict.failed) return verdict.counts;
  Error error(verdict.code, verdict.text.data());
  if (verdict.hint[0] != '\0') return std::move(error).hint(verdict.hint.data());
  return error;
}

}  // namespace

Result<Extracted> unpack_blob(const Fd& file, const oci::Descriptor& blob,
                              const oci::Digest& diff_id, const Fd& directory,
                              const ExtractOptions& options) {
  const Compression compression = TRY(compression_of(blob.media_type));
  FdSource bytes(file);
  HashingSource compressed(bytes, blob.size, "blob " + blob.digest.str());
  const std::unique_ptr<Decompressor> plain = TRY(Decompressor::create(compressed, compression));
  // Headers and padding add at most 1.5 KiB an entry to the content.
  HashingSource tar(*plain, options.limits.bytes + options.limits.entries * 2048,
                    "layer " + diff_id.str());
  const Extracted counts = TRY(extract_layer(tar, directory, options));
  const std::string tar_digest = TRY(tar.finish());
  const std::string blob_digest = TRY(compressed.finish());
  if (blob_digest != blob.digest.hex) return wrong_digest("blob", blob.digest, blob_digest);
  if (tar_digest != diff_id.hex) return wrong_digest("layer", diff_id, tar_digest);
  return counts;
}

Result<Extracted> unpack_blob_confined(const Fd& file, const oci::Descriptor& blob,
                                       const oci::Digest& diff_id, const Fd& directory,
                                       const ExtractOptions& options) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Error::system(errno, "pipe");
  Fd mine(ends[0]);
  Fd theirs(ends[1]);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return Error::system(errno, "fork");
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (::getppid() != parent) ::_exit(1);  // died before PDEATHSIG was set
    const std::array keep{file.get(), directory.get(), theirs.get()};
    Result<void> confined = enter_sandbox(keep, options.privileged);
    const Verdict verdict =
        confined ? to_verdict(unpack_blob(file, blob, diff_id, directory, options))
                 : to_verdict(std::move(confined).error().during("confine the unpacker"));
    const bool sent = ::write(theirs.get(), &verdict, sizeof verdict) == sizeof verdict;
    ::_exit(sent ? 0 : 1);
  }
  theirs.reset();
  Verdict verdict;
  const ssize_t n =
      ::read(mine.get(), &verdict, sizeof verdict);  // below PIPE_BUF: whole or not at all
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (n == static_cast<ssize_t>(sizeof verdict)) return to_result(verdict);
  const std::string end = WIFSIGNALED(status)
                              ? "was killed by signal " + std::to_string(WTERMSIG(status))
                              : "ended with status " + std::to_string(WEXITSTATUS(status));
  return Error(Code::kInternal, "unpack layer " + diff_id.str() + ": the unpacker " + end);
}

}  // namespace vrun::images
