#include "engine/request_faults.hpp"

#include "engine/field_words.hpp"
#include "engine/guest_network.hpp"
#include "engine/guest_spec.hpp"
#include "engine/micro_vm.hpp"
#include "engine/policies.hpp"
#include "engine/rights.hpp"
#include "engine/volumes.hpp"
#include "network/wishes.hpp"

namespace vrun::engine {
namespace {

Result<void> check(const RunRequest& request) {
  TRY(check_request(request));
  TRY(check_micro_vm(request, false));
  TRY(check_network(request));
  TRY(check_policies(request));
  for (const std::string& text : request.volumes)
    TRY(parse_volume(text, "/"));
  for (const std::string& text : request.mounts)
    TRY(parse_mount(text));
  for (const std::string& text : request.tmpfs)
    TRY(parse_tmpfs(text));
  for (const std::string& text : request.expose)
    TRY(network::parse_publish(text));
  oci::ImageConfig image;
  image.cmd = {"of the image"};
  TRY(build_spec(image, request, GuestFacts()));
  return {};
}

// A field that can be wrong by itself. A request that has nothing but one of its values, and what
// that needs beside it, is as wrong as the value.
enum class Shape { kOne, kList, kPairs };
struct Row {
  const char* path;
  Shape shape;
  std::size_t (*count)(const RunRequest&);
  void (*copy)(const RunRequest& from, std::size_t index, RunRequest& to);
};

template <auto Member>
constexpr Row one(const char* path) {
  return {
      path, Shape::kOne,
      [](const RunRequest& r) -> std::size_t { return r.*Member == RunRequest().*Member ? 0 : 1; },
      [](const RunRequest& from, std::size_t, RunRequest& to) { to.*Member = from.*Member; }};
}
template <auto Member>
constexpr Row each(const char* path, Shape shape = Shape::kList) {
  return {path, shape, [](const RunRequest& r) { return (r.*Member).size(); },
          [](const RunRequest& from, std::size_t index, RunRequest& to) {
            to.*Member = {(from.*Member)[index]};
          }};
}
template <auto Member>
constexpr Row pairs(const char* path) {
  return each<Member>(path, Shape::kPairs);
}

using R = RunRequest;
constexpr Row kRows[] = {
    one<&R::isolation>("isolation"),
    one<&R::restart>("restart"),
    one<&R::network>("network"),
    each<&R::more_networks>("networks"),
    pairs<&R::env>("env"),
    one<&R::user>("user"),
    one<&R::hostname>("hostname"),
    one<&R::domainname>("domainname"),
    one<&R::stop_signal>("stopSignal"),
    one<&R::stop_timeout>("stopTimeout"),
    one<&R::pull>("pull"),
    one<&R::platform>("platform"),
    one<&R::view>("view"),
    each<&R::disks>("disks"),
    one<&R::kernel>("kernel"),
    one<&R::initrd>("initrd"),
    each<&R::kernel_parameters>("kernelParameters"),
    one<&R::log_driver>("logDriver"),
    pairs<&R::log_opts>("logOptions"),
    pairs<&R::labels>("labels"),
    pairs<&R::annotations>("annotations"),
    one<&R::memory>("limits.memory"),
    one<&R::cpus>("limits.cpus"),
    one<&R::cpu_weight>("limits.cpuWeight"),
    one<&R::cpu_shares>("limits.cpuShares"),
    one<&R::cpu_period>("limits.cpuPeriod"),
    one<&R::cpu_quota>("limits.cpuQuota"),
    one<&R::cpuset_cpus>("limits.cpusetCpus"),
    one<&R::cpuset_mems>("limits.cpusetMems"),
    one<&R::pids_limit>("limits.pids"),
    one<&R::blkio_weight>("limits.ioWeight"),
    each<&R::device_read_bps>("limits.deviceReadBps"),
    each<&R::device_write_bps>("limits.deviceWriteBps"),
    each<&R::device_read_iops>("limits.deviceReadIops"),
    each<&R::device_write_iops>("limits.deviceWriteIops"),
    one<&R::shm_size>("limits.shmSize"),
    each<&R::ulimits>("limits.ulimits"),
    one<&R::oom_score_adj>("limits.oomScoreAdj"),
    each<&R::cap_add>("security.capAdd"),
    each<&R::cap_drop>("security.capDrop"),
    each<&R::security_opts>("security.options"),
    pairs<&R::sysctls>("security.sysctls"),
    one<&R::userns>("security.userns"),
    one<&R::pid>("security.pid"),
    one<&R::ipc>("security.ipc"),
    one<&R::uts>("security.uts"),
    one<&R::cgroupns>("security.cgroupns"),
    each<&R::volumes>("volumes"),
    each<&R::mounts>("mounts"),
    each<&R::tmpfs>("tmpfs"),
    each<&R::devices>("devices"),
    each<&R::add_hosts>("addHosts"),
    each<&R::dns>("dns"),
    each<&R::publish>("ports"),
    each<&R::expose>("expose"),
    each<&R::network_aliases>("networkAliases"),
    one<&R::mac_address>("macAddress"),
    one<&R::ip>("ip"),
    one<&R::ip6>("ip6"),
    one<&R::bandwidth_in>("bandwidthIn"),
    one<&R::bandwidth_out>("bandwidthOut"),
    one<&R::network_pps>("networkPps"),
    one<&R::health>("probes.liveness"),
    one<&R::readiness>("probes.readiness"),
    one<&R::startup>("probes.startup"),
};

std::string with_hint(const Error& error, std::string text) {
  return error.hint().empty() ? text : text + "; " + error.hint();
}

// Without the flag at the front, which is not what the user wrote.
std::string words_of(const Error& error) {
  std::string text = error.text();
  if (text.starts_with("--")) text.erase(0, text.find_first_of(" :"));
  const std::size_t begin = text.find_first_not_of(" :");
  text.erase(0, begin == std::string::npos ? 0 : begin);
  return fields_for_flags(with_hint(error, std::move(text)));
}

// Pairs are told by the field alone: the fault has the name.
std::string path_of(const Row& row, std::size_t index) {
  return row.shape == Shape::kList ? row.path + ("[" + std::to_string(index) + "]") : row.path;
}

// What the other fields are looked at beside.
RunRequest bare(const RunRequest& of) {
  RunRequest request;
  request.image = of.image;
  request.name = of.name;
  RunRequest kind = request;
  kind.isolation = of.isolation;
  RunRequest system = kind;
  system.disks = of.disks;
  if (check(system)) return system;
  return check(kind) ? kind : request;
}

}  // namespace

std::vector<FieldFault> faults_of(const RunRequest& request) {
  const Result<void> whole = check(request);
  if (whole) return {};
  std::vector<FieldFault> faults;
  const RunRequest base = bare(request);
  for (const Row& row : kRows) {
    const std::size_t count = row.count(request);
    for (std::size_t i = 0; i < count; ++i) {
      RunRequest alone = base;
      row.copy(request, i, alone);
      const Result<void> good = check(alone);
      if (good) continue;
      faults.push_back({path_of(row, i), words_of(good.error())});
    }
  }
  if (faults.empty())
    faults.push_back({"", fields_for_flags(with_hint(whole.error(), whole.error().text()))});
  return faults;
}

}  // namespace vrun::engine
