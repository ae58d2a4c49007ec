// The tenants of a host, on disk.
//
//   data/tenants/lock               held (flock) by whoever creates, changes or removes a tenant
//   data/tenants/NAME/tenant.json   the record
//   data/tenants/NAME/admission     held (flock) while a guest of it is made
//   data/tenants/ids.json           the ids that tenants have or had (id_blocks.hpp)
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "tenants/record.hpp"

namespace vrun::tenants {

class Store {
 public:
  // Nothing is made; `default` is there even when nothing is.
  explicit Store(std::string data_dir) : dir_(std::move(data_dir) + "/tenants") {}

  // Sorted by name, `default` first. A record that cannot be read is passed over with a warning.
  Result<std::vector<Tenant>> list() const;
  // Unknown: kNotFound with the nearest name.
  Result<Tenant> find(std::string_view name) const;

  const std::string& dir() const { return dir_; }
  std::string path_of(std::string_view name) const { return dir_ + "/" + std::string(name); }

 private:
  std::string dir_;
};

// The right to change tenants; others wait.
class LockedStore {
 public:
  static Result<LockedStore> open(Store store);
  const Store& store() const { return store_; }
  // kExists when the name is taken. Complete or not there at all.
  Result<void> add(const Tenant& tenant) const;
  Result<void> save(const Tenant& tenant) const;
  // The record and everything else in its directory.
  Result<void> remove(const Tenant& tenant) const;

 private:
  LockedStore(Store store, Fd dir, Fd lock)
      : store_(std::move(store)), dir_(std::move(dir)), lock_(std::move(lock)) {}
  Store store_;
  Fd dir_, lock_;
};

// Held by who makes a guest of the tenant: as long as it is, nobody else makes one.
Result<Fd> lock_admission(const Store& store, std::string_view tenant);

}  // namespace vrun::tenants
