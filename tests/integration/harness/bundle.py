"""Bundles: a root filesystem of busybox and the probe, and a config.json to change at will."""
import copy
import json
import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent

APPLETS = subprocess.run(["busybox", "--list"], capture_output=True, text=True).stdout.split()

CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]

DEFAULT = {
    "ociVersion": "1.0.2",
    "process": {
        "terminal": False,
        "user": {"uid": 0, "gid": 0},
        "args": ["/bin/probe"],
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
        "cwd": "/",
        "capabilities": {s: list(CAPABILITIES) for s in ("bounding", "effective", "permitted")},
        "noNewPrivileges": True,
    },
    "root": {"path": "rootfs", "readonly": False},
    "hostname": "guest",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
         "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs",
         "options": ["nosuid", "noexec", "nodev", "ro"]},
    ],
    "linux": {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount")],
        "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list",
                        "/sys/firmware"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
}


def probe_program() -> Path:
    """The static probe, built once for each change of its source."""
    source = HERE / "guest" / "probe.c"
    built = os.environ.get("VRUN_TEST_PROBE")
    if built:
        return Path(built)
    target = Path(os.environ.get("VRUN_TEST_CACHE", "/tmp")) / f"vrun-probe-{os.getuid()}-{int(source.stat().st_mtime)}"
    if not target.exists():
        draft = target.with_suffix(f".{os.getpid()}")
        subprocess.run(["cc", "-O1", "-static", "-o", draft, source], check=True)
        draft.rename(target)
    return target


def make_rootfs(at: Path) -> Path:
    for folder in ("bin", "dev", "etc", "home", "mnt", "proc", "root", "run", "sys", "tmp", "usr", "var"):
        (at / folder).mkdir(parents=True, exist_ok=True)
    (at / "tmp").chmod(0o1777)
    shutil.copy("/bin/busybox", at / "bin/busybox")
    shutil.copy(probe_program(), at / "bin/probe")
    (at / "bin/probe").chmod(0o755)
    for applet in APPLETS:
        if applet != "busybox":
            (at / "bin" / applet).symlink_to("busybox")
    (at / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/home:/bin/sh\n")
    (at / "etc/group").write_text("root:x:0:\nguest:x:1000:\nextra:x:2000:guest\n")
    return at


class Bundle:
    """A folder with rootfs/ and config.json; `spec` is written by save(), which every verb calls."""

    def __init__(self, path: Path):
        self.path = path
        self.rootfs = make_rootfs(path / "rootfs")
        self.spec = copy.deepcopy(DEFAULT)

    def save(self) -> "Bundle":
        if self.spec is not None:
            (self.path / "config.json").write_text(json.dumps(self.spec))
        return self

    @property
    def process(self):
        return self.spec["process"]

    @property
    def linux(self):
        return self.spec["linux"]

    @property
    def resources(self):
        return self.linux.setdefault("resources", {})

    def args(self, *args):
        self.process["args"] = list(args)
        return self

    def sh(self, script):
        return self.args("sh", "-c", script)

    def mount(self, destination, type, source, *options, **more):
        self.spec["mounts"].append({"destination": destination, "type": type, "source": str(source),
                                    "options": list(options), **more})
        return self

    def namespace(self, type, path=None):
        kept = [n for n in self.linux["namespaces"] if n["type"] != type]
        self.linux["namespaces"] = kept + [{"type": type, **({"path": str(path)} if path else {})}]
        return self

    def without_namespace(self, type):
        self.linux["namespaces"] = [n for n in self.linux["namespaces"] if n["type"] != type]
        return self

    def user_namespace(self, first=100000, size=65536):
        """A user namespace whose root owns the root filesystem."""
        self.namespace("user")
        one = {"containerID": 0, "hostID": first, "size": size}
        self.linux["uidMappings"], self.linux["gidMappings"] = [dict(one)], [dict(one)]
        for folder, _, files in os.walk(self.rootfs):
            for name in [folder] + [os.path.join(folder, f) for f in files]:
                os.lchown(name, first, first)
        parent = self.path
        while parent != parent.parent and not parent.stat().st_mode & 1:
            parent.chmod(parent.stat().st_mode | 0o011)
            parent = parent.parent
        return self

    def capabilities(self, *names, sets=("bounding", "effective", "permitted")):
        self.process["capabilities"] = {s: list(names) for s in sets}
        return self

    def seccomp(self, default, *rules, **more):
        self.linux["seccomp"] = {"defaultAction": default, "syscalls": list(rules), **more}
        return self

    def hook(self, kind, script, timeout=None, env=()):
        """A hook that runs a shell script of the host."""
        entry = {"path": "/bin/sh", "args": ["sh", "-c", script],
                 "env": ["PATH=/usr/bin:/bin", *env]}
        if timeout is not None:
            entry["timeout"] = timeout
        self.spec.setdefault("hooks", {}).setdefault(kind, []).append(entry)
        return self
