#include "images/layout.hpp"

#include <algorithm>

#include <fcntl.h>
#include <sys/stat.h>

#include "base/digest.hpp"
#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::images {
namespace {

bool fits(const oci::Descriptor& manifest) {
  if (!oci::is_manifest_type(manifest.media_type)) return false;
  if (!manifest.platform) return true;
  return manifest.platform->os == "linux" &&
         manifest.platform->architecture == machine_architecture();
}

Result<oci::Descriptor> pick_manifest(const oci::Index& index) {
  const auto found = std::find_if(index.manifests.begin(), index.manifests.end(), fits);
  if (found != index.manifests.end()) return *found;
  return Error(Code::kUnsupported, "no manifest for linux/" + std::string(machine_architecture()));
}

Result<void> check_layers(const Image& image) {
  const std::size_t layers = image.manifest.layers.size();
  const std::size_t diff_ids = image.config.diff_ids.size();
  if (layers == diff_ids) return {};
  return Error(Code::kInvalid, "the manifest has " + std::to_string(layers) +
                                   " layers, the configuration " + std::to_string(diff_ids));
}

Result<Image> read_one(const Fd& dir, const oci::Descriptor& manifest, const std::string& name) {
  Image image;
  image.name = name;
  image.digest = manifest.digest;
  image.descriptor = manifest;
  const std::string manifest_text = TRY(read_blob(dir, manifest, oci::kMaxManifestBytes));
  image.manifest = TRY(oci::parse_manifest(manifest_text, "manifest " + manifest.digest.str()));
  const oci::Descriptor& config = image.manifest.config;
  const std::string config_text = TRY(read_blob(dir, config, oci::kMaxImageConfigBytes));
  image.config = TRY(oci::parse_image_config(config_text, "configuration " + config.digest.str()));
  TRY(check_layers(image));
  return image;
}

Result<Image> read(const Fd& dir, const std::string& name) {
  constexpr std::size_t kLayoutBytes = 4096;
  const std::string layout =
      TRY(fs::read_file(dir, "oci-layout", kLayoutBytes, fs::Kind::kRegularOnly));
  TRY(oci::check_layout(layout, "oci-layout"));
  const std::string index_text =
      TRY(fs::read_file(dir, "index.json", oci::kMaxManifestBytes, fs::Kind::kRegularOnly));
  const oci::Index index = TRY(oci::parse_index(index_text, "index.json"));
  return read_one(dir, TRY(pick_manifest(index)), name);
}

}  // namespace

std::string_view machine_architecture() {
#if defined(__x86_64__)
  return "amd64";
#elif defined(__aarch64__)
  return "arm64";
#else
#error "name this architecture as Go does"
#endif
}

std::uint64_t Image::size() const {
  std::uint64_t bytes = manifest.config.size;
  for (const oci::Descriptor& layer : manifest.layers)
    bytes += layer.size;
  return bytes;
}

Result<Fd> open_blob(At layout, const oci::Descriptor& blob) {
  // O_NONBLOCK: a fifo in the place of a blob must not hang us.
  Fd file = TRY(sys::open(layout, "blobs/" + blob.digest.algorithm + "/" + blob.digest.hex,
                          O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  const struct stat st = TRY(sys::stat(file.get()));
  if (S_ISREG(st.st_mode) && static_cast<std::uint64_t>(st.st_size) == blob.size) return file;
  return Error(Code::kInvalid, "blob " + blob.digest.str() + ": has " + std::to_string(st.st_size) +
                                   " bytes, not " + std::to_string(blob.size));
}

Result<std::string> read_blob(At layout, const oci::Descriptor& blob, std::size_t limit) {
  if (blob.size > limit) {
    return Error(Code::kInvalid,
                 "blob " + blob.digest.str() + ": larger than " + std::to_string(limit) + " bytes");
  }
  const Fd file = TRY(open_blob(layout, blob));
  std::string bytes(blob.size, '\0');
  std::size_t used = 0;
  while (used < bytes.size()) {
    const std::size_t n = TRY(sys::read(file.get(), std::span(bytes).subspan(used)));
    if (n == 0) break;
    used += n;
  }
  if (used == bytes.size() && sha256_hex(bytes) == blob.digest.hex) return bytes;
  return Error(Code::kInvalid, "blob " + blob.digest.str() + ": its content has another digest")
      .hint(
          "the image was damaged: vrun image fsck --repair, then pull or load it again; one that "
          "came "
          "with vrun comes back with its package");
}

Result<Image> read_image(const std::string& dir, const oci::Descriptor& manifest,
                         const std::string& name) {
  const Fd layout = TRY(sys::open_dir(At::cwd(), dir));
  Result<Image> image = read_one(layout, manifest, name);
  if (!image) return std::move(image).error().during("image " + quote(name));
  image->layout_dir = dir;
  return image;
}

Result<Image> read_layout(const std::string& dir, const std::string& name) {
  const Fd layout = TRY(sys::open_dir(At::cwd(), dir));
  Result<Image> image = read(layout, name);
  if (!image) return std::move(image).error().during("image " + quote(name) + " in " + quote(dir));
  image->layout_dir = dir;
  return image;
}

}  // namespace vrun::images
