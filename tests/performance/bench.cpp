// vrun_bench: measures OCI runtimes against each other, interleaved, as an engine calls them.
//
// Each measure runs N rounds; a round runs every runtime once, so that what the machine does
// meanwhile falls on all of them alike. Printed are median and quartiles, and the median of the
// paired ratios to the first peer. Programs are started by posix_spawn from this small process:
// nothing is timed but them. It changes cgroups below /sys/fs/cgroup and so wants the private view
// that tools/bench makes.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace {

using Words = std::vector<std::string>;

[[noreturn]] void die(const char* format, ...) {
  va_list list;
  va_start(list, format);
  std::fputs("vrun_bench: ", stderr);
  std::vfprintf(stderr, format, list);
  std::fputc('\n', stderr);
  va_end(list);
  std::exit(1);
}

struct Peer {
  std::string name;
  std::string path;
  std::string root;  // its state folder; empty for the bare minimum, which has no verbs
};

struct Options {
  std::vector<Peer> peers;  // ratios are to the one named crun, or else to the first
  std::string minimum;
  std::string bundle;          // a bundle that runs true
  std::string filtered;        // the same with Docker's default seccomp profile
  std::string idle;            // a bundle that sleeps
  std::string filter_program;  // the profile compiled, for the bare minimum
  std::string place;           // a folder for state, pid files
  std::string only;
  int rounds = 50;
  int many = 1000;
};

std::vector<char*> to_argv(Words& words) {
  std::vector<char*> argv;
  for (std::string& w : words)
    argv.push_back(w.data());
  argv.push_back(nullptr);
  return argv;
}

struct Ended {
  double ms = 0;
  int status = 0;
};

// Runs a program to its end with /dev/null as its streams.
Ended timed(Words words) {
  static posix_spawn_file_actions_t actions = [] {
    posix_spawn_file_actions_t a;
    posix_spawn_file_actions_init(&a);
    posix_spawn_file_actions_addopen(&a, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&a, 1, "/dev/null", O_WRONLY, 0);
    // What a failing program says is wanted.
    return a;
  }();
  std::vector<char*> argv = to_argv(words);
  auto start = std::chrono::steady_clock::now();
  pid_t pid = -1;
  int error = posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  if (error != 0) die("cannot start %s: %s", argv[0], std::strerror(error));
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
    continue;
  std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  return {took.count(), status};
}

double must(const Words& words) {
  Ended e = timed(words);
  if (e.status != 0) {
    std::string all;
    for (const std::string& w : words)
      all += w + " ";
    die("%sended with status %#x", all.c_str(), static_cast<unsigned>(e.status));
  }
  return e.ms;
}

Words verb(const Peer& peer, Words more) {
  Words words{peer.path, "--root", peer.root};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

pid_t read_pid(const std::string& path) {
  FILE* f = std::fopen(path.c_str(), "re");
  if (f == nullptr) die("no pid file %s", path.c_str());
  int pid = 0;
  if (std::fscanf(f, "%d", &pid) != 1) die("no pid in %s", path.c_str());
  std::fclose(f);
  return pid;
}

std::string fresh_id() {
  static int number = 0;
  return "bench" + std::to_string(getpid()) + "-" + std::to_string(++number);
}

// The guest's process comes to us when its creator has ended, since we are a subreaper.
void await(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno == ECHILD) return;
  }
}

struct Series {
  std::string measure, who, unit;
  std::vector<double> values;
};

double quantile(std::vector<double> v, double q) {
  if (v.empty()) return 0;
  std::sort(v.begin(), v.end());
  double at = q * static_cast<double>(v.size() - 1);
  size_t low = static_cast<size_t>(at);
  size_t high = std::min(low + 1, v.size() - 1);
  return v[low] + (v[high] - v[low]) * (at - static_cast<double>(low));
}

class Table {
 public:
  explicit Table(std::string reference) : reference_(std::move(reference)) {}

  void add(const std::string& measure, const std::string& who, double value,
           const char* unit = "ms") {
    for (Series& s : rows_) {
      if (s.measure == measure && s.who == who) {
        s.values.push_back(value);
        return;
      }
    }
    rows_.push_back({measure, who, unit, {value}});
  }

  // Prints the rows of one measure as lines of a Markdown table.
  void print(const std::string& measure) const {
    const Series* base = find(measure, reference_);
    for (const Series& s : rows_) {
      if (s.measure != measure) continue;
      std::printf("| %s | %s | %.2f | %.2f to %.2f %s | ", measure.c_str(), s.who.c_str(),
                  quantile(s.values, 0.5), quantile(s.values, 0.25), quantile(s.values, 0.75),
                  s.unit.c_str());
      if (base != nullptr && base->values.size() == s.values.size() && &s != base) {
        std::vector<double> ratios;
        for (size_t i = 0; i < s.values.size(); i++) {
          if (base->values[i] > 0) ratios.push_back(s.values[i] / base->values[i]);
        }
        if (ratios.empty()) {
          std::printf("|\n");
        } else {
          std::printf("%.2f (%.2f to %.2f) |\n", quantile(ratios, 0.5), quantile(ratios, 0.25),
                      quantile(ratios, 0.75));
        }
      } else {
        std::printf("%s |\n", &s == base ? "1" : "");
      }
    }
    std::fflush(stdout);
  }

  double median(const std::string& measure, const std::string& who) const {
    const Series* s = find(measure, who);
    return s == nullptr ? 0 : quantile(s->values, 0.5);
  }

 private:
  const Series* find(const std::string& measure, const std::string& who) const {
    for (const Series& s : rows_) {
      if (s.measure == measure && s.who == who) return &s;
    }
    return nullptr;
  }

  std::string reference_;
  std::vector<Series> rows_;
};

bool wanted(const Options& o, const char* measure) {
  return o.only.empty() || std::strstr(measure, o.only.c_str()) != nullptr;
}

Words minimum_words(const Options& o, bool filtered) {
  Words words{o.minimum, "--cgroup", "/sys/fs/cgroup"};
  if (filtered) words.insert(words.end(), {"--filter", o.filter_program});
  words.insert(words.end(), {o.bundle + "/rootfs", "/bin/true"});
  return words;
}

void measure_run(const Options& o, Table& table, const char* name, const std::string& bundle,
                 bool filtered) {
  if (!wanted(o, name) || bundle.empty()) return;
  for (int i = -2; i < o.rounds; i++) {  // two rounds to warm up
    for (const Peer& peer : o.peers) {
      double ms = must(verb(peer, {"run", "--bundle", bundle, fresh_id()}));
      if (i >= 0) table.add(name, peer.name, ms);
    }
    if (o.minimum.empty() || (filtered && o.filter_program.empty())) continue;
    double ms = must(minimum_words(o, filtered));
    if (i >= 0) table.add(name, "minimum", ms);
  }
  table.print(name);
}

void measure_life(const Options& o, Table& table) {
  if (!wanted(o, "create start delete")) return;
  for (int i = -2; i < o.rounds; i++) {
    for (const Peer& peer : o.peers) {
      std::string id = fresh_id(), pid_file = o.place + "/pid";
      double create =
          must(verb(peer, {"create", "--bundle", o.bundle, "--pid-file", pid_file, id}));
      pid_t pid = read_pid(pid_file);
      double start = must(verb(peer, {"start", id}));
      await(pid);
      double remove = must(verb(peer, {"delete", id}));
      if (i < 0) continue;
      table.add("create", peer.name, create);
      table.add("start", peer.name, start);
      table.add("delete", peer.name, remove);
      table.add("create + start + delete", peer.name, create + start + remove);
    }
  }
  for (const char* m : {"create", "start", "delete", "create + start + delete"})
    table.print(m);
}

// One guest that sleeps, of each peer, for as long as this lives.
class Idle {
 public:
  Idle(const Options& o, const Peer& peer) : peer_(peer), id_(fresh_id()) {
    must(verb(peer, {"create", "--bundle", o.idle, "--pid-file", o.place + "/pid", id_}));
    pid_ = read_pid(o.place + "/pid");
    must(verb(peer, {"start", id_}));
  }
  Idle(Idle&& other) noexcept
      : peer_(other.peer_), id_(std::move(other.id_)), pid_(std::exchange(other.pid_, -1)) {}
  Idle(const Idle&) = delete;
  Idle& operator=(const Idle&) = delete;
  Idle& operator=(Idle&&) = delete;
  ~Idle() {
    if (pid_ < 0) return;
    timed(verb(peer_, {"kill", id_, "KILL"}));
    await(pid_);
    timed(verb(peer_, {"delete", "--force", id_}));
  }
  const std::string& id() const { return id_; }
  pid_t pid() const { return pid_; }

 private:
  Peer peer_;
  std::string id_;
  pid_t pid_ = -1;
};

void measure_running(const Options& o, Table& table) {
  if (!wanted(o, "exec") && !wanted(o, "state")) return;
  std::vector<Idle> guests;
  for (const Peer& peer : o.peers)
    guests.emplace_back(o, peer);
  for (int i = -2; i < o.rounds; i++) {
    for (size_t k = 0; k < o.peers.size(); k++) {
      double exec = must(verb(o.peers[k], {"exec", guests[k].id(), "/bin/true"}));
      double state = must(verb(o.peers[k], {"state", guests[k].id()}));
      if (i < 0) continue;
      table.add("exec", o.peers[k].name, exec);
      table.add("state", o.peers[k].name, state);
    }
  }
  table.print("exec");
  table.print("state");
}

long status_field(pid_t pid, const char* file, const char* key) {
  std::string path = "/proc/" + std::to_string(pid) + "/" + file;
  FILE* f = std::fopen(path.c_str(), "re");
  if (f == nullptr) return 0;
  char line[512];
  long value = 0;
  while (std::fgets(line, sizeof line, f) != nullptr) {
    if (std::strncmp(line, key, std::strlen(key)) == 0) value = std::atol(line + std::strlen(key));
  }
  std::fclose(f);
  return value;
}

// Peak resident memory of a program, read at its exit under ptrace: wait4's ru_maxrss would also
// count what this process had before the exec.
double peak_kib(Words words) {
  std::vector<char*> argv = to_argv(words);
  pid_t pid = fork();
  if (pid == 0) {
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(null, 1);
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    execv(argv[0], argv.data());
    _exit(127);
  }
  int status = 0;
  long peak = 0;
  bool armed = false;
  while (waitpid(pid, &status, __WALL) == pid) {
    if (!WIFSTOPPED(status)) break;
    if (!armed) {
      ptrace(PTRACE_SETOPTIONS, pid, nullptr, PTRACE_O_TRACEEXIT);
      armed = true;
    } else if (status >> 8 == (SIGTRAP | (PTRACE_EVENT_EXIT << 8))) {
      peak = std::max(peak, status_field(pid, "status", "VmHWM:"));
    }
    int signal = WSTOPSIG(status);
    ptrace(PTRACE_CONT, pid, nullptr, signal == SIGTRAP ? 0 : signal);
  }
  if (status != 0)
    die("%s ended with status %#x while its memory was measured", words[0].c_str(),
        static_cast<unsigned>(status));
  return static_cast<double>(peak);
}

void measure_memory(const Options& o, Table& table) {
  if (!wanted(o, "memory")) return;
  for (int i = 0; i < std::min(o.rounds, 7); i++) {
    for (const Peer& peer : o.peers) {
      table.add("peak memory of run", peer.name,
                peak_kib(verb(peer, {"run", "--bundle", o.filtered.empty() ? o.bundle : o.filtered,
                                     fresh_id()})) /
                    1024,
                "MiB");
      Idle guest(o, peer);
      table.add("peak memory of exec", peer.name,
                peak_kib(verb(peer, {"exec", guest.id(), "/bin/true"})) / 1024, "MiB");
      // What stays for an idle guest: every process that came to us but the guest's own.
      double left = 0;
      DIR* proc = opendir("/proc");
      for (dirent* entry = readdir(proc); entry != nullptr; entry = readdir(proc)) {
        pid_t pid = std::atoi(entry->d_name);
        if (pid <= 0 || pid == guest.pid() || status_field(pid, "status", "PPid:") != getpid())
          continue;
        left += static_cast<double>(status_field(pid, "smaps_rollup", "Pss:"));
      }
      closedir(proc);
      table.add("memory left per idle guest", peer.name, left / 1024, "MiB");
    }
  }
  for (const char* m : {"peak memory of run", "peak memory of exec", "memory left per idle guest"})
    table.print(m);
}

void measure_many(const Options& o, Table& table) {
  if (!wanted(o, "many list")) return;
  const std::string with10 = "create with 10 live",
                    with_many = "create with " + std::to_string(o.many) + " live";
  const std::string list = "list with " + std::to_string(o.many) + " guests";
  std::map<std::string, std::vector<Idle>> guests;
  auto create_once = [&](const Peer& peer, const std::string& measure) {
    std::string id = fresh_id(), pid_file = o.place + "/pid";
    table.add(measure, peer.name,
              must(verb(peer, {"create", "--bundle", o.bundle, "--pid-file", pid_file, id})));
    pid_t pid = read_pid(pid_file);
    must(verb(peer, {"delete", "--force", id}));
    await(pid);
  };
  // One runtime's guests at a time: a thousand of each at once would not fit a small machine. The
  // rounds with few are taken before and after those with many, so that a change of the machine's
  // load shows.
  const int half = std::max(1, std::min(o.rounds, 30) / 2);
  for (const Peer& peer : o.peers) {
    std::vector<Idle>& mine = guests[peer.name];
    while (mine.size() < 10)
      mine.emplace_back(o, peer);
    for (int i = 0; i < half; i++)
      create_once(peer, with10);
    while (mine.size() < static_cast<size_t>(o.many))
      mine.emplace_back(o, peer);
    for (int i = 0; i < 2 * half; i++)
      create_once(peer, with_many);
    for (int i = 0; i < std::min(o.rounds, 20); i++)
      table.add(list, peer.name, must(verb(peer, {"list"})));
    while (mine.size() > 10)
      mine.pop_back();
    for (int i = 0; i < half; i++)
      create_once(peer, with10);
    mine.clear();
    std::printf("| growth from 10 to %d live | %s | %.2f | | |\n", o.many, peer.name.c_str(),
                table.median(with_many, peer.name) / table.median(with10, peer.name));
  }
  for (const std::string& m : {with10, with_many, list})
    table.print(m);
}

const char* kUsage =
    "vrun_bench --bundle DIR --idle DIR --place DIR NAME=PATH... [--filtered DIR] [--minimum "
    "PROGRAM]\n"
    "           [--filter-program FILE] [--rounds N] [--many N] [--only WORD]\n";

Options parse(int argc, char** argv) {
  Options o;
  std::map<std::string, std::string*> texts{
      {"--bundle", &o.bundle}, {"--filtered", &o.filtered},
      {"--idle", &o.idle},     {"--minimum", &o.minimum},
      {"--place", &o.place},   {"--filter-program", &o.filter_program},
      {"--only", &o.only}};
  for (int i = 1; i < argc; i++) {
    std::string word = argv[i];
    if (auto found = texts.find(word); found != texts.end() && i + 1 < argc) {
      *found->second = argv[++i];
    } else if (word == "--rounds" && i + 1 < argc) {
      o.rounds = std::atoi(argv[++i]);
    } else if (word == "--many" && i + 1 < argc) {
      o.many = std::atoi(argv[++i]);
    } else if (size_t at = word.find('='); at != std::string::npos && word[0] != '-') {
      o.peers.push_back({word.substr(0, at), word.substr(at + 1), ""});
    } else {
      std::fputs(kUsage, stderr);
      std::exit(2);
    }
  }
  if (o.peers.empty() || o.bundle.empty() || o.idle.empty() || o.place.empty())
    die("too few options\n%s", kUsage);
  for (Peer& peer : o.peers)
    peer.root = o.place + "/state/" + peer.name;
  return o;
}

}  // namespace

int main(int argc, char** argv) {
  Options o = parse(argc, argv);
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  std::string reference = o.peers.front().name;
  for (const Peer& peer : o.peers) {
    if (peer.name == "crun") reference = "crun";
  }
  Table table(reference);
  std::printf(
      "| measure | runtime | median | quartiles | ratio to %s, paired (quartiles) "
      "|\n|---|---|---|---|---|\n",
      reference.c_str());
  measure_run(o, table, "run true", o.bundle, false);
  measure_run(o, table, "run true, seccomp", o.filtered, true);
  measure_life(o, table);
  measure_running(o, table);
  measure_memory(o, table);
  measure_many(o, table);
  return 0;
}
