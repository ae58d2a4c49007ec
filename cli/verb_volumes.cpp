#include "cli/verb_volumes.hpp"

#include <algorithm>
#include <array>

#include <unistd.h>

#include "base/json.hpp"
#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/complain.hpp"
#include "cli/output.hpp"
#include "cli/table.hpp"
#include "cli/verb_guests.hpp"
#include "cli/verb_images.hpp"
#include "engine/run.hpp"
#include "engine/volume_store.hpp"
#include "engine/volumes.hpp"

namespace vrun::cli {
namespace {

using engine::Guests;
using engine::Volume;
using engine::VolumeUsers;

Result<void> say(const std::string& line) {
  return sys::write_all(STDOUT_FILENO, line + "\n");
}

Result<Guests> changing(const EverydayCall& call) {
  TRY(engine::need_root(call.host));
  Guests guests = TRY(guests_of(call));
  TRY(engine::sweep_volumes(guests));
  return guests;
}

std::vector<std::string> users_of(const VolumeUsers& users, const std::string& volume) {
  const auto found = users.find(volume);
  return found == users.end() ? std::vector<std::string>() : found->second;
}

Result<int> create(const EverydayCall& call) {
  if (call.arguments.text("driver") != "local") {
    return Error(Code::kUnsupported,
                 "--driver " + quote(call.arguments.text("driver")) + ": there is only local");
  }
  Volume volume;
  volume.labels = call.arguments.list("label");
  volume.anonymous = call.arguments.words().empty();
  volume.name = volume.anonymous ? engine::make_volume_name() : call.arguments.word(0);
  if (!engine::is_volume_name(volume.name)) {
    return Error(Code::kInvalid, quote(volume.name.substr(0, 140)) + " is not a name for a volume")
        .hint("1 to 128 letters, digits and the characters _ . -, a letter or digit first");
  }
  const Guests guests = TRY(changing(call));
  const std::string name = volume.name;
  TRY(engine::make_volume(guests, std::move(volume)));
  TRY(say(name));
  return 0;
}

// Docker's words for the members: scripts read them.
void write_volume(json::Writer& w, const Guests& guests, const Volume& volume,
                  const VolumeUsers& users) {
  w.begin_object().member("Name", volume.name).member("Driver", "local").member("Scope", "local");
  w.member("Mountpoint", engine::volume_data(guests.places(), guests.tenant(), volume.name));
  w.member("CreatedAt", volume.created).member("Anonymous", volume.anonymous);
  w.key("Labels").begin_object();
  for (const std::string& label : volume.labels) {
    const std::size_t sign = std::min(label.find('='), label.size());
    w.member(label.substr(0, sign), sign < label.size() ? label.substr(sign + 1) : "");
  }
  w.end_object();
  const std::vector<std::string> names = users_of(users, volume.name);
  w.member("UsedBy", std::span<const std::string>(names)).end_object();
}

Result<std::vector<Volume>> wanted(const EverydayCall& call, const Guests& guests,
                                   const VolumeUsers& users) {
  constexpr std::array<std::string_view, 3> kKnown{"name", "label", "dangling"};
  const Filters filters = TRY(Filters::parse(call.arguments.list("filter"), kKnown));
  std::vector<Volume> volumes = TRY(engine::list_volumes(guests));
  std::erase_if(volumes, [&](const Volume& volume) {
    return !filters.hold([&](std::string_view name, std::string_view value) {
      if (name == "name") return volume.name.find(value) != std::string::npos;
      if (name == "label") return volume.has_label(value);
      return users.contains(volume.name) == (value == "false" || value == "0");
    });
  });
  return volumes;
}

std::string to_table(const std::vector<Volume>& volumes, const VolumeUsers& users) {
  std::vector<std::vector<std::string>> cells{{"VOLUME", "CREATED", "USED BY"}};
  for (const Volume& volume : volumes)
    cells.push_back(
        {volume.name, volume.created.substr(0, 19), join(users_of(users, volume.name), ", ")});
  return table(cells);
}

Result<int> list(const EverydayCall& call) {
  const Form form = TRY(form_of(call.arguments));
  const Guests guests = TRY(guests_of(call));
  const VolumeUsers users = TRY(engine::volume_users(guests));
  const std::vector<Volume> volumes = TRY(wanted(call, guests, users));
  if (call.arguments.on("quiet")) {
    for (const Volume& volume : volumes)
      TRY(say(volume.name));
    return 0;
  }
  if (form == Form::kTable) return print_out(to_table(volumes, users));
  json::Writer w(json::Style::kSpaces);
  w.begin_array();
  for (const Volume& volume : volumes)
    write_volume(w, guests, volume, users);
  w.end_array();
  return print_out(TRY(document(form, w.take())));
}

// One member of each volume, a line each.
Result<int> print_members(const std::string& text, const std::string& path) {
  const json::Document all = TRY(json::Document::parse(text, "volume inspect"));
  const std::string name = path.substr(path.find_first_not_of('.'));
  for (const json::Value& volume : all.root().elements()) {
    const json::Value* value = volume.find(name);
    if (value == nullptr || value->kind() != json::Kind::kString) {
      return Error(Code::kInvalid, "--format " + quote(path) + ": no such member of one text")
          .hint("json, yaml, Name, Mountpoint, CreatedAt");
    }
    TRY(say(printable(value->as_text())));
  }
  return 0;
}

Result<int> inspect(const EverydayCall& call) {
  const Guests guests = TRY(guests_of(call));
  const VolumeUsers users = TRY(engine::volume_users(guests));
  json::Writer w(json::Style::kSpaces);
  w.begin_array();
  for (const std::string_view word : call.arguments.words())
    write_volume(w, guests, TRY(engine::find_volume(guests, word)), users);
  w.end_array();
  const std::string format = call.arguments.text("format");
  const std::string text = w.take();
  if (format.empty() || format == "json") return print_out(TRY(document(Form::kJson, text)));
  if (format == "yaml") return print_out(TRY(document(Form::kYaml, text)));
  return print_members(text, format);
}

Result<int> remove(const EverydayCall& call) {
  const Guests guests = TRY(changing(call));
  int failed = 0;
  for (const std::string_view word : call.arguments.words()) {
    Result<void> removed = engine::remove_volume(guests, word);
    if (removed) {
      TRY(say(std::string(word)));
      continue;
    }
    if (call.arguments.on("force") && removed.error().code() == Code::kNotFound) continue;
    failed = kOwnFailure;
    complain("vrun", std::move(removed).error().during("volume rm"));
  }
  return failed;
}

Result<bool> may_go_on(const Arguments& arguments) {
  if (arguments.on("force")) return true;
  if (::isatty(STDIN_FILENO) == 0) {
    return Error(Code::kInvalid, "nobody is here to be asked").hint("--force does it unasked");
  }
  TRY(sys::write_all(STDERR_FILENO, "This removes volumes that no guest has. Go on? [y/N] "));
  std::array<char, 16> answer{};
  const std::size_t n = TRY(sys::read(STDIN_FILENO, answer));
  return n > 0 && (answer[0] == 'y' || answer[0] == 'Y');
}

Result<int> prune(const EverydayCall& call) {
  engine::VolumePrune rule;
  rule.named = call.arguments.on("all");
  constexpr std::string_view kLabel = "label=";
  for (const std::string& filter : call.arguments.list("filter")) {
    if (!filter.starts_with(kLabel)) {
      return Error(Code::kInvalid, "--filter " + quote(filter) + ": unknown")
          .hint("there is label=NAME[=VALUE]");
    }
    rule.labels.push_back(filter.substr(kLabel.size()));
  }
  if (!TRY(may_go_on(call.arguments))) return 1;
  const Guests guests = TRY(changing(call));
  for (const std::string& name : TRY(engine::prune_volumes(guests, rule)))
    TRY(say(name));
  return 0;
}

struct Row {
  std::string_view verb;
  Result<int> (*function)(const EverydayCall&);
};
constexpr std::array kFunctions{
    Row{"volume create", &create}, Row{"volume ls", &list},     Row{"volume inspect", &inspect},
    Row{"volume rm", &remove},     Row{"volume prune", &prune},
};

const Row* find_row(std::string_view verb) {
  const auto found = std::find_if(kFunctions.begin(), kFunctions.end(),
                                  [&](const Row& row) { return row.verb == verb; });
  return found == kFunctions.end() ? nullptr : &*found;
}

}  // namespace

bool is_volume_verb(std::string_view verb) {
  return find_row(verb) != nullptr;
}

Result<int> everyday_volume(std::string_view verb, const EverydayCall& call) {
  return find_row(verb)->function(call);
}

}  // namespace vrun::cli
