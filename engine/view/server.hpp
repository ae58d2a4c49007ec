// The two processes of a view: one serves, one waits for its end; see shared.hpp.
#pragma once

#include "engine/view/facts.hpp"
#include "engine/view/fuse.hpp"
#include "engine/view/notices.hpp"
#include "engine/view/shared.hpp"

namespace vrun::view {

class Server {
 public:
  Server(Shared& shared, Subject subject, Uid uid, Gid gid);

  // Serves the files until the process behind `pidfd` has ended.
  void serve_until(int pidfd);
  // Until the guest has ended: the other process is made here.
  [[noreturn]] void live();

 private:
  // Answers until `peer` or the guest has ended; with no peer for a second.
  void serve(int peer);
  void finish_predecessors_work();
  void wait_for(int peer) const;
  void close_strangers() const;
  Facts look();
  std::string text_of(File file);
  int count_when_asked();

  Shared& shared_;
  Subject subject_;
  FuseServer files_;
  Notices notices_;
};

}  // namespace vrun::view
