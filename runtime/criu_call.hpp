// One errand of the helper vrun-criu, seen from vrun.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "base/host.hpp"
#include "base/result.hpp"
#include "cgroups/group.hpp"
#include "oci/spec.hpp"
#include "runtime/checkpoint.hpp"
#include "runtime/criu/order.hpp"

namespace vrun::runtime {

// The criu program; the error says that it is not installed.
Result<std::string> find_criu(const Host& host, const CriuOptions& options);

// Folders of one checkpoint.
struct CriuFolders {
  Fd images, work;  // work: none if it is the same
  std::string work_path;
  const Fd& log_dir() const { return work ? work : images; }
};
Result<CriuFolders> open_criu_folders(const CriuOptions& options);

// What checkpoint and restore tell CRIU alike. `annotations`: org.criu.config names the file with
// which an administrator overrides our options.
Result<criu::Order> base_order(const std::string& program, const CriuOptions& options,
                               const CriuFolders& folders,
                               const std::map<std::string, std::string>& annotations);

// A folder for CRIU's view of the cgroups inside the state folder `dir`; removed on drop. Does
// nothing where CRIU has to find the hierarchies itself.
class CgroupYard {
 public:
  static Result<CgroupYard> create(const Fd& dir, const cgroups::Location& location,
                                   criu::Order& order);
  CgroupYard(CgroupYard&& other) noexcept : dir_(std::exchange(other.dir_, nullptr)) {}
  CgroupYard(const CgroupYard&) = delete;
  CgroupYard& operator=(const CgroupYard&) = delete;
  CgroupYard& operator=(CgroupYard&&) = delete;
  ~CgroupYard();

 private:
  explicit CgroupYard(const Fd* dir) : dir_(dir) {}
  const Fd* dir_;
};

struct CriuCall {
  criu::Order order;
  const CriuFolders* folders = nullptr;
  std::vector<int> descriptors;     // further ones that the order names
  cgroups::Group* group = nullptr;  // where the helper runs: restored processes start there
  // CRIU stops until this returns; an error makes it undo what it did.
  std::function<Result<void>(const criu::Event& event, Fd fd)> on_notify;
};

// The pid of the restored process (0 for a checkpoint). When it fails, the error has the last words
// of CRIU's log.
Result<Pid> call_criu(const CriuCall& call, const Host& host);

}  // namespace vrun::runtime
