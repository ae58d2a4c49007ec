// `vrun image fsck`: what the store holds against what its digests say.
//
// Nothing is recorded for this beforehand: a blob is its digest, and a layer is what its blob
// unpacks to. So a layer is unpacked once more, confined as ever, and the two trees are compared:
// names, kinds, modes, owners, times, attributes, link targets and content.
#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "images/gc.hpp"
#include "images/names.hpp"
#include "images/transfer/archive_verbs.hpp"
#include "images/transfer/compare.hpp"
#include "images/transfer/import.hpp"
#include "images/transfer/spool.hpp"

namespace vrun::images {
namespace {

struct Fault {
  std::string what;    // "blob sha256:..."
  std::string why;     // "its content has another digest"
  std::string whose;   // images that need it
  std::string repair;  // what was done, or what the user can do
};

// What a layer is made from, and who needs it.
struct Source {
  oci::Descriptor blob;
  oci::Digest diff_id;
  std::set<std::string> whose;
};

class Checker {
 public:
  Checker(const Store& store, const ArchiveRequest& request) : store_(store), request_(request) {}

  Result<void> check() {
    TRY(check_names());
    TRY(check_guests());
    TRY(check_blobs());
    for (auto& [hex, source] : sources_)
      TRY(check_layer(source));
    return {};
  }
  const std::vector<Fault>& faults() const { return faults_; }
  std::size_t blobs() const { return blobs_; }
  std::size_t layers() const { return layers_; }

 private:
  Result<void> check_names();
  Result<void> check_guests();
  Result<void> check_tenant(const std::string& tenant);
  bool check_image(const oci::Digest& manifest, const std::string& whose);
  Result<void> check_blobs();
  Result<void> check_blob(const std::string& hex);
  Result<void> check_layer(Source& source);
  Result<void> compare_layer(Source& source);
  Result<void> replace_layer(Source& source, Fault fault);
  Result<void> remove_layer(const oci::Digest& diff_id);
  std::string owners_of(const std::string& blob_hex) const;

  const Store& store_;
  const ArchiveRequest& request_;
  std::vector<Fault> faults_;
  std::map<std::string, Source> sources_;                // by diff id
  std::map<std::string, std::set<std::string>> owners_;  // of blobs
  std::set<std::string> damaged_blobs_;
  std::size_t blobs_ = 0, layers_ = 0;
};

std::string listed(const std::set<std::string>& texts) {
  const std::vector<std::string> all(texts.begin(), texts.end());
  return join(all, ", ");
}

std::string Checker::owners_of(const std::string& blob_hex) const {
  const auto found = owners_.find(blob_hex);
  return found == owners_.end() ? "" : listed(found->second);
}

// False when its documents cannot be read.
bool Checker::check_image(const oci::Digest& manifest, const std::string& whose) {
  const Result<Image> image = read_stored(store_, manifest, whose);
  if (!image) {
    faults_.push_back({"image " + manifest.str(), image.error().text(), whose, ""});
    return false;
  }
  owners_[manifest.hex].insert(whose);
  owners_[image->manifest.config.digest.hex].insert(whose);
  for (std::size_t i = 0; i < image->manifest.layers.size(); ++i) {
    const oci::Descriptor& blob = image->manifest.layers[i];
    owners_[blob.digest.hex].insert(whose);
    Source& source = sources_[image->config.diff_ids[i].hex];
    source.blob = blob;
    source.diff_id = image->config.diff_ids[i];
    source.whose.insert(whose);
  }
  return true;
}

Result<void> Checker::check_tenant(const std::string& tenant) {
  Names names = TRY(Names::open(store_, tenant));
  std::vector<std::string> damaged;
  for (const Named& named : TRY(names.list(&damaged))) {
    const std::string name = named.reference.familiar();
    if (check_image(named.manifest.digest, name)) continue;
    Fault& fault = faults_.back();
    fault.repair = "vrun pull " + name + " fetches it again";
    if (!request_.repair) continue;
    TRY(names.remove(named.reference));
    fault.repair = "the name was taken away; " + fault.repair;
  }
  for (const std::string& words : damaged) {
    Fault fault{"image name", words, "", "--repair takes the file away"};
    if (request_.repair) {
      TRY(sys::unlink(names.dir(),
                      words.substr(tenant.size() + 1, words.find(':') - tenant.size() - 1)));
      fault.repair = "the file was taken away";
    }
    faults_.push_back(std::move(fault));
  }
  return {};
}

Result<void> Checker::check_names() {
  for (const std::string& tenant : TRY(tenants_with_names(store_)))
    TRY(check_tenant(tenant));
  return {};
}

Result<void> Checker::check_guests() {
  for (const ImageUser& user : TRY(image_users(store_.data_dir()))) {
    if (check_image(user.manifest, "guest " + user.guest)) continue;
    faults_.back().repair = "pull or load the image again, before the guest starts the next time";
  }
  return {};
}

Result<void> Checker::check_blob(const std::string& hex) {
  ++blobs_;
  const Fd file = TRY(sys::open(store_.blobs(), hex, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  const Result<oci::Digest> digest = digest_of(file);
  if (digest && digest->hex == hex) return {};
  damaged_blobs_.insert(hex);
  const std::string why =
      digest ? "its content has the digest " + digest->str() : digest.error().text();
  Fault fault{"blob sha256:" + hex, why, owners_of(hex), "pull or load the image again"};
  if (request_.repair) {
    TRY(sys::unlink(store_.blobs(), hex));
    fault.repair = "it was taken away; " + fault.repair;
  }
  faults_.push_back(std::move(fault));
  return {};
}

Result<void> Checker::check_blobs() {
  if (request_.quick) return {};
  for (const std::string& name : TRY(sys::list_dir(store_.blobs().get()))) {
    if (!name.starts_with('.')) TRY(check_blob(name));
  }
  return {};
}

Result<void> Checker::remove_layer(const oci::Digest& diff_id) {
  const std::string going = unfinished_name(diff_id);
  TRY(fs::remove_tree(store_.layers(), going));
  TRY(sys::rename(store_.layers(), diff_id.hex, store_.layers(), going));
  return fs::remove_tree(store_.layers(), going);
}

// Guests see the old tree until they end: an overlay holds its layers open.
Result<void> Checker::replace_layer(Source& source, Fault fault) {
  fault.repair = "--repair unpacks it again";
  if (request_.repair) {
    if (store_.has_layer(source.diff_id)) TRY(remove_layer(source.diff_id));
    TRY(unpack_stored(store_, source.blob, source.diff_id));
    fault.repair = "it was unpacked again";
  }
  faults_.push_back(std::move(fault));
  return {};
}

Result<void> Checker::compare_layer(Source& source) {
  const Spool spool = TRY(Spool::create(store_));
  const Fd fresh = TRY(unpack_into(store_, spool, source.blob, source.diff_id));
  const Fd layer = TRY(sys::open_dir(store_.layers(), source.diff_id.hex));
  const std::optional<std::string> difference = TRY(first_difference(fresh, layer));
  if (!difference) return {};
  return replace_layer(source,
                       {"layer " + source.diff_id.str(), *difference, listed(source.whose), ""});
}

Result<void> Checker::check_layer(Source& source) {
  ++layers_;
  const std::string what = "layer " + source.diff_id.str();
  const bool has_blob = store_.has_blob(source.blob.digest);
  if (!has_blob && !damaged_blobs_.contains(source.blob.digest.hex)) {
    faults_.push_back({"blob " + source.blob.digest.str(), "is missing", listed(source.whose),
                       "pull or load the image again"});
  }
  const bool mendable = has_blob && !damaged_blobs_.contains(source.blob.digest.hex);
  if (!store_.has_layer(source.diff_id)) {
    if (mendable) return replace_layer(source, {what, "is missing", listed(source.whose), ""});
    faults_.push_back({what, "is missing", listed(source.whose), "pull or load the image again"});
    return {};
  }
  if (request_.quick || !mendable) return {};
  return compare_layer(source);
}

std::string to_json(const Checker& checker) {
  json::Writer w(json::Style::kSpaces);
  w.begin_object()
      .member("Blobs", static_cast<std::uint64_t>(checker.blobs()))
      .member("Layers", static_cast<std::uint64_t>(checker.layers()));
  w.key("Faults").begin_array();
  for (const Fault& fault : checker.faults()) {
    w.begin_object()
        .member("What", fault.what)
        .member("Why", fault.why)
        .member("NeededBy", fault.whose)
        .member("Repair", fault.repair)
        .end_object();
  }
  w.end_array().end_object();
  return w.take() + "\n";
}

std::string to_text(const Checker& checker) {
  std::string text;
  for (const Fault& fault : checker.faults()) {
    text += printable(fault.what) + ": " + printable(fault.why) + "\n";
    if (!fault.whose.empty()) text += "  needed by: " + printable(fault.whose) + "\n";
    if (!fault.repair.empty()) text += "  repair: " + printable(fault.repair) + "\n";
  }
  text += std::to_string(checker.blobs()) + " blobs and " + std::to_string(checker.layers()) +
          " layers checked, " + std::to_string(checker.faults().size()) + " damaged\n";
  return text;
}

}  // namespace

Result<int> check_store(const Store& store, const ArchiveRequest& request) {
  TRY(store.sweep());
  std::optional<Fd> own;
  Fd in_use;
  if (request.repair) {
    own = TRY(store.try_own());
    if (!own) {
      return Error(Code::kState, "other commands are bringing or using images just now")
          .hint("try --repair again when they have ended");
    }
  } else {
    in_use = TRY(store.use());
  }
  Checker checker(store, request);
  TRY(checker.check());
  TRY(sys::write_all(STDOUT_FILENO, request.json ? to_json(checker) : to_text(checker)));
  return checker.faults().empty() ? 0 : 1;
}

}  // namespace vrun::images
