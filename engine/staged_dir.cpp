#include "engine/staged_dir.hpp"

#include <cerrno>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::engine {
namespace {

std::string random_name(std::string_view head) {
  return std::string(head) + "-" + make_guest_id().substr(0, 12);
}

std::string guests_dir(const Guests& guests) {
  return guests.places().guests(guests.tenant());
}

}  // namespace

Result<StagedDir> StagedDir::create(const Guests& guests, std::string_view purpose) {
  const std::string path = guests_dir(guests);
  TRY(fs::make_dirs(At::cwd(), path, 0700));
  Fd parent = TRY(sys::open_dir(At::cwd(), path));
  // Between mkdir and flock it looks like a dead command's: the sweep waits for this lock.
  const Fd making = TRY(sys::open_dir(At::cwd(), path));
  TRY(sys::lock(making.get(), LOCK_EX, "guests"));
  std::string name = random_name(".staged-" + std::string(purpose));
  TRY(sys::make_dir(parent, name, 0700));
  Fd dir = TRY(sys::open_dir(parent, name));
  TRY(sys::lock(dir.get(), LOCK_EX | LOCK_NB, quote(name)));
  std::string whole = fs::join(path, name);
  return StagedDir(std::move(parent), std::move(dir), std::move(whole), std::move(name));
}

StagedDir::StagedDir(StagedDir&& other) noexcept
    : parent_(std::move(other.parent_)),
      dir_(std::move(other.dir_)),
      path_(std::move(other.path_)),
      name_(std::move(other.name_)),
      armed_(std::exchange(other.armed_, false)) {}

StagedDir::~StagedDir() {
  if (armed_) static_cast<void>(fs::remove_tree(parent_, name_));
}

Result<Fd> StagedDir::make(const std::string& name) {
  TRY(sys::make_dir(dir_, name, 0755));
  Fd made = TRY(sys::open_dir(dir_, name));
  TRY(sys::chmod(made.get(), 0755));
  return made;
}

Result<void> StagedDir::publish(const Fd& at, const std::string& name) {
  if (::syncfs(dir_.get()) != 0) return Error::system(errno, "write " + quote(path_));
  constexpr unsigned kNoReplace = 1;  // RENAME_NOREPLACE
  if (::syscall(SYS_renameat2, parent_.get(), name_.c_str(), at.get(), name.c_str(), kNoReplace) !=
      0) {
    if (errno == EEXIST) return Error(Code::kExists, quote(name) + " already exists");
    return Error::system(errno, "name " + quote(name));
  }
  armed_ = false;
  return {};
}

Result<void> remove_aside(const Guests& guests, const Fd& at, const std::string& name) {
  const Fd parent = TRY(sys::open_dir(At::cwd(), guests_dir(guests)));
  const Fd going = TRY(sys::open(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (::flock(going.get(), LOCK_EX | LOCK_NB) != 0) {
    return Error(Code::kState, quote(name) + " is in use by another command")
        .hint("try again when it has ended");
  }
  const std::string aside = random_name(".removing");
  TRY(sys::rename(at, name, parent, aside));
  return fs::remove_tree(parent, aside);
}

}  // namespace vrun::engine
