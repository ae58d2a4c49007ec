// Asking people for names and passwords.
#pragma once

#include <string>

#include "base/result.hpp"
#include "images/request.hpp"
#include "images/transfer/auth.hpp"
#include "images/transfer/desk.hpp"

namespace vrun::images {

// "https://Registry.example:5000/" as the host of image names; empty is docker.io.
Result<std::string> registry_host(const std::string& word);

// From the flags, from stdin (--password-stdin) or from the terminal, without echo. Without a
// terminal what is missing is an error.
Result<Credentials> ask_credentials(const TransferRequest& request, const std::string& host,
                                    Interrupts& interrupts);

}  // namespace vrun::images
