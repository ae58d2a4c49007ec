#include "engine/guest_tree.hpp"

#include <fcntl.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/disk.hpp"
#include "engine/guest_files.hpp"
#include "engine/guest_setup.hpp"
#include "engine/rootless.hpp"
#include "images/store.hpp"

namespace vrun::engine {
namespace {

std::vector<oci::IdMapping> ids_of(const GuestRecord& record, const Host& host) {
  if (host.nested()) return namespace_ids(host);
  if (record.request.userns == "host") {
    return {{.container_id = 0, .host_id = 0, .size = 0xFFFFFFFFU}};
  }
  return {{.container_id = 0, .host_id = record.outside_root(), .size = kIdsPerGuest}};
}

// The pidfd says that the process was the same before and after: its number was not reused.
Result<Fd> root_of_running(const Guests& guests, const Guest& guest) {
  const Fd init = TRY(runtime::open_init(guests.context(), guest.record.id));
  const std::string path = "/proc/" + std::to_string(guest.pid.value) + "/root";
  Fd root = TRY(sys::open(At::cwd(), path, O_PATH | O_DIRECTORY));
  TRY(sys::pidfd_signal(init.get(), 0));
  return root;
}

Result<Fd> mount_stopped(const Guests& guests, const LockedGuest& locked) {
  const oci::ImageConfig config = TRY(read_image_config(locked.dir()));
  const images::Store store = TRY(images::Store::open(guests.places().data));
  return make_root(store,
                   {config, locked.dir(),
                    layer_ids(guests.host(), ids_of(locked.guest.record, guests.host())), true});
}

}  // namespace

Result<GuestTree> open_guest_tree(const Guests& guests, const GuestRecord& record) {
  TRY(refuse_for_disk(record.request, "its files"));
  LockedGuest locked = TRY(guests.lock(record));
  GuestTree tree;
  tree.ids = ids_of(locked.guest.record, guests.host());
  if (locked.guest.runs()) {
    tree.root = TRY(root_of_running(guests, locked.guest));
    return tree;
  }
  if (locked.guest.status == GuestStatus::kEnding) {
    return Error(Code::kState, "guest " + quote(record.name) + " is ending at this moment")
        .hint("wait for it: vrun wait " + record.name);
  }
  tree.root = TRY(mount_stopped(guests, locked));
  tree.lock = std::move(locked);
  return tree;
}

Result<Fd> open_upper(const Guests& guests, const GuestRecord& record) {
  TRY(refuse_for_disk(record.request, "its changes"));
  return sys::open_dir(At::cwd(), fs::join(guests.path_of(record), "upper"));
}

}  // namespace vrun::engine
