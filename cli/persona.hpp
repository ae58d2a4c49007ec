// What main() does before it knows the verb.
#pragma once

#include <span>

namespace vrun::cli {

// First of all: descriptors 0, 1 and 2 that the caller closed are opened on /dev/null, so that no
// file opened later can become stdio of anything. Then a umask that leaves our own files readable
// for their owner, and no death by SIGPIPE in the middle of a create. The guest gets neither: its
// umask and signals are set by its own steps.
void prepare_process();

enum class Persona { kOci, kEveryday };
struct Dispatch {
  Persona persona;
  std::span<char* const> words;  // for the OCI persona: what follows the program's name and "oci"
};

// By the name of the program and its first words, as docs/architecture.md says.
Dispatch dispatch(std::span<char* const> argv);

}  // namespace vrun::cli
