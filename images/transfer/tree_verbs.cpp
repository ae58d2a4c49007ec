#include "images/transfer/tree_verbs.hpp"

#include <algorithm>
#include <array>

#include <fcntl.h>
#include <unistd.h>

#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "images/changes.hpp"
#include "images/gc.hpp"
#include "images/transfer/allowance.hpp"
#include "images/transfer/copy.hpp"
#include "images/transfer/new_image.hpp"
#include "images/transfer/tell.hpp"
#include "images/transfer/tree_changes.hpp"
#include "images/transfer/tree_tar.hpp"
#include "images/transfer/unpack_guest.hpp"
#include "images/tree_request.hpp"

namespace vrun::images {
namespace {

constexpr int kOwnFailure = 125;

Result<Fd> given(std::int64_t number, std::string_view what) {
  if (number > STDERR_FILENO) return sys::duplicate(static_cast<int>(number));
  return Error(Code::kInternal, "no descriptor of the " + std::string(what));
}

void warn(const TarCounts& counts) {
  std::string text;
  if (counts.sockets_left_out > 0) {
    text += "vrun: warning: " + std::to_string(counts.sockets_left_out) + " sockets left out\n";
  }
  if (counts.changed > 0) {
    text += "vrun: warning: files became shorter while they were read: filled up with zeros\n";
  }
  static_cast<void>(sys::write_all(STDERR_FILENO, text));
}

Result<std::vector<Change>> changes_in(const Store& store, const Image& image, const Fd& upper,
                                       const TreeRequest& request) {
  std::vector<Fd> layers;
  for (const oci::Digest& id : image.config.diff_ids)
    layers.push_back(TRY(store.open_layer(id)));
  return changes_of(upper, layers, request.mount_points);
}

Result<std::string> pack_and_add(const Store& store, const Fd& upper,
                                 const std::set<std::string>& changed, NewImage image,
                                 const std::string& tenant, Meter* meter) {
  const Spool spool = TRY(Spool::create(store));
  const Fd tar = TRY(sys::open(spool.dir(), "layer.tar", O_RDWR | O_CREAT | O_EXCL, 0600));
  TarOptions options;
  options.form = TarForm::kLayer;
  options.only = &changed;
  options.meter = meter;
  warn(TRY(write_tar(upper, ".", tar, options)));
  if (::lseek(tar.get(), 0, SEEK_SET) != 0) return Error::system(errno, "seek");
  return add_image(store, spool, tar, std::move(image), tenant, meter);
}

Result<void> commit(const TreeRequest& request) {
  const Fd upper = TRY(given(request.upper, "upper directory"));
  const Store store = TRY(Store::open(request.data_dir));
  TRY(store.sweep());
  Fd in_use = TRY(store.use());
  const oci::Digest manifest = TRY(oci::Digest::parse(request.manifest));
  Image below = TRY(read_stored(store, manifest, request.manifest));
  std::set<std::string> changed;
  for (const Change& change : TRY(changes_in(store, below, upper, request)))
    changed.insert(change.path);
  NewImage image;
  image.config = std::move(below.config);
  image.layers = std::move(below.manifest.layers);
  image.created = now_text();
  image.created_by = "vrun commit";
  image.how = "committed";
  image.event = "commit";
  image.comment = request.message;
  image.author = request.author;
  if (!request.name.empty()) image.name = TRY(oci::Reference::parse(request.name));
  TRY(apply_changes(image.config, request.changes));
  if (image.layers.size() >= oci::kMaxLayers) {
    return Error(Code::kUnsupported,
                 "the image has " + std::to_string(image.layers.size()) + " layers already")
        .hint("export the guest and import the tar: that makes one layer of all");
  }
  Allowance allowance = TRY(Allowance::open(store, std::move(in_use), request.tenant,
                                            request.image_limit, request.shipped));
  Result<std::string> id =
      pack_and_add(store, upper, changed, std::move(image), request.tenant, allowance.meter());
  allowance.close();
  return sys::write_all(STDOUT_FILENO, TRY(std::move(id)) + "\n");
}

Result<void> diff(const TreeRequest& request) {
  const Fd upper = TRY(given(request.upper, "upper directory"));
  const Store store = TRY(Store::open(request.data_dir));
  const Fd in_use = TRY(store.use());
  const oci::Digest manifest = TRY(oci::Digest::parse(request.manifest));
  const Image image = TRY(read_stored(store, manifest, request.manifest));
  const std::vector<Change> changes = TRY(changes_in(store, image, upper, request));
  std::string text;
  for (const Change& change : changes)
    text += std::string(1, change.kind) + " " + printable(change.path) + "\n";
  if (request.json) {
    json::Writer w(json::Style::kSpaces);
    w.begin_array();
    for (const Change& change : changes) {
      w.begin_object()
          .member("Kind", std::string_view(&change.kind, 1))
          .member("Path", change.path)
          .end_object();
    }
    w.end_array();
    text = w.take() + "\n";
  }
  return sys::write_all(STDOUT_FILENO, text);
}

Result<void> export_tree(const TreeRequest& request) {
  const Fd root = TRY(given(request.root, "root directory"));
  const Fd out = TRY(sys::duplicate(STDOUT_FILENO));
  TarOptions options;
  options.ids = request.ids;
  warn(TRY(write_tar(root, ".", out, options)));
  return {};
}

Result<void> out_of(const TreeRequest& request) {
  return copy_out(TRY(given(request.root, "root directory")), request);
}

Result<void> into(const TreeRequest& request) {
  return copy_in(TRY(given(request.root, "root directory")), request);
}

Result<void> pack_parts(const TreeRequest& request) {
  const Fd out = TRY(sys::duplicate(STDOUT_FILENO));
  std::vector<Fd> open;
  std::vector<TarTree> trees;
  for (const TreePart& part : request.parts) {
    open.push_back(TRY(given(part.directory, part.top)));
    // As layers have them: whiteouts by name, nothing of overlayfs' own.
    trees.push_back({At::borrowed(open.back().get()), part.name, {}});
    trees.back().options.form = TarForm::kLayer;
    trees.back().options.top = part.top;
  }
  warn(TRY(write_tar(trees, out)));
  return {};
}

Result<void> unpack_parts(const TreeRequest& request) {
  const Fd directory = TRY(given(request.root, "directory"));
  std::vector<std::string> warnings;
  Result<void> done = unpack_guest(TRY(sys::duplicate(STDIN_FILENO)), directory, warnings);
  for (const std::string& warning : warnings)
    static_cast<void>(sys::write_all(STDERR_FILENO, "vrun: warning: " + warning + "\n"));
  return done;
}

Result<void> pack_host(const TreeRequest& request) {
  return pack(request);
}

Result<void> unpack_host(const TreeRequest& request) {
  if (request.named) return unpack(request);
  return unpack(TRY(given(request.root, "directory")), request);
}

using Function = Result<void> (*)(const TreeRequest&);
struct Verb {
  std::string_view name;   // of vrun-image
  std::string_view shown;  // of vrun
  Function function;
};
constexpr std::array kVerbs{Verb{"commit", "commit", &commit},
                            Verb{"diff", "diff", &diff},
                            Verb{"export", "export", &export_tree},
                            Verb{"copy-out", "cp", &out_of},
                            Verb{"copy-in", "cp", &into},
                            Verb{"copy-pack", "cp", &pack_host},
                            Verb{"copy-unpack", "cp", &unpack_host},
                            Verb{"pack", "guest export", &pack_parts},
                            Verb{"unpack", "guest import", &unpack_parts}};

const Verb* find_verb(std::string_view name) {
  const auto found = std::find_if(kVerbs.begin(), kVerbs.end(),
                                  [&](const Verb& verb) { return verb.name == name; });
  return found == kVerbs.end() ? nullptr : &*found;
}

}  // namespace

bool is_tree_verb(std::string_view verb) {
  return find_verb(verb) != nullptr;
}

int run_tree_verb(std::string_view name, std::string_view request_json) {
  const Verb* verb = find_verb(name);
  Result<TreeRequest> request = parse_tree_request(request_json);
  if (verb == nullptr || !request) {
    tell(request ? Error(Code::kInternal, "no such verb") : std::move(request).error());
    return kOwnFailure;
  }
  Result<void> done = verb->function(*request);
  if (done) return 0;
  tell(std::move(done).error().during(verb->shown));
  return kOwnFailure;
}

}  // namespace vrun::images
