#include "tenants/disk.hpp"

#include <algorithm>
#include <array>

#include <fcntl.h>
#include <linux/magic.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "tenants/btrfs_disk.hpp"
#include "tenants/loop_disk.hpp"
#include "tenants/project_disk.hpp"

namespace vrun::tenants {
namespace {

constexpr const char* kNote = "disk.made";
constexpr std::size_t kNoteBytes = 256;
constexpr unsigned long kXfs = 0x58465342;  // <linux/magic.h> has it since 5.19 only

Result<Fd> open_nearest(std::string dir) {
  Result<Fd> found = sys::open_dir(At::cwd(), dir);
  while (!found && found.error().code() == Code::kNotFound && dir != "/") {
    dir = fs::dir_name(dir);
    found = sys::open_dir(At::cwd(), dir);
  }
  return found;
}

std::string name_of(std::uint64_t magic) {
  if (magic == EXT4_SUPER_MAGIC) return "ext4";
  if (magic == kXfs) return "xfs";
  return magic == BTRFS_SUPER_MAGIC ? "btrfs" : "other";
}

}  // namespace

DiskPlaces DiskPlaces::of(const std::string& data_dir, const std::string& tenant,
                          std::uint64_t id) {
  const std::string own = data_dir + "/tenants/" + tenant;
  return {own + "/disk.img", own + "/disk", data_dir + "/guests/" + tenant,
          data_dir + "/volumes/" + tenant, id};
}

Result<const DiskBackend*> disk_backend(std::string_view name) {
  static const LoopDisk loop;
  static const ProjectDisk project;
  static const BtrfsDisk btrfs;
  if (name == "loop") return &loop;
  if (name == "project") return &project;
  if (name == "btrfs") return &btrfs;
  return Error(Code::kInvalid, "no disk backend " + quote(name.substr(0, 80)))
      .hint("one of auto, project, btrfs, loop");
}

DiskSupport look_at_disk(const std::string& dir) {
  DiskSupport support;
  const Result<Fd> found = open_nearest(dir);
  if (!found) return {"other", false, found.error().text()};
  support.file_system = name_of(sys::fs_magic(found->get()));
  Result<void> held;
  if (support.file_system == "btrfs")
    held = BtrfsDisk::check(*found);
  else if (support.file_system != "other")
    held = ProjectDisk::check(*found);
  else
    held = Error(Code::kUnsupported, "the file system of vrun's data is not ext4, xfs or btrfs");
  support.quota = held.has_value();
  if (!held) support.why = held.error().text();
  return support;
}

Result<std::string> choose_disk(std::string_view wanted, const DiskSupport& support) {
  const std::string best = support.file_system == "btrfs" ? "btrfs" : "project";
  if (wanted.empty() || wanted == "auto") return support.quota ? best : "loop";
  TRY(disk_backend(wanted));
  if (wanted == "loop" || (support.quota && wanted == best)) return std::string(wanted);
  const std::string why = support.quota ? "vrun's data lie on " + support.file_system : support.why;
  return Error(Code::kUnsupported, "no disk budget by " + quote(wanted) + " here: " + why)
      .hint("auto takes what there is");
}

std::string disk_words(std::string_view backend, std::uint64_t id, std::string_view file_system) {
  if (backend == "project")
    return "project quota " + std::to_string(id) + " of " + std::string(file_system);
  if (backend == "btrfs")
    return "qgroup 1/" + std::to_string(id) + " of btrfs; df inside shows the whole file system";
  return "a file system of its own, on a loop device";
}

Result<void> note_disk(const std::string& tenant_dir, const DiskNote& note) {
  const Fd dir = TRY(sys::open_dir(At::cwd(), tenant_dir));
  return fs::replace_file(dir, kNote, note.backend + " " + std::to_string(note.id) + "\n");
}

Result<DiskNote> read_disk_note(const std::string& tenant_dir) {
  const std::string path = tenant_dir + "/" + kNote;
  const std::string text = TRY(fs::read_file(At::cwd(), path, kNoteBytes, fs::Kind::kRegularOnly));
  const auto words = split(trim(text), ' ');
  const auto id = parse_u64(words.size() == 2 ? words[1] : "");
  if (!id) return Error(Code::kInvalid, path + ": not the note of a disk");
  return DiskNote{std::string(words[0]), *id};
}

std::uint64_t inodes_for(std::uint64_t bytes) {
  constexpr std::uint64_t kEach = 4096, kLeast = 4096;
  return std::max(kLeast, bytes / kEach);
}

}  // namespace vrun::tenants
