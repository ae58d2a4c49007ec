"""linux.seccomp: actions, arguments, architectures, flags, listener; by effect inside."""
import array
import json
import os
import select
import socket
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from harness import host, runtime

X86 = {"architectures": ["SCMP_ARCH_X86_64"]}
GETPPID, SETHOSTNAME, PERSONALITY, KCMP = 110, 170, 135, 312


def _call(rt, bundle, *numbers):
    return rt.run(bundle.args("/bin/probe", "call", *map(str, numbers)))


def errno_is_the_one_asked_for(rt, bundle):
    bundle.seccomp("SCMP_ACT_ALLOW", {"names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 42}, **X86)
    assert _call(rt, bundle, SETHOSTNAME).ok().out == "-42\n"


def errno_is_EPERM_by_default(rt, bundle):
    bundle.seccomp("SCMP_ACT_ALLOW", {"names": ["sethostname"], "action": "SCMP_ACT_ERRNO"}, **X86)
    assert _call(rt, bundle, SETHOSTNAME).ok().out == "-1\n"


def errno_zero_makes_a_call_that_does_nothing(rt, bundle):
    bundle.seccomp("SCMP_ACT_ALLOW", {"names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0}, **X86)
    assert _call(rt, bundle, SETHOSTNAME).ok().out == "0\n"


@pytest.mark.parametrize("action, code", [("SCMP_ACT_KILL_PROCESS", 159), ("SCMP_ACT_KILL", 159), ("SCMP_ACT_KILL_THREAD", 159),
                                          ("SCMP_ACT_TRAP", 159)])
def kill_and_trap_end_with_SIGSYS(rt, bundle, action, code):
    bundle.seccomp("SCMP_ACT_ALLOW", {"names": ["sethostname"], "action": action}, **X86)
    assert _call(rt, bundle, SETHOSTNAME).rc == code


def log_lets_the_call_through(rt, bundle):
    bundle.seccomp("SCMP_ACT_ALLOW", {"names": ["getppid"], "action": "SCMP_ACT_LOG"}, **X86)
    assert _call(rt, bundle, GETPPID).ok().out == "0\n"


def trace_without_a_tracer_is_ENOSYS(rt, bundle):
    bundle.seccomp("SCMP_ACT_ALLOW", {"names": ["sethostname"], "action": "SCMP_ACT_TRACE", "errnoRet": 1}, **X86)
    assert _call(rt, bundle, SETHOSTNAME).ok().out == "-38\n"


def the_default_action_holds_for_everything_else(rt, bundle):
    common = ("read write open openat close mmap munmap brk execve execveat exit exit_group arch_prctl set_tid_address set_robust_list rseq "
              "prlimit64 readlink readlinkat getrandom mprotect fstat newfstatat ioctl writev futex pread64 lseek access").split()
    bundle.seccomp("SCMP_ACT_ERRNO", {"names": common, "action": "SCMP_ACT_ALLOW"}, defaultErrnoRet=61, **X86)
    assert _call(rt, bundle, KCMP).ok().out == "-61\n"


@pytest.mark.parametrize("op, value, two, hit, miss", [
    ("SCMP_CMP_EQ", 5, 0, 5, 6), ("SCMP_CMP_NE", 5, 0, 6, 5), ("SCMP_CMP_LT", 5, 0, 4, 5), ("SCMP_CMP_LE", 5, 0, 5, 6),
    ("SCMP_CMP_GT", 5, 0, 6, 5), ("SCMP_CMP_GE", 5, 0, 5, 4), ("SCMP_CMP_MASKED_EQ", 0xf0, 0x30, 0x3f, 0x4f)])
def arguments_are_compared(rt, bundle, op, value, two, hit, miss):
    bundle.seccomp("SCMP_ACT_ALLOW", {"names": ["kcmp"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99,
                                      "args": [{"index": 4, "value": value, "valueTwo": two, "op": op}]}, **X86)
    assert _call(rt, bundle, KCMP, 0, 0, 99, 0, hit).ok().out == "-99\n"
    assert _call(rt, bundle, KCMP, 0, 0, 99, 0, miss).ok().out != "-99\n"


def sixty_four_bits_of_an_argument_count(rt, bundle):
    bundle.seccomp("SCMP_ACT_ALLOW", {"names": ["kcmp"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99,
                                      "args": [{"index": 4, "value": 0x100000005, "op": "SCMP_CMP_EQ"}]}, **X86)
    assert _call(rt, bundle, KCMP, 0, 0, 99, 0, 0x100000005).ok().out == "-99\n"
    assert _call(rt, bundle, KCMP, 0, 0, 99, 0, 5).ok().out != "-99\n"


def a_name_of_no_system_call_is_left_out(rt, bundle):
    """Profiles name calls of every architecture and kernel: runc ignores those it does not know."""
    bundle.seccomp("SCMP_ACT_ALLOW", {"names": ["nosuchcall", "sethostname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5}, **X86)
    assert _call(rt, bundle, SETHOSTNAME).ok().out == "-5\n"


def other_architectures_are_closed_unless_named(rt, bundle, work):
    (work / "i386.s").write_text(".globl _start\n_start: movl $20,%eax; int $0x80; movl %eax,%ebx; andl $1,%ebx; movl $1,%eax; movl $0,%ebx; int $0x80\n")
    done = subprocess.run(["cc", "-m32", "-nostdlib", "-static", "-o", bundle.rootfs / "bin/i386", work / "i386.s"], capture_output=True)
    assert done.returncode == 0, done.stderr
    rt.run(bundle.args("/bin/i386")).ok()
    bundle.seccomp("SCMP_ACT_ALLOW", **X86)
    assert rt.run(bundle.args("/bin/i386")).rc > 128
    bundle.linux["seccomp"]["architectures"] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    rt.run(bundle.args("/bin/i386")).ok()


@pytest.mark.parametrize("flag", ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"])
def flags_are_taken(rt, bundle, flag):
    bundle.seccomp("SCMP_ACT_ALLOW", {"names": ["sethostname"], "action": "SCMP_ACT_ERRNO"}, flags=[flag], **X86)
    rt.run(bundle.args("true")).ok()


@pytest.mark.parametrize("change", [
    {"defaultAction": "SCMP_ACT_BOGUS"}, {"architectures": ["SCMP_ARCH_BOGUS"]}, {"flags": ["SECCOMP_FILTER_FLAG_BOGUS"]},
    {"syscalls": [{"names": ["acct"], "action": "SCMP_ACT_BOGUS"}]},
    {"syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_BOGUS"}]}]},
    {"syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]},
    {"syscalls": [{"names": [], "action": "SCMP_ACT_ERRNO"}]}])
def bad_profiles_are_refused(rt, bundle, change):
    bundle.seccomp("SCMP_ACT_ALLOW", **X86)
    bundle.linux["seccomp"].update(change)
    rt.run(bundle).fails()


def seccomp_holds_without_no_new_privs_too(rt, bundle):
    bundle.process["noNewPrivileges"] = False
    bundle.seccomp("SCMP_ACT_ALLOW", {"names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 42}, **X86)
    f = rt.facts(bundle)
    assert (f["no_new_privs"], f["status"]["Seccomp"]) == (0, "2")


def a_profile_may_forbid_what_the_runtime_itself_uses(rt, bundle):
    bundle.seccomp("SCMP_ACT_ALLOW", {"names": ["mount", "setns", "unshare", "pivot_root", "clone3", "setuid", "capset", "prctl", "openat2"],
                                      "action": "SCMP_ACT_ERRNO"}, **X86)
    rt.run(bundle.args("true")).ok()


def the_same_profile_twice_gives_the_same_filter(rt, bundle):
    """The second start takes the compiled program from the cache: it must be the same program."""
    rules = {"names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 42}
    bundle.seccomp("SCMP_ACT_ALLOW", rules, **X86)
    assert [_call(rt, bundle, SETHOSTNAME).out for _ in range(3)] == ["-42\n"] * 3
    rules["errnoRet"] = 43
    assert _call(rt, bundle, SETHOSTNAME).out == "-43\n"


def a_damaged_cache_does_not_open_the_filter(rt, bundle):
    """Whatever is beside the state may be cut short by a crash: the filter must hold all the same."""
    bundle.seccomp("SCMP_ACT_ALLOW", {"names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 42}, **X86)
    _call(rt, bundle, SETHOSTNAME).ok()
    for path in rt.root.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:9])
    assert _call(rt, bundle, SETHOSTNAME).out == "-42\n"


class _Agent(threading.Thread):
    """The engine's seccomp agent: takes the listener and answers each call with EBADSLT (57)."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.listener.settimeout(runtime.DEADLINE)
        self.state, self.calls, self.error = None, [], None

    def run(self):
        import fcntl
        try:
            peer, _ = self.listener.accept()
            fds = array.array("i")
            data, ancillary, _, _ = peer.recvmsg(65536, socket.CMSG_SPACE(64))
            for _, _, payload in ancillary:
                fds.frombytes(payload)
            self.state = json.loads(data)
            peer.close()
            self.fds = list(fds)
            poll = select.poll()
            poll.register(fds[0], select.POLLIN)
            # Older kernels do not wake NOTIF_RECV when the last process is gone, but poll says so.
            while poll.poll()[0][1] & select.POLLIN:
                request = bytearray(80)
                fcntl.ioctl(fds[0], 0xC0502100, request)  # SECCOMP_IOCTL_NOTIF_RECV
                id, pid, _, number = struct.unpack_from("QIIi", request)
                self.calls.append(number)
                fcntl.ioctl(fds[0], 0xC0182101, bytearray(struct.pack("QqiI", id, 0, -57, 0)))  # NOTIF_SEND
        except OSError as e:
            self.error = e
        finally:
            for fd in getattr(self, "fds", []):
                os.close(fd)


@pytest.fixture
def agent(work):
    it = _Agent(work / "agent.sock")
    it.start()
    yield it
    it.listener.close()


def notify_hands_the_listener_and_the_state_to_the_agent(rt, bundle, work, agent):
    bundle.spec["annotations"] = {"k": "v"}
    bundle.seccomp("SCMP_ACT_ALLOW", {"names": ["sethostname"], "action": "SCMP_ACT_NOTIFY"},
                   listenerPath=str(work / "agent.sock"), listenerMetadata="meta data", **X86)
    id = rt.new_id()
    out = rt.run(bundle.args("/bin/probe", "call", str(SETHOSTNAME)), id=id).ok().out
    agent.join(runtime.DEADLINE)
    assert out == "-57\n" and agent.calls == [SETHOSTNAME]
    assert agent.state["fds"] == ["seccompFd"] and agent.state["metadata"] == "meta data"
    assert agent.state["pid"] > 0 and agent.state["ociVersion"]
    inner = agent.state["state"]
    assert (inner["id"], inner["bundle"], inner["annotations"]) == (id, str(bundle.path), {"k": "v"})
    assert inner["status"] in ("creating", "created", "running")


def notify_with_WAIT_KILLABLE_works(rt, bundle, work, agent):
    bundle.seccomp("SCMP_ACT_ALLOW", {"names": ["sethostname"], "action": "SCMP_ACT_NOTIFY"}, listenerPath=str(work / "agent.sock"),
                   flags=["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"], **X86)
    assert rt.run(bundle.args("/bin/probe", "call", str(SETHOSTNAME))).ok().out == "-57\n"
    agent.join(runtime.DEADLINE)


def notify_without_a_listener_is_refused(rt, bundle):
    bundle.seccomp("SCMP_ACT_ALLOW", {"names": ["sethostname"], "action": "SCMP_ACT_NOTIFY"}, **X86)
    rt.run(bundle).fails("listenerPath")


def notify_with_nobody_listening_fails(rt, bundle, work):
    bundle.seccomp("SCMP_ACT_ALLOW", {"names": ["sethostname"], "action": "SCMP_ACT_NOTIFY"}, listenerPath=str(work / "nosuch.sock"), **X86)
    rt.run(bundle).fails(str(work / "nosuch.sock"))


@pytest.mark.parametrize("action", ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"])
def a_filter_against_sockets_does_not_hide_why_the_program_did_not_start(rt, bundle, action):
    (bundle.rootfs / "bin/script").write_text("#!/no/such/interpreter\n")
    (bundle.rootfs / "bin/script").chmod(0o755)
    bundle.seccomp("SCMP_ACT_ALLOW", {"names": ["sendmsg", "sendto", "socket"], "action": action}, **X86)
    assert "/no/such/interpreter" in rt.run(bundle.args("/bin/script")).err
    id = rt.create(bundle)
    assert "/no/such/interpreter" in rt("start", id).err
    rt("delete", "--force", id)
