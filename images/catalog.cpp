#include "images/catalog.hpp"

#include <algorithm>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::images {
namespace {

Error no_such_image(std::string_view name, const std::vector<std::string>& names) {
  Error error(Code::kNotFound, "no such image " + quote(name));
  if (names.empty()) return std::move(error).hint("no image is installed");
  const std::vector<std::string_view> views(names.begin(), names.end());
  const auto near = nearest(name, views);
  const std::string meant = near ? "did you mean " + quote(*near) + "? " : "";
  return std::move(error).hint(meant + "there is: " + join(names, ", ") +
                               " (pulling from registries comes with a later version)");
}

}  // namespace

Result<std::vector<std::string>> Catalog::names() const {
  Result<Fd> dir = sys::open_dir(At::cwd(), shipped_);
  if (!dir) {
    if (dir.error().code() == Code::kNotFound) return std::vector<std::string>{};
    return std::move(dir).error();
  }
  std::vector<std::string> names = TRY(sys::list_dir(dir->get()));
  std::erase_if(names, [](const std::string& name) { return name.starts_with('.'); });
  std::sort(names.begin(), names.end());
  return names;
}

Result<Image> Catalog::find(std::string_view name) const {
  Result<oci::Reference> wanted = oci::Reference::parse(name);
  if (!wanted) return std::move(wanted).error();
  const std::vector<std::string> names = TRY(this->names());
  for (const std::string& known : names) {
    Result<oci::Reference> reference = oci::Reference::parse(known);
    if (!reference || reference->repository() != wanted->repository()) continue;
    if (!wanted->digest && wanted->tag != reference->tag) continue;
    Image image = TRY(read_layout(fs::join(shipped_, known), known));
    if (wanted->digest && *wanted->digest != image.digest) continue;
    return image;
  }
  return no_such_image(name, names);
}

}  // namespace vrun::images
