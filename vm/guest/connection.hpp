// One connection from the host: frames in and out over a stream socket.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vm/agent/frames.hpp"

namespace vrun::vm {

class Connection {
 public:
  explicit Connection(Fd socket, std::string_view read_already = {});

  int fd() const { return socket_.get(); }
  // What was read and is no frame that next() has given, for who goes on with the socket.
  std::string unread() const { return std::string(reader_.bytes()); }
  // Bytes that the host has not taken yet.
  std::size_t waiting() const { return out_.size(); }
  bool closed() const { return closed_; }  // by the host, or for what it sent

  void send(FrameType type, std::string_view content = {}) { out_ += encode(type, content); }
  void send_numbers(FrameType type, std::initializer_list<std::uint32_t> numbers) {
    out_ += encode_numbers(type, numbers);
  }
  // Without blocking: writes what the socket takes, reads what it has.
  void flush();
  void fill();
  // The next whole frame of what was read; none: there is not one yet, or closed().
  std::optional<Frame> next();

  // Blocking, with a deadline: one frame (none: the host is gone or silent), all output.
  std::optional<Frame> wait_for_frame(std::chrono::milliseconds most);
  void flush_all(std::chrono::milliseconds most);
  // After the last word: until the host has closed its side.
  void finish(std::chrono::milliseconds most);

 private:
  Fd socket_;
  FrameReader reader_;
  std::string out_;
  bool closed_ = false, ended_ = false;  // ended_: the host sends no more
};

}  // namespace vrun::vm
