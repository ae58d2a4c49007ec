// Guests that are a whole system on a disk image: `run --isolation vm --disk FILE`.
//
// vrun opens the image with the caller's rights and hands it to the guest's VMM, which keeps the
// lock on it as long as the guest runs: one guest at a time writes an image, several may share one
// that none of them writes.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/guest_record.hpp"
#include "engine/request.hpp"
#include "oci/image.hpp"
#include "vm/lower.hpp"

namespace vrun::engine {

inline bool is_disk_guest(const RunRequest& request) {
  return !request.disks.empty();
}

// What stands for an image's configuration: there is none.
oci::ImageConfig config_of_disk();

// --disk FILE[:OPTION,...].
struct DiskWish {
  std::string file;  // absolute, when the request is settled
  bool read_only = false;
  bool qcow2 = false;  // the guest has a copy of its own, made when it is created
};
// By which the machine's monitor knows the disk: the same for the same text of --disk.
std::string disk_name(const std::string& text);
// The place of the disk in request.disks that FILE means; kInvalid names `flag`.
Result<std::size_t> disk_named(const RunRequest& request, const std::string& flag,
                               const std::string& name);
// kInvalid names the option that makes no sense.
Result<DiskWish> parse_disk(const std::string& text);

// Of a settled request, before there is a guest: the flags fit together.
Result<void> check_disks(const RunRequest& request);

// As for containers, but with a terminal and input whenever nobody is there to say otherwise: the
// console is all that the guest has. Relative paths become absolute.
void settle_disks(RunRequest& request, const std::string& cwd);

// --device-read-bps FILE:RATE and its like, for each of the disks: FILE is one of them, by its path
// or, where that is plain, its last name.
Result<std::vector<vm::DiskLimits>> limits_of_disks(const RunRequest& request);

// Raw copies of the disks in other formats, in the guest's own directory; `qemu-img` makes them.
// kInvalid for an image that leads to other files of the host.
Result<void> copy_disks(const RunRequest& request, const std::string& guest_path);
// The disks of a guest as they are opened: its own copies instead of what they were made of.
Result<std::vector<DiskWish>> disks_of(const RunRequest& request, const std::string& guest_path);

// Open and locked for as long as the descriptor lives. kState: in use by another guest or program;
// kInvalid: no disk; each with the remedy.
Result<Fd> open_disk(const DiskWish& wish);

// The disks and the initramfs are there and are what they should be; who uses them is not asked.
Result<void> check_disks_host(const RunRequest& request);

// The words of the kernel's command line by which the guest finds its root on the first disk
// (unless the user has said root=, or has an initramfs of his own and no root is found), and its
// network (vm/guest/boot_words.hpp). `resolv`: the resolv.conf that a container would get.
Result<std::string> boot_words(const RunRequest& request, const Fd& first,
                               std::span<const vm::GuestCard> cards, std::string_view resolv);

// kUnsupported for a verb that needs the image of a guest, or its tree: this one has a disk.
Result<void> refuse_for_disk(const RunRequest& request, std::string_view verb);

}  // namespace vrun::engine
