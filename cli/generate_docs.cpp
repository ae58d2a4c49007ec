// Build-time program: writes man pages and completions below a folder laid out as /usr.
#include <fcntl.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "cli/complain.hpp"
#include "cli/manual.hpp"

namespace vrun::cli {
namespace {

Result<void> write_page(const std::string& root, const std::string& path, const std::string& text) {
  const std::string whole = fs::join(root, path);
  TRY(fs::make_dirs(At::cwd(), std::string(fs::dir_name(whole)), 0755));
  const Fd dir = TRY(sys::open_dir(At::cwd(), std::string(fs::dir_name(whole))));
  return fs::replace_file(dir, std::string(fs::base_name(whole)), text, 0644);
}

Result<void> write_pages(const std::string& root, const Manual& manual) {
  const std::string name(manual.name);
  const std::string section(1, manual.section);
  TRY(write_page(root, "man/man" + section + "/" + name + "." + section, manual_page(manual)));
  TRY(write_page(root, "bash-completion/completions/" + name, bash_completion(manual)));
  TRY(write_page(root, "zsh/vendor-completions/_" + name, zsh_completion(manual)));
  return write_page(root, "fish/vendor_completions.d/" + name + ".fish", fish_completion(manual));
}

Result<void> write_all(const std::string& root) {
  TRY(write_pages(root, everyday_manual()));
  return write_pages(root, oci_manual());
}

}  // namespace
}  // namespace vrun::cli

int main(int argc, char** argv) {
  using vrun::cli::complain;
  if (argc != 2) {
    complain("generate_docs",
             vrun::Error(vrun::Code::kInvalid, "usage: generate_docs SHARE-FOLDER"));
    return 2;
  }
  const vrun::Result<void> written = vrun::cli::write_all(argv[1]);
  if (written) return 0;
  complain("generate_docs", written.error());
  return 1;
}
