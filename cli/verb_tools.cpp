#include "cli/verb_tools.hpp"

#include <algorithm>
#include <array>

#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/verb_guests.hpp"
#include "engine/guest_life.hpp"

namespace vrun::cli {
namespace {

Result<void> check_can_pause(const engine::Guest& guest, bool paused) {
  const std::string name = "guest " + quote(guest.record.name);
  if (!guest.runs()) {
    return Error(Code::kState, name + " is not running (" + engine::to_text(guest.status) + ")")
        .hint("vrun start " + guest.record.name);
  }
  const bool is_paused = guest.status == engine::GuestStatus::kPaused;
  if (is_paused != paused) return {};
  return Error(Code::kState, name + (paused ? " is paused already" : " is not paused"));
}

Result<int> set_paused(const EverydayCall& call, bool paused) {
  return for_each_guest(
      call, [&](const engine::Guests& guests, const engine::GuestRecord& record) -> Result<void> {
        const engine::Guest guest = TRY(guests.find(record.name));
        TRY(check_can_pause(guest, paused));
        TRY(engine::pause_guest(guests, record, paused));
        return sys::write_all(STDOUT_FILENO, record.name + "\n");
      });
}

Result<int> pause(const EverydayCall& call) {
  return set_paused(call, true);
}

Result<int> unpause(const EverydayCall& call) {
  return set_paused(call, false);
}

struct Row {
  std::string_view name;
  Result<int> (*run)(const EverydayCall&);
};
constexpr std::array kRows{Row{"stats", everyday_stats},
                           Row{"top", everyday_top},
                           Row{"pause", pause},
                           Row{"unpause", unpause},
                           Row{"update", everyday_update},
                           Row{"port", everyday_port},
                           Row{"cp", everyday_cp},
                           Row{"diff", everyday_diff},
                           Row{"export", everyday_export},
                           Row{"commit", everyday_commit},
                           Row{"debug", everyday_debug},
                           Row{"info", everyday_info},
                           Row{"version", everyday_version},
                           Row{"doctor", everyday_doctor},
                           Row{"completion", everyday_completion}};

const Row* find_row(std::string_view verb) {
  const auto found =
      std::find_if(kRows.begin(), kRows.end(), [&](const Row& row) { return row.name == verb; });
  return found == kRows.end() ? nullptr : &*found;
}

}  // namespace

bool is_tool_verb(std::string_view verb) {
  return find_row(verb) != nullptr;
}

Result<int> everyday_tool(std::string_view verb, const EverydayCall& call) {
  return find_row(verb)->run(call);
}

}  // namespace vrun::cli
