#include "engine/events.hpp"

#include "base/journal.hpp"

namespace vrun::engine {

std::string events_path(const Places& places) {
  return journal_path(places.data);
}

void note_event(const Places& places, const GuestRecord& record, std::string_view action,
                const std::map<std::string, std::string>& attributes) {
  note_happening(places.data, {.type = "guest",
                               .action = action,
                               .id = record.id,
                               .name = record.name,
                               .tenant = record.tenant,
                               .image = record.image,
                               .attributes = attributes});
}

void note_network(const Guests& guests, const std::string& network, std::string_view action,
                  const GuestRecord* guest) {
  Happening what{.type = "network",
                 .action = action,
                 .id = network,
                 .name = network,
                 .tenant = guests.tenant(),
                 .image = "",
                 .attributes = {}};
  if (guest != nullptr) what.attributes = {{"guest", guest->name}, {"guestId", guest->id}};
  note_happening(guests.places().data, what);
}

void note_volume(const Guests& guests, const std::string& volume, std::string_view action) {
  note_happening(guests.places().data, {.type = "volume",
                                        .action = action,
                                        .id = volume,
                                        .name = volume,
                                        .tenant = guests.tenant(),
                                        .image = "",
                                        .attributes = {}});
}

}  // namespace vrun::engine
