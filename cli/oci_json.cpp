#include "cli/oci_json.hpp"

#include "base/fs.hpp"
#include "base/json_writer.hpp"
#include "base/text.hpp"

namespace vrun::cli {
namespace {

void write_info(json::Writer& out, const runtime::Info& info, std::string_view owner) {
  out.begin_object()
      .member("ociVersion", oci::State().oci_version)
      .member("id", info.id)
      .member("pid", info.pid.value)
      .member("status", runtime::to_text(info.status))
      .member("bundle", info.bundle)
      .member("rootfs", info.rootfs)
      .member("created", info.created);
  if (!info.annotations.empty()) {
    out.key("annotations").begin_object();
    for (const auto& [key, value] : info.annotations)
      out.member(key, value);
    out.end_object();
  }
  out.member("owner", owner).end_object();
}

std::string look_up(Uid uid) {
  constexpr std::size_t kMostBytes = 8U << 20U;
  const std::string wanted = std::to_string(uid.value);
  const Result<std::string> passwd = fs::read_file(At::cwd(), "/etc/passwd", kMostBytes);
  if (!passwd) return "#" + wanted;
  for (const std::string_view line : split(*passwd, '\n')) {
    const auto fields = split(line, ':');  // passwd(5): name, password, uid, ...
    if (fields.size() > 2 && fields[2] == wanted) return std::string(fields[0]);
  }
  return "#" + wanted;
}

}  // namespace

std::string state_json(const runtime::Info& info) {
  json::Writer out(json::Style::kSpaces);
  write_info(out, info, "");
  return out.take() + '\n';
}

std::string list_json(const std::vector<runtime::Info>& containers) {
  if (containers.empty()) return "null\n";
  json::Writer out;
  UserNames owners;
  out.begin_array();
  for (const runtime::Info& info : containers)
    write_info(out, info, owners.of(info.owner));
  out.end_array();
  return out.take() + '\n';
}

std::string pids_json(const std::vector<Pid>& pids) {
  if (pids.empty()) return "null\n";
  json::Writer out;
  out.begin_array();
  for (const Pid pid : pids)
    out.value(pid.value);
  out.end_array();
  return out.take() + '\n';
}

std::string oom_line(const std::string& id) {
  json::Writer out;
  out.begin_object().member("type", "oom").member("id", id).end_object();
  return out.take() + '\n';
}

const std::string& UserNames::of(Uid uid) {
  const auto known = known_.find(uid.value);
  return known != known_.end() ? known->second : known_[uid.value] = look_up(uid);
}

}  // namespace vrun::cli
