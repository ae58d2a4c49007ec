#include "cli/disk_copy.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <vector>

#include <sys/prctl.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/complain.hpp"
#include "cli/tree_helper.hpp"
#include "engine/disk_agent.hpp"
#include "engine/guest_exec.hpp"

namespace vrun::cli {
namespace {

using images::TreeRequest;
using Words = std::vector<std::string>;

// Both have the path as $1; the second argument of kLook says whether a link is followed.
constexpr const char* kLook =
    R"sh([ -d "$1" ] && { [ "$2" = follow ] || [ ! -L "$1" ]; } && exit 10
[ -e "$1" ] || [ -L "$1" ] && exit 11
exit 12)sh";
constexpr const char* kFollowAndPack =
    R"sh(p=$(readlink -f "$1") && exec tar -c -f - -C "$(dirname "$p")" -- "$(basename "$p")")sh";

enum class Kind { kDirectory, kOther, kNothing };

class DiskCopy {
 public:
  DiskCopy(const engine::Guests& guests, const engine::GuestRecord& record,
           const TreeRequest& request)
      : guests_(guests),
        record_(record),
        request_(request),
        path_(fs::clean("/" + request.path)),
        contents_(request.path == "." || request.path.ends_with("/.")),
        as_directory_(contents_ || request.path.ends_with('/')) {}
  Result<int> out() const;
  Result<int> in() const;

 private:
  // Its streams are ours; unless it `reads`, its stdin is empty.
  Result<int> run(Words command, bool reads) const;
  Result<int> run_beside(Words command, Fd in, Fd out, const Fd& helper) const;
  Result<Kind> look(const std::string& path, bool follow) const;
  Result<Words> pack_command() const;
  Words unpack_command(const std::string& directory) const;
  Result<std::string> destination(tenants::CallerCopy& source) const;

  const engine::Guests& guests_;
  const engine::GuestRecord& record_;
  const TreeRequest& request_;
  std::string path_;
  bool contents_, as_directory_;
};

Result<int> DiskCopy::run(Words command, bool reads) const {
  engine::ExecRequest exec;
  const std::string program = command.front();
  exec.command = std::move(command);
  exec.interactive = reads;
  exec.ends_with_us = true;
  Result<int> code = engine::exec_in_guest(guests_, record_, exec);
  if (code || code.error().sys_errno() == EPIPE) return code;
  return std::move(std::move(code).error().during("the guest's " + program));
}

// The command in a process of its own, as its streams are that process's stdin and stdout.
Result<int> DiskCopy::run_beside(Words command, Fd in, Fd out, const Fd& helper) const {
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return Error::system(errno, "start a process");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(kOwnFailure);
    const bool reads = static_cast<bool>(in);
    const int from = reads ? in.get() : out.get();
    if (::dup2(from, reads ? STDIN_FILENO : STDOUT_FILENO) < 0) ::_exit(kOwnFailure);
    in.reset();
    out.reset();
    const Result<int> code = run(std::move(command), reads);
    // Who closed the pipe has said why.
    if (!code && code.error().sys_errno() != EPIPE) complain("vrun", code.error());
    ::_exit(code ? *code : kOwnFailure);
  }
  in.reset();
  out.reset();
  const Fd process = TRY(sys::pidfd_open(Pid(pid)));
  const int theirs = TRY(sys::wait(process.get())).code();
  const int ours = TRY(sys::wait(helper.get())).code();
  return ours != 0 ? ours : theirs;
}

Result<Kind> DiskCopy::look(const std::string& path, bool follow) const {
  const int code = TRY(run({"sh", "-c", kLook, "sh", path, follow ? "follow" : "as it is"}, false));
  if (code == 10) return Kind::kDirectory;
  if (code == 11) return Kind::kOther;
  if (code == 12) return Kind::kNothing;
  return Error(Code::kState, "the guest's sh ended with " + std::to_string(code));
}

Result<Words> DiskCopy::pack_command() const {
  const bool follow = request_.follow_link || as_directory_;
  if (path_ == "/" && (!contents_ || request_.file != "-")) {
    return Error(Code::kInvalid, "the whole disk cannot be copied: name something on it")
        .hint("all of it as an archive: vrun cp " + record_.name + ":/. -");
  }
  if (contents_ && request_.file == "-") return Words{"tar", "-c", "-f", "-", "-C", path_, "."};
  if (follow) return Words{"sh", "-c", kFollowAndPack, "sh", path_};
  return Words{"tar", "-c",
               "-f",  "-",
               "-C",  std::string(fs::dir_name(path_)),
               "--",  std::string(fs::base_name(path_))};
}

Result<int> DiskCopy::out() const {
  Words command = TRY(pack_command());
  const Kind kind = TRY(look(path_, request_.follow_link || as_directory_));
  if (kind == Kind::kNothing)
    return Error(Code::kNotFound, "in the guest: there is no " + quote(path_));
  if (as_directory_ && kind != Kind::kDirectory)
    return Error(Code::kInvalid, quote(path_) + " is not a directory");
  if (request_.file == "-") return run(std::move(command), false);
  TreeRequest half = request_;
  half.named = true;
  half.called = contents_ ? "" : fs::base_name(path_);
  half.directory = kind == Kind::kDirectory;
  std::array<Fd, 2> pipe = TRY(make_pipe());
  const Fd helper = TRY(start_tree_helper("copy-unpack", half, pipe[0], STDIN_FILENO));
  pipe[0].reset();
  return run_beside(std::move(command), Fd(), std::move(pipe[1]), helper);
}

Words DiskCopy::unpack_command(const std::string& directory) const {
  return {"tar", "-x", request_.keep_owners ? "-p" : "-o", "-f", "-", "-C", directory};
}

// The directory in the guest; `source` gets its name there.
Result<std::string> DiskCopy::destination(tenants::CallerCopy& source) const {
  const Kind kind = TRY(look(path_, true));
  if (kind == Kind::kDirectory) return path_;
  if (kind == Kind::kOther && (source.directory || as_directory_))
    return Error(Code::kExists, quote(path_) + " is not a directory");
  std::string directory(fs::dir_name(path_));
  if ((as_directory_ && !source.directory) || TRY(look(directory, true)) != Kind::kDirectory) {
    return Error(Code::kNotFound,
                 "in the guest: there is no directory " +
                     quote(as_directory_ && !source.directory ? path_ : directory));
  }
  source.name = fs::base_name(path_);
  return directory;
}

Result<int> DiskCopy::in() const {
  if (request_.file == "-") {
    if (TRY(look(path_, true)) != Kind::kDirectory)
      return Error(Code::kNotFound, "in the guest: there is no directory " + quote(path_));
    return run({"tar", "-x", "-f", "-", "-C", path_}, true);
  }
  tenants::CallerCopy source = TRY(describe_source(request_.file, request_.follow_link));
  const std::string directory = TRY(destination(source));
  TreeRequest half = request_;
  half.named = true;
  half.called = source.name;
  std::array<Fd, 2> pipe = TRY(make_pipe());
  const Fd helper = TRY(start_tree_helper("copy-pack", half, pipe[1], STDOUT_FILENO));
  pipe[1].reset();
  return run_beside(unpack_command(directory), std::move(pipe[0]), Fd(), helper);
}

}  // namespace

Result<int> copy_by_agent(const engine::Guests& guests, const engine::GuestRecord& record,
                          const TreeRequest& request, CopyWay way) {
  const engine::Guest guest = TRY(guests.find(record.name));
  if (!guest.runs()) return engine::not_running(guest);
  // A paused one does not answer, which exec says.
  if (guest.status != engine::GuestStatus::kPaused) TRY(engine::find_agent(guests, record, "cp"));
  const DiskCopy copy(guests, record, request);
  return way == CopyWay::kOut ? copy.out() : copy.in();
}

}  // namespace vrun::cli
