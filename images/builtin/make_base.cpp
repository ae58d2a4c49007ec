// Build tool: makes the OCI layout of the built-in image "base" from a static busybox.
//
//   vrun_make_base BUSYBOX OUTPUT-DIRECTORY
//
// One gzip layer: /bin/busybox, a hard link for each applet where busybox itself says it belongs,
// and the few files and directories a Unix expects. Reproducible: everything is dated 1970, owned
// by root and in sorted order, so that the same busybox gives the same digests.
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <archive.h>
#include <archive_entry.h>
#include <elf.h>

#include "base/digest.hpp"
#include "base/fs.hpp"
#include "base/spawn.hpp"
#include "base/text.hpp"
#include "images/layout.hpp"
#include "oci/image.hpp"

namespace {

using namespace vrun;

constexpr std::string_view kCreated = "1970-01-01T00:00:00Z";
constexpr std::string_view kPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

struct Node {
  unsigned mode;
  std::string content;    // of a file
  std::string hard_link;  // else the entry this is a link to
  bool directory = false;
};
using Tree = std::map<std::string, Node>;  // sorted: parents come before what is in them

Result<void> check_static(std::string_view elf) {
  Elf64_Ehdr header{};
  if (elf.size() < sizeof header) return Error(Code::kInvalid, "not an ELF program");
  std::memcpy(&header, elf.data(), sizeof header);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    return Error(Code::kInvalid, "not an ELF program");
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment{};
    const std::size_t at = header.e_phoff + i * sizeof segment;
    if (at + sizeof segment > elf.size()) return Error(Code::kInvalid, "a damaged ELF program");
    std::memcpy(&segment, elf.data() + at, sizeof segment);
    if (segment.p_type != PT_INTERP) continue;
    return Error(Code::kInvalid, "is linked dynamically")
        .hint("install the package busybox-static");
  }
  return {};
}

void add_directories(Tree& tree) {
  constexpr std::string_view kOrdinary[] = {"bin",
                                            "dev",
                                            "etc",
                                            "home",
                                            "lib",
                                            "media",
                                            "mnt",
                                            "opt",
                                            "proc",
                                            "run",
                                            "sbin",
                                            "srv",
                                            "sys",
                                            "usr",
                                            "usr/bin",
                                            "usr/lib",
                                            "usr/local",
                                            "usr/local/bin",
                                            "usr/local/sbin",
                                            "usr/sbin",
                                            "usr/share",
                                            "usr/share/doc",
                                            "usr/share/doc/busybox",
                                            "var",
                                            "var/cache",
                                            "var/lib",
                                            "var/log",
                                            "var/spool"};
  for (const std::string_view name : kOrdinary)
    tree[std::string(name)] = {.mode = 0755, .content = "", .hard_link = "", .directory = true};
  tree["root"] = {.mode = 0700, .content = "", .hard_link = "", .directory = true};
  for (const std::string_view name : {"tmp", "var/tmp"})
    tree[std::string(name)] = {.mode = 01777, .content = "", .hard_link = "", .directory = true};
}

void add_files(Tree& tree) {
  const auto file = [&](const std::string& name, std::string content, unsigned mode = 0644) {
    tree[name] = {.mode = mode, .content = std::move(content), .hard_link = "", .directory = false};
  };
  file("etc/passwd",
       "root:x:0:0:root:/root:/bin/sh\n"
       "daemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
       "user:x:1000:1000:user:/home:/bin/sh\n"
       "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n");
  file("etc/group", "root:x:0:\ndaemon:x:1:\ntty:x:5:\nuser:x:1000:\nnogroup:x:65534:\n");
  file("etc/shadow", "root:*:::::::\ndaemon:*:::::::\nuser:*:::::::\nnobody:*:::::::\n", 0640);
  file("etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n");
  file("etc/shells", "/bin/sh\n");
  file("etc/os-release",
       "NAME=\"vrun base\"\nID=vrun-base\nPRETTY_NAME=\"vrun base image (busybox)\"\n");
}

Result<Tree> make_tree(const std::string& busybox) {
  Tree tree;
  add_directories(tree);
  add_files(tree);
  constexpr std::size_t kMost = 64U << 20U;
  Node program{
      .mode = 0755, .content = TRY(fs::read_file(At::cwd(), busybox, kMost)), .hard_link = ""};
  TRY(check_static(program.content));
  tree["bin/busybox"] = std::move(program);
  // The licence travels with the program (Debian puts it there).
  Result<std::string> licence =
      fs::read_file(At::cwd(), "/usr/share/doc/busybox-static/copyright", kMost);
  if (licence) {
    tree["usr/share/doc/busybox/copyright"] = {
        .mode = 0644, .content = *std::move(licence), .hard_link = ""};
  }
  Command command;
  command.path = busybox;
  command.argv = {"busybox", "--list-full"};
  const Finished list = TRY(run(command));
  if (list.exit.code() != 0) return Error(Code::kInvalid, "busybox --list-full: " + list.output);
  for (const std::string_view line : split(list.output, '\n')) {
    const std::string name(trim(line));
    if (name.empty() || tree.contains(name)) continue;
    tree[name] = {.mode = 0755, .content = "", .hard_link = "bin/busybox"};
  }
  return tree;
}

// Appends what libarchive writes to a string.
la_ssize_t append(archive*, void* to, const void* data, std::size_t bytes) {
  static_cast<std::string*>(to)->append(static_cast<const char*>(data), bytes);
  return static_cast<la_ssize_t>(bytes);
}

Error archive_failed(archive* writer) {
  return Error(Code::kSystem, std::string("write archive: ") + archive_error_string(writer));
}

Result<void> add_node(archive* writer, const std::string& name, const Node& node) {
  archive_entry* entry = archive_entry_new();
  archive_entry_set_pathname(entry, name.c_str());
  archive_entry_set_uid(entry, 0);
  archive_entry_set_gid(entry, 0);
  archive_entry_set_mtime(entry, 0, 0);
  archive_entry_set_mode(entry, (node.directory ? AE_IFDIR : AE_IFREG) | node.mode);
  archive_entry_set_size(entry, static_cast<la_int64_t>(node.content.size()));
  if (!node.hard_link.empty()) archive_entry_set_hardlink(entry, node.hard_link.c_str());
  const bool good = archive_write_header(writer, entry) == ARCHIVE_OK &&
                    archive_write_data(writer, node.content.data(), node.content.size()) ==
                        static_cast<la_ssize_t>(node.content.size());
  archive_entry_free(entry);
  if (!good) return archive_failed(writer);
  return {};
}

Result<std::string> to_tar(const Tree& tree) {
  std::string bytes;
  archive* writer = archive_write_new();
  archive_write_set_format_ustar(writer);
  archive_write_open(writer, &bytes, nullptr, &append, nullptr);
  Result<void> done;
  // bin/busybox first: the links name it.
  done = add_node(writer, "bin", tree.at("bin"));
  if (done) done = add_node(writer, "bin/busybox", tree.at("bin/busybox"));
  for (const auto& [name, node] : tree) {
    if (done && name != "bin" && name != "bin/busybox") done = add_node(writer, name, node);
  }
  if (archive_write_close(writer) != ARCHIVE_OK && done) done = archive_failed(writer);
  archive_write_free(writer);
  if (!done) return std::move(done).error();
  return bytes;
}

Result<std::string> to_gzip(const std::string& plain) {
  std::string bytes;
  archive* writer = archive_write_new();
  archive_write_set_format_raw(writer);
  archive_write_add_filter_gzip(writer);
  // No time of day in the gzip header; the best compression, for this happens once.
  archive_write_set_options(writer, "gzip:!timestamp,gzip:compression-level=9");
  archive_write_set_bytes_in_last_block(writer, 1);
  archive_write_open(writer, &bytes, nullptr, &append, nullptr);
  Result<void> done = add_node(writer, "data", {.mode = 0644, .content = plain, .hard_link = ""});
  if (archive_write_close(writer) != ARCHIVE_OK && done) done = archive_failed(writer);
  archive_write_free(writer);
  if (!done) return std::move(done).error();
  return bytes;
}

Result<oci::Digest> digest_of(const std::string& bytes) {
  return oci::Digest::parse("sha256:" + sha256_hex(bytes));
}

Result<oci::Descriptor> write_blob(const std::string& dir, const std::string& bytes,
                                   std::string_view media_type) {
  const oci::Digest digest = TRY(digest_of(bytes));
  const Fd blobs = TRY(sys::open_dir(At::cwd(), dir + "/blobs/sha256"));
  TRY(fs::replace_file(blobs, digest.hex, bytes, 0644));
  oci::Descriptor descriptor;
  descriptor.media_type = media_type;
  descriptor.digest = digest;
  descriptor.size = bytes.size();
  return descriptor;
}

oci::ImageConfig make_config(const oci::Digest& diff_id) {
  oci::ImageConfig config;
  config.created = kCreated;
  config.architecture = images::machine_architecture();
  config.os = "linux";
  config.env = {std::string(kPath)};
  config.cmd = {"/bin/sh"};
  config.working_dir = "/";
  config.diff_ids = {diff_id};
  config.history = {{.created = std::string(kCreated),
                     .created_by = "vrun_make_base: busybox-static",
                     .author = "",
                     .comment = ""}};
  return config;
}

Result<void> make_layout(const std::string& busybox, const std::string& dir) {
  TRY(fs::make_dirs(At::cwd(), dir + "/blobs/sha256", 0755));
  const Tree tree = TRY(make_tree(busybox));
  const std::string tar = TRY(to_tar(tree));
  oci::Manifest manifest;
  manifest.media_type = oci::kManifestType;
  const std::string layer = TRY(to_gzip(tar));
  manifest.layers = {TRY(write_blob(dir, layer, oci::kLayerGzipType))};
  const oci::ImageConfig config = make_config(TRY(digest_of(tar)));
  manifest.config = TRY(write_blob(dir, oci::to_json(config), oci::kConfigType));
  oci::Descriptor entry = TRY(write_blob(dir, oci::to_json(manifest), oci::kManifestType));
  entry.platform = oci::Platform{};
  entry.platform->architecture = images::machine_architecture();
  entry.platform->os = "linux";
  entry.annotations["org.opencontainers.image.ref.name"] = "latest";
  oci::Index index;
  index.media_type = oci::kIndexType;
  index.manifests = {entry};
  const Fd out = TRY(sys::open_dir(At::cwd(), dir));
  TRY(fs::replace_file(out, "oci-layout", oci::layout_json(), 0644));
  return fs::replace_file(out, "index.json", oci::to_json(index, true), 0644);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: vrun_make_base BUSYBOX OUTPUT-DIRECTORY\n", stderr);
    return 2;
  }
  Result<void> done = make_layout(argv[1], argv[2]);
  if (done) return 0;
  const std::string hint = done.error().hint().empty() ? "" : "\n  hint: " + done.error().hint();
  std::fprintf(stderr, "vrun_make_base: %s: %s%s\n", argv[1], done.error().text().c_str(),
               hint.c_str());
  return 1;
}
