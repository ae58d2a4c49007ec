// The verbs of guests: create, start, stop, restart, kill, rm, ps, inspect, logs, attach, exec,
// wait, rename, events, restore.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "cli/run.hpp"
#include "engine/guests.hpp"

namespace vrun::cli {

bool is_guest_verb(std::string_view verb);
Result<int> everyday_guest(std::string_view verb, const EverydayCall& call);
Result<engine::Guests> guests_of(const EverydayCall& call);

// What a monitor runs when it becomes vrun again; not for people. `words`: TENANT ID STEP ...
int guest_step(const std::vector<std::string_view>& words);

// For each guest named on the command line; the faults of all are printed, the exit code is 1 then.
Result<int> for_each_guest(
    const EverydayCall& call,
    const std::function<Result<void>(const engine::Guests&, const engine::GuestRecord&)>& work);

// ---- one file each ----
Result<int> everyday_ps(const EverydayCall& call);
Result<int> everyday_inspect(const EverydayCall& call);
Result<int> everyday_logs(const EverydayCall& call);
Result<int> everyday_exec(const EverydayCall& call);
// verb_shell.cpp
Result<int> everyday_shell(const EverydayCall& call);
Result<int> everyday_machine_id(const EverydayCall& call);
Result<int> everyday_events(const EverydayCall& call);

// Asks on stderr and reads the answer from stdin, which need not be a terminal; its end is a no.
Result<bool> says_yes(const std::string& question);

// The elements of a JSON list by --format: json, yaml, a member's path, or a Go template.
Result<void> show_document(std::string json_list, const std::string& format);

// "3 minutes" of so many seconds.
std::string time_words(std::int64_t seconds);
// Seconds since the epoch of a time that now_text() wrote; 0 if it is none.
std::int64_t epoch_of(const std::string& time);
// "Up 3 minutes (healthy)", "Exited (137) 2 hours ago: killed by signal 9 (KILL) of `vrun stop`".
std::string status_words(const engine::Guest& guest, std::int64_t now);

}  // namespace vrun::cli
