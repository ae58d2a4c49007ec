// The rows of the verbs for manifests; everyday_verbs.cpp joins them to its own.
#pragma once

#include <array>

#include "cli/everyday_verbs.hpp"

namespace vrun::cli {

inline constexpr std::array kValidate{
    Flag{"file", "f", Kind::kList, "FILE", "a file, all *.yaml of a directory, or - for stdin"},
    Flag{"set", "", Kind::kList, "PATH=VALUE", "change a field first: guests.web.replicas=3"},
};
inline constexpr std::array kApply{
    Flag{"file", "f", Kind::kList, "FILE", "a file, all *.yaml of a directory, or - for stdin"},
    Flag{"set", "", Kind::kList, "PATH=VALUE", "change a field first: guests.web.replicas=3"},
    Flag{"manifest", "", Kind::kText, "NAME",
         "what the whole is called; default: the file's name without its ending"},
    Flag{"dry-run", "", Kind::kSwitch, "", "print the plan and change nothing"},
    Flag{"prune", "", Kind::kSwitch, "", "delete what the manifest made and no longer names"},
    Flag{"volumes", "", Kind::kSwitch, "", "with --prune: volumes too, and what lies in them"},
    Flag{"wait", "", Kind::kSwitch, "", "until guests are well and jobs have ended"},
    Flag{"timeout", "", Kind::kDuration, "TIME", "for each thing that is waited for", "5m"},
    Flag{"format", "", Kind::kText, "FORM", "of the plan: table or json", "table"},
};
inline constexpr std::array kDelete{
    Flag{"file", "f", Kind::kList, "FILE", "a file, all *.yaml of a directory, or - for stdin"},
    Flag{"manifest", "", Kind::kText, "NAME",
         "what the whole is called; default: the file's name without its ending"},
    Flag{"volumes", "", Kind::kSwitch, "", "its volumes too, and what lies in them"},
    Flag{"dry-run", "", Kind::kSwitch, "", "print the plan and change nothing"},
    Flag{"timeout", "", Kind::kDuration, "TIME", "for each thing that is waited for", "5m"},
    Flag{"format", "", Kind::kText, "FORM", "of the plan: table or json", "table"},
};
inline constexpr std::array kConvert{
    Flag{"file", "f", Kind::kList, "FILE", "Compose or Kubernetes YAML; - for stdin"},
    Flag{"output", "o", Kind::kText, "FILE", "write to FILE instead of stdout"},
};

inline constexpr std::array kManifestVerbs{
    EverydayVerb{
        .name = "apply",
        .arguments = "",
        .summary = "make what a manifest describes, and no more than is needed",
        .text = "The plan is printed first: what is created, changed while it runs, replaced or "
                "deleted, and why. Steps are done in the order of their dependencies, several at "
                "the same time. A second apply finds nothing to do; one that was killed is "
                "finished by the next.\n\nManifests are described in docs/manifest.md.",
        .flag_set = EverydayFlags::kApply},
    EverydayVerb{.name = "validate",
                 .arguments = "",
                 .summary = "say what is wrong with a manifest, all of it",
                 .text = "Nothing is changed. Each fault is FILE:LINE:COLUMN: PATH: WHAT. The exit "
                         "code is 1 when there are any.",
                 .flag_set = EverydayFlags::kValidate},
    EverydayVerb{.name = "delete",
                 .arguments = "",
                 .summary = "delete everything that a manifest made",
                 .text = "Also what it made once and no longer names. Volumes stay without --volumes, and "
                         "so does a tenant that still has something.",
                 .flag_set = EverydayFlags::kDelete},
    EverydayVerb{.name = "convert",
                 .arguments = "",
                 .summary = "make a manifest of Compose or Kubernetes YAML",
                 .text = "What cannot be carried over is said on stderr, line by line. Of "
                         "Kubernetes: Pod, Deployment, Service, ConfigMap, Secret, "
                         "PersistentVolumeClaim, Job, CronJob.",
                 .flag_set = EverydayFlags::kConvert},
};

}  // namespace vrun::cli
