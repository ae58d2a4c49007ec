// Calls vrun::network::Networks for tests: `network-probe DATA RUN TENANT VERB WORD...
// [--FLAG=VALUE]`. Answers as JSON on stdout, errors as vrun prints them.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "network/documents.hpp"
#include "network/networks.hpp"

namespace vrun::network {
namespace {

struct Call {
  Networks& networks;
  std::vector<std::string> words;  // after the verb
  std::vector<std::pair<std::string, std::string>> flags;

  std::string flag(std::string_view name) const {
    for (const auto& [key, value] : flags) {
      if (key == name) return value;
    }
    return "";
  }
  bool has(std::string_view name) const {
    for (const auto& [key, value] : flags) {
      if (key == name) return true;
    }
    return false;
  }
  std::vector<std::string> list(std::string_view name) const {
    std::vector<std::string> values;
    for (const auto& [key, value] : flags) {
      if (key == name) values.push_back(value);
    }
    return values;
  }
  std::string word(std::size_t i) const { return i < words.size() ? words[i] : ""; }
};

template <typename T>
void print(const T& value) {
  std::puts(json::write(value).c_str());
  std::fflush(stdout);
}

Result<Fd> namespace_of(const std::string& pid) {
  return sys::open(At::cwd(), "/proc/" + pid + "/ns/net", O_RDONLY);
}

Result<std::vector<Publish>> ports_of(const std::vector<std::string>& texts) {
  std::vector<Publish> ports;
  for (const std::string& text : texts)
    ports.push_back(TRY(parse_publish(text)));
  return ports;
}

Result<AttachRequest> request_of(const Call& call) {
  AttachRequest request;
  request.guest = call.word(0);
  request.hostname = call.flag("hostname");
  request.joins = TRY(parse_mode(call.list("network"))).joins;
  request.ports = TRY(ports_of(call.list("publish")));
  request.bandwidth = {parse_u64(call.flag("in")).value_or(0),
                       parse_u64(call.flag("out")).value_or(0)};
  for (const std::string& text : call.list("add-host"))
    request.extra_hosts.push_back(TRY(parse_extra_host(text)));
  request.dns = call.list("dns");
  request.hosts_file = call.flag("hosts");
  request.resolv_file = call.flag("resolv");
  return request;
}

Result<void> attach(const Call& call) {
  const Fd netns = TRY(namespace_of(call.word(1)));
  const AttachRequest request = TRY(request_of(call));
  Attachment attached = TRY(call.networks.attach(request, netns));
  for (const std::string& warning : attached.warnings())
    std::fprintf(stderr, "warning: %s\n", warning.c_str());
  print(attached.guest());
  if (call.has("hold")) ::pause();  // for the test to kill
  if (!call.has("drop")) attached.commit();
  return {};
}

// Attaches and detaches a guest many times; the median of the attach in microseconds.
Result<void> loop(const Call& call) {
  const Fd netns = TRY(namespace_of(call.word(1)));
  const AttachRequest request = TRY(request_of(call));
  std::vector<long> times;
  for (std::uint64_t i = 0; i < parse_u64(call.word(2)).value_or(1); ++i) {
    const auto begun = std::chrono::steady_clock::now();
    Attachment attached = TRY(call.networks.attach(request, netns));
    times.push_back(std::chrono::duration_cast<std::chrono::microseconds>(
                        std::chrono::steady_clock::now() - begun)
                        .count());
    attached.commit();
    TRY(call.networks.detach(request.guest, Links::kRemove));
  }
  std::sort(times.begin(), times.end());
  std::printf("%ld\n", times[times.size() / 2]);
  return {};
}

Result<void> create(const Call& call) {
  NewNetwork wanted;
  wanted.name = call.word(0);
  wanted.internal = call.has("internal");
  wanted.ipv6 = !call.has("no-ipv6");
  if (call.has("subnet")) wanted.subnet4 = parse_subnet4(call.flag("subnet"));
  wanted.mtu = static_cast<std::uint32_t>(parse_u64(call.flag("mtu")).value_or(0));
  print(TRY(call.networks.create(wanted)));
  return {};
}

Result<void> publish(const Call& call, bool add) {
  const std::vector<Publish> ports = TRY(ports_of({call.words.begin() + 1, call.words.end()}));
  if (!add) return call.networks.unpublish(call.word(0), ports);
  for (const Publish& port : TRY(call.networks.publish(call.word(0), ports)))
    print(port);
  return {};
}

Result<void> perform(const std::string& verb, const Call& call) {
  if (verb == "attach") return attach(call);
  if (verb == "loop") return loop(call);
  if (verb == "create") return create(call);
  if (verb == "remove") return call.networks.remove(call.word(0));
  if (verb == "rename") return call.networks.rename(call.word(0), call.word(1), "");
  if (verb == "repair") return call.networks.repair();
  if (verb == "publish") return publish(call, true);
  if (verb == "unpublish") return publish(call, false);
  if (verb == "detach") {
    return call.networks.detach(call.word(0), call.has("leave") ? Links::kLeave : Links::kRemove);
  }
  if (verb == "counters") {
    print(TRY(call.networks.counters(call.word(0))));
    return {};
  }
  if (verb == "limit") {
    const Bandwidth bandwidth{parse_u64(call.flag("in")).value_or(0),
                              parse_u64(call.flag("out")).value_or(0)};
    return call.networks.limit(call.word(0), bandwidth);
  }
  const Fd netns = TRY(namespace_of(call.word(1)));
  if (verb == "connect") {
    const Join join = TRY(parse_join(call.word(2)));
    print(TRY(call.networks.connect(call.word(0), join, netns)));
    return {};
  }
  if (verb == "disconnect") return call.networks.disconnect(call.word(0), call.word(2), netns);
  return Error(Code::kInvalid, "unknown verb " + quote(verb));
}

Result<void> perform_line(int argc, char** argv) {
  if (argc < 5) return Error(Code::kInvalid, "usage: network-probe DATA RUN TENANT VERB WORD...");
  Networks networks = TRY(Networks::open({argv[1], argv[2]}, argv[3], Host::current()));
  Call call{networks, {}, {}};
  for (int i = 5; i < argc; ++i) {
    const std::string word = argv[i];
    if (!word.starts_with("--")) {
      call.words.push_back(word);
      continue;
    }
    const std::size_t equals = word.find('=');
    call.flags.emplace_back(word.substr(2, equals - 2),
                            equals == std::string::npos ? "" : word.substr(equals + 1));
  }
  return perform(argv[4], call);
}

}  // namespace
}  // namespace vrun::network

int main(int argc, char** argv) {
  const vrun::Result<void> done = vrun::network::perform_line(argc, argv);
  if (done) return 0;
  std::fprintf(stderr, "%s\n", done.error().text().c_str());
  if (!done.error().hint().empty()) std::fprintf(stderr, "hint: %s\n", done.error().hint().c_str());
  return 1;
}
