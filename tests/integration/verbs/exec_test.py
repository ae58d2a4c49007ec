"""exec: every flag, the exit codes, and what the process gets from the container."""
import json
import os
from pathlib import Path

import pytest

from harness import host, leaks, runtime


@pytest.fixture
def guest(rt, bundle):
    return rt.start(bundle.args("sleep", "100"))


def exec_gives_output_and_exit_code(rt, guest):
    r = rt.exec(guest, "sh", "-c", "echo out; echo err >&2; exit 9")
    assert (r.rc, r.out, r.err) == (9, "out\n", "err\n")


@pytest.mark.parametrize("signal, code", [("KILL", 137), ("TERM", 143)])
def exec_answers_128_and_the_signal(rt, guest, signal, code):
    assert rt.exec(guest, "sh", "-c", f"kill -{signal} $$; sleep 5").rc == code


def exec_of_a_missing_program_answers_255_and_says_so(rt, guest):
    rt.exec(guest, "nosuch").fails("nosuch", "executable file not found in $PATH", rc=255)
    rt.exec(guest, "/bin/nosuch").fails("/bin/nosuch", "no such file or directory", rc=255)


def exec_joins_every_namespace_of_the_container(rt, guest):
    pid = rt.pid(guest)
    inside = rt.exec(guest, "sh", "-c", "for n in pid net ipc uts mnt user cgroup; do readlink /proc/self/ns/$n; done")
    outside = [os.readlink(f"/proc/{pid}/ns/{n}") for n in ("pid", "net", "ipc", "uts", "mnt", "user", "cgroup")]
    assert inside.ok().out.split() == outside


def exec_is_in_the_cgroup_of_the_container(rt, bundle, guest):
    child = rt.popen("exec", guest, "sleep", "55")
    def pid_of():
        return [p for p in rt("ps", "-f", "json", guest).ok().json if Path(f"/proc/{p}/cmdline").read_bytes() == b"sleep\x0055\x00"]
    (pid,) = runtime.wait_for(pid_of, "exec runs in the group")
    def text(p):
        return [l for l in Path(f"/proc/{p}/cgroup").read_text().splitlines()]
    # v1 hierarchies are joined one by one, just after the process is born in the v2 group.
    runtime.wait_for(lambda: text(pid) == text(rt.pid(guest)), "exec is in the groups of the init")


def exec_has_no_more_than_the_container(rt, bundle):
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]
    id = rt.start(bundle.args("sleep", "100"))
    facts = rt.exec(id, "/bin/probe").ok().json
    start = rt.facts(bundle)
    for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Groups", "Umask"):
        assert facts["status"][key] == start["status"][key], key
    for key in ("env", "cwd", "uid", "gid", "groups", "hostname", "rlimits", "personality",
                "signals_blocked", "signals_ignored", "umask", "securebits"):
        assert facts[key] == start[key], key
    assert sorted(facts["fds"]) == ["0", "1", "2"]


def exec_keeps_seccomp_of_the_container(rt, bundle):
    bundle.seccomp("SCMP_ACT_ALLOW", {"names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77},
                   architectures=["SCMP_ARCH_X86_64"])
    id = rt.start(bundle.args("sleep", "100"))
    assert rt.exec(id, "/bin/probe", "call", "170", "0", "0").ok().out == "-77\n"


def exec_takes_user_and_group_by_number(rt, guest):
    facts = rt.exec(guest, "/bin/probe", flags=["--user", "1000:2000"]).ok().json
    assert (facts["uid"], facts["gid"]) == (1000, 2000)
    assert rt.exec(guest, "/bin/probe", flags=["-u", "1000"]).ok().json["uid"] == 1000


@pytest.mark.parametrize("user", ["4294967296", "4294967295", "-1", "18446744073709551616", "0x0", "1000:4294967296"])
def exec_refuses_users_out_of_range(rt, guest, user):
    r = rt.exec(guest, "id", flags=["--user", user])
    assert r.rc > 0 and "uid=" not in r.out, r


def exec_takes_cwd_and_env(rt, guest):
    r = rt.exec(guest, "sh", "-c", "pwd; echo $COLOR $SIZE", flags=["--cwd", "/tmp", "--env", "COLOR=red", "--env", "SIZE=9"])
    assert r.ok().out == "/tmp\nred 9\n"


def exec_takes_additional_groups(rt, guest):
    facts = rt.exec(guest, "/bin/probe", flags=["--additional-gids", "300", "--additional-gids", "400"]).ok().json
    assert {300, 400} <= set(facts["groups"])


def exec_takes_no_new_privs(rt, bundle):
    bundle.process["noNewPrivileges"] = False
    id = rt.start(bundle.args("sleep", "100"))
    assert rt.exec(id, "/bin/probe").ok().json["no_new_privs"] == 0
    assert rt.exec(id, "/bin/probe", flags=["--no-new-privs"]).ok().json["no_new_privs"] == 1


def exec_takes_capabilities(rt, guest):
    before = int(rt.exec(guest, "/bin/probe").ok().json["status"]["CapEff"], 16)
    after = int(rt.exec(guest, "/bin/probe", flags=["--cap", "CAP_NET_RAW"]).ok().json["status"]["CapEff"], 16)
    assert after == before | 1 << 13


def exec_refuses_an_unknown_capability(rt, guest):
    r = rt.exec(guest, "true", flags=["--cap", "CAP_NOSUCH"])
    assert r.rc != 0 and "CAP_NOSUCH" in r.err


def exec_takes_a_process_file(rt, guest, work):
    process = {"terminal": False, "user": {"uid": 5, "gid": 6, "additionalGids": [7], "umask": 0o77},
               "args": ["/bin/probe"], "env": ["A=b"], "cwd": "/tmp", "noNewPrivileges": True}
    (work / "process.json").write_text(json.dumps(process))
    for form in (["--process", work / "process.json", guest], ["-p", work / "process.json", guest]):
        facts = rt("exec", *form).ok().json
        assert (facts["uid"], facts["gid"], facts["groups"], facts["cwd"]) == (5, 6, [7], "/tmp")
        assert "A=b" in facts["env"] and facts["umask"] == 0o77


def exec_detach_comes_back_and_writes_the_pid(rt, guest, work):
    rt._detached(guest, "exec", "--detach", "--pid-file", work / "pid", guest, "sleep", "77").ok()
    pid = int((work / "pid").read_text())
    assert Path(f"/proc/{pid}/cmdline").read_text() == "sleep\x0077\0"
    assert pid in rt("ps", "-f", "json", guest).ok().json


def exec_preserves_descriptors_asked_for(rt, guest):
    fd = os.memfd_create("three", 0)
    os.write(fd, b"three\n")
    os.lseek(fd, 0, 0)

    def arrange():
        os.dup2(fd, 203)
        os.dup2(203, 3)
        os.close(203)
    r = rt("exec", "--preserve-fds", "1", guest, "sh", "-c", "cat <&3", preexec_fn=arrange, close_fds=False)
    os.close(fd)
    assert r.ok().out == "three\n"


def exec_into_a_paused_container_is_refused_unless_ignored(rt, guest):
    rt("pause", guest).ok()
    rt.exec(guest, "true").fails("paused", rc=255)
    child = rt.popen("exec", "--ignore-paused", guest, "true")
    rt("resume", guest).ok()
    assert child.wait(runtime.DEADLINE) == 0


def exec_into_a_stopped_container_is_refused(rt, guest):
    rt.kill(guest).ok()
    rt.wait_stopped(guest)
    rt.exec(guest, "true").fails("not running" if "runc" not in rt.path else "stopped", rc=255)


def exec_into_a_created_container_works(rt, bundle):
    id = rt.create(bundle)
    r = rt.exec(id, "echo", "early")
    assert (r.rc, r.out) == (0, "early\n") or r.rc == 255


def exec_into_a_missing_container_says_it_does_not_exist(rt):
    rt.exec("nosuch", "true").fails("does not exist")


def exec_goes_into_a_sub_group(rt, guest):
    """--cgroup names a group below the container's own."""
    host.need("v2 tree for freezing")
    rt.exec(guest, "true", flags=["--cgroup", "nosuch"]).fails()


def exec_pidfd_socket_receives_a_pidfd(rt, guest, work):
    import array
    import socket
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(work / "p.sock"))
    listener.listen(1)
    listener.settimeout(runtime.DEADLINE)
    rt._detached(guest, "exec", "--detach", "--pidfd-socket", work / "p.sock", "--pid-file", work / "pid", guest,
                 "sleep", "88").ok()
    peer, _ = listener.accept()
    fds = array.array("i")
    for _, _, payload in peer.recvmsg(4096, socket.CMSG_SPACE(16))[1]:
        fds.frombytes(payload)
    peer.close(), listener.close()
    pids = [l.split()[1] for l in Path(f"/proc/self/fdinfo/{fds[0]}").read_text().splitlines() if l.startswith("Pid:")]
    os.close(fds[0])
    assert pids == [(work / "pid").read_text()]


def a_hundred_execs_leave_nothing(rt, guest):
    before = len(leaks.descendants())
    for _ in range(100):
        rt.exec(guest, "true").ok()
    runtime.wait_for(lambda: len(leaks.descendants()) <= before, "all ended")


def exec_reads_stdin(rt, guest):
    assert rt("exec", guest, "cat", input="words\n").ok().out == "words\n"


def exec_with_a_relative_cwd_is_refused(rt, guest):
    rt.exec(guest, "true", flags=["--cwd", "relative"]).fails()


def exec_snapshot_is_that_of_create_not_of_the_bundle(rt, bundle):
    """A changed config.json after create gives a later exec nothing more."""
    id = rt.start(bundle.args("sleep", "100"))
    bundle.process["noNewPrivileges"] = False
    bundle.process["user"] = {"uid": 1, "gid": 1}
    bundle.capabilities("CAP_SYS_ADMIN").save()
    facts = rt.exec(id, "/bin/probe").ok().json
    assert facts["no_new_privs"] == 1 and facts["uid"] == 0
    assert not int(facts["status"]["CapEff"], 16) >> 21 & 1
