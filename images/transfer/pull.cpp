#include "images/transfer/pull.hpp"

#include <algorithm>
#include <chrono>
#include <optional>

#include <fcntl.h>

#include "base/digest.hpp"
#include "base/fs.hpp"
#include "base/json.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "images/platform.hpp"
#include "images/transfer/layer_work.hpp"

namespace vrun::images {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kSchema1 = "application/vnd.docker.distribution.manifest.v1";
constexpr std::string_view kDockerConfigType = "application/vnd.docker.container.image.v1+json";
// How long a failed unpacker waits for the network's own explanation.
constexpr auto kExplanation = std::chrono::seconds(2);

Error wrong_digest(const std::string& what, const std::string& wanted, const std::string& got) {
  return Error(Code::kInvalid, what + " " + wanted + ": its content has the digest " + got)
      .hint(
          "the data was damaged or changed on its way: try again, or ask whoever runs the "
          "registry");
}

// A manifest or index, and what it is according to itself or the registry.
struct Document {
  std::string bytes;
  oci::Descriptor descriptor;
};

// The documents of one image, before any layer.
class Documents {
 public:
  Documents(const Store& store, const Holdings& holdings, const PullOrder& order, Desk& desk)
      : store_(store), holdings_(holdings), order_(order), desk_(desk) {}

  Result<void> fetch();
  const oci::Descriptor& manifest_descriptor() const { return manifest_document_.descriptor; }
  const oci::Manifest& manifest() const { return manifest_; }
  const oci::ImageConfig& config() const { return config_; }
  // After the layers: what names them.
  Result<void> keep() const;

 private:
  Result<Document> fetch_document(const std::string& reference);
  Result<Document> fetch_chosen(const oci::Index& index);
  Result<void> read_manifest();
  Result<void> fetch_config();
  Result<void> check_config() const;

  const Store& store_;
  const Holdings& holdings_;
  const PullOrder& order_;
  Desk& desk_;
  Document manifest_document_;
  std::optional<Document> index_document_;
  oci::Manifest manifest_;
  std::string config_bytes_;
  oci::ImageConfig config_;
};

// What a document is: its own word, the registry's, or what its members say.
Result<std::string> type_of(const std::string& bytes, const std::string& header) {
  const json::Document document =
      TRY(json::Document::parse(bytes, "manifest", {.bytes = oci::kMaxManifestBytes}));
  const json::Value* own = document.root().find("mediaType");
  std::string type = header;
  if (own != nullptr && own->kind() == json::Kind::kString) type = own->as_text();
  if (oci::is_manifest_type(type) || oci::is_index_type(type)) return type;
  if (type.starts_with(kSchema1) || document.root().find("fsLayers") != nullptr) {
    return Error(Code::kUnsupported, "manifest of Docker's old schema 1: not supported")
        .hint("ask for the image to be pushed again by a tool of this decade");
  }
  if (own != nullptr) {
    return Error(Code::kUnsupported, "manifest of media type " + quote(type) + ": not supported");
  }
  const bool index = document.root().find("manifests") != nullptr;
  return std::string(index ? oci::kIndexType : oci::kManifestType);
}

Result<Document> Documents::fetch_document(const std::string& reference) {
  CourierTask task;
  task.kind = TaskKind::kManifest;
  task.repository = order_.image.path;
  task.reference = reference;
  Desk::Fetched fetched = TRY(desk_.fetch(task, oci::kMaxManifestBytes));
  Document document;
  const std::string digest = "sha256:" + sha256_hex(fetched.bytes);
  const bool by_digest = reference.find(':') != std::string::npos;
  if (by_digest && digest != reference) return wrong_digest("manifest", reference, digest);
  document.descriptor.media_type = TRY(type_of(fetched.bytes, fetched.media_type));
  document.descriptor.digest = TRY(oci::Digest::parse(digest));
  document.descriptor.size = fetched.bytes.size();
  document.bytes = std::move(fetched.bytes);
  return document;
}

Result<Document> Documents::fetch_chosen(const oci::Index& index) {
  const oci::Descriptor chosen = TRY(pick_manifest(index, order_.platform));
  Document document = TRY(fetch_document(chosen.digest.str()));
  if (document.descriptor.size != chosen.size) {
    return Error(Code::kInvalid, "manifest " + chosen.digest.str() + ": has " +
                                     std::to_string(document.descriptor.size) +
                                     " bytes, the index says " + std::to_string(chosen.size));
  }
  if (!oci::is_manifest_type(document.descriptor.media_type)) {
    return Error(Code::kUnsupported, "an index within an index: not supported");
  }
  return document;
}

Result<void> Documents::fetch() {
  const oci::Reference& image = order_.image;
  Document first = TRY(fetch_document(image.digest ? image.digest->str() : image.tag));
  if (oci::is_index_type(first.descriptor.media_type)) {
    const oci::Index index =
        TRY(oci::parse_index(first.bytes, "index " + first.descriptor.digest.str()));
    index_document_ = std::move(first);
    first = TRY(fetch_chosen(index));
  }
  manifest_document_ = std::move(first);
  TRY(read_manifest());
  TRY(fetch_config());
  return check_config();
}

Result<void> Documents::read_manifest() {
  const std::string name = "manifest " + manifest_document_.descriptor.digest.str();
  manifest_ = TRY(oci::parse_manifest(manifest_document_.bytes, name));
  const std::string& config_type = manifest_.config.media_type;
  if (config_type != oci::kConfigType && config_type != kDockerConfigType) {
    return Error(
        Code::kUnsupported,
        "holds no image, but an artifact of type " +
            quote(manifest_.artifact_type.empty() ? config_type : manifest_.artifact_type));
  }
  // Before anything is downloaded.
  for (const oci::Descriptor& layer : manifest_.layers)
    TRY(compression_of(layer.media_type));
  return {};
}

Result<void> Documents::fetch_config() {
  const oci::Descriptor& wanted = manifest_.config;
  const std::string name = "configuration " + wanted.digest.str();
  if (wanted.size > oci::kMaxImageConfigBytes) {
    return Error(Code::kInvalid,
                 name + ": larger than " + std::to_string(oci::kMaxImageConfigBytes) + " bytes");
  }
  if (holdings_.has_blob(wanted.digest)) {
    config_bytes_ =
        TRY(fs::read_file(store_.blobs(), wanted.digest.hex, wanted.size, fs::Kind::kRegularOnly));
  }
  if ("sha256:" + sha256_hex(config_bytes_) != wanted.digest.str()) {
    CourierTask task;
    task.kind = TaskKind::kBlob;
    task.repository = order_.image.path;
    task.digest = wanted.digest.str();
    task.size = wanted.size;
    task.slot = ByteCounters::kSlots - 1;
    config_bytes_ = TRY(desk_.fetch(task, wanted.size)).bytes;
    const std::string digest = "sha256:" + sha256_hex(config_bytes_);
    if (digest != wanted.digest.str()) {
      return wrong_digest("configuration", wanted.digest.str(), digest);
    }
  }
  config_ = TRY(oci::parse_image_config(config_bytes_, name));
  return {};
}

Result<void> Documents::check_config() const {
  const std::size_t layers = manifest_.layers.size();
  if (layers != config_.diff_ids.size()) {
    return Error(Code::kInvalid, "the manifest has " + std::to_string(layers) +
                                     " layers, the configuration " +
                                     std::to_string(config_.diff_ids.size()));
  }
  oci::Platform claimed;
  claimed.os = config_.os;
  claimed.architecture = config_.architecture;
  const bool fits = config_.os == "linux" && (config_.architecture.empty() ||
                                              config_.architecture == order_.platform.architecture);
  if (fits) return {};
  Error error(Code::kUnsupported,
              "is for " + quote(to_text(claimed)) + ", not for " + to_text(order_.platform));
  if (config_.os != "linux") return error;
  return std::move(error).hint("--platform " + printable(to_text(claimed)) +
                               " fetches it nevertheless");
}

Result<void> Documents::keep() const {
  TRY(keep_blob(store_, holdings_, manifest_.config.digest, config_bytes_, order_.extract.meter));
  if (index_document_) {
    TRY(keep_blob(store_, holdings_, index_document_->descriptor.digest, index_document_->bytes,
                  order_.extract.meter));
  }
  return keep_blob(store_, holdings_, manifest_document_.descriptor.digest,
                   manifest_document_.bytes, order_.extract.meter);
}

// One layer that may have to be fetched.
struct Job {
  oci::Descriptor blob;
  oci::Digest diff_id;
  std::optional<LayerWork> work;
  std::uint64_t task = 0;  // 0: the network is not needed
  std::optional<CourierAnswer> answer;
  std::optional<Result<Extracted>> verdict;
  Clock::time_point failed_at{};
  bool ready = false;  // checked, not yet published
  bool done = false;

  bool is_settled() const { return verdict && (task == 0 || answer); }
};

class Layers {
 public:
  Layers(const Store& store, const Holdings& holdings, const PullOrder& order, Desk& desk,
         Progress& progress)
      : store_(store), holdings_(holdings), order_(order), desk_(desk), progress_(progress) {}

  Result<void> bring(const Documents& documents);
  std::size_t fetched() const { return fetched_; }
  std::vector<std::string>& warnings() { return warnings_; }

 private:
  void list(const Documents& documents);
  Result<void> start_more();
  Result<bool> start(std::size_t index);
  Result<void> wait();
  Result<void> take_answer();
  Result<void> settle(std::size_t index);
  Result<void> work_until_done();
  Result<void> publish_ready();
  Result<void> publish();
  bool is_all_done() const {
    return std::all_of(jobs_.begin(), jobs_.end(), [](const Job& job) { return job.done; });
  }

  const Store& store_;
  const Holdings& holdings_;
  const PullOrder& order_;
  Desk& desk_;
  Progress& progress_;
  std::vector<Job> jobs_;
  std::size_t busy_ = 0, ready_ = 0, fetched_ = 0;
  std::vector<std::string> warnings_;
};

void Layers::list(const Documents& documents) {
  std::vector<Part> parts;
  const auto& layers = documents.manifest().layers;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const oci::Digest& diff_id = documents.config().diff_ids[i];
    const bool again = std::any_of(jobs_.begin(), jobs_.end(), [&](const Job& job) {
      return job.diff_id == diff_id || job.blob.digest == layers[i].digest;
    });
    if (again) continue;
    Job& job = jobs_.emplace_back();
    job.blob = layers[i];
    job.diff_id = diff_id;
    job.done = holdings_.has_layer(layers[i].digest, diff_id);
    Part part;
    part.id = layers[i].digest.str();
    part.name = layers[i].digest.hex.substr(0, 12);
    part.total = layers[i].size;
    part.slot = parts.size();
    part.state = job.done ? PartState::kThere : PartState::kWaiting;
    parts.push_back(std::move(part));
  }
  progress_.begin(std::move(parts), &desk_.courier().counters());
}

// False when another process of the tenant is at work on it.
Result<bool> Layers::start(std::size_t index) {
  Job& job = jobs_[index];
  std::optional<LayerWork> work =
      TRY(LayerWork::try_start(store_, holdings_, job.blob, job.diff_id, order_.extract));
  if (!work) return false;
  job.work.emplace(*std::move(work));
  if (Fd writer = job.work->take_writer()) {
    CourierTask task;
    task.kind = TaskKind::kBlob;
    task.repository = order_.image.path;
    task.digest = job.blob.digest.str();
    task.size = job.blob.size;
    task.slot = index;
    job.task = TRY(desk_.courier().send(std::move(task), writer));
  }
  ++busy_;
  progress_.state(index, PartState::kMoving);
  return true;
}

Result<void> Layers::start_more() {
  for (std::size_t i = 0; i < jobs_.size() && busy_ < order_.parallel; ++i) {
    Job& job = jobs_[i];
    if (job.done || job.work) continue;
    // Another process of the tenant made it meanwhile.
    if (holdings_.was_brought(job.blob.digest, job.diff_id)) {
      job.done = true;
      progress_.state(i, PartState::kThere);
      continue;
    }
    if (TRY(start(i))) continue;
    progress_.state(i, PartState::kElsewhere);
  }
  return {};
}

Result<void> Layers::take_answer() {
  CourierAnswer answer = TRY(desk_.courier().receive());
  for (Job& job : jobs_) {
    if (job.task != answer.id) continue;
    job.answer = std::move(answer);
    break;
  }
  return {};
}

Result<void> Layers::wait() {
  constexpr int kTurn = 100;  // ms: progress, and locks of others
  std::vector<pollfd> fds{{desk_.courier().wire().get(), POLLIN, 0},
                          {desk_.interrupts().fd().get(), POLLIN, 0}};
  std::vector<std::size_t> whose;
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    if (!jobs_[i].work || jobs_[i].verdict) continue;
    fds.push_back({jobs_[i].work->verdict().get(), POLLIN, 0});
    whose.push_back(i);
  }
  TRY(sys::poll(fds, kTurn));
  if (fds[1].revents != 0) return desk_.interrupts().error();
  if (fds[0].revents != 0) TRY(take_answer());
  for (std::size_t k = 0; k < whose.size(); ++k) {
    if (fds[k + 2].revents == 0) continue;
    Job& job = jobs_[whose[k]];
    job.verdict = job.work->finish();
    job.failed_at = Clock::now();
  }
  return {};
}

// Both ends are known: either the layer appears, or the cause is told. When the network broke, the
// unpacker's "ends too early" is only the effect; when the unpacker gave up, the network's "nobody
// reads" is.
Result<void> Layers::settle(std::size_t index) {
  Job& job = jobs_[index];
  const bool late = job.verdict && !*job.verdict && Clock::now() - job.failed_at > kExplanation;
  if (!job.is_settled() && !late) return {};
  if (job.answer && job.answer->failed && !job.answer->reader_gone) return job.answer->result();
  Result<Extracted>& verdict = *job.verdict;
  if (!verdict) return std::move(verdict).error();
  job.ready = true;
  --busy_;
  ++ready_;
  if (job.task != 0) ++fetched_;
  warn_of_left_out(job.diff_id, *verdict, warnings_);
  return {};
}

// A sync costs as much for one layer as for many, and everything stops while it lasts: it waits
// until nothing else goes on (so also when the rest is in the hands of other processes, which may
// wait for ours), or many are ready (each holds four descriptors).
Result<void> Layers::publish_ready() {
  constexpr std::size_t kMany = 32;
  if (ready_ == 0 || (ready_ < kMany && busy_ > 0)) return {};
  return publish();
}

Result<void> Layers::publish() {
  TRY(sync_contents(store_));
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    Job& job = jobs_[i];
    if (!job.ready || job.done) continue;
    TRY(job.work->publish());
    job.work.reset();
    job.done = true;
    progress_.state(i, PartState::kDone);
  }
  ready_ = 0;
  return {};
}

Result<void> Layers::work_until_done() {
  while (!is_all_done()) {
    TRY(start_more());
    TRY(publish_ready());
    if (is_all_done()) break;
    TRY(wait());
    for (std::size_t i = 0; i < jobs_.size(); ++i) {
      if (jobs_[i].work && !jobs_[i].ready) TRY(settle(i));
    }
    progress_.tick();
  }
  return {};
}

Result<void> Layers::bring(const Documents& documents) {
  list(documents);
  Result<void> done = work_until_done();
  // What is whole need not be fetched again by the next attempt. An interrupt wants an end.
  if (!done && ready_ > 0 && desk_.interrupts().signal() == 0) static_cast<void>(publish());
  progress_.end();
  return done;
}

}  // namespace

Result<Pulled> pull(const Store& store, const Holdings& holdings, const PullOrder& order,
                    Desk& desk, Progress& progress) {
  Documents documents(store, holdings, order, desk);
  TRY(documents.fetch());
  Layers layers(store, holdings, order, desk, progress);
  TRY(layers.bring(documents));
  TRY(documents.keep());
  Pulled pulled;
  pulled.manifest = documents.manifest_descriptor();
  pulled.layers_fetched = layers.fetched();
  pulled.warnings = std::move(layers.warnings());
  return pulled;
}

}  // namespace vrun::images
