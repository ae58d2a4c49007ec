// Every child half of this folder, for the interpreter.
#pragma once

#include "process/credentials_child.hpp"  // IWYU pragma: export
#include "process/exec_child.hpp"         // IWYU pragma: export
#include "process/limits_child.hpp"       // IWYU pragma: export
