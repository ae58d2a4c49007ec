#include <algorithm>
#include <array>
#include <ctime>
#include <limits>

#include <unistd.h>

#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/output.hpp"
#include "cli/published_ports.hpp"
#include "cli/table.hpp"
#include "cli/verb_guests.hpp"

namespace vrun::cli {
namespace {

using engine::Guest;
using engine::GuestStatus;

constexpr std::array<std::string_view, 8> kFilters{"name",     "id",     "status", "label",
                                                   "ancestor", "exited", "health", "restart"};

bool has_label(const Guest& guest, std::string_view wanted) {
  const auto& labels = guest.record.request.labels;
  return std::any_of(labels.begin(), labels.end(), [&](const std::string& label) {
    return label == wanted || label.substr(0, label.find('=')) == wanted;
  });
}

bool matches(const Guest& guest, std::string_view filter, std::string_view value) {
  const engine::GuestRecord& record = guest.record;
  if (filter == "name") return record.name.find(value) != std::string::npos;
  if (filter == "id") return record.id.starts_with(value);
  if (filter == "status") return to_text(guest.status) == value;
  if (filter == "label") return has_label(guest, value);
  if (filter == "ancestor") return record.image == value;
  if (filter == "health") return guest.health == value;
  if (filter == "restart") {
    return (record.request.restart.empty() ? "no" : record.request.restart) == value;
  }
  return guest.status == GuestStatus::kExited && std::to_string(record.last.code) == value;
}

std::string command_text(const Guest& guest, bool whole) {
  std::vector<std::string> words = guest.record.request.args;
  if (guest.record.request.entrypoint && !guest.record.request.entrypoint->empty()) {
    words.insert(words.begin(), *guest.record.request.entrypoint);
  }
  std::string text = join(words, " ");
  constexpr std::size_t kShown = 30;
  if (!whole && text.size() > kShown) text = text.substr(0, kShown - 1) + "…";
  return text;
}

// What cannot be read at this moment must not hide the guests.
std::vector<std::string> ports_shown(const engine::Guests& registry, const Guest& guest) {
  return port_texts(registry, guest.record).value_or(guest.record.request.publish);
}

void write_json(json::Writer& writer, const engine::Guests& registry, const Guest& guest,
                std::int64_t now) {
  const engine::GuestRecord& record = guest.record;
  writer.begin_object();
  writer.member("id", record.id).member("name", record.name).member("image", record.image);
  writer.member("command", command_text(guest, true)).member("created", record.created);
  writer.member("state", to_text(guest.status)).member("status", status_words(guest, now));
  writer.member("pid", static_cast<std::int64_t>(guest.pid.value));
  if (guest.status == GuestStatus::kExited) writer.member("exitCode", record.last.code);
  if (!guest.health.empty()) writer.member("health", guest.health);
  writer.member("restarts", record.restarts);
  writer.key("labels").begin_object();
  for (const std::string& label : record.request.labels) {
    const std::size_t sign = label.find('=');
    writer.member(label.substr(0, sign), sign == std::string::npos ? "" : label.substr(sign + 1));
  }
  writer.end_object();
  writer.key("ports").value(std::span<const std::string>(ports_shown(registry, guest)));
  writer.end_object();
}

std::string as_json(const engine::Guests& registry, const std::vector<Guest>& guests,
                    std::int64_t now) {
  json::Writer writer(json::Style::kSpaces);
  writer.begin_array();
  for (const Guest& guest : guests)
    write_json(writer, registry, guest, now);
  writer.end_array();
  return writer.take();
}

std::string as_table(const engine::Guests& registry, const std::vector<Guest>& guests,
                     std::int64_t now, bool whole) {
  std::vector<std::vector<std::string>> rows{
      {"ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAME"}};
  for (const Guest& guest : guests) {
    const engine::GuestRecord& record = guest.record;
    rows.push_back({whole ? record.id : record.short_id(), record.image, command_text(guest, whole),
                    time_words(now - epoch_of(record.created)) + " ago", status_words(guest, now),
                    join(ports_shown(registry, guest), ", "), record.name});
  }
  return table(rows);
}

std::string as_ids(const std::vector<Guest>& guests, bool whole) {
  std::string text;
  for (const Guest& guest : guests)
    text += (whole ? guest.record.id : guest.record.short_id()) + "\n";
  return text;
}

}  // namespace

std::int64_t epoch_of(const std::string& time) {
  tm utc{};
  if (::strptime(time.c_str(), "%Y-%m-%dT%H:%M:%S", &utc) == nullptr) return 0;
  return static_cast<std::int64_t>(::timegm(&utc));
}

std::string time_words(std::int64_t seconds) {
  struct Unit {
    std::string_view name;
    std::int64_t seconds;
  };
  constexpr std::array<Unit, 5> kUnits{
      {{"week", 604800}, {"day", 86400}, {"hour", 3600}, {"minute", 60}, {"second", 1}}};
  for (const Unit& unit : kUnits) {
    // Two of a kind at least: "90 seconds" says more than "1 minute".
    if (seconds < unit.seconds * 2 && unit.seconds != 1) continue;
    const std::int64_t count = std::max<std::int64_t>(seconds / unit.seconds, 0);
    return std::to_string(count) + " " + std::string(unit.name) + (count == 1 ? "" : "s");
  }
  return "now";
}

std::string status_words(const Guest& guest, std::int64_t now) {
  const engine::LastExit& last = guest.record.last;
  switch (guest.status) {
    case GuestStatus::kCreated:
      return "Created";
    case GuestStatus::kRunning:
    case GuestStatus::kPaused: {
      std::string text = "Up " + time_words(now - epoch_of(last.started));
      if (guest.status == GuestStatus::kPaused) text += " (paused)";
      if (!guest.health.empty()) text += " (" + guest.health + ")";
      return text;
    }
    case GuestStatus::kRestarting:
      return "Restarting (" + std::to_string(last.code) + "): " + last.reason;
    case GuestStatus::kEnding:
      return "Ending";
    case GuestStatus::kExited:
      break;
  }
  if (last.finished.empty()) return "Exited while its monitor was dead";
  std::string text = last.code < 0 ? "Exited" : "Exited (" + std::to_string(last.code) + ")";
  text += " " + time_words(now - epoch_of(last.finished)) + " ago";
  // The code says it all.
  const bool plain = last.signal == 0 && !last.oom && last.reason.starts_with("exited");
  return plain ? text : text + ": " + last.reason;
}

Result<int> everyday_ps(const EverydayCall& call) {
  const Form form = TRY(form_of(call.arguments));
  const std::vector<std::string> texts = call.arguments.list("filter");
  const Filters filters = TRY(Filters::parse(texts, kFilters));
  const bool by_status = std::any_of(texts.begin(), texts.end(), [](const std::string& text) {
    return text.starts_with("status=") || text.starts_with("exited=");
  });
  std::size_t most = std::numeric_limits<std::size_t>::max();
  if (call.arguments.has("last")) {
    const auto count = parse_u64(call.arguments.text("last"));
    if (!count) return Error(Code::kInvalid, "--last: not a number");
    most = *count;
  }
  const bool all = call.arguments.on("all") || by_status || call.arguments.has("last");
  const engine::Guests registry = TRY(guests_of(call));
  std::vector<Guest> guests = TRY(registry.list());
  std::erase_if(guests, [&](const Guest& guest) {
    const bool shown = all || guest.runs() || guest.status == GuestStatus::kRestarting;
    return !shown || !filters.hold([&](std::string_view filter, std::string_view value) {
      return matches(guest, filter, value);
    });
  });
  if (guests.size() > most) guests.resize(most);
  const std::int64_t now = ::time(nullptr);
  const bool whole = call.arguments.on("no-trunc");
  std::string text;
  if (call.arguments.on("quiet")) {
    text = as_ids(guests, whole);
  } else if (form == Form::kTable) {
    text = as_table(registry, guests, now, whole);
  } else {
    text = TRY(document(form, as_json(registry, guests, now)));
  }
  TRY(sys::write_all(STDOUT_FILENO, text));
  return 0;
}

}  // namespace vrun::cli
