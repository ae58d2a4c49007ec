"""What this host can do, and the one door through which a test may be skipped.

A test says host.need("memory controller"). When that is missing the test is skipped with the words,
but only if allowed_skips.txt lists them for this kind of host; any other skip is a failure.
"""
import ctypes
import functools
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent.parent
KINDS = ("native", "v2", "lab")
ROOT = Path("/sys/fs/cgroup")


def kind() -> str:
    return os.environ.get("VRUN_TEST_HOST", "native")


@functools.lru_cache(None)
def is_v2() -> bool:
    return (ROOT / "cgroup.controllers").exists()


@functools.lru_cache(None)
def v1_mounts() -> dict:
    """Controller -> folder of its hierarchy; empty on a v2 host."""
    found = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, type_, options = line.split()[:4]
        if type_ == "cgroup" and not is_v2():
            for option in options.split(","):
                found[option] = Path(where)
    return found


@functools.lru_cache(None)
def v2_root() -> Path | None:
    if is_v2():
        return ROOT
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if line.split()[2] == "cgroup2":
            return Path(line.split()[1])
    return None


@functools.lru_cache(None)
def v2_controllers() -> list:
    return (v2_root() / "cgroup.controllers").read_text().split() if v2_root() else []


def effective_capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff"):
            return int(line.split()[1], 16)
    return 0


@functools.lru_cache(None)
def config(name: str) -> bool:
    """CONFIG_NAME of the running kernel, where it tells."""
    for path in (f"/boot/config-{platform.release()}",):
        if os.path.exists(path):
            return any(line.startswith(f"CONFIG_{name}=") for line in open(path))
    return False


def _controller(name):
    alias = {"io": "blkio"}.get(name, name)
    return name in v2_controllers() or alias in v1_mounts()


def _time_to_sched_deadline():
    if os.cpu_count() < 1:
        return False
    libc = ctypes.CDLL(None, use_errno=True)

    class Attr(ctypes.Structure):
        _fields_ = [("size", ctypes.c_uint32), ("policy", ctypes.c_uint32), ("flags", ctypes.c_uint64),
                    ("nice", ctypes.c_int32), ("priority", ctypes.c_uint32), ("runtime", ctypes.c_uint64),
                    ("deadline", ctypes.c_uint64), ("period", ctypes.c_uint64)]
    pid = os.fork()
    if pid == 0:
        a = Attr(48, 6, 0, 0, 0, 10_000_000, 50_000_000, 100_000_000)
        os._exit(0 if libc.syscall(314, 0, ctypes.byref(a), 0) == 0 else 1)
    return os.waitpid(pid, 0)[1] == 0


def _in_a_new_group(name):
    """The root group has no limits: only one below shows which the kernel knows."""
    group = ROOT / f"{os.getpid()}-look"
    group.mkdir()
    try:
        return (group / name).exists()
    finally:
        group.rmdir()


def _swap_control():
    if "memory" in v2_controllers():
        return _in_a_new_group("memory.swap.max")
    m = v1_mounts().get("memory")
    return bool(m) and (m / "memory.memsw.limit_in_bytes").exists()


def _io_weight():
    if "io" in v2_controllers():
        return (any((p / n).exists() for p in ROOT.iterdir() if p.is_dir() for n in ("io.weight", "io.bfq.weight")))
    m = v1_mounts().get("blkio")
    return bool(m) and any((m / n).exists() for n in ("blkio.weight", "blkio.bfq.weight"))


def _io_throttle():
    if "io" in v2_controllers():
        return True
    m = v1_mounts().get("blkio")
    return bool(m) and (m / "blkio.throttle.read_bps_device").exists()


def _realtime():
    m = v1_mounts().get("cpu")
    return bool(m) and (m / "cpu.rt_runtime_us").exists()


def _cpu_file(v2, v1):
    m = v1_mounts().get("cpu")
    if m:
        return (m / v1).exists() or any((p / v1).exists() for p in m.iterdir() if p.is_dir())
    return "cpu" in v2_controllers()


def block_device() -> str | None:
    """MAJ:MIN of a whole disk, for throttles."""
    for disk in sorted(Path("/sys/block").iterdir()):
        if not disk.name.startswith(("loop", "ram", "zram")):
            return (disk / "dev").read_text().strip()
    for disk in sorted(Path("/sys/block").iterdir()):
        return (disk / "dev").read_text().strip()
    return None


def _micro_vms(engine):
    """By what `vrun doctor` finds out: a paravirtual /dev/kvm opens and runs no stock kernel."""
    vrun = Path(os.environ["RUNTIME"]).parent / "vrun"
    told = subprocess.run([vrun, "doctor"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60).stdout
    return any("micro-vms" in line and f"engine {engine}" in line for line in told.splitlines())


def _quotas_of(kind):
    """Is there a mkfs, and does the kernel mount such a file system with its quotas held?"""
    if not shutil.which(f"mkfs.{kind}") or not shutil.which("btrfs"):
        return False
    make = {"ext4": ["-O", "quota,project", "-E", "quotatype=prjquota"]}.get(kind, [])
    options = "loop" if kind == "btrfs" else "loop,prjquota"
    with tempfile.TemporaryDirectory() as folder:
        image, top = f"{folder}/image", f"{folder}/top"
        os.mkdir(top)
        subprocess.run(["truncate", "-s", "320M", image], check=True)
        subprocess.run([f"mkfs.{kind}", "-q", *make, image], check=True)
        if subprocess.run(["mount", "-o", options, image, top], capture_output=True).returncode != 0:
            return False
        mounted = next(line for line in Path("/proc/self/mounts").read_text().splitlines() if line.split()[1] == top)
        subprocess.run(["umount", top], check=True)
        return kind == "btrfs" or "prjquota" in mounted


FACTS = {
    "quotas of ext4": lambda: _quotas_of("ext4"),
    "quotas of xfs": lambda: _quotas_of("xfs"),
    "quotas of btrfs": lambda: _quotas_of("btrfs"),
    "memory controller": lambda: _controller("memory"),
    "cpu controller": lambda: _controller("cpu"),
    "cpuset controller": lambda: _controller("cpuset"),
    "pids controller": lambda: _controller("pids"),
    "io controller": lambda: _controller("io"),
    "hugetlb controller": lambda: _controller("hugetlb"),
    "rdma controller": lambda: _controller("rdma"),
    "swap control": _swap_control,
    "io weight": _io_weight,
    "io throttle": lambda: _io_throttle() and block_device() is not None,
    "cpu burst": lambda: _cpu_file("cpu.max.burst", "cpu.cfs_burst_us"),
    "cpu idle": lambda: _cpu_file("cpu.idle", "cpu.idle"),
    "realtime group scheduling": _realtime,
    "network class controller": lambda: "net_cls" in v1_mounts(),
    "network priority controller": lambda: "net_prio" in v1_mounts(),
    "no network class controller": lambda: "net_cls" not in v1_mounts(),
    "v2 hierarchy with memory": lambda: "memory" in v2_controllers(),
    "v2 hierarchy": is_v2,
    "v2 tree for freezing": lambda: v2_root() is not None,
    "CAP_SYS_RESOURCE": lambda: bool(effective_capabilities() >> 24 & 1),
    "AppArmor": lambda: Path("/sys/module/apparmor/parameters/enabled").exists()
    and Path("/sys/module/apparmor/parameters/enabled").read_text().strip() == "Y"
    and Path("/sys/kernel/security/apparmor").exists(),
    "no AppArmor": lambda: not Path("/sys/kernel/security/apparmor").exists(),
    "SELinux": lambda: Path("/sys/fs/selinux/enforce").exists(),
    "no SELinux": lambda: not Path("/sys/fs/selinux/enforce").exists(),
    "resctrl": lambda: "resctrl" in Path("/proc/filesystems").read_text(),
    "no resctrl": lambda: "resctrl" not in Path("/proc/filesystems").read_text(),
    "deadline scheduling": _time_to_sched_deadline,
    "two processors": lambda: len(os.sched_getaffinity(0)) >= 2,
    "node": lambda: shutil.which("node") is not None,
    "java": lambda: shutil.which("java") is not None,
    "NUMA policy": lambda: Path("/sys/devices/system/node/node0").exists(),
    "criu": lambda: shutil.which("criu") is not None
    and subprocess.run(["criu", "check"], capture_output=True).returncode == 0,
    "no criu": lambda: shutil.which("criu") is None,
    "pasta": lambda: shutil.which("pasta") is not None,
    "slirp4netns": lambda: shutil.which("slirp4netns") is not None,
    "newuidmap": lambda: shutil.which("newuidmap") is not None,
    "systemd": lambda: Path("/run/systemd/system").exists(),
    # In a private v2 view Podman 4.3 leaves a pod's group with a device filter that denies everything: no runtime
    # can make /dev/null below it (crun 1.28 and runc 1.3 fail there as well).
    "usable podman pod groups": lambda: kind() == "native",  # Podman 4.3 on pure v2: its pods deny every device, for crun and runc too
    "podman": lambda: shutil.which("podman") is not None,
    "buildah": lambda: shutil.which("buildah") is not None,
    "containerd": lambda: shutil.which("containerd") is not None,
    "docker": lambda: shutil.which("dockerd") is not None,
    "overlay": lambda: "overlay" in Path("/proc/filesystems").read_text(),
    "Debian root file system": lambda: (HERE.parents[1] / "build/debian-12.tar").exists(),  # tests/lab/debian
    "Debian 13 kernel": lambda: (HERE.parents[1] / "build/debian-13-kernel").exists(),  # tests/lab/debian-kernel
    "Debian root file system with Podman": lambda: (HERE.parents[1] / "build/debian-12-podman.tar").exists(),
    "micro-VMs": lambda: _micro_vms(""),
    "KVM that runs stock kernels": lambda: _micro_vms("kvm"),
    "no KVM that runs stock kernels": lambda: not _micro_vms("kvm"),
    "systemd-analyze": lambda: shutil.which("systemd-analyze") is not None,
    "qemu-img": lambda: shutil.which("qemu-img") is not None,
    "strace": lambda: shutil.which("strace") is not None,
    "idmapped tmpfs": lambda: kernel() >= (6, 3),  # the tests work in one
    "kernel 6.7": lambda: kernel() >= (6, 7),
}


def kernel():
    return tuple(int(x) for x in platform.release().split("-")[0].split(".")[:2])


def allowed_skips() -> set:
    rows = set()
    for line in (HERE / "allowed_skips.txt").read_text().splitlines():
        line = line.split("#")[0].strip()
        if line:
            host, words = line.split(":", 1)
            rows.add((host.strip(), words.strip()))
    return rows


@functools.lru_cache(None)
def has(what: str) -> bool:
    return bool(FACTS[what]())


def need(*wanted: str) -> None:
    """Skips the test, saying what is missing; fails it when this kind of host must have that."""
    for what in wanted:
        if has(what):
            continue
        if (kind(), what) in allowed_skips():
            pytest.skip(f"missing on this host ({kind()}): {what}")
        pytest.fail(f"unexpected skip: a {kind()} host must have: {what}", pytrace=False)
