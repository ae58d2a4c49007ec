// Which images there are, by name. For now: those shipped with vrun, one OCI layout each.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "images/layout.hpp"

namespace vrun::images {

class Catalog {
 public:
  // `shipped`: the directory with one layout directory for each image (share/vrun/images).
  explicit Catalog(std::string shipped) : shipped_(std::move(shipped)) {}

  // Sorted names; an absent directory has none.
  Result<std::vector<std::string>> names() const;
  // "base", "base:latest" and "docker.io/library/base" are one name (oci::Reference). An unknown
  // one is Code::kNotFound: "no such image 'foo'" with the nearest name and a list of what is
  // there.
  Result<Image> find(std::string_view name) const;

 private:
  std::string shipped_;
};

}  // namespace vrun::images
