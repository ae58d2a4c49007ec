#include "engine/start_order.hpp"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

namespace vrun::engine {
namespace {

bool waits_for(const Guest& guest, const std::vector<Guest>& waiting) {
  const auto& names = guest.record.request.start_after;
  return std::any_of(waiting.begin(), waiting.end(), [&](const Guest& other) {
    const bool itself = other.record.name == guest.record.name;
    return !itself && std::find(names.begin(), names.end(), other.record.name) != names.end();
  });
}

}  // namespace

void put_in_start_order(std::vector<Guest>& guests) {
  std::vector<Guest> waiting = std::move(guests);
  guests.clear();
  while (!waiting.empty()) {
    const auto ready = std::find_if(waiting.begin(), waiting.end(),
                                    [&](const Guest& guest) { return !waits_for(guest, waiting); });
    if (ready == waiting.end()) break;
    guests.push_back(std::move(*ready));
    waiting.erase(ready);
  }
  std::move(waiting.begin(), waiting.end(), std::back_inserter(guests));
}

}  // namespace vrun::engine
