// The last stretch: directory, descriptors, signals, and the program itself.
#pragma once

#include "steps/child.hpp"

namespace vrun::process {

// Makes the missing directories of the path, beneath the root whatever links are in it.
long make_cwd(steps::Context& context, const steps::ChdirArgs& args);
// Goes there and checks that it is inside the root: a directory outside is EXDEV.
long chdir(steps::Context& context, const steps::ChdirArgs& args);
// Fills HOME with the directory of the uid in /etc/passwd; "/" when there is none.
long home(steps::Context& context, const steps::HomeArgs& args);
long stdio(steps::Context& context, const steps::StdioArgs& args);
long reset_signals(steps::Context& context);
// Everything from keep_from on is closed by exec: until then faults still need the wire.
long close_descriptors(steps::Context& context, const steps::CloseDescriptorsArgs& args);
// Puts the program's path into Program::found_program. On failure the note is "stat" when the file
// could not even be looked at, or "noexec" when its mount forbids execution.
long find_program(steps::Context& context, const steps::ExecArgs& args);
// Returns only on failure; the note is then the path, NUL, and the first bytes of the file.
long exec(steps::Context& context, const steps::ExecArgs& args);

}  // namespace vrun::process
