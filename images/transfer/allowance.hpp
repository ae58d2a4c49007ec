// The disk budget of a tenant around one command that brings images.
//
// While it is open no other command of the tenant brings any: what there is cannot be promised
// twice. Closing settles: what a command brought that was refused by the budget goes again (it
// would be charged, and nobody could take it away), and the tenant's charge is noted.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "images/layout.hpp"
#include "images/store.hpp"
#include "images/transfer/meter.hpp"

namespace vrun::images {

class Allowance {
 public:
  // `limit`: bytes that images of the tenant may be charged for in all; negative: nothing is
  // limited, and none of this happens. Takes the shared lock of the store (Store::use()) over.
  static Result<Allowance> open(const Store& store, Fd in_use, const std::string& tenant,
                                std::int64_t limit, const std::string& shipped_dir);
  Allowance(Allowance&&) noexcept = default;
  Allowance& operator=(Allowance&&) = delete;
  Allowance(const Allowance&) = delete;
  Allowance& operator=(const Allowance&) = delete;
  ~Allowance() = default;

  Meter* meter() const { return meter_.get(); }  // null: no limit
  void close();

 private:
  Allowance(const Store& store, Fd in_use, std::string tenant)
      : store_(&store), in_use_(std::move(in_use)), tenant_(std::move(tenant)) {}
  void undo();

  const Store* store_;
  Fd in_use_, turn_;
  std::string tenant_;
  std::vector<Image> shipped_;
  std::set<std::string> marks_;  // before
  std::shared_ptr<Meter> meter_;
};

}  // namespace vrun::images
