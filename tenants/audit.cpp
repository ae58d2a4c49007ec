#include "tenants/audit.hpp"

#include <array>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.hpp"
#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "tenants/record.hpp"

namespace vrun::tenants {
namespace {

constexpr const char* kFile = "audit.log";
constexpr const char* kOlder = "audit.log.1";
constexpr std::size_t kLongestWord = 1024, kMostOfWords = 8192;
constexpr off_t kMostOfLog = 64 << 20;

// Flags whose value (or what stands behind its '=') nobody else may know.
constexpr std::array<std::string_view, 3> kEnv{"-e", "--env", "-env"};
constexpr std::array<std::string_view, 3> kPassword{"-p", "--password", "-password"};

bool is_one_of(std::span<const std::string_view> names, std::string_view word) {
  for (const std::string_view name : names) {
    if (word == name) return true;
  }
  return false;
}

std::string hide_value(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) return std::string(text);
  return std::string(text.substr(0, equals)) + "=...";
}

// One at a time: two who find it full would put the new one away.
Result<void> make_room(const Fd& dir) {
  const auto is_full = [&] {
    const Result<struct stat> log = sys::stat(dir, kFile, AT_SYMLINK_NOFOLLOW);
    return log && log->st_size >= kMostOfLog;
  };
  if (!is_full()) return {};
  const Fd lock = TRY(sys::open_dir(dir, "."));
  TRY(sys::lock(lock.get(), LOCK_EX, "the audit log"));
  if (is_full() && ::renameat(dir.get(), kFile, dir.get(), kOlder) != 0)
    return Error::system(errno, "put the audit log away");
  return {};
}

Result<void> append(const Fd& dir, const std::string& line) {
  TRY(make_room(dir));
  const Fd file =
      TRY(sys::open(dir, kFile, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NOCTTY, 0600));
  return sys::write_all(file.get(), line);
}

}  // namespace

std::string to_line(const AuditEntry& entry, const std::string& time) {
  json::Writer w;
  w.begin_object();
  w.member("time", std::string_view(time));
  w.member("uid", entry.uid).member("user", std::string_view(entry.user));
  w.member("by", std::string_view(entry.by)).member("tenant", std::string_view(entry.tenant));
  w.member("verb", std::string_view(entry.verb).substr(0, kLongestWord));
  w.member("words", std::span<const std::string>(entry.words));
  w.member("code", entry.code);
  if (!entry.refusal.empty())
    w.member("refused", std::string_view(entry.refusal).substr(0, kLongestWord));
  w.end_object();
  return w.take() + "\n";
}

Result<void> note(const std::string& tenants_dir, const AuditEntry& entry) {
  const std::string line = to_line(entry, now_text());
  if (check_tenant_name(entry.tenant)) {
    const Result<Fd> own = sys::open_dir(At::cwd(), tenants_dir + "/" + entry.tenant);
    if (own) return append(*own, line);
  }
  const Result<Fd> all = sys::open_dir(At::cwd(), tenants_dir);
  if (!all && all.error().code() == Code::kNotFound) return {};  // no tenant was ever made here
  if (!all) return Error(all.error().code(), all.error().text());
  return append(*all, line);
}

std::vector<std::string> without_secrets(const std::vector<std::string>& words) {
  std::vector<std::string> shown;
  std::size_t size = 0;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    const std::string_view name = std::string_view(word).substr(0, word.find('='));
    const bool env = is_one_of(kEnv, name), password = is_one_of(kPassword, name);
    if (env && word.size() > name.size()) {
      const std::string_view value = std::string_view(word).substr(name.size() + 1);
      shown.push_back(std::string(name) + "=" + hide_value(value));
    } else if (password && word.size() > name.size()) {
      shown.push_back(std::string(name) + "=...");
    } else if ((env || password) && i + 1 < words.size()) {
      shown.push_back(word);
      // Published ports have the same letter, and nothing to hide.
      const bool port = name == "-p";
      shown.push_back(env ? hide_value(words[i + 1]) : port ? words[i + 1] : "...");
      ++i;
    } else if (word.starts_with("-e") && word.find('=') != std::string::npos) {
      shown.push_back(hide_value(word));  // "-eNAME=VALUE"
    } else {
      shown.push_back(word);
    }
    if (shown.back().size() > kLongestWord) shown.back().resize(kLongestWord);
    size += shown.back().size() + 1;
    if (size > kMostOfWords && i + 1 < words.size()) {
      shown.push_back("... and " + std::to_string(words.size() - i - 1) + " more words");
      break;
    }
  }
  return shown;
}

Caller caller_of(const Host& host) {
  if (!host.rootless()) {
    if (const auto uid = parse_u64(host.variable("VRUN_CALLER_UID")); uid && *uid < 0xFFFFFFFFU)
      return {static_cast<std::uint32_t>(*uid), "broker"};
    if (const auto uid = parse_u64(host.variable("SUDO_UID")); uid && *uid < 0xFFFFFFFFU)
      return {static_cast<std::uint32_t>(*uid), "sudo"};
  }
  return {::getuid(), host.rootless() ? "user" : "root"};
}

}  // namespace vrun::tenants
