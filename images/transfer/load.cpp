// Archives into the store: docker-archive, oci-archive, OCI layout folders.
//
// An archive is unpacked by a confined process into a spool of its own, brought into the form of an
// OCI layout there, and imported like every other layout: verified blobs, confined unpackers.
#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/json_table.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "images/names.hpp"
#include "images/platform.hpp"
#include "images/transfer/archive_verbs.hpp"
#include "images/transfer/confined.hpp"
#include "images/transfer/extract.hpp"
#include "images/transfer/import.hpp"
#include "images/transfer/new_image.hpp"
#include "images/transfer/sniff.hpp"
#include "images/transfer/spool.hpp"

namespace vrun::images {
namespace {

constexpr std::size_t kMostImages = 1000;
constexpr std::string_view kRefName = "org.opencontainers.image.ref.name";
constexpr std::string_view kFullName = "io.containerd.image.name";

// One element of a docker-archive's manifest.json.
struct DockerImage {
  std::string config;
  std::vector<std::string> tags, layers;
};

constexpr auto json_fields(const DockerImage*) {
  return json::fields(json::field("Config", &DockerImage::config, {.required = true}),
                      json::field("RepoTags", &DockerImage::tags),
                      json::field("Layers", &DockerImage::layers, {.required = true}));
}

// A manifest to bring in, and what it is to be called.
struct Wanted {
  oci::Descriptor manifest;
  std::vector<oci::Reference> names;
};

Result<Extracted> unpack_archive(const Fd& input, const Fd& folder, Meter* meter) {
  ExtractOptions options;
  options.meter = meter;
  options.privileged = false;  // contents only: no owners, no attributes
  FdSource bytes(input);
  Sniffer sniffer(bytes);
  const Compression compression = TRY(sniffer.compression());
  const std::unique_ptr<Decompressor> plain = TRY(Decompressor::create(sniffer, compression));
  const Extracted counts = TRY(extract_layer(*plain, folder, options));
  if (counts.entries == 0) return Error(Code::kInvalid, "the archive is empty");
  // To the end: a writer at the other end of the pipe must not meet a closed one.
  std::array<char, 65536> rest{};
  while (TRY(plain->read(rest)) > 0) {
  }
  return counts;
}

// Whatever lies in an archive, links included, lies in this folder of the spool.
constexpr const char* kInside = "archive";

Result<Fd> fill(const Spool& spool, const Fd& input, Meter* meter) {
  TRY(sys::make_dir(spool.dir(), kInside, 0700));
  Fd folder = TRY(sys::open_dir(spool.dir(), kInside));
  const std::array<int, 2> keep{input.get(), folder.get()};
  Confined child = TRY(Confined::start(keep, ::geteuid() == 0, "read the archive",
                                       [&] { return unpack_archive(input, folder, meter); }));
  Result<Extracted> unpacked = child.finish();
  if (unpacked) return folder;
  if (unpacked.error().code() != Code::kInvalid) return std::move(unpacked).error();
  return std::move(unpacked).error().hint(
      "it is damaged, cut off, or none of docker-archive, oci-archive (gzip and zstd may be around "
      "them) and OCI layout folder");
}

Result<std::string> read_small(const Fd& folder, const std::string& path, std::size_t limit) {
  const Fd file = TRY(open_inside(folder, path));
  return fs::read_file(At::cwd(), "/proc/self/fd/" + std::to_string(file.get()), limit);
}

// ---- docker-archive ----

Result<std::vector<DockerImage>> parse_docker_manifest(const std::string& text) {
  const json::Document document =
      TRY(json::Document::parse(text, "manifest.json", {.bytes = oci::kMaxManifestBytes}));
  json::Faults faults("manifest.json");
  std::vector<DockerImage> list;
  json::decode(json::In(document.root(), faults), {}, list);
  TRY(faults.result());
  if (list.size() > kMostImages) return Error(Code::kInvalid, "manifest.json: too many images");
  return list;
}

Result<oci::Descriptor> add_layer(const Spool& spool, const Fd& folder, const std::string& path) {
  const Fd file = TRY(open_inside(folder, path));
  const Compression compression = TRY(sniff(file));
  const std::string_view type = compression == Compression::kGzip   ? oci::kLayerGzipType
                                : compression == Compression::kZstd ? oci::kLayerZstdType
                                                                    : oci::kLayerTarType;
  return spool.add_file(file, std::string(type));
}

Result<Wanted> to_layout(const Spool& spool, const Fd& folder, const DockerImage& docker) {
  if (docker.layers.empty() || docker.layers.size() > oci::kMaxLayers) {
    return Error(Code::kInvalid,
                 "manifest.json: an image of " + std::to_string(docker.layers.size()) + " layers");
  }
  oci::Manifest manifest;
  manifest.media_type = oci::kManifestType;
  const std::string config = TRY(read_small(folder, docker.config, oci::kMaxImageConfigBytes));
  manifest.config = TRY(spool.add_bytes(config, std::string(oci::kConfigType)));
  for (const std::string& layer : docker.layers)
    manifest.layers.push_back(TRY(add_layer(spool, folder, layer)));
  Wanted wanted;
  wanted.manifest = TRY(spool.add_bytes(oci::to_json(manifest), std::string(oci::kManifestType)));
  for (const std::string& tag : docker.tags)
    wanted.names.push_back(TRY(oci::Reference::parse(tag)));
  return wanted;
}

Result<std::vector<Wanted>> read_docker(const Spool& spool, const Fd& folder) {
  const std::string text = TRY(read_small(folder, "manifest.json", oci::kMaxManifestBytes));
  std::vector<Wanted> wanted;
  for (const DockerImage& docker : TRY(parse_docker_manifest(text)))
    wanted.push_back(TRY(to_layout(spool, folder, docker)));
  return wanted;
}

// ---- OCI layouts ----

std::vector<oci::Reference> names_in(const oci::Descriptor& manifest) {
  for (const std::string_view key : {kFullName, kRefName}) {
    const auto found = manifest.annotations.find(std::string(key));
    if (found == manifest.annotations.end()) continue;
    // A name that is none for us (the annotation may hold anything) is no name; the image has its
    // id.
    Result<oci::Reference> name = oci::Reference::parse(found->second);
    if (name) return {*std::move(name)};
  }
  return {};
}

// An index in the index: what of it fits this machine.
Result<oci::Descriptor> resolve(const Fd& layout, const oci::Descriptor& entry) {
  if (!oci::is_index_type(entry.media_type)) return entry;
  const std::string text = TRY(read_blob(layout, entry, oci::kMaxManifestBytes));
  const oci::Index index = TRY(oci::parse_index(text, "index " + entry.digest.str()));
  oci::Descriptor manifest = TRY(pick_manifest(index, machine_platform()));
  if (oci::is_manifest_type(manifest.media_type)) return manifest;
  return Error(Code::kUnsupported, "index " + entry.digest.str() + ": nested too deep");
}

bool is_supported(const oci::Descriptor& entry) {
  return oci::is_index_type(entry.media_type) || oci::is_manifest_type(entry.media_type);
}

Result<std::vector<Wanted>> read_layout_folder(const Fd& layout) {
  constexpr std::size_t kLayoutBytes = 4096;
  const std::string version =
      TRY(fs::read_file(layout, "oci-layout", kLayoutBytes, fs::Kind::kRegularOnly));
  TRY(oci::check_layout(version, "oci-layout"));
  const std::string text =
      TRY(fs::read_file(layout, "index.json", oci::kMaxManifestBytes, fs::Kind::kRegularOnly));
  const oci::Index index = TRY(oci::parse_index(text, "index.json"));
  if (index.manifests.size() > kMostImages)
    return Error(Code::kInvalid, "index.json: too many images");
  std::vector<Wanted> wanted;
  for (const oci::Descriptor& entry : index.manifests) {
    if (!is_supported(entry)) continue;  // signatures and the like lie beside images
    const oci::Descriptor manifest = TRY(resolve(layout, entry));
    std::vector<oci::Reference> names = names_in(entry);
    // One image with two names stands there twice.
    const auto same = std::find_if(wanted.begin(), wanted.end(), [&](const Wanted& other) {
      return other.manifest.digest == manifest.digest;
    });
    if (same == wanted.end()) {
      wanted.push_back({manifest, std::move(names)});
    } else {
      same->names.insert(same->names.end(), names.begin(), names.end());
    }
  }
  return wanted;
}

// ---- both ----

Error no_archive(const std::string& what) {
  return Error(Code::kInvalid, what + ": neither oci-layout nor manifest.json is in it")
      .hint(
          "load reads docker-archive, oci-archive and OCI layouts; a root file system is for "
          "import");
}

bool is_there(const Fd& dir, const char* name) {
  return ::faccessat(dir.get(), name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void warn(const std::vector<std::string>& warnings, const ArchiveRequest& request) {
  if (request.quiet) return;
  for (const std::string& warning : warnings)
    static_cast<void>(sys::write_all(STDERR_FILENO, "vrun: warning: " + printable(warning) + "\n"));
}

Result<Image> bring(const Store& store, const Holdings& holdings, const std::string& layout,
                    Blobs blobs, const Wanted& wanted, const ArchiveRequest& request,
                    Meter* meter) {
  const Image image = TRY(read_image(layout, wanted.manifest, wanted.manifest.digest.str()));
  ExtractOptions options;
  options.privileged = ::geteuid() == 0;
  options.meter = meter;
  std::vector<std::string> warnings;
  TRY(import_image(store, holdings, image, options, warnings, blobs));
  warn(warnings, request);
  return image;
}

// All images are there before the first name is set.
Result<int> bring_all(const Store& store, const std::string& layout, Blobs blobs,
                      std::vector<Wanted> all, const ArchiveRequest& request, Meter* meter) {
  if (all.empty()) return Error(Code::kInvalid, "there is no image in it");
  const Holdings holdings = TRY(Holdings::of(store, request.tenant));
  for (Wanted& wanted : all) {
    const Image image = TRY(bring(store, holdings, layout, blobs, wanted, request, meter));
    wanted.manifest.media_type = image.descriptor.media_type;
    if (wanted.names.empty())
      wanted.names.push_back(made_up_name(image.manifest.config.digest, "loaded"));
  }
  Names names = TRY(Names::open(store, request.tenant));
  for (const Wanted& wanted : all) {
    for (const oci::Reference& name : wanted.names) {
      TRY(names.set(name, wanted.manifest));
      names.note("load", name, wanted.manifest.digest);
      const std::string head = request.quiet ? "" : "Loaded image: ";
      TRY(sys::write_all(STDOUT_FILENO, head + name.familiar() + "\n"));
    }
  }
  return 0;
}

Result<int> load_folder(const Store& store, const Fd& folder, const ArchiveRequest& request,
                        Meter* meter) {
  if (!is_there(folder, "oci-layout")) return no_archive(quote(request.file));
  return bring_all(store, request.file, Blobs::kCopied, TRY(read_layout_folder(folder)), request,
                   meter);
}

// The names that are opened later on must be what they seem: a link of the archive's would lead to
// files of the host.
Result<void> refuse_links(const Fd& folder) {
  for (const char* path : {"oci-layout", "index.json", "blobs", "blobs/sha256"}) {
    Result<Fd> opened = open_unlinked(folder, path, O_PATH);
    if (opened) continue;
    return std::move(opened).error().with_code(Code::kInvalid).during("the archive");
  }
  return {};
}

Result<int> load_unpacked(const Store& store, const Spool& spool, const Fd& input,
                          const ArchiveRequest& request, Meter* meter) {
  const Fd folder = TRY(fill(spool, input, meter));
  if (is_there(folder, "oci-layout")) {
    TRY(refuse_links(folder));
    return bring_all(store, fs::join(spool.path(), kInside), Blobs::kTaken,
                     TRY(read_layout_folder(folder)), request, meter);
  }
  if (!is_there(folder, "manifest.json")) return no_archive("the archive");
  return bring_all(store, spool.path(), Blobs::kTaken, TRY(read_docker(spool, folder)), request,
                   meter);
}

}  // namespace

Result<int> load_archive(const Store& store, const ArchiveRequest& request, Meter* meter) {
  Fd input = TRY(request.file.empty() ? sys::duplicate(STDIN_FILENO)
                                      : sys::open(At::cwd(), request.file, O_RDONLY));
  const struct stat st = TRY(sys::stat(input.get()));
  const std::string what = request.file.empty() ? "stdin" : quote(request.file);
  const auto named = [&](Error error) { return std::move(std::move(error).during(what)); };
  if (S_ISDIR(st.st_mode)) {
    Result<int> loaded = load_folder(store, input, request, meter);
    return loaded ? std::move(loaded) : Result<int>(named(std::move(loaded).error()));
  }
  const Spool spool = TRY(Spool::create(store));
  Result<int> loaded = load_unpacked(store, spool, input, request, meter);
  return loaded ? std::move(loaded) : Result<int>(named(std::move(loaded).error()));
}

}  // namespace vrun::images
