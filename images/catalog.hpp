// Which images there are, by name: what a tenant pulled, loaded or made, and what is shipped with
// vrun (one OCI layout each). The tenant's own names come first.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "images/layout.hpp"
#include "images/names.hpp"

namespace vrun::images {

// One row of `vrun images`.
struct Listed {
  std::vector<oci::Reference> names;  // none: an image that lost its name, or is shipped
  std::string shipped;                // its name, when it is shipped
  std::string created;                // when it came here, if known
  Image image;
};

class Catalog {
 public:
  // `shipped`: the directory with one layout directory for each image (share/vrun/images).
  explicit Catalog(std::string shipped) : shipped_(std::move(shipped)) {}
  // With the images of a tenant in the store below `data_dir`, which need not exist.
  Catalog(std::string shipped, std::string data_dir, std::string tenant)
      : shipped_(std::move(shipped)), data_dir_(std::move(data_dir)), tenant_(std::move(tenant)) {}

  // Sorted short names of all images; an absent directory has none.
  Result<std::vector<std::string>> names() const;
  // "base", "base:latest" and "docker.io/library/base" are one name (oci::Reference). Without such
  // a name: the id of an image (of its configuration or manifest), which may be shortened as long
  // as it is clear, 4 digits at least. An unknown one is Code::kNotFound: "no such image 'foo'"
  // with the nearest name and a list of what is there.
  Result<Image> find(std::string_view name) const;
  // Is that what came with vrun, so that no registry has it?
  Result<bool> is_shipped(std::string_view name) const;
  // Those that came with vrun.
  Result<std::vector<Image>> shipped() const;
  // Everything: one row for each image, names together. Damaged ones are told in `damaged`.
  Result<std::vector<Listed>> list(std::vector<std::string>& damaged) const;

 private:
  Result<std::vector<std::string>> shipped_names() const;
  Result<std::optional<Image>> find_shipped(const oci::Reference& wanted) const;
  Result<std::optional<Image>> find_named(const oci::Reference& wanted) const;
  Result<std::optional<Image>> find_by_id(std::string_view id) const;
  bool has_store() const;
  Result<std::vector<Named>> named(std::vector<std::string>* damaged) const;
  std::string store_dir() const;

  std::string shipped_, data_dir_, tenant_;
};

}  // namespace vrun::images
