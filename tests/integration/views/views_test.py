"""--view limits: what free, nproc, top, uptime and system calls inside a guest say of its limits."""
import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import everyday, host, leaks, runtime

SYSINFO = r"""
#include <sched.h>
#include <stdio.h>
#include <sys/sysinfo.h>
#include <unistd.h>
int main(void) {
  struct sysinfo s;
  cpu_set_t set;
  if (sysinfo(&s) != 0 || sched_getaffinity(getpid(), sizeof set, &set) != 0) return 1;
  printf("%llu %ld %d %ld\n", (unsigned long long)s.totalram * s.mem_unit, s.uptime, CPU_COUNT(&set),
         sysconf(_SC_NPROCESSORS_ONLN));
  return sysinfo((void*)8) == 0; /* a bad address is an error, no crash */
}
"""


@pytest.fixture
def vrun(work):
    with everyday.fresh(work) as it:
        yield it


@pytest.fixture
def sysinfo(vrun):
    folder = vrun.data.parent / "sysinfo"  # on a file system with id-mapped mounts
    folder.mkdir(mode=0o755)
    (folder / "it.c").write_text(SYSINFO)
    subprocess.run(["cc", "-D_GNU_SOURCE", "-static", "-O1", "-o", folder / "it", folder / "it.c"], check=True)
    return folder


VIEW = ("--view", "limits", "--network", "none")


def _views():
    """The processes of vrun-view that this test began."""
    return [pid for pid in leaks.descendants() if leaks.name_of(pid).startswith("vrun-view") and everyday.alive(pid)]


def the_least_limit_is_the_memory(vrun):
    host.need("memory controller")
    out = vrun.sh("free -k; head -1 /proc/meminfo", *VIEW, "--memory", "200m").ok().out
    assert "MemTotal:         204800 kB" in out
    words = out.split("Mem:")[1].split()
    assert words[0] == "204800" and int(words[2]) <= 204800


def a_guest_without_the_flag_sees_the_host(vrun):
    total = Path("/proc/meminfo").read_text().split()[1]
    assert total in vrun.sh("head -1 /proc/meminfo", "--network", "none").ok().out
    assert total in vrun.sh("head -1 /proc/meminfo", "--network", "none", "--view", "host").ok().out
    vrun.sh("true", "--view", "some").fails("--view 'some': unknown", rc=125)


def the_clock_begins_with_the_guest(vrun):
    out = vrun.sh("cat /proc/uptime; grep btime /proc/stat; cut -d' ' -f22 /proc/1/stat", *VIEW).ok().out.split()
    assert float(out[0]) < 60
    assert abs(int(out[3]) - time.time()) < 60
    assert int(out[4]) < 6000, "ticks from the guest's start to its first process"


def processors_are_those_of_the_quota(vrun):
    host.need("cpu controller")
    out = vrun.sh("nproc; grep -c ^processor /proc/cpuinfo; grep -c '^cpu[0-9]' /proc/stat; cat /sys/devices/system/cpu/online",
                  *VIEW, "--cpus", "0.5").ok().out.split()
    assert out == ["1", "1", "1", "0"]


def every_file_can_be_read_in_every_way(vrun):
    script = """
for f in meminfo cpuinfo stat uptime loadavg swaps diskstats; do
  dd if=/proc/$f bs=7 2>/dev/null | wc -c; cat /proc/$f | wc -c; tail -n 1 /proc/$f | wc -l
  echo x 2>/dev/null >/proc/$f && echo writable
done; top -bn1 | head -2; uptime"""
    out = vrun.sh(script, *VIEW).ok().out
    assert "writable" not in out and "load average: 0." in out and "Mem:" in out
    numbers = [int(n) for n in out.split("\nMem:")[0].split()]
    for at in range(0, 12, 3):  # those that are never empty
        assert numbers[at] > 0 and numbers[at + 1] > 0 and numbers[at + 2] == 1, numbers


def system_calls_say_the_same(vrun, sysinfo):
    host.need("memory controller", "cpu controller")
    out = vrun("run", "--rm", *VIEW, "--memory", "128m", "--cpus", "1", "-v", f"{sysinfo}:/s:ro", "base", "/s/it").ok().out
    total, uptime, affinity, online = out.split()
    assert (int(total), int(affinity), int(online)) == (128 << 20, 1, 1) and int(uptime) < 60


@pytest.mark.parametrize("flag", [["--privileged"], ["--security-opt", "seccomp=unconfined"], ["--user", "1000"],
                                  ["--security-opt", "no-new-privileges"], ["--read-only"], ["--userns", "host"], ["--pid", "host"]],
                         ids=" ".join)
def it_goes_with_other_flags(vrun, sysinfo, flag):
    host.need("memory controller")
    out = vrun("run", "--rm", *VIEW, *flag, "--memory", "128m", "-v", f"{sysinfo}:/s:ro", "base", "/s/it").ok().out
    assert out.split()[0] == str(128 << 20)


def an_update_shows_at_once(vrun):
    host.need("memory controller", "cpu controller")
    guest = vrun.detached("exec 3</proc/meminfo; while :; do read -r a b c; head -1 /proc/meminfo; sleep 0.1; done",
                          *VIEW, "--memory", "100m", "--cpus", "1")
    vrun.wait_for_log(guest, "102400 kB")
    vrun("update", "--memory", "150m", "--cpus", "2", guest).ok()
    vrun.wait_for_log(guest, "153600 kB")
    out = vrun("exec", guest, "sh", "-c", "nproc; head -1 /proc/meminfo").ok().out.split()
    assert out[0] == str(min(2, os.cpu_count())) and out[2] == "153600"


def kill_9_of_either_process_is_not_noticed(vrun):
    """A guest reads and asks all the time while the processes of its view are killed again and again."""
    script = "n=0; while [ $n -lt 1500 ]; do head -1 /proc/meminfo >/dev/null || echo bad; nproc >/dev/null || echo bad; n=$((n+1)); done; echo done"
    guest = vrun.detached(script, *VIEW)
    killed = 0
    while "done" not in vrun("logs", guest).out:
        pids = _views()
        if len(pids) != 2:
            continue  # the other one is being made
        pid = pids[killed % 2]
        os.kill(pid, signal.SIGKILL)
        runtime.wait_for(lambda: not everyday.alive(pid), "it is dead")
        killed += 1
    assert killed > 5 and "bad" not in vrun("logs", guest).out
    vrun("rm", "-f", guest).ok()
    runtime.wait_for(lambda: not _views(), "the views end with their guest")


def both_killed_at_once_hangs_nobody(vrun):
    guest = vrun.detached("sleep 1000", *VIEW)
    pids = _views()
    assert len(pids) == 2
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    runtime.wait_for(lambda: not _views(), "they are dead")
    # No new filter can be handed over; what runs goes on and is removed.
    assert vrun("exec", guest, "true", timeout=30).rc != 0
    vrun("restart", "-t", "0", guest).ok()
    vrun("exec", guest, "head", "-1", "/proc/meminfo").ok()


def fifty_guests_at_once(vrun):
    names = [f"v{i}" for i in range(50)]
    with ThreadPoolExecutor(8) as pool:
        begun = list(pool.map(lambda n: vrun("run", "-d", "--name", n, *VIEW, "base", "sleep", "1000"), names))
    for one in begun:
        one.ok()
    for name in names:
        assert float(vrun("exec", name, "cat", "/proc/uptime").ok().out.split()[0]) < 600
    vrun("rm", "-f", *names).ok()
    runtime.wait_for(lambda: not _views(), "the views end with their guests")


def the_server_has_no_rights_but_one(vrun):
    vrun.detached("sleep 1000", *VIEW)
    for pid in _views():
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
        assert int(status["CapEff"], 16) == 1 << 19 and int(status["CapPrm"], 16) == 1 << 19  # CAP_SYS_PTRACE
        assert status["NoNewPrivs"] == "1" and int(status["Uid"].split()[0]) >= 524288
        assert os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user")


def a_profile_with_a_listener_is_refused(vrun, work):
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x",
               "syscalls": [{"names": ["getcwd"], "action": "SCMP_ACT_NOTIFY"}]}
    (work / "p.json").write_text(json.dumps(profile))
    vrun.sh("true", *VIEW, "--security-opt", f"seccomp={work}/p.json").fails(rc=125)


def _program_root(work, program, more=()):
    """A tree with a program of this machine and what it loads, as a tar."""
    paths = {program, *more}
    for line in subprocess.run(["ldd", os.path.realpath(program)], capture_output=True, text=True).stdout.splitlines():
        paths.update(word for word in line.split() if word.startswith("/"))
    with tarfile.open(work / "root.tar", "w") as tar:
        for path in sorted(paths):
            tar.add(os.path.realpath(path), path)
    return work / "root.tar"


def node_sees_the_limits(vrun, work):
    host.need("cpu controller", "memory controller")
    host.need("node")
    vrun("import", _program_root(work, shutil.which("node")), "node").ok()
    script = "const os = require('os'); console.log(os.cpus().length, os.totalmem(), (os.availableParallelism || (() => os.cpus().length))())"
    out = vrun("run", "--rm", *VIEW, "--memory", "300m", "--cpus", "1", "node", shutil.which("node"), "-e", script).ok().out
    assert out.split() == ["1", str(300 << 20), "1"]


@pytest.mark.parametrize("flag", ["+", "-"])
def a_java_virtual_machine_sees_the_limits(vrun, flag):
    """By the cgroup where it looks there (UseContainerSupport), and by the view where it looks at the machine."""
    host.need("cpu controller", "memory controller")
    host.need("java")
    java = os.path.realpath(shutil.which("java"))
    folders = [f for f in ("/usr", "/lib", "/lib64", "/etc/" + Path(java).parents[1].name.rsplit("-", 1)[0]) if Path(f).exists()]
    volumes = [word for folder in folders for word in ("-v", f"{folder}:{folder}:ro")]
    done = vrun("run", "--rm", *VIEW, "--memory", "400m", "--cpus", "1", *volumes, "base", java, f"-XX:{flag}UseContainerSupport",
                "-XX:+UseParallelGC", "-XX:+PrintFlagsFinal", "-version", timeout=60)
    flags = dict(re.findall(r"(MaxHeapSize|ParallelGCThreads) *= (\d+)", done.ok().out))
    assert int(flags["ParallelGCThreads"]) == 1 and 90 << 20 < int(flags["MaxHeapSize"]) < 140 << 20, flags
