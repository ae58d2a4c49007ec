#include <unistd.h>

#include "base/fs.hpp"
#include "base/json.hpp"
#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/output.hpp"
#include "cli/verb_guests.hpp"
#include "engine/guest_network.hpp"
#include "network/documents.hpp"

namespace vrun::cli {
namespace {

using engine::Guest;
using engine::Guests;

void copy(const json::Value& from, json::Writer& to) {
  switch (from.kind()) {
    case json::Kind::kNull:
      to.null();
      break;
    case json::Kind::kBool:
      to.value(from.as_bool());
      break;
    case json::Kind::kUnsigned:
      to.value(from.as_unsigned());
      break;
    case json::Kind::kNegative:
      to.value(from.as_negative());
      break;
    case json::Kind::kReal:
      to.value(from.as_real());
      break;
    case json::Kind::kString:
      to.value(from.as_text());
      break;
    case json::Kind::kArray:
      to.begin_array();
      for (const json::Value& element : from.elements())
        copy(element, to);
      to.end_array();
      break;
    case json::Kind::kObject:
      to.begin_object();
      for (const json::Member& member : from.members()) {
        to.key(member.key.as_text());
        copy(member.value, to);
      }
      to.end_object();
      break;
  }
}

void write_state(const Guest& guest, json::Writer& writer) {
  const engine::LastExit& last = guest.record.last;
  writer.key("state").begin_object();
  writer.member("status", engine::to_text(guest.status));
  writer.member("running", guest.runs());
  writer.member("pid", static_cast<std::int64_t>(guest.pid.value));
  if (!guest.health.empty()) writer.member("health", guest.health);
  writer.member("startedAt", last.started).member("finishedAt", last.finished);
  writer.member("exitCode", last.code).member("signal", last.signal);
  writer.member("oomKilled", last.oom).member("reason", last.reason);
  if (!last.hint.empty()) writer.member("hint", last.hint);
  writer.member("restarts", guest.record.restarts);
  writer.end_object();
}

// What it has at the moment, ports as they were chosen; what went over all it ever had.
Result<void> write_network(const Guests& guests, const engine::GuestRecord& record,
                           json::Writer& writer) {
  if (!engine::has_own_network(record.request)) return {};
  if (const auto now = TRY(engine::network_of(guests, record))) {
    writer.key("network");
    json::encode(writer, json::Rule(), *now);
  }
  writer.key("traffic");
  json::encode(writer, json::Rule(), TRY(engine::traffic_of(guests, record)));
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
    copy(member.value, writer);
  }
  write_state(guest, writer);
  TRY(write_network(guests, guest.record, writer));
  writer.key("paths").begin_object();
  writer.member("guest", guests.path_of(guest.record));
  writer.member("logs", guests.path_of(guest.record) + "/logs");
  writer.member("state", guests.context().root + "/" + guest.record.id);
  writer.end_object();
  writer.end_object();
  return {};
}

// "state.status" of one guest: a text without quotes, anything else as JSON.
Result<std::string> member_at(const json::Value& root, const std::string& path) {
  const json::Value* value = &root;
  for (const std::string_view key : split(path, '.')) {
    if (key.empty()) continue;  // ".State" and "a.b" are both written
    const json::Value* inner = value->find(key);
    if (inner == nullptr) {
      std::vector<std::string_view> known;
      if (value->kind() == json::Kind::kObject) {
        for (const json::Member& member : value->members())
          known.push_back(member.key.as_text());
      }
      Error error(Code::kInvalid, "--format " + quote(path) + ": no member " + quote(key));
      const auto near = nearest(key, known);
      if (near) return std::move(error).hint("did you mean " + std::string(*near) + "?");
      return std::move(error).hint("json, yaml, or a path such as state.exitCode");
    }
    value = inner;
  }
  if (value->kind() == json::Kind::kString) return printable(value->as_text());
  json::Writer writer;
  copy(*value, writer);
  return writer.take();
}

}  // namespace

Result<int> everyday_inspect(const EverydayCall& call) {
  const Guests guests = TRY(guests_of(call));
  json::Writer writer(json::Style::kSpaces);
  writer.begin_array();
  for (const std::string_view word : call.arguments.words()) {
    const Guest guest = TRY(guests.find(word));
    TRY(write_guest(guests, guest, writer));
  }
  writer.end_array();
  const std::string text = writer.take();
  const std::string format = call.arguments.text("format");
  if (format.empty() || format == "json" || format == "yaml") {
    const std::string shown = TRY(document(format == "yaml" ? Form::kYaml : Form::kJson, text));
    TRY(sys::write_all(STDOUT_FILENO, shown));
    return 0;
  }
  const json::Document document = TRY(json::Document::parse(text, "inspect"));
  for (const json::Value& guest : document.root().elements()) {
    const std::string value = TRY(member_at(guest, format));
    TRY(sys::write_all(STDOUT_FILENO, value + "\n"));
  }
  return 0;
}

}  // namespace vrun::cli
