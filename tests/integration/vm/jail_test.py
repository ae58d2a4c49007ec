"""The jail of the machine's monitor: what its threads have, and what happens to one that breaks out."""
import ctypes
import os
import subprocess
import time
from pathlib import Path

import pytest

from harness import everyday, host, runtime
from harness.micro_vms import BOOT, FLAGS

LOOP = "echo up; while :; do sleep 0.1; done"
SERVING_FILES = {0, 1, 3, 4, 27, 31}  # CHOWN, DAC_OVERRIDE, FOWNER, FSETID, MKNOD, SETFCAP

EXECVE, PTRACE, SOCKET, MOUNT, OPENAT, BPF = 59, 101, 41, 165, 257, 321


@pytest.fixture
def vrun(work):
    with everyday.fresh(work) as it:
        host.need("micro-VMs")
        yield it


@pytest.fixture
def guest(vrun):
    """A running guest with processors, files, an agent and calls."""
    return lambda *flags: _start(vrun, *flags)


def _start(vrun, *flags):
    vrun("run", "-d", "--name", "g", *FLAGS, *flags, "base", "sh", "-c", LOOP, timeout=2 * BOOT).ok()
    runtime.wait_for(lambda: "up" in vrun("logs", "g").out, "the guest is up", BOOT)
    return vrun.state("g")["pid"]


def _facts(folder):
    return dict(line.split(":\t", 1) for line in (Path(folder) / "status").read_text().splitlines() if ":\t" in line)


def _threads(pid):
    """Of each thread its number, name and status."""
    return [(int(task.name), _facts(task)["Name"], _facts(task)) for task in sorted(Path(f"/proc/{pid}/task").iterdir())]


def _capabilities(status, field):
    return {bit for bit in range(64) if int(status[field], 16) >> bit & 1}


def _children(pid):
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def _engine(vrun):
    return "kvm" if "engine kvm" in vrun("doctor").out else "qemu"


# ---- what they have ----

def every_thread_is_jailed_and_only_the_file_server_keeps_capabilities(vrun, guest):
    pid = guest("--cpus", "2", "--memory", "128m")
    found = _threads(pid)
    names = [name for _, name, _ in found]
    wanted = {"kvm": {"fs", "vsock", "balloon", "entropy", "control", "processor"}, "qemu": {"fs", "vsock", "console", "control"}}
    assert wanted[_engine(vrun)] <= set(names), names
    assert _engine(vrun) == "qemu" or names.count("processor") == 2
    for tid, name, status in found:
        assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1"), (name, status)
        # The container's filter, the jail's own; threads that begin later have that of main, too.
        assert int(status["Seccomp_filters"]) >= 2, (name, status["Seccomp_filters"])
        for field in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            assert _capabilities(status, field) <= (SERVING_FILES if name == "fs" else set()), (name, field, status[field])
    assert _capabilities(next(status for _, name, status in found if name == "fs"), "CapEff") == SERVING_FILES


def the_boot_of_a_system_on_a_disk_is_jailed_too(vrun, work):
    vrun("image", "build-disk", "--from", "base", "-o", work / "base.raw", timeout=BOOT).ok()
    vrun("run", "-d", "--name", "g", *FLAGS, "--disk", work / "base.raw", timeout=2 * BOOT).ok()
    runtime.wait_for(lambda: "built-in shell" in vrun("logs", "g").out, "the system is up", BOOT)
    [boot] = _children(vrun.state("g")["pid"])
    found = _threads(boot)
    assert "block" in [name for _, name, _ in found]
    for _, name, status in found:
        assert (status["Seccomp"], status["NoNewPrivs"], int(status["CapEff"], 16)) == ("2", "1", 0), (name, status)
        assert int(status["Seccomp_filters"]) >= 2, (name, status["Seccomp_filters"])


def qemu_has_its_own_jail(vrun, guest):
    if _engine(vrun) == "kvm":
        pytest.skip("needs a host where QEMU is the machine")
    pid = guest("--memory", "128m")
    [qemu] = _children(pid)
    assert b"/qemu" in Path(f"/proc/{qemu}/cmdline").read_bytes()
    assert sorted(os.listdir(f"/proc/{qemu}/root")) != sorted(os.listdir(f"/proc/{pid}/root"))
    for _, name, status in _threads(qemu):
        assert (status["Seccomp"], status["NoNewPrivs"], int(status["CapEff"], 16)) == ("2", "1", 0), name
        assert int(status["Seccomp_filters"]) == 2, name


def the_monitor_holds_no_file_of_the_host(vrun, guest):
    """Paths are those of its own root, and that is the guest's."""
    pid = guest("--memory", "128m")
    seen = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    kinds = ("anon_inode:", "socket:", "pipe:", "/memfd:", "/dev/null", "/dev/kvm", "/proc", "/")
    assert all(path.startswith(kinds) for path in seen), seen
    outside = {path for path in seen if path.startswith(str(vrun.env["VRUN_DATA_DIR"])) and "vm/cache" not in path}
    assert not outside, seen
    # What is there is of another user than the host's root.
    assert Path(f"/proc/{pid}").stat().st_uid != 0


# ---- what happens to one that breaks out ----

LIBC = ctypes.CDLL(None, use_errno=True)
ATTACH, DETACH, GETREGS, SETREGS, WALL = 16, 17, 12, 13, 0x40000000
FIELDS = "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs gs".split()


class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in FIELDS]


def _ptrace(request, tid, data=None):
    LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    LIBC.ptrace.restype = ctypes.c_long
    if LIBC.ptrace(request, tid, None, ctypes.addressof(data) if data is not None else None) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request} of {tid}")


def _make_call(tid, number):
    """Lets a thread, which waits in a system call, make another one: what code that a guest brought in could do."""
    _ptrace(ATTACH, tid)
    os.waitpid(tid, WALL)
    registers = Registers()
    _ptrace(GETREGS, tid, registers)
    registers.rip -= 2  # the instruction `syscall`, which it is just behind
    registers.rax, registers.orig_rax = number, 2**64 - 1
    registers.rdi = registers.rsi = registers.rdx = 0
    _ptrace(SETREGS, tid, registers)
    _ptrace(DETACH, tid)


@pytest.mark.parametrize("name, number, word", [
    ("main", EXECVE, "execve"),
    ("fs", SOCKET, "socket"),
    ("vsock", OPENAT, "openat"),
    ("control", PTRACE, "ptrace"),
    ("processor", OPENAT, "openat"),
    ("balloon", MOUNT, "mount"),
    ("console", BPF, "bpf"),
])
def a_thread_that_breaks_out_ends_the_machine_and_is_told(vrun, guest, name, number, word):
    pid = guest("--memory", "128m")
    found = {thread: tid for tid, thread, _ in _threads(pid)}
    found["main"] = pid
    if name not in found:
        pytest.skip(f"engine {_engine(vrun)} has no thread {name}")
    begin = time.monotonic()
    _make_call(found[name], number)
    runtime.wait_for(lambda: vrun.state("g")["status"] == "exited", "the guest has ended", BOOT)
    assert time.monotonic() - begin < BOOT
    words = f"thread {name} made the system call {word} number {number}, which its jail does not allow"
    state = vrun.state("g")
    assert words in vrun("logs", "g").err
    assert words in state["reason"] and state["exitCode"] == 128 + 31, state
    assert subprocess.run(["kill", "-0", str(pid)], stderr=subprocess.DEVNULL).returncode != 0
