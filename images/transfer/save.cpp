// Images into an archive. docker-archive holds plain layers, which a confined process inflates;
// the OCI forms hold the blobs as they are.
#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "base/undo.hpp"
#include "images/catalog.hpp"
#include "images/transfer/archive_verbs.hpp"
#include "images/transfer/archive_writer.hpp"
#include "images/transfer/confined.hpp"
#include "images/transfer/stream.hpp"

namespace vrun::images {
namespace {

struct Chosen {
  Image image;
  std::vector<oci::Reference> names;  // none when it was called by its id
};

Result<std::vector<Chosen>> choose(const ArchiveRequest& request) {
  const Catalog catalog(request.shipped, request.data_dir, request.tenant);
  std::vector<Chosen> chosen;
  for (const std::string& word : request.images) {
    Image image = TRY(catalog.find(word));
    const auto same = std::find_if(chosen.begin(), chosen.end(), [&](const Chosen& other) {
      return other.image.digest == image.digest;
    });
    const bool is_new = same == chosen.end();
    Chosen& one = is_new ? chosen.emplace_back() : *same;
    if (is_new) one.image = std::move(image);
    Result<oci::Reference> name = oci::Reference::parse(word);
    const bool is_id = one.image.manifest.config.digest.hex.starts_with(word) ||
                       one.image.digest.hex.starts_with(word);
    if (name && !is_id && !name->tag.empty()) {
      name->digest.reset();
      one.names.push_back(*std::move(name));
    }
  }
  return chosen;
}

// ---- docker-archive ----

Result<Extracted> inflate(const Fd& blob, const Fd& out, const oci::Descriptor& layer,
                          const oci::Digest& diff_id) {
  FdSource bytes(blob);
  const Compression compression = TRY(compression_of(layer.media_type));
  const std::unique_ptr<Decompressor> plain = TRY(Decompressor::create(bytes, compression));
  HashingSource tar(*plain, INT64_MAX, "layer " + diff_id.str());
  std::array<char, 131072> buffer;
  while (true) {
    const std::size_t n = TRY(tar.read(buffer));
    if (n == 0) break;
    TRY(sys::write_all(out.get(), {buffer.data(), n}));
  }
  Extracted counts;
  counts.bytes = tar.bytes();
  if (TRY(tar.finish()) == diff_id.hex) return counts;
  return Error(Code::kInvalid, "layer " + diff_id.str() + ": its content has another digest")
      .hint("the image store was damaged: vrun image fsck tells what else");
}

class DockerArchive {
 public:
  DockerArchive(const ArchiveRequest& request, ArchiveWriter& writer)
      : request_(request), writer_(writer) {}

  Result<void> write(const std::vector<Chosen>& images) {
    json_.begin_array();
    for (const Chosen& chosen : images)
      TRY(add(chosen));
    json_.end_array();
    TRY(writer_.add("manifest.json", json_.take()));
    return writer_.finish();
  }

 private:
  static std::string layer_path(const oci::Digest& diff_id) { return diff_id.hex + ".tar"; }

  Result<void> add(const Chosen& chosen) {
    const Image& image = chosen.image;
    const Fd layout = TRY(sys::open_dir(At::cwd(), image.layout_dir));
    const std::string config = image.manifest.config.digest.hex + ".json";
    if (written_.insert(config).second) {
      const Fd file = TRY(open_blob(layout, image.manifest.config));
      TRY(writer_.add(config, file, image.manifest.config.size));
    }
    std::vector<std::string> layers, tags;
    for (std::size_t i = 0; i < image.manifest.layers.size(); ++i) {
      layers.push_back(layer_path(image.config.diff_ids[i]));
      if (!written_.insert(layers.back()).second) continue;
      TRY(add_layer(layout, image.manifest.layers[i], image.config.diff_ids[i]));
    }
    for (const oci::Reference& name : chosen.names)
      tags.push_back(name.familiar());
    json_.begin_object().member("Config", config);
    json_.key("RepoTags").value(std::span<const std::string>(tags));
    json_.key("Layers").value(std::span<const std::string>(layers));
    json_.end_object();
    return {};
  }

  // A tar says a file's size before its content: the layer is inflated to a nameless file first.
  Result<void> add_layer(const Fd& layout, const oci::Descriptor& layer,
                         const oci::Digest& diff_id) {
    const Fd blob = TRY(open_blob(layout, layer));
    const Fd plain =
        TRY(sys::open(At::cwd(), fs::join(request_.data_dir, "images"), O_TMPFILE | O_RDWR, 0600));
    const std::array<int, 2> keep{blob.get(), plain.get()};
    Confined child = TRY(Confined::start(keep, ::geteuid() == 0, "inflate layer " + diff_id.str(),
                                         [&] { return inflate(blob, plain, layer, diff_id); }));
    const Extracted counts = TRY(child.finish());
    if (::lseek(plain.get(), 0, SEEK_SET) != 0) return Error::system(errno, "seek");
    return writer_.add(layer_path(diff_id), plain, counts.bytes);
  }

  const ArchiveRequest& request_;
  ArchiveWriter& writer_;
  json::Writer json_;
  std::set<std::string> written_;
};

// ---- OCI ----

Result<void> add_blob(ArchiveWriter& writer, const Fd& layout, const oci::Descriptor& blob,
                      std::set<std::string>& written) {
  if (!written.insert(blob.digest.hex).second) return {};
  const Fd file = TRY(open_blob(layout, blob));
  return writer.add("blobs/sha256/" + blob.digest.hex, file, blob.size);
}

oci::Descriptor entry_of(const Image& image, const oci::Reference* name) {
  oci::Descriptor entry;
  entry.media_type = image.descriptor.media_type;
  entry.digest = image.digest;
  entry.size = image.descriptor.size;
  if (name == nullptr) return entry;
  entry.annotations["org.opencontainers.image.ref.name"] = name->str();
  entry.annotations["io.containerd.image.name"] = name->str();
  return entry;
}

Result<void> write_oci(ArchiveWriter& writer, const std::vector<Chosen>& images) {
  oci::Index index;
  index.media_type = oci::kIndexType;
  std::set<std::string> written;
  for (const Chosen& chosen : images) {
    const Image& image = chosen.image;
    const Fd layout = TRY(sys::open_dir(At::cwd(), image.layout_dir));
    TRY(add_blob(writer, layout, image.descriptor, written));
    TRY(add_blob(writer, layout, image.manifest.config, written));
    for (const oci::Descriptor& layer : image.manifest.layers)
      TRY(add_blob(writer, layout, layer, written));
    for (const oci::Reference& name : chosen.names)
      index.manifests.push_back(entry_of(image, &name));
    if (chosen.names.empty()) index.manifests.push_back(entry_of(image, nullptr));
  }
  TRY(writer.add("oci-layout", oci::layout_json()));
  TRY(writer.add("index.json", oci::to_json(index)));
  return writer.finish();
}

// ---- where to ----

Result<void> write_to(const Fd& out, const std::vector<Chosen>& images,
                      const ArchiveRequest& request) {
  const std::unique_ptr<ArchiveWriter> writer = tar_writer(out);
  if (request.format == "oci-archive") return write_oci(*writer, images);
  return DockerArchive(request, *writer).write(images);
}

Result<void> write_folder(const std::vector<Chosen>& images, const std::string& path) {
  if (::mkdir(path.c_str(), 0755) != 0) {
    if (errno != EEXIST) return Error::system(errno, "create directory " + quote(path));
    return Error(Code::kExists, quote(path) + " is there already")
        .hint("name a folder that does not exist yet");
  }
  Undo discard([&] { static_cast<void>(fs::remove_tree(At::cwd(), path)); });
  const Fd dir = TRY(sys::open_dir(At::cwd(), path));
  const std::unique_ptr<ArchiveWriter> writer = folder_writer(dir);
  TRY(write_oci(*writer, images));
  discard.commit();
  return {};
}

// A new file appears whole under its name; a pipe or device is written as it is.
Result<void> write_file(const std::vector<Chosen>& images, const ArchiveRequest& request) {
  const Result<struct stat> there = sys::stat(At::cwd(), request.file);
  if (there && !S_ISREG(there->st_mode)) {
    const Fd out = TRY(sys::open(At::cwd(), request.file, O_WRONLY));
    return write_to(out, images, request);
  }
  const std::string parent(fs::dir_name(request.file));
  const Fd dir = TRY(sys::open_dir(At::cwd(), parent));
  const std::string name(fs::base_name(request.file));
  const std::string unfinished = "." + name + "." + std::to_string(::getpid()) + ".part";
  const Fd out = TRY(sys::open(dir, unfinished, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644));
  Undo discard([&] { static_cast<void>(sys::unlink(dir, unfinished)); });
  TRY(write_to(out, images, request));
  TRY(sys::rename(dir, unfinished, dir, name));
  discard.commit();
  return {};
}

}  // namespace

Result<int> save_archive(const ArchiveRequest& request) {
  constexpr std::array<std::string_view, 3> kFormats{"docker-archive", "oci-archive", "oci-dir"};
  if (std::find(kFormats.begin(), kFormats.end(), request.format) == kFormats.end()) {
    Error error(Code::kInvalid, "--format " + quote(request.format) + ": unknown");
    return std::move(error).hint("there is docker-archive, oci-archive and oci-dir");
  }
  const std::vector<Chosen> images = TRY(choose(request));
  if (request.format == "oci-dir") {
    TRY(write_folder(images, request.file));
  } else if (request.file.empty()) {
    const Fd out = TRY(sys::duplicate(STDOUT_FILENO));
    TRY(write_to(out, images, request));
  } else {
    TRY(write_file(images, request));
  }
  return 0;
}

}  // namespace vrun::images
