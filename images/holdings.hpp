// What one tenant has of the content that all tenants share.
//
// The store knows no owners; to a tenant, a blob or layer is there only when one of its own names
// or guests leads to it, or when it brought it itself a short while ago. Everything else is as
// absent: it is fetched or read from the archive, checked, and dropped where the store has it. So
// no tenant learns from its own commands what another has, nor gets it by a digest.
//
// What a command of the tenant brought is marked by an empty file
// images/brought/TENANT/BLOB-DIFFID (BLOB alone: a document of an image): others of that tenant
// that wait for it need not do it again, nor the next attempt after one that failed before a name
// was set. Marks live kIdleAge, as content without a name does, and go with the image.
#pragma once

#include <set>
#include <string>

#include "base/result.hpp"
#include "images/gc.hpp"
#include "images/layout.hpp"
#include "images/store.hpp"

namespace vrun::images {

class Holdings {
 public:
  // What is true now. Damaged names and records lead to nothing.
  static Result<Holdings> of(const Store& store, const std::string& tenant);
  // All that is in the store: for what came with vrun, and for the store's own care.
  static Holdings everything(const Store& store) { return Holdings(store, ""); }

  bool has_blob(const oci::Digest& digest) const;
  // A layer counts together with the very blob it was unpacked from: a manifest may pair any two.
  bool has_layer(const oci::Digest& blob, const oci::Digest& diff_id) const;
  const Content& content() const { return content_; }
  // Marks made since of() was called count as well.
  bool was_brought(const oci::Digest& blob, const oci::Digest& diff_id) const;

  // After the layer appeared in the store.
  Result<void> mark(const oci::Digest& blob, const oci::Digest& diff_id) const;
  // A manifest, index or configuration that appeared in the store.
  Result<void> mark(const oci::Digest& blob) const;
  // Everything of an image that lost its name and is still there, so that it stays charged.
  void mark_all(const Image& image) const;
  // After the names of the image went, and its content.
  static void unmark(const Store& store, const std::string& tenant, const Image& image);

  // Names the lock and the unfinished file of a blob or layer in the making: tenants do not wait
  // for each other.
  std::string key(const oci::Digest& digest) const;

 private:
  Holdings(const Store& store, std::string tenant) : store_(&store), tenant_(std::move(tenant)) {}
  void add(const oci::Digest& manifest);
  Result<void> add_marks();
  Result<void> set_mark(const std::string& name) const;

  const Store* store_;
  std::string tenant_;  // empty: everything
  Content content_;
  std::set<std::string> pairs_;
};

// Names of the young marks of a tenant, and what they are of.
Result<std::set<std::string>> marks_of_tenant(const Store& store, const std::string& tenant);
Content content_of_marks(const std::set<std::string>& marks);
void remove_marks(const Store& store, const std::string& tenant,
                  const std::set<std::string>& marks);

// Removes marks of what is no longer in the store, and those older than `idle` seconds. For the
// collector, alone in the store.
Result<void> remove_old_marks(const Store& store, std::int64_t idle);

}  // namespace vrun::images
