// Those who are attached to a guest: they see what it says and may give it input.
//
// One chunk of output goes to everybody before the next one is taken from the guest; who does not
// read holds it up: a lossless client for as long as it likes, another for kStallMs.
#pragma once

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

namespace vrun::monitor {

class Clients {
 public:
  static constexpr int kMost = 16;

  // Accepts from here; -1: nobody can come.
  void listen(int socket) { listener_ = socket; }
  // A client that was there from the start.
  void adopt(int socket, char flags);

  // Gives `bytes` to everybody; is_stalled() until all have it.
  void send(char kind, const char* bytes, size_t count);
  bool is_stalled() const;
  bool any_lossless_stalled() const;
  // Lets those go that stall for too long; `limit_ms` also for lossless ones when >= 0.
  void drop_stalled(int limit_ms);
  // Until when poll may sleep at most, ms; -1: no limit.
  int patience_ms() const;

  // What they sent, one message at a time.
  struct Message {
    char kind;
    const char* bytes;
    size_t count;
  };
  using Handler = void (*)(void*, const Message&);
  size_t fill(pollfd* fds, bool wants_input) const;  // kMost + 1 at most
  void serve(const pollfd* fds, size_t count, Handler handler, void* context);
  // The end: everybody learns it; the connections stay open.
  void say_end(int32_t code);

 private:
  struct Client {
    int socket = -1;
    char flags = 0;
    bool stalled = false;
    int64_t since = 0;
  };
  bool try_send(Client& client);
  void drop(Client& client);
  void accept();
  void receive(Client& client, Handler handler, void* context);

  int listener_ = -1;
  Client clients_[kMost];
  char kind_ = 0;
  const char* bytes_ = nullptr;
  size_t count_ = 0;
};

}  // namespace vrun::monitor
