#include <algorithm>
#include <array>
#include <ctime>

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/json.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/verb_guests.hpp"
#include "engine/events.hpp"
#include "engine/guest_logs.hpp"
#include "engine/guest_setup.hpp"
#include "engine/tenant_entry.hpp"

namespace vrun::cli {
namespace {

struct Wanted {
  std::string since, until, tenant;
  std::string tenant_created;  // what was before is of another one that had the name
  std::vector<std::pair<std::string, std::string>> filters;
  bool json = false;
};

std::string text_of(const json::Value& event, std::string_view key) {
  const json::Value* value = event.find(key);
  if (value == nullptr || value->kind() != json::Kind::kString) return {};
  return std::string(value->as_text());
}

bool matches(const json::Value& event, const std::string& key, const std::string& value) {
  if (key == "event") return text_of(event, "action") == value;
  const std::string type = text_of(event, "type");
  if (key == "type") return type == (value == "container" ? "guest" : value);
  if (key == "image" && type == "guest") return text_of(event, "image") == value;
  const std::string kind = key == "container" ? "guest" : key;
  if (type != kind) return false;
  // A short beginning of an id is more likely a name that was meant.
  constexpr std::size_t kLeastDigits = 12;
  const std::string id = text_of(event, "id");
  return text_of(event, "name") == value || (value.size() >= kLeastDigits && id.starts_with(value));
}

// Filters of one key are alternatives; of different keys, all hold.
bool matches_all(const json::Value& event, const Wanted& wanted) {
  for (const auto& [key, value] : wanted.filters) {
    bool any = false;
    for (const auto& [other, alternative] : wanted.filters)
      any = any || (other == key && matches(event, key, alternative));
    if (!any) return false;
  }
  return true;
}

std::string as_text(const json::Value& event) {
  const std::string type = text_of(event, "type");
  std::string line = text_of(event, "time") + " " + type + " " + text_of(event, "action") + " ";
  if (type == "guest") {
    line += text_of(event, "id").substr(0, 12) + " (name=" + text_of(event, "name") +
            ", image=" + text_of(event, "image");
  } else {
    // An image is known by its manifest, a network and a volume by their names.
    const std::string id = text_of(event, "id"), name = text_of(event, "name");
    line += (id == name ? "" : id + " ") + "(name=" + name;
  }
  if (const json::Value* more = event.find("attributes")) {
    for (const json::Member& member : more->members()) {
      line += ", " + std::string(member.key.as_text()) + "=";
      if (member.value.kind() == json::Kind::kString) line += member.value.as_text();
    }
  }
  return printable(line + ")");
}

// False: it is later than wanted.
Result<bool> show(std::string_view line, const Wanted& wanted) {
  const Result<json::Document> document = json::Document::parse(line, "event");
  if (!document) return true;  // cut by a full disk
  const json::Value& event = document->root();
  const std::string time = text_of(event, "time");
  if (time < wanted.since) return true;
  if (!wanted.until.empty() && time > wanted.until) return false;
  if (text_of(event, "tenant") != wanted.tenant || time < wanted.tenant_created) return true;
  if (!matches_all(event, wanted)) return true;
  const std::string shown = wanted.json ? std::string(line) : as_text(event);
  TRY(sys::write_all(STDOUT_FILENO, shown + "\n"));
  return true;
}

// The file as it grows; when it was replaced by a fresh one, that one.
class Tail {
 public:
  explicit Tail(std::string path) : path_(std::move(path)) {}
  // Whole lines that were added; false from `on_line` ends it.
  Result<bool> read(const Wanted& wanted) {
    if (!file_) open();
    while (file_) {
      const std::size_t n = TRY(sys::read(file_.get(), buffer_));
      if (n == 0) {
        if (!was_replaced()) return true;
        file_.reset();
        open();
        continue;
      }
      rest_.append(buffer_.data(), n);
      std::size_t from = 0;
      for (std::size_t end; (end = rest_.find('\n', from)) != std::string::npos; from = end + 1) {
        if (!TRY(show(std::string_view(rest_).substr(from, end - from), wanted))) return false;
      }
      rest_.erase(0, from);
    }
    return true;
  }
  void skip_to_end() {
    if (!file_) open();
    if (file_) ::lseek(file_.get(), 0, SEEK_END);
  }

 private:
  void open() {
    Result<Fd> file = sys::open(At::cwd(), path_, O_RDONLY | O_NOFOLLOW);
    if (file) file_ = *std::move(file);
  }
  bool was_replaced() const {
    const Result<struct stat> ours = sys::stat(file_.get());
    const Result<struct stat> named = sys::stat(At::cwd(), path_);
    return ours && named && ours->st_ino != named->st_ino;
  }
  std::string path_, rest_;
  Fd file_;
  std::vector<char> buffer_ = std::vector<char>(65536);
};

Result<Wanted> wanted_of(const EverydayCall& call) {
  Wanted wanted;
  wanted.tenant = call.tenant;
  if (call.tenant != engine::kDefaultTenant)
    wanted.tenant_created = TRY(engine::tenant_store(call.places).find(call.tenant)).created;
  const Arguments& arguments = call.arguments;
  if (arguments.has("since")) wanted.since = TRY(engine::parse_log_time(arguments.text("since")));
  if (arguments.has("until")) wanted.until = TRY(engine::parse_log_time(arguments.text("until")));
  const std::string format = arguments.text("format");
  if (format != "text" && format != "json") {
    return Error(Code::kInvalid, "--format " + quote(format) + ": unknown")
        .hint("there are: text, json");
  }
  wanted.json = format == "json";
  for (const std::string& text : arguments.list("filter")) {
    const std::size_t sign = std::min(text.find('='), text.size());
    const std::string key = text.substr(0, sign);
    constexpr std::array<std::string_view, 7> kKnown{"guest",   "container", "event", "image",
                                                     "network", "volume",    "type"};
    const bool known = std::find(kKnown.begin(), kKnown.end(), key) != kKnown.end();
    if (!known || sign == text.size()) {
      return Error(Code::kInvalid, "--filter " + quote(text) + ": unknown")
          .hint(
              "there are: guest=NAME, image=NAME, network=NAME, volume=NAME, event=ACTION, "
              "type=TYPE");
    }
    wanted.filters.emplace_back(key, text.substr(sign + 1));
  }
  return wanted;
}

}  // namespace

Result<int> everyday_events(const EverydayCall& call) {
  const Wanted wanted = TRY(wanted_of(call));
  const std::string path = engine::events_path(call.places);
  TRY(fs::make_dirs(At::cwd(), call.places.data, 0700));
  const Fd notify(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!notify || ::inotify_add_watch(notify.get(), call.places.data.c_str(),
                                     IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0) {
    return Error::system(errno, "watch " + quote(call.places.data));
  }
  Tail tail(path);
  if (!wanted.since.empty() || !wanted.until.empty()) {
    Tail older(path + ".1");
    if (!TRY(older.read(wanted))) return 0;
  } else {
    tail.skip_to_end();
  }
  while (TRY(tail.read(wanted))) {
    int timeout_ms = -1;
    if (!wanted.until.empty()) {
      if (now_text() >= wanted.until) return 0;
      constexpr int kLookMs = 200;
      timeout_ms = kLookMs;
    }
    std::array<pollfd, 1> fds{pollfd{notify.get(), POLLIN, 0}};
    TRY(sys::poll(fds, timeout_ms));
    std::array<char, 4096> drained{};
    while (::read(notify.get(), drained.data(), drained.size()) > 0) {
    }
  }
  return 0;
}

}  // namespace vrun::cli
