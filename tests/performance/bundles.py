"""Makes the bundles of the benchmark: the default config, the same with an engine's default seccomp
profile (Debian's golang-github-containers-common), and one that sleeps."""
import copy
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from harness import bundle as bundles  # noqa: E402

PROFILE = Path("/usr/share/containers/seccomp.json")


def profile():
    """The rules of the engine's profile that hold for a guest with the default capabilities."""
    full = json.loads(PROFILE.read_text())
    rules = []
    for rule in full["syscalls"]:
        wanted, unwanted = rule.get("includes") or {}, rule.get("excludes") or {}
        if wanted.get("caps") or wanted.get("minKernel") or (wanted.get("arches") and not {"amd64", "x86", "x32"} & set(wanted["arches"])):
            continue
        if {"amd64", "x86"} & set(unwanted.get("arches") or []):
            continue
        rules.append({k: rule[k] for k in ("names", "action", "args", "errnoRet") if rule.get(k)})
    return {"defaultAction": full["defaultAction"], **({"defaultErrnoRet": full["defaultErrnoRet"]} if "defaultErrnoRet" in full else {}),
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], "syscalls": rules}


def main(place, compiler):
    plain = bundles.Bundle(place / "plain")
    plain.args("/bin/true").namespace("cgroup")
    plain.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024}]
    plain.spec["root"]["readonly"] = True
    plain.save()
    for name, change in (("idle", lambda s: s["process"].update(args=["/bin/sleep", "100000"])),
                         ("filtered", lambda s: s["linux"].update(seccomp=profile()))):
        if name == "filtered" and not PROFILE.exists():
            continue
        (place / name).mkdir()
        spec = copy.deepcopy(plain.spec)
        spec["root"]["path"] = str(plain.rootfs)
        change(spec)
        (place / name / "config.json").write_text(json.dumps(spec))
        if name == "filtered":
            allowed = [n for rule in spec["linux"]["seccomp"]["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for n in rule["names"]]
            done = subprocess.run([compiler], input="\n".join(allowed).encode(), capture_output=True, check=True)
            (place / "filter").write_bytes(done.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
