#include "vm/cache_prune.hpp"

#include <algorithm>
#include <ctime>
#include <set>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "vm/qemu_root.hpp"

namespace vrun::vm {
namespace {

constexpr std::time_t kToStart = 600;        // seconds: far more than a start takes until QEMU runs
constexpr const char* kGoing = "half.qemu";  // as a maker that was killed leaves it

using Place = std::pair<dev_t, ino_t>;

// The folder that QEMU would have for these, if both files are there.
void add_folder(const CachePrune& rule, const CacheRequest& request, const Fd& cache,
                const CacheNames& names, std::set<std::string>& kept) {
  Result<Fd> vmlinux = sys::open(cache, names.vmlinux, O_RDONLY);
  Result<Fd> initramfs = names.initramfs.empty() ? sys::open(At::cwd(), request.initrd, O_PATH)
                                                 : sys::open(cache, names.initramfs, O_RDONLY);
  if (!vmlinux || !initramfs || rule.qemu.empty()) return;
  const BootFiles boot{*std::move(vmlinux), *std::move(initramfs)};
  if (Result<std::string> name = qemu_folder_name({rule.data, rule.qemu, boot}))
    kept.insert(*std::move(name));
}

std::set<std::string> needed_names(const CachePrune& rule, const Fd& cache) {
  std::set<std::string> kept;
  for (const CacheRequest& request : rule.needed) {
    const Result<CacheNames> names = cache_names(request);
    if (!names) continue;
    kept.insert(names->vmlinux);
    if (!names->initramfs.empty()) kept.insert(names->initramfs);
    add_folder(rule, request, cache, *names, kept);
  }
  return kept;
}

std::set<Place> roots_of_processes(const std::string& proc) {
  std::set<Place> roots;
  const Result<Fd> dir = sys::open_dir(At::cwd(), proc);
  const Result<std::vector<std::string>> names =
      dir ? sys::list_dir(dir->get())
          : Result<std::vector<std::string>>(std::vector<std::string>());
  if (!names) return roots;
  for (const std::string& name : *names) {
    if (!parse_u64(name)) continue;
    const Result<struct stat> root = sys::stat(*dir, name + "/root");
    if (root) roots.emplace(root->st_dev, root->st_ino);
  }
  return roots;
}

std::uint64_t bytes_in(const Fd& dir) {
  std::uint64_t bytes = 0;
  const Result<std::vector<std::string>> names = sys::list_dir(dir.get());
  for (const std::string& name : names ? *names : std::vector<std::string>()) {
    const Result<struct stat> one = sys::stat(dir, name, AT_SYMLINK_NOFOLLOW);
    if (!one) continue;
    if (S_ISDIR(one->st_mode)) {
      if (const Result<Fd> inner = sys::open_dir(dir, name)) bytes += bytes_in(*inner);
    } else if (one->st_nlink == 1) {  // what it boots is in the cache, too
      bytes += static_cast<std::uint64_t>(one->st_blocks) * 512;
    }
  }
  return bytes;
}

class Pruner {
 public:
  Pruner(const CachePrune& rule, const Fd& cache)
      : rule_(rule), cache_(cache), roots_(roots_of_processes(rule.proc)) {}

  Result<void> file(const std::string& name) {
    const struct stat facts = TRY(sys::stat(cache_, name, AT_SYMLINK_NOFOLLOW));
    count(static_cast<std::uint64_t>(facts.st_blocks) * 512);
    if (rule_.dry_run) return {};
    return sys::unlink(cache_, name);
  }

  Result<void> folder(const std::string& name) {
    if (TRY(is_in_use(name))) return {};
    const Fd dir = TRY(sys::open_dir(cache_, name));
    const std::uint64_t bytes = bytes_in(dir);
    if (!rule_.dry_run) {
      // Under this name nobody takes it any more; who did just before has left a time.
      TRY(sys::rename(cache_, name, cache_, kGoing));
      if (TRY(is_in_use(kGoing))) return sys::rename(cache_, kGoing, cache_, name);
      TRY(fs::remove_tree(cache_, kGoing));
    }
    count(bytes);
    return {};
  }

  CachePruned pruned() const { return pruned_; }

 private:
  void count(std::uint64_t bytes) {
    ++pruned_.entries;
    pruned_.bytes += bytes;
  }

  Result<bool> is_in_use(const std::string& name) const {
    const struct stat facts = TRY(sys::stat(cache_, name, AT_SYMLINK_NOFOLLOW));
    return facts.st_mtim.tv_sec + kToStart > std::time(nullptr) ||
           roots_.contains({facts.st_dev, facts.st_ino});
  }

  const CachePrune& rule_;
  const Fd& cache_;
  std::set<Place> roots_;
  CachePruned pruned_;
};

}  // namespace

Result<CachePruned> prune_cache(const CachePrune& rule) {
  Result<Fd> there = sys::open_dir(At::cwd(), fs::join(rule.data, "vm/cache"));
  if (!there && there.error().sys_errno() == ENOENT) return CachePruned();
  const Fd cache = TRY(std::move(there));
  // What is made at this moment is there afterwards.
  const Fd lock = TRY(sys::open(cache, "lock", O_RDWR | O_CREAT, 0600));
  TRY(sys::lock(lock.get(), LOCK_EX, "the kernels of micro-VMs"));
  if (!rule.dry_run) TRY(fs::remove_tree(cache, kGoing));
  const std::set<std::string> kept = needed_names(rule, cache);
  Pruner pruner(rule, cache);
  for (const std::string& name : TRY(sys::list_dir(cache.get()))) {
    if (kept.contains(name)) continue;
    if (name.ends_with(".qemu")) {
      if (name != kGoing) TRY(pruner.folder(name));
    } else if (name != "lock") {
      TRY(pruner.file(name));
    }
  }
  return pruner.pruned();
}

}  // namespace vrun::vm
