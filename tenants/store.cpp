#include "tenants/store.hpp"

#include <algorithm>

#include <fcntl.h>
#include <sys/file.h>

#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::tenants {
namespace {

constexpr std::size_t kRecordBytes = 1U << 20U;
constexpr const char* kRecord = "tenant.json";

Tenant default_tenant() {
  Tenant tenant;
  tenant.name = kDefaultTenant;
  return tenant;
}

Result<Tenant> read(const std::string& dir) {
  const std::string path = dir + "/" + kRecord;
  return parse_tenant(TRY(fs::read_file(At::cwd(), path, kRecordBytes, fs::Kind::kRegularOnly)),
                      path);
}

Error unknown(std::string_view wanted, const std::vector<Tenant>& all) {
  Error error(Code::kNotFound, "no such tenant " + quote(wanted.substr(0, 80)));
  std::vector<std::string_view> names;
  for (const Tenant& tenant : all)
    names.emplace_back(tenant.name);
  const auto near = nearest(wanted, names);
  if (near) return std::move(error).hint("did you mean " + std::string(*near) + "?");
  return std::move(error).hint(
      "`vrun tenant ls` lists the tenants, `vrun tenant create` makes one");
}

Error taken(const std::string& name) {
  return Error(Code::kExists, "tenant " + quote(name) + " already exists")
      .hint("`vrun tenant update " + name + "` changes it");
}

}  // namespace

Result<std::vector<Tenant>> Store::list() const {
  std::vector<Tenant> all{default_tenant()};
  const Result<Fd> dir = sys::open_dir(At::cwd(), dir_);
  if (!dir && dir.error().code() == Code::kNotFound) return all;
  if (!dir) return Error(dir.error().code(), dir.error().text());
  for (const std::string& name : TRY(sys::list_dir(dir->get()))) {
    if (!check_tenant_name(name) || name == kDefaultTenant) continue;
    Result<Tenant> tenant = read(path_of(name));
    if (tenant) {
      all.push_back(*std::move(tenant));
    } else if (tenant.error().code() != Code::kNotFound && tenant.error().sys_errno() != ENOTDIR) {
      log::warning(tenant.error().text());
    }
  }
  std::sort(all.begin() + 1, all.end(),
            [](const Tenant& a, const Tenant& b) { return a.name < b.name; });
  return all;
}

Result<Tenant> Store::find(std::string_view name) const {
  if (name == kDefaultTenant) return default_tenant();
  if (check_tenant_name(name)) {
    Result<Tenant> tenant = read(path_of(name));
    const bool gone = !tenant && (tenant.error().code() == Code::kNotFound ||
                                  tenant.error().sys_errno() == ENOTDIR);
    if (!gone) return tenant;
  }
  return unknown(name, TRY(list()));
}

Result<LockedStore> LockedStore::open(Store store) {
  TRY(fs::make_dirs(At::cwd(), store.dir(), 0711));
  Fd dir = TRY(sys::open_dir(At::cwd(), store.dir()));
  Fd lock = TRY(sys::open(dir, "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  TRY(sys::lock(lock.get(), LOCK_EX, "tenants"));
  return LockedStore(std::move(store), std::move(dir), std::move(lock));
}

Result<void> LockedStore::add(const Tenant& tenant) const {
  if (tenant.is_default()) return taken(tenant.name);
  Result<void> made = sys::make_dir(dir_, tenant.name, 0700);
  if (!made && made.error().code() == Code::kExists) {
    // Killed between the directory and the record: nobody's.
    if (sys::stat(dir_, tenant.name + "/" + kRecord)) return taken(tenant.name);
  } else if (!made) {
    return made;
  }
  Result<void> saved = save(tenant);
  if (!saved) static_cast<void>(fs::remove_tree(dir_, tenant.name));
  return saved;
}

Result<void> LockedStore::save(const Tenant& tenant) const {
  const Fd dir = TRY(sys::open_dir(dir_, tenant.name));
  return fs::replace_file(dir, kRecord, to_json(tenant));
}

Result<void> LockedStore::remove(const Tenant& tenant) const {
  // First the record: without it there is no tenant, whatever else is left.
  TRY(sys::unlink(dir_, tenant.name + "/" + kRecord));
  return fs::remove_tree(dir_, tenant.name);
}

Result<Fd> lock_admission(const Store& store, std::string_view tenant) {
  const Fd dir = TRY(sys::open_dir(At::cwd(), store.path_of(tenant)));
  Fd lock = TRY(sys::open(dir, "admission", O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  TRY(sys::lock(lock.get(), LOCK_EX, "new guests of tenant " + quote(tenant)));
  return lock;
}

}  // namespace vrun::tenants
