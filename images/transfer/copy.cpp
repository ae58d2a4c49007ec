#include "images/transfer/copy.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "images/transfer/confined.hpp"
#include "images/transfer/extract.hpp"
#include "images/transfer/sniff.hpp"
#include "images/transfer/tree_tar.hpp"

namespace vrun::images {
namespace {

constexpr std::string_view kStream = "-";

// Where names are resolved: the guest's root, or the host's own tree.
class Side {
 public:
  static Side host() { return Side(nullptr); }
  static Side guest(const Fd& root) { return Side(&root); }

  // `flags` may have O_NOFOLLOW, which is about the last name only.
  Result<Fd> open(const std::string& path, int flags) const {
    if (root_ == nullptr) return sys::open(At::cwd(), path, flags);
    const std::string inside = path.empty() ? "." : path;
    Result<Fd> file = sys::open2(*root_, inside, static_cast<std::uint64_t>(flags),
                                 RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    if (!file) return std::move(file).error().during("in the guest");
    return file;
  }
  bool is_guest() const { return root_ != nullptr; }

 private:
  explicit Side(const Fd* root) : root_(root) {}
  const Fd* root_;
};

// "a/b/." : what is in a/b.
bool means_contents(const std::string& path) {
  return path == "." || path.ends_with("/.");
}

bool ends_as_directory(const std::string& path) {
  return path.ends_with('/') || means_contents(path);
}

struct Source {
  Fd parent;
  std::string name;    // in it; "." for the directory itself
  std::string called;  // "" when only what is in it is meant
  bool is_directory = false;
};

Result<Source> open_source(const Side& side, std::string path, bool follow) {
  Source source;
  const bool contents = means_contents(path);
  const std::string asked = fs::clean(path);
  const bool whole = asked == "/" || asked == "." || asked.ends_with("..");
  const bool as_directory = ends_as_directory(path) || whole;
  constexpr int kMostLinks = 40;  // as the kernel's own limit
  path = asked;
  for (int links = 0;; ++links) {
    const Fd self = TRY(side.open(path, O_PATH | (as_directory ? 0 : O_NOFOLLOW)));
    const struct stat st = TRY(sys::stat(self.get()));
    source.is_directory = S_ISDIR(st.st_mode);
    if (as_directory && !source.is_directory) {
      return Error(Code::kInvalid, quote(path) + " is not a directory");
    }
    if (!S_ISLNK(st.st_mode) || !follow) break;
    if (links == kMostLinks) return Error::system(ELOOP, "follow " + quote(path));
    const Result<std::string> target = sys::read_link(self, "");
    if (!target) return Error::system(target.error().sys_errno(), "read link " + quote(path));
    path = target->starts_with('/') ? *target : std::string(fs::dir_name(path)) + "/" + *target;
  }
  if (source.is_directory) {
    source.parent = TRY(side.open(path, O_RDONLY | O_DIRECTORY));
    source.name = ".";
  } else {
    source.parent = TRY(side.open(std::string(fs::dir_name(path)), O_RDONLY | O_DIRECTORY));
    source.name = fs::base_name(path);
  }
  if (!contents && !whole) source.called = fs::base_name(asked);
  return source;
}

struct Destination {
  Fd directory;      // things go below it
  std::string name;  // what the source is called there; "" when its contents go in as they are
};

Result<Destination> open_destination(const Side& side, const std::string& path,
                                     const Source& source) {
  Destination to;
  const Result<Fd> there = side.open(path, O_PATH);
  if (there) {
    const struct stat st = TRY(sys::stat(there->get()));
    if (S_ISDIR(st.st_mode)) {
      to.directory = TRY(side.open(path, O_RDONLY | O_DIRECTORY));
      to.name = source.called;
      return to;
    }
    if (source.is_directory) return Error(Code::kExists, quote(path) + " is not a directory");
  } else if (there.error().code() != Code::kNotFound) {
    return Error(there.error().code(), there.error().text());
  } else if (ends_as_directory(path) && !source.is_directory) {
    return Error(Code::kNotFound, "there is no directory " + quote(path));
  }
  const std::string clean = fs::clean(path);
  to.directory = TRY(side.open(std::string(fs::dir_name(clean)), O_RDONLY | O_DIRECTORY));
  to.name = fs::base_name(clean);
  return to;
}

// While it lives, files are made by the guest's root: overlayfs can store no other owner in an
// id-mapped upper layer (EOVERFLOW). setfsuid(2) away from 0 takes the capabilities over files out
// of the effective set and back to 0 returns them; a confined child raises its own again.
class MakerIdentity {
 public:
  explicit MakerIdentity(const std::vector<IdShift>& ids) {
    for (const IdShift& shift : ids) {
      if (shift.inside != 0) continue;
      ::setfsgid(shift.outside);
      ::setfsuid(shift.outside);
    }
  }
  ~MakerIdentity() {
    ::setfsuid(::geteuid());
    ::setfsgid(::getegid());
  }
  MakerIdentity(const MakerIdentity&) = delete;
  MakerIdentity& operator=(const MakerIdentity&) = delete;
};

Result<Extracted> extract(const Fd& input, const Fd& directory, const ExtractOptions& options) {
  FdSource bytes(input);
  Sniffer sniffer(bytes);
  const Compression compression = TRY(sniffer.compression());
  const std::unique_ptr<Decompressor> plain = TRY(Decompressor::create(sniffer, compression));
  const Extracted counts = TRY(extract_layer(*plain, directory, options));
  std::array<char, 65536> rest{};  // a writer at the other end must not meet a closed pipe
  while (TRY(plain->read(rest)) > 0) {
  }
  return counts;
}

Result<Confined> start_extractor(const Fd& input, const Fd& directory,
                                 const ExtractOptions& options,
                                 const std::vector<IdShift>& made_by) {
  const std::array<int, 2> keep{input.get(), directory.get()};
  const MakerIdentity identity(made_by);
  return Confined::start(keep, ::geteuid() == 0, "copy",
                         [&] { return extract(input, directory, options); });
}

void warn(const Extracted& counts) {
  if (counts.devices_left_out == 0) return;
  static_cast<void>(sys::write_all(
      STDERR_FILENO,
      "vrun: warning: " + std::to_string(counts.devices_left_out) + " device nodes left out\n"));
}

// A tar from here to a confined extractor, through a pipe.
Result<void> transfer(const Source& source, const TarOptions& tar, const Fd& directory,
                      const ExtractOptions& options, const std::vector<IdShift>& made_by) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Error::system(errno, "pipe");
  Fd reader(ends[0]);
  Fd writer(ends[1]);
  Confined child = TRY(start_extractor(reader, directory, options, made_by));
  reader.reset();
  Result<TarCounts> written = write_tar(source.parent, source.name, writer, tar);
  writer.reset();
  const bool reader_gone = !written && written.error().sys_errno() == EPIPE;
  if (!written && !reader_gone) return std::move(written).error();  // the child is killed on drop
  warn(TRY(child.finish()));
  return {};
}

// A guest's link may lead a file into /proc or /sys of its own mounts: those are not for copies.
Result<void> check_is_for_files(const Fd& directory, const std::string& path) {
  const std::uint64_t kind = sys::fs_magic(directory.get());
  constexpr std::array<std::uint64_t, 4> kKernels{PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP_SUPER_MAGIC,
                                                  CGROUP2_SUPER_MAGIC};
  if (std::find(kKernels.begin(), kKernels.end(), kind) == kKernels.end()) return {};
  return Error(Code::kDenied, quote(path) + " is a file system of the kernel's, not for files");
}

ExtractOptions plain_options() {
  ExtractOptions options;
  options.layer = false;
  return options;
}

Result<void> extract_stdin(const Fd& directory, const ExtractOptions& options,
                           const std::vector<IdShift>& made_by) {
  const Fd input = TRY(sys::duplicate(STDIN_FILENO));
  Confined child = TRY(start_extractor(input, directory, options, made_by));
  warn(TRY(child.finish()));
  return {};
}

// The source is at the other end of stdin.
Result<void> copy_in_named(const Side& guest, const TreeRequest& request, ExtractOptions options) {
  if (request.called.find('/') != std::string::npos || request.called == "..")
    return Error(Code::kInvalid, quote(request.called) + " is no name of a file");
  Source source;
  source.called = request.called;
  source.is_directory = request.directory;
  const Destination to = TRY(open_destination(guest, request.path, source));
  TRY(check_is_for_files(to.directory, request.path));
  options.top = to.name;
  options.all_to_root = !request.keep_owners;
  return extract_stdin(to.directory, options, request.ids);
}

}  // namespace

Result<void> pack(const TreeRequest& request) {
  ::signal(SIGPIPE, SIG_IGN);
  const Source source = TRY(open_source(Side::host(), request.file, request.follow_link));
  TarOptions tar;
  tar.top = request.named ? request.called : "top";  // "top": the other end names it
  tar.sparse = !request.named;
  const Fd out = TRY(sys::duplicate(STDOUT_FILENO));
  TRY(write_tar(source.parent, source.name, out, tar));
  return {};
}

Result<void> unpack(const Fd& directory, const TreeRequest& request) {
  ExtractOptions options = plain_options();
  options.privileged = request.keep_owners && ::geteuid() == 0;
  options.set_id_bits = request.keep_owners;
  return extract_stdin(directory, options, {});
}

Result<void> unpack(const TreeRequest& request) {
  Source source;
  source.called = request.called;
  source.is_directory = request.directory;
  const Destination to = TRY(open_destination(Side::host(), request.file, source));
  ExtractOptions options = plain_options();
  options.privileged = request.keep_owners && ::geteuid() == 0;
  options.set_id_bits = request.keep_owners;
  options.top = to.name;
  return extract_stdin(to.directory, options, {});
}

Result<void> copy_out(const Fd& root, const TreeRequest& request) {
  ::signal(SIGPIPE, SIG_IGN);
  const Side guest = Side::guest(root);
  const Source source = TRY(open_source(guest, request.path, request.follow_link));
  TarOptions tar;
  tar.ids = request.ids;
  if (request.file == kStream) {
    tar.top = request.called.empty() ? source.called : request.called;
    if (request.directory && !source.is_directory)
      return Error(Code::kInvalid, quote(request.path) + " is not a directory, and there is none " +
                                       "of the destination's name");
    const Fd out = TRY(sys::duplicate(STDOUT_FILENO));
    TRY(write_tar(source.parent, source.name, out, tar));
    return {};
  }
  const Side host = Side::host();
  Destination to = TRY(open_destination(host, request.file, source));
  tar.top = to.name;
  ExtractOptions options = plain_options();
  options.privileged = request.keep_owners && ::geteuid() == 0;
  options.set_id_bits = request.keep_owners;
  return transfer(source, tar, to.directory, options, {});
}

Result<void> copy_in(const Fd& root, const TreeRequest& request) {
  ::signal(SIGPIPE, SIG_IGN);
  const Side guest = Side::guest(root);
  ExtractOptions options = plain_options();
  options.privileged = ::geteuid() == 0;
  options.ids = request.ids;
  if (request.file == kStream && request.named) return copy_in_named(guest, request, options);
  if (request.file == kStream) {
    const Fd directory = TRY(guest.open(request.path, O_RDONLY | O_DIRECTORY));
    TRY(check_is_for_files(directory, request.path));
    const Fd input = TRY(sys::duplicate(STDIN_FILENO));
    Confined child = TRY(start_extractor(input, directory, options, request.ids));
    Result<Extracted> done = child.finish();
    if (!done) {
      return std::move(done).error().during("stdin").hint(
          "with - as the source, stdin is a tar archive; for one file give its name");
    }
    warn(*done);
    return {};
  }
  const Source source = TRY(open_source(Side::host(), request.file, request.follow_link));
  Destination to = TRY(open_destination(guest, request.path, source));
  TRY(check_is_for_files(to.directory, request.path));
  TarOptions tar;
  tar.top = to.name;
  options.all_to_root = !request.keep_owners;
  return transfer(source, tar, to.directory, options, request.ids);
}

}  // namespace vrun::images
