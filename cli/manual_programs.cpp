// What the pages of the two personas say beside their tables.
#include "cli/everyday_verbs.hpp"
#include "cli/manual.hpp"
#include "cli/oci_verbs.hpp"

namespace vrun::cli {
namespace {

constexpr std::string_view kOciTail = R"(.SH EXIT STATUS
0 on success. \fBrun\fR and \fBexec\fR end with the exit code of the process they ran, or with 128 plus
the number of the signal that killed it. Any failure of vrun-oci itself ends with 1, of \fBexec\fR with
255; an unknown verb with 3.
.SH ERRORS
One sentence on stderr says what was wanted, what failed, on which thing and why; a line \(lqhint:\(rq
says what to do, where that is known. With \fB\-\-log\fR the same goes to the log, in the form that
containerd, Podman and Docker read.
.SH FILES
.TP
.I /run/vrun/oci
State of the containers of root; below \fI$XDG_RUNTIME_DIR/vrun\fR for other users.
.TP
.I /run/vrun/cache
Compiled seccomp filters. May be removed at any time.
.SH ENVIRONMENT
.TP
.B XDG_RUNTIME_DIR
Where users without privileges keep state.
.TP
.BR LISTEN_FDS ", " LISTEN_PID
Sockets of socket activation; they are handed on to the container.
.SH SEE ALSO
.BR vrun (1),
.BR podman (1),
.BR crictl (1),
.BR cgroups (7),
.BR namespaces (7),
.BR criu (8)
)";

constexpr std::string_view kEverydayTail = R"(.SH EXIT STATUS
That of the command in the guest, or 128 plus the number of the signal that killed it. 125: vrun itself
failed; 126: the command cannot be executed; 127: it was not found.
.SH ERRORS
One sentence on stderr says what was wanted, what failed, on which thing and why; a line \(lqhint:\(rq
says what to do, where that is known.
.SH FILES
.TP
.I /var/lib/vrun
Images and guests. \fB\-\-data\-dir\fR or \fI$VRUN_DATA_DIR\fR choose another place.
.TP
.I /run/vrun
State of running guests; below \fI$XDG_RUNTIME_DIR/vrun\fR for other users.
.SH SEE ALSO
.BR vrun\-oci (8),
.BR namespaces (7),
.BR cgroups (7)
)";

}  // namespace

Manual oci_manual() {
  Manual manual{.name = "vrun-oci",
                .section = '8',
                .purpose = "OCI runtime: runs containers from bundles, in runc's place",
                .description =
                    "Runs containers as the Open Container Initiative specifies them. containerd, "
                    "CRI-O, Podman, Docker, Buildah and BuildKit call it in place of runc: verbs, "
                    "flags, output and exit codes are the same.",
                .globals = oci_globals(),
                .verbs = {},
                .tail = kOciTail};
  for (const Verb& verb : oci_verbs()) {
    manual.verbs.push_back({.name = verb.name,
                            .summary = verb.summary,
                            .text = verb.text,
                            .usage = usage(verb),
                            .flags = verb.flags(),
                            // create, run and restore choose a new name
                            .names = verb.least > 0 && find_flag(verb.flags(), "bundle") == nullptr
                                         ? "vrun-oci list --quiet"
                                         : "",
                            .takes_command = verb.name.view() == "exec"});
  }
  return manual;
}

// By the word that the usage has for what comes first.
std::string_view names_for(const EverydayVerb& verb) {
  const std::string_view words = verb.arguments, name = verb.name;
  const auto begins = [&](std::string_view word) {
    return words.starts_with(word) || (words.starts_with('[') && words.substr(1).starts_with(word));
  };
  if (begins("IMAGE")) return "vrun images --format names";
  if (begins("GUEST")) return "vrun ps --all --format {{.Names}}";
  if (begins("VOLUME")) return "vrun volume ls --quiet";
  if (name.ends_with(" create")) return "";
  if (begins("NETWORK") || (name.starts_with("network ") && begins("NAME")))
    return "vrun network ls --quiet";
  if (name.starts_with("tenant ") && begins("NAME")) return "vrun tenant ls --quiet";
  return "";
}

Manual everyday_manual() {
  Manual manual{.name = "vrun",
                .section = '1',
                .purpose = "runs isolated guests on one Linux server",
                .description =
                    "Runs commands and services in guests: with namespaces, limits, ids and a file "
                    "tree of their own, made from images. Nothing stays in the background but the "
                    "guests themselves.",
                .globals = everyday_globals(),
                .verbs = {},
                .tail = kEverydayTail};
  for (const EverydayVerb& verb : everyday_verbs()) {
    const bool image = verb.arguments.view().starts_with("IMAGE");
    manual.verbs.push_back({.name = verb.name,
                            .summary = verb.summary,
                            .text = verb.text,
                            .usage = everyday_usage(verb),
                            .flags = verb.flags(),
                            .names = names_for(verb),
                            .takes_command = image && !verb.flags_anywhere});
  }
  manual.verbs.push_back({.name = "oci",
                          .summary = "the OCI runtime with runc's command line: see vrun-oci(8)",
                          .text = "",
                          .usage = "vrun oci VERB",
                          .flags = {},
                          .names = "",
                          .takes_command = false});
  return manual;
}

}  // namespace vrun::cli
