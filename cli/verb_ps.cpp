#include <algorithm>
#include <array>
#include <ctime>
#include <limits>
#include <span>

#include <unistd.h>

#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/go_template.hpp"
#include "cli/output.hpp"
#include "cli/table.hpp"
#include "cli/verb_guests.hpp"
#include "cli/verb_images.hpp"
#include "engine/guest_network.hpp"
#include "images/gc.hpp"
#include "network/wishes.hpp"

namespace vrun::cli {
namespace {

using engine::Guest;
using engine::GuestStatus;

constexpr std::array<std::string_view, 13> kFilters{
    "name",    "id",      "status",  "label",  "ancestor", "exited", "health",
    "restart", "network", "publish", "volume", "since",    "before"};

bool has_label(const Guest& guest, std::string_view wanted) {
  const auto& labels = guest.record.request.labels;
  return std::any_of(labels.begin(), labels.end(), [&](const std::string& label) {
    return label == wanted || label.substr(0, label.find('=')) == wanted;
  });
}

// Values that no guest can have are slips of the finger, not filters that find nothing.
Result<void> check_values(const std::vector<std::string>& texts) {
  constexpr std::array<std::string_view, 6> kStatus{"created",    "running", "paused",
                                                    "restarting", "ending",  "exited"};
  constexpr std::array<std::string_view, 4> kHealth{"none", "starting", "healthy", "unhealthy"};
  const auto check = [](std::string_view text, std::string_view name,
                        std::span<const std::string_view> known) -> Result<void> {
    if (!text.starts_with(name)) return {};
    const std::string_view value = text.substr(name.size());
    if (std::find(known.begin(), known.end(), value) != known.end()) return {};
    const std::vector<std::string> names(known.begin(), known.end());
    return Error(Code::kInvalid, "--filter " + quote(text) + ": no guest is ever that")
        .hint("there are: " + join(names, ", "));
  };
  for (const std::string& text : texts) {
    TRY(check(text, "status=", kStatus));
    TRY(check(text, "health=", kHealth));
    constexpr std::string_view kExited = "exited=";
    if (text.starts_with(kExited) && !parse_i64(text.substr(kExited.size()))) {
      return Error(Code::kInvalid, "--filter " + quote(text) + ": not an exit code");
    }
  }
  return {};
}

// "80", "80/tcp": the number inside or on the host.
bool has_port(const engine::RunRequest& request, std::string_view wanted) {
  const std::size_t slash = wanted.find('/');
  const std::string_view number = wanted.substr(0, slash);
  const std::string protocol(slash == std::string_view::npos ? "tcp" : wanted.substr(slash + 1));
  return std::any_of(request.publish.begin(), request.publish.end(), [&](const std::string& text) {
    const Result<network::Publish> port = network::parse_publish(text);
    const auto asked = parse_u64(number);
    if (!port || !asked || protocol != to_text(port->protocol)) return false;
    const auto within = [&](std::uint64_t first) {
      return first != 0 && *asked >= first && *asked < first + port->count;
    };
    return within(port->guest_port) || within(port->host_port);
  });
}

// The source or the target of a mount of the user's.
bool has_volume(const engine::RunRequest& request, std::string_view wanted) {
  const auto names = [&](std::string_view text, char separator) {
    const auto parts = split(text, separator);
    return std::any_of(parts.begin(), parts.end(), [&](std::string_view part) {
      const std::size_t sign = part.find('=');
      return part == wanted || (sign != part.npos && part.substr(sign + 1) == wanted);
    });
  };
  const auto any = [&](const std::vector<std::string>& texts, char separator) {
    return std::any_of(texts.begin(), texts.end(),
                       [&](const std::string& text) { return names(text, separator); });
  };
  return any(request.volumes, ':') || any(request.mounts, ',') || any(request.tmpfs, ':');
}

// The guest's names for "default" are two, as for --network.
bool is_on_network(const engine::RunRequest& request, std::string_view wanted) {
  const std::string_view name = wanted == "bridge" ? "default" : wanted;
  std::vector<std::string> networks{request.network};
  networks.insert(networks.end(), request.more_networks.begin(), request.more_networks.end());
  return std::any_of(networks.begin(), networks.end(), [&](std::string_view one) {
    const std::string_view bare = one.substr(0, one.find(':'));
    return one == name || (bare == "bridge" ? "default" : bare) == name;
  });
}

bool matches(const Guest& guest, std::string_view filter, std::string_view value) {
  const engine::GuestRecord& record = guest.record;
  if (filter == "network") return is_on_network(record.request, value);
  if (filter == "publish") return has_port(record.request, value);
  if (filter == "volume") return has_volume(record.request, value);
  // Their values are times by now: see with_times().
  if (filter == "since") return record.created > value;
  if (filter == "before") return record.created < value;
  if (filter == "name") return record.name.find(value) != std::string::npos;
  if (filter == "id") return record.id.starts_with(value);
  if (filter == "status") return to_text(guest.status) == value;
  if (filter == "label") return has_label(guest, value);
  if (filter == "ancestor") return record.image == value;
  if (filter == "health") return (guest.health.empty() ? "none" : guest.health) == value;
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

void write_json(json::Writer& writer, const Guest& guest, std::int64_t now,
                std::optional<std::uint64_t> size) {
  const engine::GuestRecord& record = guest.record;
  writer.begin_object();
  writer.member("id", record.id).member("name", record.name).member("image", record.image);
  writer.member("command", command_text(guest, true)).member("created", record.created);
  writer.member("state", to_text(guest.status)).member("status", status_words(guest, now));
  writer.member("pid", static_cast<std::int64_t>(guest.pid.value));
  if (guest.status == GuestStatus::kExited) writer.member("exitCode", record.last.code);
  if (!guest.health.empty()) writer.member("health", guest.health);
  if (guest.runs()) writer.member("ready", guest.ready);
  writer.member("restarts", record.restarts);
  writer.key("labels").begin_object();
  for (const std::string& label : record.request.labels) {
    const std::size_t sign = label.find('=');
    writer.member(label.substr(0, sign), sign == std::string::npos ? "" : label.substr(sign + 1));
  }
  writer.end_object();
  writer.key("ports").value(std::span<const std::string>(record.request.publish));
  if (size) writer.member("size", *size);
  writer.end_object();
}

// What is printed, and how.
struct View {
  const engine::Guests& registry;
  const std::vector<Guest>& guests;
  std::int64_t now;
  bool whole, sizes;
};

// What the guest wrote on disk.
std::uint64_t size_of(const View& view, const Guest& guest) {
  return images::tree_bytes(At::cwd(), view.registry.path_of(guest.record) + "/upper");
}

std::string as_json(const View& view) {
  json::Writer writer(json::Style::kSpaces);
  writer.begin_array();
  for (const Guest& guest : view.guests) {
    const auto size =
        view.sizes ? std::optional(size_of(view, guest)) : std::optional<std::uint64_t>();
    write_json(writer, guest, view.now, size);
  }
  writer.end_array();
  return writer.take();
}

std::string cut(std::string text, std::size_t most, bool whole) {
  if (whole || text.size() <= most) return text;
  // Not in the middle of a character.
  std::size_t end = most - 1;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U)
    --end;
  return text.substr(0, end) + "…";
}

std::string age_words(const Guest& guest, std::int64_t now) {
  return time_words(now - epoch_of(guest.record.created)) + " ago";
}

std::string as_table(const View& view) {
  constexpr std::size_t kStatus = 60;
  std::vector<std::vector<std::string>> rows{
      {"ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAME"}};
  if (view.sizes) rows[0].emplace_back("SIZE");
  for (const Guest& guest : view.guests) {
    const engine::GuestRecord& record = guest.record;
    rows.push_back({view.whole ? record.id : record.short_id(), record.image,
                    command_text(guest, view.whole), age_words(guest, view.now),
                    cut(status_words(guest, view.now), kStatus, view.whole),
                    join(record.request.publish, ", "), record.name});
    if (view.sizes) rows.back().push_back(human_size(size_of(view, guest)));
  }
  return table(rows);
}

// One object for each guest with the names that Docker's templates use.
Result<std::string> as_template(const View& view, const std::string& format) {
  json::Writer writer;
  writer.begin_array();
  for (const Guest& guest : view.guests) {
    const engine::GuestRecord& record = guest.record;
    writer.begin_object().member("ID", view.whole ? record.id : record.short_id());
    writer.member("Names", record.name).member("Image", record.image);
    writer.member("Name", record.name).member("Command", command_text(guest, view.whole));
    writer.member("CreatedAt", record.created).member("RunningFor", age_words(guest, view.now));
    writer.member("State", to_text(guest.status));
    writer.member("Status", status_words(guest, view.now));
    writer.member("Ports", join(record.request.publish, ", "));
    std::vector<std::string> networks{record.request.network};
    networks.insert(networks.end(), record.request.more_networks.begin(),
                    record.request.more_networks.end());
    writer.member("Networks", join(networks, ","));
    writer.member("Labels", join(record.request.labels, ","));
    writer.member("Mounts", join(record.request.volumes, ","));
    writer.member("Size", view.sizes ? human_size(size_of(view, guest)) : "0 B");
    writer.end_object();
  }
  writer.end_array();
  const std::string text = writer.take();
  const json::Document document = TRY(json::Document::parse(text, "ps"));
  return fill_rows(format, document.root());
}

// The ports of running guests as they are open, ranges included.
Result<void> show_ports(const engine::Guests& registry, std::vector<Guest>& guests) {
  for (Guest& guest : guests) {
    std::vector<std::string>& texts = guest.record.request.publish;
    if (texts.empty()) continue;
    if (guest.status != GuestStatus::kRunning && guest.status != GuestStatus::kPaused) {
      texts.clear();
      continue;
    }
    const std::vector<network::Publish> ports = TRY(engine::ports_of(registry, guest.record));
    texts.clear();
    for (const network::Publish& port : ports) {
      const bool any = !port.host4 && !port.host6;
      texts.push_back((any && port.host_port != 0 ? "0.0.0.0:" : "") + to_text(port));
    }
  }
  return {};
}

std::string as_ids(const std::vector<Guest>& guests, bool whole) {
  std::string text;
  for (const Guest& guest : guests)
    text += (whole ? guest.record.id : guest.record.short_id()) + "\n";
  return text;
}

// --filter since=GUEST and before=GUEST as the times at which those guests were made.
Result<std::vector<std::string>> with_times(const engine::Guests& registry,
                                            std::vector<std::string> texts) {
  for (std::string& text : texts) {
    const std::size_t sign = text.find('=');
    const std::string name = text.substr(0, sign);
    if (sign == std::string::npos || (name != "since" && name != "before")) continue;
    const Guest guest = TRY(registry.find(text.substr(sign + 1)));
    text = name + "=" + guest.record.created;
  }
  return texts;
}

Result<std::size_t> most_of(const Arguments& arguments) {
  if (arguments.on("latest")) return std::size_t{1};
  if (!arguments.has("last")) return std::numeric_limits<std::size_t>::max();
  const auto count = parse_i64(arguments.text("last"));
  if (!count) return Error(Code::kInvalid, "--last: not a number");
  return *count < 0 ? std::numeric_limits<std::size_t>::max() : static_cast<std::size_t>(*count);
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
      // A guest of a foreground command has no record of its start.
      const std::string& since = last.started.empty() ? guest.record.created : last.started;
      std::string text = "Up " + time_words(now - epoch_of(since));
      if (guest.status == GuestStatus::kPaused) text += " (paused)";
      if (!guest.health.empty()) text += " (" + guest.health + ")";
      if (!guest.ready) text += " (not ready)";
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
  const std::string format = call.arguments.text("format");
  const bool by_template = is_template(format);
  const Form form = by_template ? Form::kTable : TRY(form_of(call.arguments));
  const engine::Guests registry = TRY(guests_of(call));
  const std::vector<std::string> texts = TRY(with_times(registry, call.arguments.list("filter")));
  const Filters filters = TRY(Filters::parse(texts, kFilters));
  TRY(check_values(texts));
  const bool by_status = std::any_of(texts.begin(), texts.end(), [](const std::string& text) {
    return text.starts_with("status=") || text.starts_with("exited=");
  });
  const std::size_t most = TRY(most_of(call.arguments));
  const bool all = call.arguments.on("all") || by_status || call.arguments.has("last") ||
                   call.arguments.on("latest");
  std::vector<Guest> guests = TRY(registry.list());
  std::erase_if(guests, [&](const Guest& guest) {
    const bool shown = all || guest.runs() || guest.status == GuestStatus::kRestarting;
    return !shown || !filters.hold([&](std::string_view filter, std::string_view value) {
      return matches(guest, filter, value);
    });
  });
  if (guests.size() > most) guests.resize(most);
  TRY(show_ports(registry, guests));
  const std::int64_t now = ::time(nullptr);
  const bool whole = call.arguments.on("no-trunc");
  const bool sizes = call.arguments.on("size");
  const View view{registry, guests, now, whole, sizes};
  std::string text;
  if (call.arguments.on("quiet")) {
    text = as_ids(guests, whole);
  } else if (by_template) {
    text = TRY(as_template(view, format));
  } else if (form == Form::kTable) {
    text = as_table(view);
  } else {
    text = TRY(document(form, as_json(view)));
  }
  TRY(sys::write_all(STDOUT_FILENO, text));
  return 0;
}

}  // namespace vrun::cli
