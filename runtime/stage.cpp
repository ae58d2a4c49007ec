#include "runtime/stage.hpp"

#include <string_view>

#include "base/sys.hpp"

extern "C" {
extern const char vrun_stage_begin[];
extern const char vrun_stage_end[];
}

namespace vrun::runtime {

Result<Fd> stage_executable() {
  Fd file = TRY(sys::memfd("vrun-stage"));
  const std::string_view image(vrun_stage_begin,
                               static_cast<std::size_t>(vrun_stage_end - vrun_stage_begin));
  TRY(sys::write_all(file.get(), image));
  TRY(sys::seal(file.get()));
  return file;
}

}  // namespace vrun::runtime
