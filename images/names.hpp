// What the images of one tenant are called: a small file for each name below images/refs/TENANT.
//
// A name keeps its image: what names and guests lead to is never collected (gc.hpp). Files are
// replaced by rename, so that readers need no lock and a killed command leaves the old name or the
// new one. Who brings an image holds Store::use() until its name is set.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "images/store.hpp"
#include "oci/image.hpp"

namespace vrun::images {

struct Named {
  oci::Reference reference;
  oci::Descriptor manifest;  // type, digest and size; its blob is in the store
  std::string created;       // when it was last set: RFC 3339, UTC
};

class Names {
 public:
  // Makes missing directories. A tenant's name that is no safe file name is Code::kInvalid.
  static Result<Names> open(const Store& store, const std::string& tenant);

  // A digest in the reference wins over its tag, here as in find() and remove().
  Result<void> set(const oci::Reference& reference, const oci::Descriptor& manifest);
  // By a digest also what another name of the same repository has under that digest.
  Result<std::optional<oci::Descriptor>> find(const oci::Reference& reference) const;
  // Sorted by reference. A damaged file is left out and named in `damaged`, if that is set.
  Result<std::vector<Named>> list(std::vector<std::string>* damaged = nullptr) const;
  // False when there was no such name.
  Result<bool> remove(const oci::Reference& reference);

  // For `vrun events`: pull, push, tag, untag, delete, load, import, save, commit.
  void note(std::string_view action, const oci::Reference& reference,
            const oci::Digest& manifest) const;

  const std::string& tenant() const { return tenant_; }
  const Fd& dir() const { return dir_; }

 private:
  Names(Fd dir, std::string data_dir, std::string tenant)
      : dir_(std::move(dir)), data_dir_(std::move(data_dir)), tenant_(std::move(tenant)) {}
  Fd dir_;
  std::string data_dir_, tenant_;
};

// Every tenant that ever had a name here.
Result<std::vector<std::string>> tenants_with_names(const Store& store);

}  // namespace vrun::images
