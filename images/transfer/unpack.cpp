#include "images/transfer/unpack.hpp"

#include <array>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

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

// When the bytes make no sense, perhaps they are not those that were promised: that is the cause to
// tell then. What is left of them is read for it, up to the blob's size.
Error cause(Error error, HashingSource& compressed, const oci::Descriptor& blob) {
  if (error.code() != Code::kInvalid) return error;
  const Result<std::string> digest = compressed.finish();
  if (!digest || *digest == blob.digest.hex) return error;
  return wrong_digest("blob", blob.digest, *digest);
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

void warn_of_left_out(const oci::Digest& layer, const Extracted& counts,
                      std::vector<std::string>& warnings) {
  const std::string head = "layer " + layer.str() + ": ";
  if (counts.devices_left_out > 0) {
    warnings.push_back(head + std::to_string(counts.devices_left_out) +
                       " device nodes left out (guests get a /dev of their own)");
  }
  if (counts.attributes_left_out > 0) {
    warnings.push_back(head + std::to_string(counts.attributes_left_out) +
                       " access lists or security labels left out");
  }
}

Result<Extracted> unpack_blob(const UnpackJob& job) {
  const oci::Descriptor& blob = job.blob;
  const Compression compression = TRY(compression_of(blob.media_type));
  FdSource bytes(job.bytes);
  std::optional<TeeSource> tee;
  if (job.copy != nullptr) tee.emplace(bytes, *job.copy);
  ByteSource& first = tee ? static_cast<ByteSource&>(*tee) : bytes;
  HashingSource compressed(first, blob.size, "blob " + blob.digest.str());
  const std::unique_ptr<Decompressor> plain = TRY(Decompressor::create(compressed, compression));
  // Headers and padding add at most 1.5 KiB an entry to the content.
  const ExtractLimits& limits = job.options.limits;
  HashingSource tar(*plain, limits.bytes + limits.entries * 2048, "layer " + job.diff_id.str());
  Result<Extracted> counts = extract_layer(tar, job.directory, job.options);
  if (!counts) return cause(std::move(counts).error(), compressed, blob);
  const std::string tar_digest = TRY(tar.finish());
  const std::string blob_digest = TRY(compressed.finish());
  if (compressed.bytes() != blob.size) {
    return Error(Code::kInvalid, "blob " + blob.digest.str() + ": has " +
                                     std::to_string(compressed.bytes()) + " bytes, not " +
                                     std::to_string(blob.size));
  }
  if (blob_digest != blob.digest.hex) return wrong_digest("blob", blob.digest, blob_digest);
  if (tar_digest != job.diff_id.hex) return wrong_digest("layer", job.diff_id, tar_digest);
  return counts;
}

Result<Unpacker> Unpacker::start(const UnpackJob& job) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Error::system(errno, "pipe");
  Fd mine(ends[0]);
  Fd theirs(ends[1]);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return Error::system(errno, "fork");
  if (child > 0) return Unpacker(child, std::move(mine), job.diff_id.str());
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::getppid() != parent) ::_exit(1);  // died before PDEATHSIG was set
  std::vector<int> keep{job.bytes.get(), job.directory.get(), theirs.get()};
  if (job.copy != nullptr) keep.push_back(job.copy->get());
  Result<void> confined = enter_sandbox(keep, job.options.privileged);
  const Verdict verdict =
      confined ? to_verdict(unpack_blob(job))
               : to_verdict(std::move(confined).error().during("confine the unpacker"));
  const bool sent = ::write(theirs.get(), &verdict, sizeof verdict) == sizeof verdict;
  ::_exit(sent ? 0 : 1);
}

Unpacker::Unpacker(Unpacker&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      verdict_(std::move(other.verdict_)),
      layer_(std::move(other.layer_)) {}

Unpacker::~Unpacker() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Result<Extracted> Unpacker::finish() {
  Verdict verdict;
  ssize_t n = 0;
  do {  // below PIPE_BUF: whole or not at all
    n = ::read(verdict_.get(), &verdict, sizeof verdict);
  } while (n < 0 && errno == EINTR);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (n == static_cast<ssize_t>(sizeof verdict)) return to_result(verdict);
  const std::string end = WIFSIGNALED(status)
                              ? "was killed by signal " + std::to_string(WTERMSIG(status))
                              : "ended with status " + std::to_string(WEXITSTATUS(status));
  return Error(Code::kInternal, "unpack layer " + layer_ + ": the unpacker " + end);
}

Result<Extracted> unpack_blob_confined(const UnpackJob& job) {
  return TRY(Unpacker::start(job)).finish();
}

}  // namespace vrun::images
