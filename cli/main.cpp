// vrun and vrun-oci: one program, two personas.
#include "cli/everyday.hpp"
#include "cli/oci_main.hpp"
#include "cli/persona.hpp"

int main(int argc, char** argv) {
  vrun::cli::prepare_process();
  const auto [persona, words] = vrun::cli::dispatch({argv, static_cast<std::size_t>(argc)});
  if (persona == vrun::cli::Persona::kOci) return vrun::cli::oci_main(words);
  return vrun::cli::everyday(argc, argv);
}
