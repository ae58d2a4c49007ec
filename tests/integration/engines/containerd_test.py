"""containerd with the runtime under test as its runc: an instance of its own on private sockets."""
import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from harness import bundle as bundles
from harness import groups, host, leaks, runtime


PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"


class Containerd:
    def __init__(self, work: Path):
        self.work = work
        (work / "config.toml").write_text(f'''version = 2
root = "{work}/root"
state = "{work}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "{work}/containerd.sock"
[ttrpc]
  address = "{work}/containerd.sock.ttrpc"
[plugins."io.containerd.internal.v1.tracing"]
[proxy_plugins]
''')
        self.log = open(work / "log", "wb")
        self.daemon = subprocess.Popen(["containerd", "--config", work / "config.toml"], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        runtime.wait_for(lambda: self("version").rc == 0, "containerd answers", 6 * runtime.DEADLINE)

    def command(self, *args):
        return ["ctr", "--address", f"{self.work}/containerd.sock", *map(str, args)]

    def __call__(self, *args, **options) -> runtime.Result:
        done = subprocess.run(self.command(*args), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=12 * runtime.DEADLINE, **options)
        return runtime.Result(self.command(*args), done.returncode, done.stdout, done.stderr)

    def run(self, *flags, id, args, image=None):
        return self("run", "--rm", "--runc-binary", runtime.path(), "--runc-root", f"{self.work}/runc", *flags, "--env", PATH, "--cgroup", f"{groups.engine_parent()}/{id}",
                    "--rootfs", self.work / "image", id, *args)

    def detached(self, *flags, id, args):
        return self("run", "--detach", "--runc-binary", runtime.path(), "--runc-root", f"{self.work}/runc", *flags, "--env", PATH, "--cgroup", f"{groups.engine_parent()}/{id}",
                    "--rootfs", self.work / "image", id, *args)

    def close(self):
        for id in self("containers", "list", "--quiet").out.split():
            self("task", "kill", "--signal", "KILL", id)
            self("task", "delete", "--force", id)
            self("container", "delete", id)
        self.daemon.terminate()
        self.daemon.wait(runtime.DEADLINE)
        self.log.close()


@pytest.fixture
def containerd(work):
    host.need("containerd", "cpu controller")  # containerd always asks for a share of the processor
    bundles.make_rootfs(work / "image")
    before = leaks.snapshot(work)
    it = Containerd(work)
    yield it
    it.close()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if str(work) in line.split()[4]:
            subprocess.run(["umount", "-l", line.split()[4]])
    groups.remove_engine_parent()
    lines = [l for l in leaks.settle(before, work, 5.0) if "descriptor" not in l]
    if lines:
        leaks.remove_leaks(before, work)
        pytest.fail("\n".join(lines), pytrace=False)


def containerd_runs_a_command_and_gives_its_exit_code(containerd):
    assert containerd.run(id=runtime.fresh_id(), args=["echo", "hello"]).ok().out == "hello\n"
    assert containerd.run(id=runtime.fresh_id(), args=["sh", "-c", "exit 42"]).rc == 42


def containerd_says_which_program_is_missing(containerd):
    r = containerd.run(id=runtime.fresh_id(), args=["nosuch"])
    assert r.rc != 0 and "executable file not found in $PATH" in r.err + r.out, r


def containerd_runs_in_the_background_executes_and_kills(containerd):
    id = runtime.fresh_id()
    containerd.detached(id=id, args=["sleep", "100"]).ok()
    assert f"{id}" in containerd("task", "list").ok().out
    assert containerd("task", "exec", "--exec-id", "e1", id, "echo", "inside").ok().out == "inside\n"
    assert containerd("task", "exec", "--exec-id", "e2", id, "sh", "-c", "exit 8").rc == 8
    containerd("task", "kill", "--signal", "KILL", id).ok()
    runtime.wait_for(lambda: "STOPPED" in containerd("task", "list").out, "it stopped")
    containerd("task", "delete", id)
    containerd("container", "delete", id).ok()


def containerd_pauses_and_resumes(containerd):
    id = runtime.fresh_id()
    containerd.detached(id=id, args=["sleep", "100"]).ok()
    containerd("task", "pause", id).ok()
    assert "PAUSED" in containerd("task", "list").ok().out
    containerd("task", "resume", id).ok()
    assert "RUNNING" in containerd("task", "list").ok().out


def containerd_limits_hold(containerd):
    host.need("memory controller")
    assert containerd.run("--memory-limit", str(64 << 20), id=runtime.fresh_id(), args=["/bin/probe", "touch", "300"]).rc == 137


def containerd_ps_lists_the_processes(containerd):
    id = runtime.fresh_id()
    containerd.detached(id=id, args=["sleep", "100"]).ok()
    assert len(containerd("task", "ps", id).ok().out.splitlines()) == 2


def containerd_seccomp_and_read_only_work(containerd):
    f = containerd.run("--seccomp", "--read-only", id=runtime.fresh_id(), args=["/bin/probe"]).ok().json
    assert f["status"]["Seccomp"] == "2"
