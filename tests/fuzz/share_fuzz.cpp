// The file server of micro-VMs: requests of a hostile guest reach nothing but the shared directory,
// and crash nothing. An input is a row of requests: two lengths (what the guest gives, what room it
// has) and the bytes.
#include <array>
#include <csignal>
#include <string>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "tests/fuzz/hostile_guest.hpp"
#include "vm/vmm/fs_server.hpp"

using namespace vrun;
using namespace vrun::fuzz;

namespace {

constexpr std::size_t kMostRequests = 64;

// In memory, and bounded: nothing that is made is large.
struct Folder {
  std::string path = "/dev/shm/vrun-fuzz-share-" + std::to_string(::getpid());
  Fd outside;
  Folder() {
    const rlimit most{1 << 20, 1 << 20};
    ::setrlimit(RLIMIT_FSIZE, &most);
    std::signal(SIGXFSZ, SIG_IGN);
    ::umask(0);
    require(::mkdir(path.c_str(), 0755) == 0);
    require(
        fs::replace_file(*sys::open_dir(At::cwd(), path), "secret", "secret", 0600).has_value());
  }
  ~Folder() { static_cast<void>(fs::remove_tree(At::cwd(), path)); }

  Fd fresh() const {
    require(fs::remove_tree(At::cwd(), path + "/share").has_value());
    require(sys::make_dir(At::cwd(), path + "/share", 0755).has_value());
    Fd share = *sys::open_dir(At::cwd(), path + "/share");
    require(fs::replace_file(share, "file", "content", 0644).has_value());
    require(sys::make_dir(share, "dir", 0755).has_value());
    return share;
  }
};

void serve(vmm::FsServer& server, std::string request, std::size_t room) {
  std::string answer(room, '\0');
  vmm::Chain chain;
  // In two pieces, as Linux sends header and arguments.
  const std::size_t cut = std::min<std::size_t>(request.size(), sizeof(fuse_in_header));
  chain.readable = {{request.data(), cut}, {request.data() + cut, request.size() - cut}};
  chain.readable_bytes = request.size();
  if (room > 0) chain.writable = {{answer.data(), room}};
  chain.writable_bytes = room;
  require(server.serve(chain) <= room);
  require(answer.find("secret") == answer.npos || request.find("secret") != request.npos);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Folder folder;
  Bytes input(data, size);
  vmm::FsServer server(folder.fresh(), *sys::open_dir(At::cwd(), "/proc/self/fd"), {});
  for (std::size_t i = 0; i < kMostRequests && !input.rest().empty(); ++i) {
    const auto length = input.take<std::uint16_t>(), room = input.take<std::uint16_t>();
    serve(server, std::string(input.take_most(length)), room);
  }
  struct stat facts {};
  require(::stat((folder.path + "/secret").c_str(), &facts) == 0 && facts.st_size == 6 &&
          facts.st_nlink == 1);
  return 0;
}
