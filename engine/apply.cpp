#include "engine/apply.hpp"

#include <algorithm>
#include <array>
#include <map>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/apply_steps.hpp"
#include "engine/field_words.hpp"
#include "engine/flag_words.hpp"

namespace vrun::engine {
namespace {

struct Work {
  const PlanStep* step;
  std::vector<std::size_t> after;  // places of others
  enum class State { kWaiting, kRunning, kDone, kFailed } state = State::kWaiting;
  pid_t child = -1;
  Fd report;  // where the child writes its error
};

bool is_guest(const PlanStep& step) {
  return step.kind != "Network" && step.kind != "Volume" && step.kind != "Secret" &&
         step.kind != "Config" && step.kind != "CronJob";
}

// Runs works in processes of their own, at most so many at once.
class Crew {
 public:
  Crew(const Guests& guests, const Wanted& wanted, const ApplyOptions& options,
       const std::function<void(const std::string&)>& said)
      : guests_(guests), wanted_(wanted), options_(options), said_(said) {}

  Result<void> run(const Plan& plan) {
    make_works(plan);
    while (true) {
      begin_what_can();
      if (running_ == 0) break;
      TRY(await_one());
    }
    if (faults_.empty()) return {};
    Error error(first_, join(faults_, "\n"));
    return std::move(std::move(error).hint(hint()));
  }

 private:
  void make_works(const Plan& plan) {
    for (const PlanStep& step : plan.steps)
      works_.push_back({&step, {}, Work::State::kWaiting, -1, {}});
    std::map<std::string, std::size_t> guests;
    for (std::size_t i = 0; i < works_.size(); ++i) {
      if (is_guest(*works_[i].step)) guests[works_[i].step->name] = i;
    }
    for (Work& work : works_)
      order(work, guests);
    limit_unavailable();
  }

  void order(Work& work, const std::map<std::string, std::size_t>& guests) {
    const bool deletes = work.step->act == Act::kDelete;
    for (std::size_t i = 0; i < works_.size(); ++i) {
      const PlanStep& other = *works_[i].step;
      if (&other == work.step) continue;
      const bool other_deletes = other.act == Act::kDelete;
      // Guests go before what they use; what they use comes before them.
      const bool cron = work.step->kind == "CronJob";
      // One that is replaced may use it until then.
      const bool lets_go = other_deletes || other.act == Act::kReplace;
      if (deletes && !cron && !is_guest(*work.step) && is_guest(other) && lets_go)
        work.after.push_back(i);
      // No run may begin behind the back of who deletes them; and a run uses what a guest uses.
      if (deletes && is_guest(*work.step) && other.kind == "CronJob" && other_deletes)
        work.after.push_back(i);
      if (!deletes && cron && !is_guest(other) && other.kind != "CronJob" && !other_deletes)
        work.after.push_back(i);
      if (!deletes && is_guest(*work.step) && !is_guest(other) && !other_deletes)
        work.after.push_back(i);
    }
    if (deletes || !is_guest(*work.step)) return;
    for (const Dependency& dependency : wanted_.guests[work.step->index].after) {
      const auto found = guests.find(dependency.guest);
      if (found != guests.end() && works_[found->second].step != work.step)
        work.after.push_back(found->second);
    }
  }

  // Of one object's guests only some are replaced at the same time, and none after a failed one.
  void limit_unavailable() {
    std::map<std::string, std::vector<std::size_t>> by_object;
    for (std::size_t i = 0; i < works_.size(); ++i) {
      const PlanStep& step = *works_[i].step;
      if (step.act != Act::kReplace || !is_guest(step)) continue;
      const WantedGuest& guest = wanted_.guests[step.index];
      std::vector<std::size_t>& earlier = by_object[guest.object];
      if (earlier.size() >= guest.unavailable)
        works_[i].after.push_back(earlier[earlier.size() - guest.unavailable]);
      earlier.push_back(i);
    }
  }

  void begin_what_can() {
    bool again = true;
    while (again) {
      again = false;
      for (Work& work : works_) {
        if (work.state != Work::State::kWaiting) continue;
        if (depends_on(work, Work::State::kFailed)) {
          fail(work, Error(Code::kState, "not begun: what it depends on failed"));
          again = true;
        } else if (is_ready(work)) {
          again = begin(work) || again;
        }
      }
    }
  }

  bool depends_on(const Work& work, Work::State state) const {
    return std::any_of(work.after.begin(), work.after.end(),
                       [&](std::size_t i) { return works_[i].state == state; });
  }
  bool is_ready(const Work& work) const {
    return std::all_of(work.after.begin(), work.after.end(),
                       [&](std::size_t i) { return works_[i].state == Work::State::kDone; });
  }

  bool needs_a_process(const Work& work) const {
    return work.step->act != Act::kNone ||
           (options_.wait && is_guest(*work.step) && work.step->act != Act::kDelete);
  }

  // True: others may be ready now.
  bool begin(Work& work) {
    if (!needs_a_process(work)) {
      work.state = Work::State::kDone;
      return true;
    }
    if (running_ >= options_.at_once) return false;
    Result<Fd> report = sys::memfd("report");
    const pid_t child = report ? ::fork() : -1;
    if (child < 0) {
      fail(work, Error::system(errno, "start a process"));
      return true;
    }
    if (child == 0) work_in_child(work, *report);
    work.child = child;
    work.report = *std::move(report);
    work.state = Work::State::kRunning;
    ++running_;
    return false;
  }

  [[noreturn]] void work_in_child(const Work& work, const Fd& report) const {
    // An apply that is killed leaves nobody at work: the next one would meet him.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    Result<void> done = carry_out_step(guests_, wanted_, *work.step, options_);
    const bool waits = options_.wait && is_guest(*work.step) && work.step->act != Act::kDelete;
    if (done && waits)
      done = wait_until_up(guests_, wanted_.guests[work.step->index], options_.timeout_ms);
    if (!done) {
      const Error error = as_fields(as_flags(std::move(done).error()));
      static_cast<void>(
          sys::write_all(report.get(), std::to_string(static_cast<int>(error.code())) + "\n" +
                                           error.hint() + "\n" + error.text()));
    }
    ::_exit(done ? 0 : 1);
  }

  Result<void> await_one() {
    int status = 0;
    pid_t pid = -1;
    while ((pid = ::waitpid(-1, &status, 0)) < 0 && errno == EINTR) {
    }
    if (pid < 0) return Error::system(errno, "wait for the steps");
    const auto work = std::find_if(works_.begin(), works_.end(),
                                   [&](const Work& one) { return one.child == pid; });
    if (work == works_.end()) return {};
    work->child = -1;
    --running_;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
      work->state = Work::State::kDone;
      if (work->step->act != Act::kNone) said_(work->step->kind + " " + work->step->name);
    } else {
      fail(*work, error_of(*work));
    }
    work->report.reset();
    return {};
  }

  static Error error_of(const Work& work) {
    std::array<char, 8192> buffer{};
    const ssize_t n = ::pread(work.report.get(), buffer.data(), buffer.size(), 0);
    const std::string_view text(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    const auto lines = split(text, '\n');
    const auto code = lines.size() > 2 ? parse_u64(lines[0]) : std::nullopt;
    if (!code) return Error(Code::kInternal, "its process was killed");
    const std::size_t begin = lines[0].size() + lines[1].size() + 2;
    Error error(static_cast<Code>(*code), std::string(text.substr(begin)));
    return lines[1].empty() ? std::move(error) : std::move(error).hint(lines[1]);
  }

  void fail(Work& work, const Error& error) {
    work.state = Work::State::kFailed;
    if (faults_.empty()) first_ = error.code();
    const bool is_new = std::none_of(hints_.begin(), hints_.end(),
                                     [&](const Hint& one) { return one.words == error.hint(); });
    if (is_new && !error.hint().empty() && hints_.size() < kMostHints)
      hints_.push_back({work.step->name, error.hint()});
    faults_.push_back(work.step->kind + " " + work.step->name + ": " + error.text());
  }

  const Guests& guests_;
  const Wanted& wanted_;
  const ApplyOptions& options_;
  const std::function<void(const std::string&)>& said_;
  std::vector<Work> works_;
  std::size_t running_ = 0;
  // Of several it is said whose they are.
  std::string hint() const {
    std::string all;
    for (const Hint& one : hints_) {
      const bool named = hints_.size() == 1 || one.words.ends_with(" " + one.name);
      all += (all.empty() ? "" : "; ") + (named ? "" : one.name + ": ") + one.words;
    }
    return all;
  }

  struct Hint {
    std::string name, words;
  };
  static constexpr std::size_t kMostHints = 4;
  std::vector<Hint> hints_;
  std::vector<std::string> faults_;
  Code first_ = Code::kInternal;
};

}  // namespace

Result<void> carry_out(const Guests& guests, const Wanted& wanted, const Plan& plan,
                       const ApplyOptions& options,
                       const std::function<void(const std::string&)>& said) {
  return Crew(guests, wanted, options, said).run(plan);
}

}  // namespace vrun::engine
