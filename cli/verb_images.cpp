#include "cli/verb_images.hpp"

#include <algorithm>
#include <array>
#include <ctime>

#include <fnmatch.h>
#include <unistd.h>

#include "base/json_writer.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/go_template.hpp"
#include "cli/table.hpp"
#include "cli/verb_guests.hpp"
#include "cli/verbs_images.hpp"

namespace vrun::cli {
namespace {

using images::Image;
using images::Listed;

constexpr std::size_t kShortId = 12;
constexpr std::string_view kNone = "<none>";

using Function = Result<int> (*)(const EverydayCall&);
struct Row {
  std::string_view verb;
  Function function;
};
constexpr std::array kFunctions{
    Row{"images", &list_images},
    Row{"image ls", &list_images},
    Row{"image inspect", &inspect_images},
    Row{"history", &image_history},
    Row{"image history", &image_history},
    Row{"tag", &tag_image},
    Row{"image tag", &tag_image},
    Row{"rmi", &remove_images},
    Row{"image rm", &remove_images},
    Row{"image prune", &prune_images},
    Row{"system prune", &prune_system},
    Row{"system df", &disk_use},
    Row{"image fsck", &check_store},
    Row{"save", &save_images},
    Row{"load", &load_images},
    Row{"import", &import_image},
};

const Row* find_row(std::string_view verb) {
  const auto found = std::find_if(kFunctions.begin(), kFunctions.end(),
                                  [&](const Row& row) { return row.verb == verb; });
  return found == kFunctions.end() ? nullptr : &*found;
}

std::string id_of(const Image& image, bool whole) {
  const std::string& hex = image.manifest.config.digest.hex;
  return whole ? "sha256:" + hex : hex.substr(0, kShortId);
}

// "3 days ago"; the text itself when it is no time.
std::string age_of(const std::string& created) {
  std::tm parts{};
  if (::strptime(created.c_str(), "%Y-%m-%dT%H:%M:%S", &parts) == nullptr) {
    return created.empty() ? std::string(kNone) : created;
  }
  const std::time_t seconds = std::max<std::time_t>(0, std::time(nullptr) - ::timegm(&parts));
  struct Unit {
    std::time_t seconds;
    std::string_view name;
  };
  constexpr std::array kUnits{Unit{31536000, "year"}, Unit{2592000, "month"}, Unit{604800, "week"},
                              Unit{86400, "day"},     Unit{3600, "hour"},     Unit{60, "minute"},
                              Unit{1, "second"}};
  for (const Unit& unit : kUnits) {
    const std::time_t count = seconds / unit.seconds;
    if (count == 0) continue;
    return std::to_string(count) + " " + std::string(unit.name) + (count == 1 ? "" : "s") + " ago";
  }
  return "now";
}

// The name as the first two columns.
std::pair<std::string, std::string> columns_of(const oci::Reference& name) {
  oci::Reference bare = name;
  bare.tag.clear();
  bare.digest.reset();
  return {bare.familiar(), name.tag.empty() ? std::string(kNone) : name.tag};
}

std::vector<oci::Reference> names_of(const Listed& listed) {
  std::vector<oci::Reference> names = listed.names;
  if (listed.shipped.empty()) return names;
  if (auto shipped = oci::Reference::parse(listed.shipped)) names.push_back(*std::move(shipped));
  return names;
}

bool has_label(const Image& image, const std::string& wanted) {
  const std::size_t equals = wanted.find('=');
  const auto found = image.config.labels.find(wanted.substr(0, equals));
  if (found == image.config.labels.end()) return false;
  return equals == std::string::npos || found->second == wanted.substr(equals + 1);
}

// "alpine" means every tag of it; patterns are the shell's, on the short name and the whole one.
bool matches(const oci::Reference& name, const std::string& pattern) {
  const std::string familiar = name.familiar();
  const std::string repository = columns_of(name).first;
  for (const std::string& text : {familiar, repository, name.str(), name.repository()}) {
    if (::fnmatch(pattern.c_str(), text.c_str(), 0) == 0) return true;
  }
  return false;
}

Result<bool> passes(const Listed& listed, const std::string& filter) {
  const std::size_t equals = filter.find('=');
  const std::string key = filter.substr(0, equals);
  const std::string value = equals == std::string::npos ? "" : filter.substr(equals + 1);
  const std::vector<oci::Reference> names = names_of(listed);
  if (key == "reference") {
    return std::any_of(names.begin(), names.end(),
                       [&](const oci::Reference& name) { return matches(name, value); });
  }
  if (key == "label") return has_label(listed.image, value);
  // Every image here has a name: nothing would keep it otherwise.
  if (key == "dangling" && value == "true") return false;
  if (key == "dangling" && value == "false") return true;
  if (key == "id") return id_of(listed.image, true).substr(7).starts_with(value);
  return Error(Code::kInvalid, "--filter " + quote(filter) + ": unknown key")
      .hint("the keys are reference, label, id and dangling");
}

// An image of several names is listed under those that were meant.
void keep_meant(Listed& listed, const std::string& filter) {
  constexpr std::string_view kReference = "reference=";
  if (!filter.starts_with(kReference)) return;
  const std::string pattern = filter.substr(kReference.size());
  std::erase_if(listed.names, [&](const auto& name) { return !matches(name, pattern); });
  const Result<oci::Reference> shipped = oci::Reference::parse(listed.shipped);
  if (shipped && !listed.names.empty() && !matches(*shipped, pattern)) listed.shipped.clear();
}

Result<std::vector<Listed>> filtered(const EverydayCall& call) {
  std::vector<std::string> damaged;
  std::vector<Listed> rows = TRY(catalog_of(call).list(damaged));
  for (const std::string& words : damaged)
    log::warning(words + " (vrun image fsck tells more)");
  std::vector<std::string> filters = call.arguments.list("filter");
  if (!call.arguments.words().empty()) filters.push_back("reference=" + call.arguments.word(0));
  for (const std::string& filter : filters) {
    std::vector<Listed> kept;
    for (Listed& row : rows) {
      if (TRY(passes(row, filter))) kept.push_back(std::move(row));
    }
    rows = std::move(kept);
    for (Listed& row : rows)
      keep_meant(row, filter);
  }
  return rows;
}

void write_names(json::Writer& w, const Listed& listed) {
  std::vector<std::string> tags, digests;
  for (const oci::Reference& name : names_of(listed)) {
    if (!name.tag.empty()) tags.push_back(name.familiar());
    oci::Reference bare = name;
    bare.tag.clear();
    bare.digest = listed.image.digest;
    digests.push_back(bare.familiar());
  }
  digests.erase(std::unique(digests.begin(), digests.end()), digests.end());
  w.member("RepoTags", std::span<const std::string>(tags));
  w.member("RepoDigests", std::span<const std::string>(digests));
}

void write_row(json::Writer& w, const Listed& listed) {
  const Image& image = listed.image;
  w.begin_object().member("Id", id_of(image, true)).member("Digest", image.digest.str());
  write_names(w, listed);
  w.member("Created", image.config.created)
      .member("Size", image.size())
      .member("Layers", static_cast<std::uint64_t>(image.manifest.layers.size()))
      .member("Platform", image.config.os + "/" + image.config.architecture)
      .member("Shipped", !listed.shipped.empty());
  w.end_object();
}

std::string to_json(const std::vector<Listed>& rows) {
  json::Writer w(json::Style::kSpaces);
  w.begin_array();
  for (const Listed& row : rows)
    write_row(w, row);
  w.end_array();
  return w.take() + "\n";
}

std::string to_ids(const std::vector<Listed>& rows, bool whole) {
  std::string text;
  for (const Listed& row : rows)
    text += id_of(row.image, whole) + "\n";
  return text;
}

std::string to_names(const std::vector<Listed>& rows) {
  std::string text;
  for (const Listed& row : rows) {
    if (!row.shipped.empty()) text += printable(row.shipped) + "\n";
    for (const oci::Reference& name : row.names)
      text += name.familiar() + "\n";
  }
  return text;
}

std::string to_table(const std::vector<Listed>& rows, const Arguments& arguments) {
  const bool digests = arguments.on("digests");
  std::vector<std::vector<std::string>> cells{{"REPOSITORY", "TAG"}};
  if (digests) cells[0].push_back("DIGEST");
  for (const char* head : {"IMAGE ID", "CREATED", "SIZE"})
    cells[0].emplace_back(head);
  for (const Listed& row : rows) {
    for (const oci::Reference& name : names_of(row)) {
      const auto [repository, tag] = columns_of(name);
      std::vector<std::string>& line = cells.emplace_back();
      line = {repository, tag};
      if (digests) line.push_back(row.image.digest.str());
      line.push_back(id_of(row.image, arguments.on("no-trunc")));
      line.push_back(age_of(row.image.config.created));
      line.push_back(human_size(row.image.size()));
    }
  }
  return table(cells);
}

// A row for each name, with the members that Docker's templates use.
Result<std::string> to_template(const std::vector<Listed>& rows, const Arguments& arguments) {
  json::Writer w;
  w.begin_array();
  for (const Listed& row : rows) {
    for (const oci::Reference& name : names_of(row)) {
      const auto [repository, tag] = columns_of(name);
      w.begin_object().member("Repository", repository).member("Tag", tag);
      w.member("ID", id_of(row.image, arguments.on("no-trunc")));
      w.member("Digest", row.image.digest.str()).member("CreatedAt", row.image.config.created);
      w.member("CreatedSince", age_of(row.image.config.created));
      w.member("Size", human_size(row.image.size())).end_object();
    }
  }
  w.end_array();
  const std::string text = w.take();
  const json::Document document = TRY(json::Document::parse(text, "images"));
  return fill_rows(arguments.text("format"), document.root());
}

void write_texts(json::Writer& w, std::string_view key, const std::vector<std::string>& texts) {
  w.key(key).value(std::span<const std::string>(texts));
}

void write_config(json::Writer& w, const oci::ImageConfig& config) {
  w.key("Config").begin_object().member("User", config.user);
  write_texts(w, "Env", config.env);
  write_texts(w, "Entrypoint", config.entrypoint);
  write_texts(w, "Cmd", config.cmd);
  w.member("WorkingDir", config.working_dir);
  write_texts(w, "ExposedPorts", config.exposed_ports);
  write_texts(w, "Volumes", config.volumes);
  w.member("StopSignal", config.stop_signal);
  w.key("Labels").begin_object();
  for (const auto& [key, value] : config.labels)
    w.member(key, value);
  w.end_object().end_object();
}

void write_layers(json::Writer& w, const Image& image) {
  std::vector<std::string> diff_ids;
  for (const oci::Digest& id : image.config.diff_ids)
    diff_ids.push_back(id.str());
  w.key("RootFS").begin_object().member("Type", "layers");
  write_texts(w, "Layers", diff_ids);
  w.end_object();
  w.key("Blobs").begin_array();
  for (const oci::Descriptor& layer : image.manifest.layers) {
    w.begin_object()
        .member("MediaType", layer.media_type)
        .member("Digest", layer.digest.str())
        .member("Size", layer.size)
        .end_object();
  }
  w.end_array();
}

void write_image(json::Writer& w, const Listed& listed) {
  const Image& image = listed.image;
  w.begin_object().member("Id", id_of(image, true)).member("Digest", image.digest.str());
  w.member("MediaType", image.descriptor.media_type);
  write_names(w, listed);
  w.member("Created", image.config.created)
      .member("Author", image.config.author)
      .member("Architecture", image.config.architecture)
      .member("Variant", image.config.variant)
      .member("Os", image.config.os)
      .member("Size", image.size());
  write_config(w, image.config);
  write_layers(w, image);
  w.end_object();
}

// The image with all its names.
Result<Listed> look_up(const images::Catalog& catalog, const std::vector<Listed>& rows,
                       const std::string& name) {
  Image image = TRY(catalog.find(name));
  for (const Listed& row : rows) {
    if (row.image.digest == image.digest) return row;
  }
  Listed listed;
  listed.image = std::move(image);
  return listed;
}

// Steps newest first; sizes of the blobs they made.
struct Step {
  oci::HistoryEntry entry;
  std::uint64_t size = 0;
};
std::vector<Step> steps_of(const Image& image) {
  std::vector<Step> steps;
  std::size_t layer = 0;
  for (const oci::HistoryEntry& entry : image.config.history) {
    Step step{entry, 0};
    const bool has_layer = !entry.empty_layer && layer < image.manifest.layers.size();
    if (has_layer) step.size = image.manifest.layers[layer++].size;
    steps.push_back(std::move(step));
  }
  for (; layer < image.manifest.layers.size(); ++layer)  // a history may be missing or too short
    steps.push_back({{}, image.manifest.layers[layer].size});
  std::reverse(steps.begin(), steps.end());
  return steps;
}

}  // namespace

images::Catalog catalog_of(const EverydayCall& call) {
  return {call.places.images, call.places.data, call.tenant};
}

Result<int> print_out(std::string_view text) {
  TRY(sys::write_all(STDOUT_FILENO, text));
  return 0;
}

std::string human_size(std::uint64_t bytes) {
  constexpr std::string_view kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  std::uint64_t tenths = bytes * 10;
  while (tenths >= 10000 && unit + 1 < std::size(kUnits)) {
    tenths = (tenths + 500) / 1000;
    ++unit;
  }
  std::string text = std::to_string(tenths / 10);
  if (unit > 0) text += "." + std::to_string(tenths % 10);
  return text + " " + std::string(kUnits[unit]);
}

Result<bool> wants_json(const Arguments& arguments, std::string_view usual) {
  const std::string format = arguments.text("format");
  if (format == "json") return true;
  if (format == usual) return false;
  return Error(Code::kInvalid, "--format " + quote(format) + ": unknown")
      .hint("there is " + std::string(usual) + " and json");
}

bool is_image_verb(std::string_view verb) {
  return find_row(verb) != nullptr;
}

Result<int> everyday_image(std::string_view verb, const EverydayCall& call) {
  const Row* row = find_row(verb);
  if (row == nullptr) return Error(Code::kInternal, "verb has no function");
  Result<int> done = row->function(call);
  if (done) return done;
  return std::move(done).error().during(verb);
}

Result<int> list_images(const EverydayCall& call) {
  const std::string format = call.arguments.text("format");
  const bool names = format == "names";
  const bool by_template = is_template(format);
  const bool json = !names && !by_template && TRY(wants_json(call.arguments, "table"));
  const std::vector<Listed> rows = TRY(filtered(call));
  if (call.arguments.on("quiet")) return print_out(to_ids(rows, call.arguments.on("no-trunc")));
  if (names) return print_out(to_names(rows));
  if (by_template) return print_out(TRY(to_template(rows, call.arguments)));
  return print_out(json ? to_json(rows) : to_table(rows, call.arguments));
}

Result<int> inspect_images(const EverydayCall& call) {
  json::Writer w(json::Style::kSpaces);
  w.begin_array();
  for (std::size_t i = 0; i < call.arguments.words().size(); ++i)
    TRY(write_image_named(call, call.arguments.word(i), w));
  w.end_array();
  TRY(show_document(w.take(), call.arguments.text("format")));
  return 0;
}

Result<void> write_image_named(const EverydayCall& call, const std::string& name,
                               json::Writer& writer) {
  const images::Catalog catalog = catalog_of(call);
  std::vector<std::string> damaged;
  const std::vector<Listed> rows = TRY(catalog.list(damaged));
  write_image(writer, TRY(look_up(catalog, rows, name)));
  return {};
}

Result<int> image_history(const EverydayCall& call) {
  const bool json = TRY(wants_json(call.arguments, "table"));
  const std::vector<Step> steps = steps_of(TRY(catalog_of(call).find(call.arguments.word(0))));
  if (json) {
    json::Writer w(json::Style::kSpaces);
    w.begin_array();
    for (const Step& step : steps) {
      w.begin_object()
          .member("Created", step.entry.created)
          .member("CreatedBy", step.entry.created_by)
          .member("Comment", step.entry.comment)
          .member("Size", step.size)
          .end_object();
    }
    w.end_array();
    return print_out(w.take() + "\n");
  }
  constexpr std::size_t kShown = 60;
  std::vector<std::vector<std::string>> cells{{"CREATED", "CREATED BY", "SIZE", "COMMENT"}};
  for (const Step& step : steps) {
    std::string by = step.entry.created_by.empty() ? std::string(kNone) : step.entry.created_by;
    if (by.size() > kShown) by = by.substr(0, kShown - 3) + "...";
    cells.push_back({age_of(step.entry.created), by, human_size(step.size), step.entry.comment});
  }
  return print_out(table(cells));
}

}  // namespace vrun::cli
