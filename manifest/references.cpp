#include "manifest/references.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "base/text.hpp"
#include "manifest/schedule.hpp"
#include "manifest/values.hpp"

namespace vrun::manifest {
namespace {

// Names that guests have on the host once all is applied.
struct Runner {
  const Object* object;
  const Node* tree;                // of the guest itself
  std::string path, name, prefix;  // prefix: "GROUP-" in a group
};

class References {
 public:
  References(const std::vector<Object>& objects, std::span<const std::string> known, Faults& faults)
      : objects_(objects), faults_(faults) {
    for (const std::string& text : known)
      there_.insert(text);
    for (const Object& object : objects) {
      there_.insert(object.kind + "/" + object.name);
      add_runners(object);
    }
  }

  void check() {
    check_names();
    for (const Runner& runner : runners_)
      check_runner(runner);
    for (const Object& object : objects_) {
      if (object.kind == "Group") check_network(object.tree, path_of(object));
      if (object.kind == "CronJob") check_cron_job(object);
    }
    check_circles();
  }

 private:
  // Its runs have names of their own, so it is no runner. Missing fields are said by the reader.
  void check_cron_job(const Object& object) {
    const Node* schedule = object.tree.find("schedule");
    if (schedule != nullptr && schedule->is_scalar()) {
      const auto parsed = parse_schedule(schedule->text);
      if (!parsed) fault(*schedule, path_of(object) + ".schedule", parsed.error().text());
    }
    const Node* job = object.tree.find("job");
    if (job != nullptr && job->is_map())
      check_uses({&object, job, path_of(object) + ".job", object.name, ""});
  }

  void check_uses(const Runner& runner) {
    check_network(*runner.tree, runner.path);
    check_networks(*runner.tree, runner.path);
    check_joins(*runner.tree, runner.path);
    check_uses(runner, "secrets", "Secret");
    check_uses(runner, "configs", "Config");
    check_volumes(runner);
  }

  void add_runners(const Object& object) {
    const std::string path = path_of(object);
    if (object.kind == "Guest" || object.kind == "Job") {
      runners_.push_back({&object, &object.tree, path, object.name, ""});
    }
    if (object.kind != "Group") return;
    for (const char* list : {"init", "guests"}) {
      const Node* members = object.tree.find(list);
      if (members == nullptr || !members->is_list()) continue;
      for (std::size_t i = 0; i < members->items.size(); ++i) {
        const Node& member = members->items[i];
        const std::string name = member.text_of("name");
        if (name.empty()) continue;
        runners_.push_back({&object, &member, path + "." + list + "[" + std::to_string(i) + "]",
                            object.name + "-" + name, object.name + "-"});
      }
    }
  }

  void fault(const Node& at, const std::string& path, std::string text) {
    faults_.push_back({at.place, path, std::move(text)});
  }

  // The names of guests on the host: those of replicas, groups and jobs share one space.
  void check_names() {
    std::map<std::string, const Runner*> taken;
    for (const Runner& runner : runners_) {
      for (const std::string& name : names_of(runner)) {
        const auto [at, is_new] = taken.emplace(name, &runner);
        if (is_new || at->second->object == runner.object) {
          if (!is_new) fault(*runner.tree, runner.path, "guest " + quote(name) + " is here twice");
          continue;
        }
        fault(*runner.tree, runner.path,
              "its guest " + quote(name) + " is also one of " + at->second->path);
      }
    }
  }

  static std::vector<std::string> names_of(const Runner& runner) {
    const Node* replicas = runner.tree->find("replicas");
    const auto count = replicas == nullptr ? std::nullopt : parse_u64(replicas->text);
    if (!count || *count > 1000) return {runner.name};
    std::vector<std::string> names;
    for (std::uint64_t i = 1; i <= *count; ++i)
      names.push_back(runner.name + "-" + std::to_string(i));
    return names;
  }

  std::vector<std::string_view> names_of_kind(std::string_view kind) const {
    std::vector<std::string_view> names;
    for (const std::string& one : there_) {
      const std::size_t slash = one.find('/');
      if (std::string_view(one).substr(0, slash) == kind)
        names.push_back(std::string_view(one).substr(slash + 1));
    }
    return names;
  }

  void need(const Node& at, const std::string& path, std::string_view kind,
            const std::string& name) {
    if (there_.contains(std::string(kind) + "/" + name)) return;
    fault(at, path,
          "there is no " + std::string(kind) + " " + quote(name) +
              near_words(name, names_of_kind(kind)));
  }

  void check_network(const Node& tree, const std::string& path) {
    const Node* network = tree.find("network");
    if (network == nullptr || !network->is_scalar()) return;
    const std::string name = network->text.substr(0, network->text.find(':'));
    if (name == "none" || name == "host" || name == "default" || name == "bridge" || name.empty())
      return;
    if (name != "container") return need(*network, path + ".network", "Network", name);
    need_guest(*network, path + ".network");
  }

  // NAME[:OPTIONS]: only networks proper, which a guest can be on beside another.
  void check_networks(const Node& tree, const std::string& path) {
    const Node* networks = tree.find("networks");
    if (networks == nullptr || !networks->is_list()) return;
    for (std::size_t i = 0; i < networks->items.size(); ++i) {
      const Node& text = networks->items[i];
      const std::string name = text.text.substr(0, text.text.find(':'));
      if (!text.is_scalar() || name == "default" || name == "bridge") continue;
      need(text, path + ".networks[" + std::to_string(i) + "]", "Network", name);
    }
  }

  void check_joins(const Node& tree, const std::string& path) {
    const Node* security = tree.find("security");
    if (security == nullptr) return;
    for (const char* field : {"pid", "ipc"}) {
      const Node* joined = security->find(field);
      if (joined != nullptr && joined->is_scalar() && joined->text.starts_with("container:"))
        need_guest(*joined, path + ".security." + field);
    }
  }

  // container:GUEST
  void need_guest(const Node& at, const std::string& path) {
    const std::string guest = at.text.substr(std::min(at.text.find(':') + 1, at.text.size()));
    const bool here = std::any_of(runners_.begin(), runners_.end(), [&](const Runner& other) {
      const auto names = names_of(other);
      return std::find(names.begin(), names.end(), guest) != names.end();
    });
    if (!here) need(at, path, "Guest", guest);
  }

  void check_runner(const Runner& runner) {
    check_uses(runner);
    const Node* depends = runner.tree->find("dependsOn");
    if (depends == nullptr || !depends->is_map()) return;
    for (const auto& [name, how] : depends->entries)
      check_dependency(runner, name, how);
  }

  void check_uses(const Runner& runner, const char* list, const char* kind) {
    const Node* uses = runner.tree->find(list);
    if (uses == nullptr || !uses->is_list()) return;
    for (std::size_t i = 0; i < uses->items.size(); ++i) {
      const Node* name = uses->items[i].find("name");
      if (name == nullptr || !name->is_scalar()) continue;
      need(*name, runner.path + "." + list + "[" + std::to_string(i) + "].name", kind, name->text);
    }
  }

  void check_volumes(const Runner& runner) {
    const Node* volumes = runner.tree->find("volumes");
    if (volumes == nullptr || !volumes->is_list()) return;
    for (std::size_t i = 0; i < volumes->items.size(); ++i) {
      const Node& text = volumes->items[i];
      const std::string name = text.text.substr(0, text.text.find(':'));
      if (!text.is_scalar() || name.empty() || name[0] == '/' || name[0] == '.') continue;
      need(text, runner.path + ".volumes[" + std::to_string(i) + "]", "Volume", name);
    }
  }

  const Runner* find_runner(const Runner& from, const std::string& name) const {
    for (const Runner& other : runners_) {
      if (!from.prefix.empty() && other.object == from.object && other.name == from.prefix + name)
        return &other;
    }
    for (const Runner& other : runners_) {
      if (other.name == name) return &other;
    }
    return nullptr;
  }

  void check_dependency(const Runner& runner, const Node& name, const Node& how) {
    const std::string path = runner.path + ".dependsOn." + name.text;
    const Runner* other = find_runner(runner, name.text);
    if (other == nullptr) {
      std::vector<std::string_view> names;
      for (const Runner& one : runners_)
        names.push_back(one.name);
      return fault(name, path,
                   "there is no guest or job " + quote(name.text) + near_words(name.text, names));
    }
    if (how.text == "healthy" && !has_probe(*other->tree))
      fault(how, path, quote(name.text) + " has no probes, so it is never healthy");
    edges_[&runner].push_back(other);
  }

  static bool has_probe(const Node& tree) {
    const Node* probes = tree.find("probes");
    if (probes == nullptr) return false;
    return probes->find("startup") != nullptr || probes->find("readiness") != nullptr ||
           probes->find("liveness") != nullptr;
  }

  void check_circles() {
    std::set<const Runner*> done;
    for (const Runner& runner : runners_) {
      std::vector<const Runner*> way;
      walk(&runner, way, done);
    }
  }

  bool walk(const Runner* runner, std::vector<const Runner*>& way, std::set<const Runner*>& done) {
    const auto again = std::find(way.begin(), way.end(), runner);
    if (again != way.end()) {
      std::string words;
      for (auto at = again; at != way.end(); ++at)
        words += (*at)->name + " -> ";
      const Node* depends = way.back()->tree->find("dependsOn");
      fault(depends == nullptr ? *runner->tree : *depends, way.back()->path + ".dependsOn",
            "a circle: " + words + runner->name);
      return false;
    }
    if (done.contains(runner)) return true;
    way.push_back(runner);
    const auto edges = edges_.find(runner);
    bool good = true;
    if (edges != edges_.end()) {
      for (const Runner* next : edges->second)
        good = good && walk(next, way, done);
    }
    way.pop_back();
    done.insert(runner);
    return good;
  }

  const std::vector<Object>& objects_;
  Faults& faults_;
  std::set<std::string> there_;
  std::vector<Runner> runners_;
  std::map<const Runner*, std::vector<const Runner*>> edges_;
};

}  // namespace

void check_references(const std::vector<Object>& objects, std::span<const std::string> known,
                      Faults& faults) {
  References(objects, known, faults).check();
}

}  // namespace vrun::manifest
