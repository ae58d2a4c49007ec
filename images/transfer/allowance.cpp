#include "images/transfer/allowance.hpp"

#include <unistd.h>

#include "base/sys.hpp"
#include "images/catalog.hpp"
#include "images/charge.hpp"
#include "images/gc.hpp"
#include "images/holdings.hpp"

namespace vrun::images {
namespace {

constexpr const char* kWaiting =
    "vrun: another command brings images of this tenant; waiting for its end\n";

Result<Fd> take_turn(const Store& store, const std::string& tenant) {
  const std::string key = "budget." + tenant;
  if (std::optional<Fd> turn = TRY(store.try_lock(key))) return *std::move(turn);
  static_cast<void>(sys::write_all(STDERR_FILENO, kWaiting));
  return store.lock(key);
}

}  // namespace

Result<Allowance> Allowance::open(const Store& store, Fd in_use, const std::string& tenant,
                                  std::int64_t limit, const std::string& shipped_dir) {
  Allowance allowance(store, std::move(in_use), tenant);
  if (limit < 0) return allowance;
  allowance.turn_ = TRY(take_turn(store, tenant));
  allowance.shipped_ = TRY(Catalog(shipped_dir).shipped());
  allowance.marks_ = TRY(marks_of_tenant(store, tenant));
  const std::uint64_t now = TRY(charged(store, tenant, allowance.shipped_));
  const auto most = static_cast<std::uint64_t>(limit);
  allowance.meter_ = TRY(Meter::create(most > now ? most - now : 0));
  return allowance;
}

// Marks stay where others use the store just now: content that is there is charged.
void Allowance::undo() {
  const Result<std::set<std::string>> now = marks_of_tenant(*store_, tenant_);
  if (!now) return;
  std::set<std::string> brought;
  for (const std::string& mark : *now)
    if (!marks_.contains(mark)) brought.insert(mark);
  Collection rule;
  rule.shipped = shipped_;
  rule.only = content_of_marks(brought);
  const Result<std::optional<Removed>> removed = collect(*store_, rule);
  if (removed && *removed) remove_marks(*store_, tenant_, brought);
}

void Allowance::close() {
  in_use_ = Fd();
  if (!meter_) return;
  if (meter_->refused()) undo();
  // On a full disk the next command of the tenant that asks for images notes it.
  static_cast<void>(note_charge(*store_, tenant_, shipped_));
  turn_ = Fd();
}

}  // namespace vrun::images
