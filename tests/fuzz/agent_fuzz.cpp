// The wire between host and agent of a micro-VM, from both ends: neither believes the other.
#include "tests/fuzz/hostile_guest.hpp"
#include "vm/agent/failure.hpp"
#include "vm/agent/frames.hpp"
#include "vm/agent/report.hpp"
#include "vm/guest/request.hpp"

using namespace vrun;

namespace {

void requests(const vm::Frame& frame) {
  if (Result<vm::RunRequest> run = vm::parse_run(frame.content))
    static_cast<void>(vm::fit_to_guest(run->spec, "/root"));
  if (const Result<vm::ExecRequest> exec = vm::parse_exec(frame.content))
    static_cast<void>(vm::to_options(*exec));
  static_cast<void>(vm::parse_call(frame.content));
}

void answers(const vm::Frame& frame) {
  if (const Result<vm::Failure> failure = vm::parse_failure(frame.content)) {
    const Error error = vm::error_of(*failure);
    fuzz::require(error.text().find('\x1b') == std::string::npos);
  }
  if (const Result<vm::EndReport> report = vm::parse_report(frame.content)) {
    fuzz::require(report->signal <= 64);
    fuzz::require(report->lost.find('\n') == std::string::npos);
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Bytes input(data, size);
  vm::FrameReader reader, whole;
  whole.feed(input.rest());
  while (!input.rest().empty()) {
    reader.feed(input.take_most(1 + input.rest().size() % 7));
    while (true) {
      // However it is cut, the frames are the same.
      const Result<std::optional<vm::Frame>> frame = reader.next();
      if (!frame) return 0;
      if (!*frame) break;
      const Result<std::optional<vm::Frame>> same = whole.next();
      fuzz::require(same && *same && (**same).type == (**frame).type &&
                    (**same).content == (**frame).content);
      fuzz::require((**frame).content.size() <= vm::kMostContent);
      for (std::size_t count = 0; count < 4; ++count)
        fuzz::require(!vm::number_of(**frame, 0, count) || (**frame).content.size() == 4 * count);
      requests(**frame);
      answers(**frame);
    }
  }
  return 0;
}
