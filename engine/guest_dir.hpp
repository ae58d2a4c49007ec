// The directory of one guest below data/guests/TENANT: writable layer, generated files, its lock.
//
//   guest.json   what it is (versioned)        upper/, work/   the writable layer
//   files/       hosts, hostname, resolv.conf          kept, image.json, logs/: see
//   make_startable()
// The command that makes or runs the guest holds a lock (flock) of the directory. A directory
// without its lock and without `kept` belongs to a command that died.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/guest_record.hpp"

namespace vrun::engine {

// A guest's name is a ContainerId of at most 64 characters that begins with a letter or digit: it
// is also a file name, a cgroup name and the host name.
Result<void> check_guest_name(const std::string& name);
// "base-3fa91c": from the image's name and random digits.
std::string make_guest_name(const std::string& image);

// Removed on drop, with everything in it.
class GuestDir {
 public:
  // Code::kExists when the name is taken.
  static Result<GuestDir> create(const std::string& guests_dir, const GuestRecord& record);
  GuestDir(GuestDir&& other) noexcept;
  GuestDir(const GuestDir&) = delete;
  GuestDir& operator=(const GuestDir&) = delete;
  GuestDir& operator=(GuestDir&&) = delete;
  ~GuestDir();

  const Fd& dir() const { return dir_; }
  const std::string& path() const { return path_; }
  // Left to the next command's sweep, or to whoever removes it by name once it is marked as kept.
  void keep() { armed_ = false; }
  // What a guest that may start again needs. `image_config`: what it was made from, so that it
  // starts whatever the image's name means by then.
  Result<void> make_startable(std::string_view image_config);
  // Now, with the reason if something could not be removed.
  Result<void> remove();

 private:
  GuestDir(Fd parent, Fd dir, std::string path, std::string name)
      : parent_(std::move(parent)),
        dir_(std::move(dir)),
        path_(std::move(path)),
        name_(std::move(name)) {}
  Fd parent_, dir_;
  std::string path_, name_;
  bool armed_ = true;
};

// Writes hosts, hostname and resolv.conf, owned by the guest's root. With `host_network` they are
// the host's own.
struct GuestFiles {
  std::string hostname;
  std::uint32_t root_uid = 0, root_gid = 0;
  bool host_network = false;
  std::vector<std::string> add_hosts;  // NAME:ADDRESS
  std::vector<std::string> dns, dns_search, dns_options;
};
Result<void> write_guest_files(const Fd& guest_dir, const GuestFiles& files);

// From now on the directory stays until it is removed by name, whoever dies.
Result<void> mark_kept(const Fd& guest_dir);

// A kept guest's directory. The caller holds the guest's lock, and the guest does not run.
Result<void> remove_kept(const std::string& guests_dir, const std::string& name);

// Removes the directories of commands that died, after `end_guest(name)` has ended what is left of
// the guest; where that answers false (the guest still runs) the directory stays.
Result<void> sweep_guests(const std::string& guests_dir,
                          const std::function<Result<bool>(const std::string&)>& end_guest);

}  // namespace vrun::engine
