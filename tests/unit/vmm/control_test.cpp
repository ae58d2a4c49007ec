#include "vm/vmm/control.hpp"

#include <array>
#include <cstring>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "vm/agent/failure.hpp"

namespace vrun::vmm {
namespace {

using vm::FrameType;

// A control with one call, and clients of it.
class Served {
 public:
  Served() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    // An abstract name that the kernel chooses (unix(7), autobind).
    Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)),
              0);
    length_ = sizeof address_;
    EXPECT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address_), &length_), 0);
    EXPECT_EQ(::listen(listener.get(), 8), 0);
    control_ = *Control::create(
        std::move(listener),
        {{"echo", [](std::string_view json) -> Result<std::string> { return std::string(json); }},
         {"fail", [](std::string_view) -> Result<std::string> {
            return Error(Code::kUnsupported, "cannot").hint("ask another");
          }}});
  }

  Fd client() const {
    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address_), length_), 0);
    return socket;
  }
  // All frames until the end.
  std::vector<vm::Frame> ask(const std::string& bytes) const {
    const Fd socket = client();
    EXPECT_TRUE(sys::write_all(socket.get(), bytes).has_value());
    vm::FrameReader reader;
    std::array<char, 4096> buffer;
    while (const std::size_t got = sys::read(socket.get(), buffer).value_or(0))
      reader.feed({buffer.data(), got});
    std::vector<vm::Frame> frames;
    while (std::optional<vm::Frame> frame = *reader.next())
      frames.push_back(*std::move(frame));
    return frames;
  }
  static std::string hello() { return vm::encode_numbers(FrameType::kHello, {vm::kAgentVersion}); }

 private:
  sockaddr_un address_{};
  socklen_t length_ = 0;
  std::unique_ptr<Control> control_;
};

TEST(Control, a_call_is_answered) {
  const Served served;
  const auto frames =
      served.ask(Served::hello() + vm::encode(FrameType::kCall, R"({"call":"echo"})"));
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[0].type, FrameType::kHello);
  EXPECT_EQ(frames[1].type, FrameType::kAnswer);
  EXPECT_EQ(frames[1].content, R"({"call":"echo"})");
}

TEST(Control, errors_come_with_their_hint) {
  const Served served;
  const auto frames =
      served.ask(Served::hello() + vm::encode(FrameType::kCall, R"({"call":"fail"})"));
  ASSERT_EQ(frames.size(), 2u);
  ASSERT_EQ(frames[1].type, FrameType::kError);
  const Error error = vm::error_of(*vm::parse_failure(frames[1].content));
  EXPECT_EQ(error.code(), Code::kUnsupported);
  EXPECT_EQ(error.text(), "cannot");
  EXPECT_EQ(error.hint(), "ask another");
}

TEST(Control, what_is_no_call_is_refused) {
  const Served served;
  for (const char* json : {R"({"call":"nothing"})", "{}", "no json"}) {
    const auto frames = served.ask(Served::hello() + vm::encode(FrameType::kCall, json));
    ASSERT_EQ(frames.size(), 2u) << json;
    EXPECT_EQ(frames[1].type, FrameType::kError) << json;
  }
}

TEST(Control, who_breaks_the_rules_is_let_go_and_the_next_is_served) {
  const Served served;
  const std::string call = vm::encode(FrameType::kCall, R"({"call":"echo"})");
  for (const std::string& bytes : {call, vm::encode_numbers(FrameType::kHello, {99}) + call,
                                   std::string("\xff\xff\xff\xff\xff"),
                                   Served::hello() + vm::encode(FrameType::kInput, "x")}) {
    const auto frames = served.ask(bytes);
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_EQ(frames[0].type, FrameType::kHello);
  }
  { const Fd gone = served.client(); }
  EXPECT_EQ(served.ask(Served::hello() + call).size(), 2u);
}

}  // namespace
}  // namespace vrun::vmm
