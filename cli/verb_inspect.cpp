#include <algorithm>
#include <map>
#include <span>

#include <unistd.h>

#include "base/fs.hpp"
#include "base/json.hpp"
#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/complain.hpp"
#include "cli/go_template.hpp"
#include "cli/output.hpp"
#include "cli/verb_guests.hpp"
#include "cli/verb_images.hpp"
#include "engine/checkpoint.hpp"
#include "engine/guest_network.hpp"
#include "engine/guest_volumes.hpp"
#include "engine/micro_vm.hpp"
#include "engine/volumes.hpp"
#include "network/documents.hpp"
#include "network/networks.hpp"

namespace vrun::cli {
namespace {

using engine::Guest;
using engine::Guests;

// Whether others may be told of it, and each probe with what it said last.
void write_probes(const Guest& guest, json::Writer& writer) {
  if (!guest.runs()) return;
  writer.member("ready", guest.ready);
  if (guest.probes.empty()) return;
  writer.key("probes").begin_object();
  for (const engine::ProbeState& probe : guest.probes) {
    writer.key(engine::name_of(probe.probe)).begin_object();
    writer.member("state", probe.state).member("failures", probe.failures);
    writer.member("last", probe.last);
    if (probe.checked > 0) writer.member("checkedAt", probe.checked);
    if (!probe.reason.empty()) writer.member("reason", probe.reason);
    writer.end_object();
  }
  writer.end_object();
}

void write_state(const Guest& guest, json::Writer& writer) {
  const engine::LastExit& last = guest.record.last;
  writer.key("state").begin_object();
  writer.member("status", engine::to_text(guest.status));
  writer.member("running", guest.runs());
  writer.member("pid", static_cast<std::int64_t>(guest.pid.value));
  if (!guest.health.empty()) writer.member("health", guest.health);
  write_probes(guest, writer);
  writer.member("startedAt", last.started).member("finishedAt", last.finished);
  writer.member("exitCode", last.code).member("signal", last.signal);
  writer.member("oomKilled", last.oom).member("reason", last.reason);
  if (!last.hint.empty()) writer.member("hint", last.hint);
  writer.member("restarts", guest.record.restarts);
  const bool checkpointed = !guest.runs() && engine::is_checkpointed(guest.record);
  writer.member("checkpointed", checkpointed);
  if (checkpointed) writer.member("checkpointedAt", guest.record.checkpoint.created);
  writer.end_object();
}

void write_endpoint(const network::Endpoint& one, json::Writer& writer) {
  writer.begin_object().member("interface", one.interface);
  writer.member("ipAddress", to_text(one.ipv4)).member("ipPrefixLen", one.prefix4);
  writer.member("gateway", to_text(one.gateway4));
  writer.member("globalIPv6Address", one.ipv6 ? to_text(*one.ipv6) : "");
  writer.member("globalIPv6PrefixLen", one.ipv6 ? one.prefix6 : 0U);
  writer.member("ipv6Gateway", one.gateway6 ? to_text(*one.gateway6) : "");
  writer.member("macAddress", to_text(one.mac)).member("internal", one.internal);
  writer.key("aliases").value(std::span<const std::string>(one.aliases));
  writer.end_object();
}

// "80/tcp": [{"hostIp": "0.0.0.0", "hostPort": "8080"}], with the ports that were chosen.
void write_ports(const std::vector<network::Publish>& ports, json::Writer& writer) {
  std::map<std::string, std::vector<std::pair<std::string, std::string>>> hosts;
  for (const network::Publish& port : ports) {
    std::vector<std::string> addresses;
    if (port.on_ipv4()) addresses.push_back(port.host4 ? to_text(*port.host4) : "0.0.0.0");
    if (port.on_ipv6()) addresses.push_back(port.host6 ? to_text(*port.host6) : "::");
    for (unsigned i = 0; i < port.count; ++i) {
      auto& list = hosts[std::to_string(port.guest_port + i) + "/" + to_text(port.protocol)];
      for (const std::string& address : addresses)
        list.emplace_back(address, port.host_port == 0 ? "" : std::to_string(port.host_port + i));
    }
  }
  writer.key("ports").begin_object();
  for (const auto& [name, list] : hosts) {
    writer.key(name).begin_array();
    for (const auto& [address, port] : list)
      writer.begin_object().member("hostIp", address).member("hostPort", port).end_object();
    writer.end_array();
  }
  writer.end_object();
}

// In Docker's arrangement: what other guests and the host reach it by. Empty while it has none.
void write_network(const network::GuestNetwork& now, json::Writer& writer) {
  writer.key("networkSettings").begin_object();
  const bool has = !now.endpoints.empty();
  const network::Endpoint first = has ? now.endpoints[0] : network::Endpoint();
  writer.member("ipAddress", has ? to_text(first.ipv4) : "");
  writer.member("globalIPv6Address", first.ipv6 ? to_text(*first.ipv6) : "");
  writer.member("gateway", has ? to_text(first.gateway4) : "");
  writer.member("macAddress", has ? to_text(first.mac) : "");
  write_ports(now.ports, writer);
  writer.key("bandwidth").begin_object();  // bits and packets per second; 0: no limit
  writer.member("in", now.bandwidth.in).member("out", now.bandwidth.out);
  writer.member("packets", now.bandwidth.packets).end_object();
  writer.key("networks").begin_object();
  for (const network::Endpoint& one : now.endpoints) {
    writer.key(one.network);
    write_endpoint(one, writer);
  }
  writer.end_object().end_object();
}

void write_mount(const oci::Mount& mount, const std::string& volume, json::Writer& writer) {
  const bool reads = std::any_of(mount.options.begin(), mount.options.end(),
                                 [](const auto& word) { return word == "ro" || word == "rro"; });
  writer.begin_object().member("type", volume.empty() ? mount.type : "volume");
  if (!volume.empty()) writer.member("name", volume);
  writer.member("source", mount.source).member("destination", mount.destination);
  writer.member("rw", !reads);
  writer.key("options").value(std::span<const std::string>(mount.options));
  writer.end_object();
}

// Volumes, --mount and --tmpfs as they are meant, in Docker's words.
Result<void> write_mounts(const Guests& guests, const Guest& guest, json::Writer& writer) {
  const engine::RunRequest& request = guest.record.request;
  std::vector<oci::Mount> mounts;
  for (const std::string& text : request.volumes) {
    engine::AskedMount asked = TRY(engine::parse_volume(text, "/"));
    if (!asked.is_volume) mounts.push_back(std::move(asked.mount));
  }
  for (const std::string& text : request.mounts) {
    engine::AskedMount asked = TRY(engine::parse_mount(text));
    if (!asked.is_volume) mounts.push_back(std::move(asked.mount));
  }
  for (const std::string& text : request.tmpfs)
    mounts.push_back(TRY(engine::parse_tmpfs(text)));
  writer.key("mounts").begin_array();
  for (const oci::Mount& mount : mounts)
    write_mount(mount, "", writer);
  const std::vector<oci::Mount> volumes = engine::volume_mounts(guests, guest.record);
  for (std::size_t i = 0; i < volumes.size(); ++i)
    write_mount(volumes[i], guest.record.volumes[i].name, writer);
  writer.end_array();
  return {};
}

// The record with what is true at the moment in place of its last end.
Result<void> write_guest(const Guests& guests, const Guest& guest, json::Writer& writer) {
  const std::string text = engine::to_json(guest.record);
  const json::Document record = TRY(json::Document::parse(text, guest.record.name));
  writer.begin_object();
  for (const json::Member& member : record.root().members()) {
    const std::string_view key = member.key.as_text();
    if (key == "last" || key == "version" || key == "quickEnds" || key == "restarts" ||
        key == "traffic")
      continue;
    writer.key(key);
    copy_value(member.value, writer);
  }
  write_state(guest, writer);
  write_network(TRY(engine::network_of(guests, guest.record)), writer);
  if (engine::has_own_network(guest.record.request)) {
    writer.key("traffic");
    json::encode(writer, json::Rule(), TRY(engine::traffic_of(guests, guest.record)));
  }
  if (const auto machine = engine::machine_facts(guests, guest.record)) {
    const json::Document facts = TRY(json::Document::parse(engine::to_json(*machine), "machine"));
    writer.key("machine");
    copy_value(facts.root(), writer);
  }
  TRY(write_mounts(guests, guest, writer));
  writer.key("paths").begin_object();
  writer.member("guest", guests.path_of(guest.record));
  writer.member("logs", guests.path_of(guest.record) + "/logs");
  writer.member("state", guests.context().root + "/" + guest.record.id);
  writer.end_object();
  writer.end_object();
  return {};
}

// A guest, or an image where no guest has the name, as Docker does.
Result<void> write_thing(const EverydayCall& call, const Guests& guests, const std::string& word,
                         json::Writer& writer) {
  Result<Guest> guest = guests.find(word);
  if (guest) return write_guest(guests, *guest, writer);
  if (guest.error().code() != Code::kNotFound) return std::move(guest).error();
  Result<void> image = write_image_named(call, word, writer);
  if (image || image.error().code() != Code::kNotFound) return image;
  return std::move(guest).error();
}

}  // namespace

Result<int> everyday_inspect(const EverydayCall& call) {
  const Guests guests = TRY(guests_of(call));
  json::Writer writer(json::Style::kSpaces);
  writer.begin_array();
  int failed = 0;
  for (const std::string_view word : call.arguments.words()) {
    Result<void> written = write_thing(call, guests, std::string(word), writer);
    if (written) continue;
    failed = kOwnFailure;
    complain("vrun", std::move(written).error());
  }
  writer.end_array();
  TRY(show_document(writer.take(), call.arguments.text("format")));
  return failed;
}

Result<void> show_document(std::string text, const std::string& format) {
  if (format.empty() || format == "json" || format == "yaml") {
    const std::string shown_text =
        TRY(document(format == "yaml" ? Form::kYaml : Form::kJson, std::move(text)));
    return sys::write_all(STDOUT_FILENO, shown_text);
  }
  const json::Document document = TRY(json::Document::parse(text, "inspect"));
  std::string lines;
  for (const json::Value& one : document.root().elements()) {
    lines +=
        is_template(format) ? TRY(fill_template(format, one)) : shown(*TRY(member_at(one, format)));
    lines += "\n";
  }
  return sys::write_all(STDOUT_FILENO, lines);
}

}  // namespace vrun::cli
