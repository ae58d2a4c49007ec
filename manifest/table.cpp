#include "manifest/table.hpp"

#include <array>

#include "base/text.hpp"

namespace vrun::manifest {
namespace {

constexpr Field live(Field field) {
  field.live = true;
  return field;
}
constexpr Field or_none(Field field) {
  field.or_none = true;
  return field;
}
constexpr Field required(Field field) {
  field.required = true;
  return field;
}
constexpr Field choice(std::string_view name, std::string_view choices, std::string_view fallback,
                       std::string_view help) {
  return {
      .name = name, .type = Type::kChoice, .help = help, .fallback = fallback, .choices = choices};
}
constexpr Field shares(std::string_view name, std::string_view help) {
  return {.name = name,
          .type = Type::kShares,
          .help = help,
          .fallback = "private",
          .choices = "private|host"};
}
constexpr Field object(std::string_view name, std::span<const Field> fields,
                       std::string_view help) {
  return {.name = name, .type = Type::kObject, .help = help, .fields = fields};
}
constexpr Field objects(std::string_view name, std::span<const Field> fields,
                        std::string_view help) {
  return {.name = name, .type = Type::kObjects, .help = help, .fields = fields};
}
constexpr Field integer(std::string_view name, long least, long most, std::string_view fallback,
                        std::string_view help) {
  return {.name = name,
          .type = Type::kInteger,
          .help = help,
          .fallback = fallback,
          .least = least,
          .most = most};
}

constexpr std::array kLimits{
    live({"memory", Type::kSize, "most memory"}),
    live({"memoryReservation", Type::kSize, "memory it keeps when the host runs short"}),
    live(or_none({"memorySwap", Type::kSize, "most memory and swap together; -1: no limit"})),
    live({"cpus", Type::kDecimal, "most processors at once, such as 1.5"}),
    live(integer("cpuWeight", 1, 10000, "100", "its share when processors are short")),
    live(integer("cpuShares", 2, 262144, "", "the same on Docker's scale, where 1024 is usual")),
    integer("cpuPeriod", 1000, 1000000, "", "microseconds in which cpuQuota counts"),
    or_none(integer("cpuQuota", 1000, 1000000000000, "", "microseconds a period; -1: no limit")),
    live({"cpusetCpus", Type::kText, "the processors it may use: 0-3,7"}),
    live({"cpusetMems", Type::kText, "the memory nodes it may use"}),
    live(integer("pids", 1, 4194304, "", "most processes and threads")),
    live(integer("ioWeight", 1, 10000, "", "its share when the disk is busy")),
    live({"deviceReadBps", Type::kTexts, "most bytes a second: /dev/sda:1m"}),
    live({"deviceWriteBps", Type::kTexts, "most bytes a second"}),
    live({"deviceReadIops", Type::kTexts, "most operations a second"}),
    live({"deviceWriteIops", Type::kTexts, "most operations a second"}),
    Field{"shmSize", Type::kSize, "of /dev/shm", false, false, "64m"},
    Field{"ulimits", Type::kTexts, "limits of each process: nofile=1024:4096"},
    integer("oomScoreAdj", -1000, 1000, "", "who is killed first when memory is short; 1000: it"),
};

constexpr std::array kSecurity{
    Field{"privileged", Type::kBool, "every capability, no filter, all devices", false, false,
          "false"},
    Field{"noNewPrivileges", Type::kBool, "set-id programs inside give no rights", false, false,
          "false"},
    Field{"capAdd", Type::kTexts, "capabilities it gets beside the default ones"},
    Field{"capDrop", Type::kTexts, "capabilities it loses, or ALL"},
    Field{"options", Type::kTexts, "as --security-opt: seccomp=FILE, apparmor=PROFILE ..."},
    Field{"sysctls", Type::kMap, "kernel knobs of its own namespaces"},
    choice("userns", "private|host", "private", "host: its root is the host's root"),
    shares("pid", "host: sees the host's processes; container:GUEST: that guest's"),
    shares("ipc", "host: shares the host's memory segments; container:GUEST: that guest's"),
    choice("uts", "private|host", "private", "host: has the host's name"),
    choice("cgroupns", "private|host", "private", "host: sees the host's groups"),
};

constexpr std::array kHttp{
    required({"port", Type::kPort, "inside"}),
    Field{"path", Type::kPath, "asked for", false, false, "/"},
};
constexpr std::array kTcp{
    required({"port", Type::kPort, "inside"}),
};
constexpr std::array kProbe{
    Field{"exec", Type::kTexts, "a command inside; 0 is good"},
    object("http", kHttp, "an answer from 200 to 399 is good"),
    object("tcp", kTcp, "a connection is good"),
    Field{"initialDelay", Type::kDuration, "before the first check; default: the interval", false,
          true},
    Field{"interval", Type::kDuration, "between two checks", false, true, "30s"},
    Field{"timeout", Type::kDuration, "for one check; then it is killed", false, true, "30s"},
    integer("retries", 1, 1000, "3", "failures in a row until it is unhealthy"),
    integer("successes", 1, 1000, "1", "successes in a row until it is healthy"),
    Field{"startPeriod", Type::kDuration, "failures do not count so long", false, true, "0s"},
    choice("action", "none|kill|restart|stop", "none", "what is done to an unhealthy guest"),
};
constexpr std::array kProbes{
    live(object("liveness", kProbe, "is it healthy? checked for as long as it runs")),
    live(object("readiness", kProbe, "may others be told of it? checked for as long as it runs")),
    live(object("startup", kProbe, "has it come up? the other two begin when this is good")),
    live({"ofImage", Type::kBool, "the image's own health check, where liveness is not said", false,
          false, "true"}),
};
constexpr std::array kLifecycle{
    live({"postStart", Type::kTexts, "a command inside after each start; a failure kills it"}),
    live({"preStop", Type::kTexts, "a command inside before it is asked to end"}),
};
constexpr std::array kUpdate{
    integer("maxUnavailable", 1, 1000, "1", "replicas that are replaced at the same time"),
    Field{"rollback", Type::kBool, "a replica that does not come up gets its old form back", false,
          true, "true"},
    Field{"timeout", Type::kDuration, "until a replica must be up", false, true, "60s"},
};
constexpr std::array kSecretUse{
    required({"name", Type::kName, "of the Secret or Config"}),
    Field{"target", Type::kPath, "the directory inside", false, false, "/run/secrets/NAME"},
};

constexpr Field kImage{
    .name = "image", .type = Type::kText, .help = "what it is made from", .unless = "disks"};
constexpr Field kDisks{.name = "disks",
                       .type = Type::kTexts,
                       .help = "of a vm, FILE[:ro,format=qcow2]: the first has its system",
                       .unless = "image"};

#define VRUN_PROGRAM_FIELDS                                                                        \
  kImage, kDisks,                                                                                  \
      Field{"command", Type::kTexts, "instead of the image's entrypoint and arguments"},           \
      Field{"args", Type::kTexts, "arguments, instead of the image's"},                            \
      Field{"env", Type::kMapOrList, "variables"},                                                 \
      Field{"envFiles", Type::kTexts, "files of NAME=VALUE lines"},                                \
      Field{"workdir", Type::kPath, "working directory"},                                          \
      Field{"user", Type::kText, "USER[:GROUP], by name or number"},                               \
      Field{"groupAdd", Type::kTexts, "more groups"},                                              \
      Field{"hostname", Type::kText, "its own name; default: the guest's"},                        \
      Field{"domainname", Type::kText, "its NIS domain"},                                          \
      Field{"tty", Type::kBool, "a terminal", false, false, "false"},                              \
      Field{"stdin", Type::kBool, "keep its stdin open", false, false, "false"},                   \
      Field{"init", Type::kBool, "a small init as process 1", false, false, "false"},              \
      live({"labels", Type::kMap, "notes for people and scripts"}),                                \
      Field{"annotations", Type::kMap, "notes in its OCI specification"},                          \
      object("limits", kLimits, "what it may use"),                                                \
      object("security", kSecurity, "what it may do"),                                             \
      Field{"volumes", Type::kTexts, "SOURCE:TARGET[:ro]; a Volume's name or a path"},             \
      Field{"mounts", Type::kTexts, "the same in words: type=bind,source=/srv,target=/srv"},       \
      Field{"tmpfs", Type::kTexts, "directories in memory: /cache:size=64m"},                      \
      Field{"devices", Type::kTexts, "PATH[:INSIDE[:rwm]]"},                                       \
      objects("secrets", kSecretUse, "Secrets as files on tmpfs, mode 0400"),                      \
      objects("configs", kSecretUse, "Configs as files, mode 0444"),                               \
      Field{"readOnly", Type::kBool, "it cannot change its root", false, false, "false"},          \
      Field{"addHosts", Type::kTexts, "NAME:ADDRESS lines of /etc/hosts"},                         \
      Field{"dns", Type::kTexts, "name servers instead of the host's"},                            \
      Field{"dnsSearch", Type::kTexts, "where short names are looked up"},                         \
      Field{"dnsOptions", Type::kTexts, "options of resolv.conf"},                                 \
      Field{"stopSignal", Type::kText, "what asks it to end"},                                     \
      or_none(                                                                                     \
          {"stopTimeout", Type::kDuration, "until it is killed; -1: never", false, false, "10s"}), \
      Field{"startAfter", Type::kTexts, "guests that a boot starts before it, beside dependsOn"},  \
      choice("logDriver", "json-file|local|k8s-file|none", "json-file", "none: nothing is kept"),  \
      Field{"logOptions", Type::kMap, "max-size, max-file"},                                       \
      choice("isolation", "container|system|vm", "container", "what keeps it apart"),              \
      Field{"kernel", Type::kText, "of a vm: a name of vm kernel ls, or a path"},                  \
      Field{"kernelParameters", Type::kTexts, "of a vm: more words for its command line"},         \
      Field{"initrd", Type::kText, "of a vm on disks: a file, instead of vrun's initramfs"},       \
      choice("view", "limits|host", "",                                                            \
             "what /proc shows: its limits (system guests) or the host"),                          \
      choice("pull", "missing|always|never", "missing", "when the image is fetched"), Field {      \
    "platform", Type::kText, "OS/ARCH of the image"                                                \
  }

#define VRUN_NETWORK_FIELDS                                                                      \
  Field{"network", Type::kText, "a Network's name, none, host or container:GUEST",               \
        false,     false,       "default"},                                                      \
      Field{"networks", Type::kTexts, "more Networks it is on"},                                 \
      Field{"networkAliases", Type::kTexts, "more names on its network"},                        \
      live({"ports", Type::kPublishes, "[[ADDRESS:]HOST:]INSIDE[/PROTOCOL]"}),                   \
      Field{"publishAll", Type::kBool, "every port that its image and expose name",              \
            false,        false,       "false"},                                                 \
      Field{"expose", Type::kPublishes, "ports that it has: INSIDE[/PROTOCOL]"},                 \
      Field{"macAddress", Type::kText, "its hardware address"},                                  \
      live({"bandwidthIn", Type::kBits, "most traffic to it"}),                                  \
      live({"bandwidthOut", Type::kBits, "most traffic from it"}),                               \
      live(integer("networkPps", 1, 100000000, "", "most packets a second to it, and from it")), \
      Field{"ip", Type::kText, "its IPv4 address"}, Field {                                      \
    "ip6", Type::kText, "its IPv6 address"                                                       \
  }

constexpr Field kDependsOn{.name = "dependsOn",
                           .type = Type::kChoiceMap,
                           .help = "guests and jobs that come first, and how far they must be",
                           .choices = "started|healthy|completed"};
constexpr Field kRestart = live(
    {"restart", Type::kText, "no, on-failure[:N], always, unless-stopped", false, false, "no"});

constexpr std::array kGuest{
    VRUN_PROGRAM_FIELDS,
    VRUN_NETWORK_FIELDS,
    kRestart,
    live(integer("replicas", 0, 1000, "1", "how many of it: NAME-1, NAME-2 ...")),
    kDependsOn,
    object("probes", kProbes, "is it well?"),
    object("lifecycle", kLifecycle, "commands around its life"),
    live(object("update", kUpdate, "how replicas are replaced")),
};

constexpr std::array kMember{
    required({"name", Type::kName, "of the guest; the whole name is GROUP-NAME"}),
    VRUN_PROGRAM_FIELDS,
    kRestart,
    kDependsOn,
    object("probes", kProbes, "is it well?"),
    object("lifecycle", kLifecycle, "commands around its life"),
};
constexpr std::array kGroup{
    Field{"network", Type::kText, "of all its guests", false, false, "default"},
    live({"ports", Type::kPublishes, "of all its guests"}),
    live({"bandwidthIn", Type::kBits, "most traffic to all its guests together"}),
    live({"bandwidthOut", Type::kBits, "most traffic from all its guests together"}),
    live(integer("networkPps", 1, 100000000, "", "most packets a second to them, and from them")),
    objects("init", kMember, "guests that run to their end, one after the other, first"),
    required(objects("guests", kMember, "guests that share one network namespace")),
};

constexpr std::array kJob{
    VRUN_PROGRAM_FIELDS,
    VRUN_NETWORK_FIELDS,
    integer("retries", 0, 1000, "0", "how often it may fail before it has failed"),
    kDependsOn,
};
constexpr std::array kCronJob{
    required({"schedule", Type::kText, "minute hour day month weekday; @daily; @every 10m"}),
    Field{"timeZone", Type::kText, "whose clock it goes by, such as Europe/Paris", false, false,
          "UTC"},
    choice("concurrency", "allow|forbid|replace", "allow", "when the run before has not ended"),
    Field{"startingDeadline", Type::kDuration, "a run that is later than this is left out"},
    integer("keepSucceeded", 0, 1000, "3", "ended runs that stay"),
    integer("keepFailed", 0, 1000, "1", "failed runs that stay"),
    Field{"suspend", Type::kBool, "no run begins", false, false, "false"},
    required(object("job", kJob, "what runs then")),
};

constexpr std::array kNetwork{
    Field{"subnets", Type::kTexts, "10.7.0.0/24, fd07::/64 or both; default: free ones"},
    Field{"gateways", Type::kTexts, "the host's addresses on it"},
    Field{"ipv6", Type::kBool, "with IPv6 addresses", false, false, "true"},
    Field{"internal", Type::kBool, "no way out, no published ports", false, false, "false"},
    integer("mtu", 1280, 65535, "", "largest packet; default: the uplink's"),
    live({"labels", Type::kMap, "notes for people and scripts"}),
};
constexpr std::array kVolume{
    live({"labels", Type::kMap, "notes for people and scripts"}),
};
constexpr std::array kSecret{
    Field{"data", Type::kFileMap, "file name: content"},
    Field{"files", Type::kFileMap, "file name: path of a file, from where vrun is called"},
};
constexpr std::array kPolicy{
    Field{"capabilities", Type::kTexts, "beyond the usual ones"},
    Field{"mounts", Type::kTexts, "host paths: they and what lies below"},
    Field{"devices", Type::kTexts, "such as /dev/fuse"},
    Field{"hostNamespaces", Type::kTexts, "network, pid, ipc, uts, user, cgroup"},
    Field{"sysctls", Type::kTexts, "such as net.core.*"},
    Field{"ports", Type::kTexts, "of the host below 1024: 80, 80-90"},
    Field{"addresses", Type::kTexts, "ports are published on these only"},
    Field{"unsafe", Type::kTexts, "privileged, seccomp, apparmor"},
    Field{"registries", Type::kTexts, "images come from these only"},
    Field{"networks", Type::kTexts, "guests join these only"},
    Field{"guestMemory", Type::kSize, "the most that one guest may ask for"},
    Field{"guestCpus", Type::kDecimal, "the most that one guest may ask for"},
    integer("guestPids", 1, 4194304, "", "the most that one guest may ask for"),
    Field{"requireVm", Type::kBool, "guests have to be micro-VMs", false, false, "false"},
    Field{"forbidSystem", Type::kBool, "no system guests", false, false, "false"},
};
constexpr std::array kTenant{
    live({"cpus", Type::kDecimal, "most processors of all its guests"}),
    live(integer("cpuWeight", 1, 10000, "100", "its share when processors are short")),
    live({"memory", Type::kSize, "most memory of all its guests"}),
    live({"swap", Type::kSize, "most swap"}),
    live(integer("pids", 1, 4194304, "", "most processes and threads")),
    live({"ioRead", Type::kRate, "most bytes a second"}),
    live({"ioWrite", Type::kRate, "most bytes a second"}),
    live({"disk", Type::kSize, "layers, volumes, logs and images together"}),
    choice("diskBackend", "auto|project|btrfs|loop", "auto", "what holds disk; stays as made"),
    live({"bandwidth", Type::kBits, "most network traffic each way"}),
    live(integer("maxGuests", 0, 100000, "", "most guests")),
    live(integer("maxVcpus", 0, 100000, "", "most virtual processors")),
    live({"cpusetCpus", Type::kText, "processors that its guests may run on: 0-3,8"}),
    live({"admins", Type::kTexts, "user:NAME or group:NAME"}),
    live(object("policy", kPolicy, "what its guests may do beyond the usual")),
};

constexpr std::array kKinds{
    KindRow{"Tenant", "tenants", "a budget that its guests share", kTenant},
    KindRow{"Network", "networks", "guests on it reach each other", kNetwork},
    KindRow{"Volume", "volumes", "a directory that outlives guests", kVolume},
    KindRow{"Secret", "secrets", "files that only their guests see", kSecret},
    KindRow{"Config", "configs", "files that guests see", kSecret},
    KindRow{"Guest", "guests", "a container, a system or a machine", kGuest},
    KindRow{"Group", "groups", "guests that share a network and IPC", kGroup},
    KindRow{"Job", "jobs", "a guest that runs to its end", kJob},
    KindRow{"CronJob", "cronJobs", "a job at certain times", kCronJob},
};

}  // namespace

std::span<const KindRow> kinds() {
  return kKinds;
}

const KindRow* find_kind(std::string_view name) {
  for (const KindRow& row : kKinds) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

const Field* find_field(std::span<const Field> fields, std::string_view name) {
  for (const Field& field : fields) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

std::vector<std::string_view> choices_of(const Field& field) {
  return split(field.choices, '|');
}

std::string_view type_words(Type type) {
  switch (type) {
    case Type::kText:
      return "text";
    case Type::kBool:
      return "true or false";
    case Type::kInteger:
      return "a whole number";
    case Type::kDecimal:
      return "a number such as 0.5";
    case Type::kSize:
      return "a size such as 64m";
    case Type::kDuration:
      return "a time such as 1m30s";
    case Type::kRate:
      return "bytes a second such as 10m";
    case Type::kBits:
      return "bits a second such as 100M";
    case Type::kChoice:
    case Type::kShares:
      return "one of some words";
    case Type::kName:
      return "a name";
    case Type::kPath:
      return "an absolute path";
    case Type::kPort:
      return "a port from 1 to 65535";
    case Type::kPublish:
      return "a port such as 8080:80";
    case Type::kTexts:
      return "a list of texts";
    case Type::kPublishes:
      return "a list of ports such as 8080:80";
    case Type::kMap:
    case Type::kFileMap:
      return "a map of texts";
    case Type::kMapOrList:
      return "a map of texts, or a list of NAME=VALUE";
    case Type::kChoiceMap:
      return "a map such as {db: healthy}";
    case Type::kObject:
      return "a map";
    case Type::kObjects:
      return "a list of maps";
  }
  return "";
}

}  // namespace vrun::manifest
