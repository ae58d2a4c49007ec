"""Each flag of `run` by its effect, and exec."""
import json
import os
import subprocess

import pytest

from harness import everyday, host


@pytest.fixture
def vrun(work):
    with everyday.fresh(work) as it:
        yield it


def exec_runs_beside_the_first_process(vrun, work):
    vrun.detached("echo up; sleep 1000", "--name", "e", "-e", "A=1", "-w", "/tmp")
    vrun.wait_for_log("e", "up")
    assert vrun("exec", "e", "sh", "-c", "echo $A; pwd; hostname").ok().out.split() == ["1", "/tmp", "e"]
    assert vrun("exec", "e", "sh", "-c", "exit 7").rc == 7
    assert vrun("exec", "-e", "B=2", "-w", "/etc", "-u", "nobody", "e", "sh", "-c", "echo $B; pwd; id -un").ok().out.split() == \
        ["2", "/etc", "nobody"]
    (work / "env").write_text("C=3\n")
    assert vrun("exec", "--env-file", work / "env", "e", "sh", "-c", "echo $C").ok().out == "3\n"
    assert vrun("exec", "-i", "e", "cat", input="piped").ok().out == "piped"
    assert vrun("exec", "e", "cat", input="piped").ok().out == "", "without -i it reads nothing"
    vrun("exec", "e", "/no/such").fails("no such file or directory", rc=127)
    vrun("exec", "e", "/etc/passwd").fails("permission denied", rc=126)
    vrun("exec", "-u", "nobdy", "e", "true").fails("no user 'nobdy'", rc=125)
    vrun("exec", "-d", "e", "sh", "-c", "sleep 0.1; touch /later").ok()
    vrun("exec", "e", "sh", "-c", "while [ ! -e /later ]; do sleep 0.05; done").ok()
    caps = [int(vrun("exec", *flags, "e", "grep", "CapEff", "/proc/self/status").ok().out.split()[1], 16)
            for flags in ([], ["--privileged"])]
    assert bin(caps[0]).count("1") == 12 and bin(caps[1]).count("1") > 30
    vrun("stop", "-t", "0", "e").ok()
    vrun("exec", "e", "true").fails("is not running", "vrun start e", rc=125)


def exec_gives_a_terminal(vrun):
    vrun.detached("sleep 1000", "--name", "e")
    terminal = everyday.Terminal(vrun, "exec", "-it", "e", "sh", "-c", "tty; exit 6")
    terminal.expect("/dev/pts/")
    assert terminal.wait() == 6


def a_guest_keeps_the_environment_it_was_made_with(vrun):
    vrun("create", "--name", "c", "-e", "TOKEN", "base", "sh", "-c", "echo $TOKEN", env={"TOKEN": "abc"}).ok()
    assert vrun("start", "-a", "c", env={"TOKEN": "other"}).ok().out == "abc\n"


def limits_of_processes_and_shared_memory(vrun):
    out = vrun.sh("ulimit -n; ulimit -Hn; df -k /dev/shm | tail -n 1", "--ulimit", "nofile=100:200", "--shm-size", "1m").ok().out.split()
    assert out[:2] == ["100", "200"] and out[3] == "1024"
    vrun.sh("true", "--ulimit", "nofiles=3").fails("did you mean nofile?", rc=125)
    vrun.sh("true", "--ulimit", "nofile=5:3").fails("above the hard one", rc=125)
    vrun.sh("true", "--shm-size", "big").fails("not a size", rc=125)


def kernel_knobs_of_its_own(vrun):
    assert vrun.sh("cat /proc/sys/net/core/somaxconn", "--sysctl", "net.core.somaxconn=77").ok().out == "77\n"
    vrun.sh("true", "--sysctl", "kernel.panic=1").fails(rc=125)
    vrun.sh("true", "--sysctl", "nonsense").fails("not NAME=VALUE", rc=125)


def groups_are_added(vrun):
    assert vrun.sh("id -G", "--group-add", "1234", "--group-add", "nogroup").ok().out.split() == ["0", "1234", "65534"]
    vrun.sh("true", "--group-add", "nogrup").fails("no group 'nogrup'", rc=125)


def mounts_in_words(vrun):
    source = vrun.data.parent / "words"
    source.mkdir()
    (source / "f").write_text("hello")
    out = vrun.sh("cat /w/f; touch /w/g 2>&1; df -k /t | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2", "--mount",
                  f"type=bind,source={source},target=/w,readonly", "--mount", "type=tmpfs,target=/t,tmpfs-size=1m").ok().out
    assert out.startswith("hello") and "Read-only" in out and out.endswith("1024\n")
    vrun.sh("true", "--mount", "type=nfs,source=x,target=/x").fails("bind, volume, tmpfs", rc=125)
    vrun.sh("true", "--mount", "tpye=bind").fails("unknown 'tpye'", rc=125)


def a_device_is_given_and_guarded(vrun):
    assert vrun.sh("echo x > /dev/own && ls -l /dev/own", "--device", "/dev/null:/dev/own").ok().out.startswith("c")
    assert "1, " in vrun.sh("ls -l /dev/own", "--device", "/dev/zero:/dev/own:r").ok().out
    vrun.sh("true", "--device", "/etc/passwd:/dev/x").fails("not a device", rc=125)


def hosts_and_resolver_lines(vrun):
    out = vrun.sh("cat /etc/hosts /etc/resolv.conf", "--add-host", "db:10.1.2.3", "--dns", "10.0.0.53", "--dns-search", "corp",
                  "--dns-option", "ndots:2").ok().out
    assert "10.1.2.3\tdb\n" in out and "nameserver 10.0.0.53\nsearch corp\noptions ndots:2\n" in out


def an_init_reaps_and_hands_on(vrun):
    vrun.detached("trap 'exit 5' TERM; (sleep 0.1 &) ; echo up; while :; do sleep 0.05; done", "--name", "i", "--init")
    vrun.wait_for_log("i", "up")
    assert "vrun-init" in vrun("exec", "i", "cat", "/proc/1/cmdline").ok().out
    vrun("exec", "i", "sh", "-c", "sleep 0.3; ! grep -q '^State:.Z' /proc/[0-9]*/status").ok()
    vrun("stop", "i").ok()
    assert vrun.state("i")["exitCode"] == 5
    assert vrun("run", "--rm", "--init", "base", "/no/such").rc == 127


def namespaces_of_the_host_are_explicit_and_say_what_they_give_away(vrun):
    for flag, name in (("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts"), ("--cgroupns", "cgroup"), ("--userns", "user")):
        done = vrun.sh(f"readlink /proc/self/ns/{name}", flag, "host").ok()
        assert done.out.strip() == os.readlink(f"/proc/self/ns/{name}") and f"{flag} host" in done.err
        assert vrun.sh(f"readlink /proc/self/ns/{name}").ok().out.strip() != done.out.strip()

    for flag in ("--uts", "--cgroupns", "--userns"):
        vrun.sh("true", flag, "container:x").fails("only --pid, --ipc and --network join", rc=125)


def processes_and_memory_of_another_guest_are_shared(vrun):
    vrun.detached("sleep 1000", "--name", "one")
    spaces = "for ns in pid ipc user mnt; do readlink /proc/self/ns/$ns; done"
    own = vrun("exec", "one", "sh", "-c", spaces).ok().out.split()
    look = spaces + "; ps | grep -c 'sleep [1]000'; touch /mine; stat -c %u /mine"
    for flags in (["--rm"], ["--name", "kept"]):
        out = vrun("run", *flags, "--pid", "container:one", "--ipc", "container:one", "base", "sh", "-c", look).ok().out.split()
        assert out[:3] == own[:3] and out[3] != own[3] and int(out[4]) >= 1 and out[5] == "0"
    assert vrun("cp", "kept:/mine", "-").ok().out
    assert vrun.sh(spaces, "--pid", "container:one").ok().out.split()[0] == own[0]
    # With the first process of the other one all that is in its pid namespace ends.
    vrun.detached("sleep 1000", "--name", "two", "--pid", "container:one", "-v", "/etc:/there:ro")
    assert vrun("exec", "two", "stat", "-c", "%u", "/there/passwd").ok().out == "0\n"
    vrun("exec", "two", "sh", "-c", "kill -0 1; touch /x; ls /x").ok()
    vrun("kill", "one").ok()
    assert vrun("wait", "two").ok().out == "137\n"
    vrun("start", "two").fails("guest 'one' is exited", "vrun start one", rc=125)
    vrun.sh("true", "--pid", "container:none").fails("no such guest 'none'", rc=125)
    vrun.sh("true", "--pid", "container:one", "--ipc", "container:two").fails("not the guest of --pid", rc=125)
    vrun("start", "one").ok()
    vrun.sh("true", "--pid", "container:one", "--userns", "host").fails("--userns host", rc=125)
    vrun("start", "two").ok()


def privileged_has_all_and_says_so(vrun):
    done = vrun.sh("grep -E 'CapEff|Seccomp:' /proc/self/status; cat /proc/self/uid_map", "--privileged").ok()
    words = done.out.split()
    assert bin(int(words[1], 16)).count("1") > 38 and words[3] == "0" and int(words[5]) >= 524288
    assert "--privileged" in done.err
    assert "privileged" not in vrun.sh("true").ok().err


def a_seccomp_profile_is_obeyed(vrun, work):
    (work / "p.json").write_text('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], '
                                 '"action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}')
    assert "not permitted" in vrun.sh("mkdir /x", "--security-opt", f"seccomp={work}/p.json").err
    (work / "k.json").write_text('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], '
                                 '"action": "SCMP_ACT_KILL_PROCESS"}]}')
    vrun("run", "--name", "k", "--security-opt", f"seccomp={work}/k.json", "base", "mkdir", "/x")
    assert vrun.state("k")["reason"] == "killed by the seccomp filter: system call 'mkdir'" and vrun.state("k")["signal"] == 31
    assert "seccomp=FILE" in vrun.state("k")["hint"] and "system call 'mkdir'" in vrun("ps", "-a", "--no-trunc").out
    done = vrun("run", "--rm", "--security-opt", f"seccomp={work}/k.json", "base", "mkdir", "/x")
    assert done.rc == 159 and "system call 'mkdir'" in done.err
    assert vrun.sh("grep Seccomp: /proc/self/status", "--security-opt", "seccomp=unconfined").ok().out.split()[1] == "0"
    # Docker's form: what holds depends on what the guest may do.
    (work / "d.json").write_text(json.dumps({
        "defaultAction": "SCMP_ACT_ALLOW",
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
                      "includes": {"minKernel": "4.8"}, "excludes": {"caps": ["CAP_SYS_ADMIN"]}}]}))
    assert "not permitted" in vrun.sh("mkdir /x", "--security-opt", f"seccomp={work}/d.json").err
    vrun.sh("mkdir /x", "--security-opt", f"seccomp={work}/d.json", "--cap-add", "SYS_ADMIN").ok()
    (work / "e.json").write_text('{"defaultAction": "SCMP_ACT_ALOW", "archMap": []}')
    vrun.sh("true", "--security-opt", f"seccomp={work}/e.json").fails("defaultAction", rc=125)
    vrun.sh("true", "--security-opt", "label=disable").ok()
    vrun.sh("true", "--security-opt", "label=type:container_t").fails("label=disable", rc=125)
    assert vrun.sh("grep NoNewPrivs /proc/self/status", "--security-opt", "no-new-privileges").ok().out.split()[1] == "1"
    vrun.sh("true", "--security-opt", "secomp=x").fails("unknown", rc=125)


def memory_and_cpu_words_reach_the_kernel(vrun):
    host.need("memory controller")
    host.need("cpu controller")
    vrun.sh("true", "--memory", "64m", "--memory-swap", "128m", "--memory-reservation", "32m", "--cpu-weight", "50",
            "--cpuset-cpus", "0").ok()
    vrun.sh("true", "--memory-swap", "1g").fails("without --memory", rc=125)
    vrun.sh("true", "--memory", "64m", "--memory-swap", "32m").fails("below --memory", rc=125)
    vrun.sh("true", "--cpu-weight", "0").fails("1 to 10000", rc=125)
    assert vrun.sh("grep Cpus_allowed_list /proc/self/status", "--cpuset-cpus", "0").ok().out.split()[1] == "0"


def what_is_not_built_is_refused(vrun):
    for flags, words in ((["-p", "80:80", "--network", "none"], "--network none"), (["-p", "x"], "x"),
                         (["--ip", "10.0.0.2", "--network", "host"], "--network host"),
                         (["--platform", "linux/s390x", "--pull", "never"], "came with vrun, for linux/"), (["--pull", "sometimes"], "always"),
                         (["--health-on-failure", "explode"], "none, kill, restart, stop"),
                         (["--stop-timeout", "x"], "not a number of seconds"), (["--label", "=x"], "not NAME=VALUE"),
                         (["--add-host", "x"], "not NAME:ADDRESS"), (["--device-read-bps", "/dev/null:1m"], "not a block device")):
        vrun("create", *flags, "base", "true").fails(words, rc=125)
    assert vrun("ps", "-aq").out == ""


def rates_of_a_disk(vrun):
    host.need("io controller")
    disk = subprocess.run(["findmnt", "-no", "SOURCE", "-T", "/"], capture_output=True, text=True).stdout.strip()
    if not disk.startswith("/dev/"):
        pytest.skip("a block device below /")
    vrun.sh("true", "--device-read-bps", f"{disk}:100m", "--device-write-iops", f"{disk}:1000").ok()
