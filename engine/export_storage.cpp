#include "engine/export_storage.hpp"

#include "base/text.hpp"
#include "engine/contents.hpp"
#include "engine/volume_store.hpp"
#include "engine/volumes.hpp"

namespace vrun::engine {
namespace {

void add_volume(const Result<AskedMount>& asked, Storage& storage) {
  if (asked && asked->is_volume && !asked->volume.empty()) storage.volumes.insert(asked->volume);
}

void add_content(const std::string& use, Storage& storage) {
  const auto parts = split(use, ':');
  if (parts.size() != 3) return;
  (parts[0] == "secret" ? storage.secrets : storage.configs).insert(std::string(parts[1]));
}

Result<std::string> volumes_text(const Guests& guests, const std::set<std::string>& names) {
  std::string text;
  for (const Volume& volume : TRY(list_volumes(guests))) {
    if (!names.contains(volume.name)) continue;
    Lines lines = document("Volume", volume.name);
    lines.pairs("labels", own_labels(volume.labels));
    text += lines.take();
  }
  return text;
}

Result<void> add_contents(const Guests& guests, ContentKind kind,
                          const std::set<std::string>& names, ExportedManifest& made) {
  const bool secret = kind == ContentKind::kSecret;
  for (const std::string& name : names) {
    const Result<Content> content = read_content(guests, kind, name);
    if (!content && content.error().code() == Code::kNotFound) {
      made.note(std::string(secret ? "Secret " : "Config ") + name + ": is no longer there");
      continue;
    }
    if (!content) return Error(content.error().code(), content.error().text());
    const std::string folder = (secret ? "secrets/" : "configs/") + name + "/";
    Lines lines = document(secret ? "Secret" : "Config", name), files("  ");
    for (const auto& [file, ignored] : content->files)
      files.raw(quoted(file), quoted(folder + file));
    lines.group("files", files);
    made.text += lines.take();
    made.note(std::string(secret ? "Secret " : "Config ") + name + ": what it holds; put it into " +
              folder + " where vrun apply is called");
  }
  return {};
}

}  // namespace

std::vector<const RunRequest*> requests_of(const std::vector<GuestRecord>& records,
                                           const std::vector<CronJob>& jobs) {
  std::vector<const RunRequest*> requests;
  for (const GuestRecord& record : records)
    requests.push_back(&record.request);
  for (const CronJob& job : jobs)
    requests.push_back(&job.request);
  return requests;
}

Storage used_storage(const std::vector<const RunRequest*>& requests) {
  Storage storage;
  for (const RunRequest* request : requests) {
    for (const std::string& text : request->volumes)
      add_volume(parse_volume(text, "/"), storage);
    for (const std::string& text : request->mounts)
      add_volume(parse_mount(text), storage);
    for (const std::string& use : request->contents)
      add_content(use, storage);
  }
  return storage;
}

Result<void> add_all_storage(const Guests& guests, Storage& storage) {
  for (const Volume& volume : TRY(list_volumes(guests)))
    if (!volume.anonymous) storage.volumes.insert(volume.name);
  for (std::string& name : TRY(content_names(guests, ContentKind::kSecret)))
    storage.secrets.insert(std::move(name));
  for (std::string& name : TRY(content_names(guests, ContentKind::kConfig)))
    storage.configs.insert(std::move(name));
  return {};
}

Result<void> export_storage(const Guests& guests, const Storage& storage, ExportedManifest& made) {
  made.text += TRY(volumes_text(guests, storage.volumes));
  TRY(add_contents(guests, ContentKind::kSecret, storage.secrets, made));
  return add_contents(guests, ContentKind::kConfig, storage.configs, made);
}

}  // namespace vrun::engine
