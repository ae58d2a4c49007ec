"""Podman and Buildah with the runtime under test in place of runc: what their users do every day."""
import json
import os
import pty
import subprocess
import time
from pathlib import Path

import pytest

from harness import bundle as bundles
from harness import groups, host, leaks, runtime


class Podman:
    """Podman with storage, configuration and state of its own in a temporary folder."""

    def __init__(self, work: Path):
        self.work = work
        for name in ("tmp", "conf"):
            (work / name).mkdir()
        # Podman asks for a million descriptors by default; a host without CAP_SYS_RESOURCE cannot give them.
        # Nor can a host without the controller hold Podman's default limit of processes.
        pids = "" if host.has("pids controller") else "pids_limit = 0\n"
        (work / "conf/containers.conf").write_text('[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n[containers]\nlog_driver = "k8s-file"\n'
                                                   'default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n' + pids)
        (work / "conf/policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        (work / "conf/registries.conf").write_text("")
        self.env = {**os.environ, "CONTAINERS_CONF": str(work / "conf/containers.conf"), "TMPDIR": str(work / "tmp"), "HOME": str(work),
                    "CONTAINERS_REGISTRIES_CONF": str(work / "conf/registries.conf"), "XDG_RUNTIME_DIR": str(work / "tmp")}

    def command(self, *args):
        return ["podman", "--root", f"{self.work}/root", "--runroot", f"{self.work}/run", "--tmpdir", f"{self.work}/lib", "--storage-driver", "vfs",
                "--cgroup-manager", "cgroupfs", "--runtime", runtime.path(), *map(str, args)]

    def __call__(self, *args, timeout=None, **options) -> runtime.Result:
        # conmon keeps the streams it was given: files, so that we do not wait for it.
        out, err = self.work / "tmp/out", self.work / "tmp/err"
        with open(out, "wb") as o, open(err, "wb") as e:
            rc = subprocess.run(self.command(*args), stdout=o, stderr=e, stdin=options.pop("stdin", subprocess.DEVNULL), env=self.env,
                                timeout=timeout or 12 * runtime.DEADLINE, **options).returncode
        return runtime.Result(self.command(*args), rc, out.read_text(errors="replace"), err.read_text(errors="replace"))

    def run(self, *args):
        return self("run", "--rm", "--network", "none", "--cgroup-parent", groups.engine_parent(), *args)

    def detached(self, *args) -> str:
        return self("run", "--detach", "--network", "none", "--cgroup-parent", groups.engine_parent(), *args).ok().out.strip()


@pytest.fixture
def podman(work):
    host.need("podman")
    bundles.make_rootfs(work / "image")
    subprocess.run(["tar", "-C", work / "image", "-cf", work / "image.tar", "."], check=True)
    before = leaks.snapshot(work)
    it = Podman(work)
    it("import", work / "image.tar", "base").ok()
    yield it
    it("pod", "rm", "--all", "--force", "--time", "0")
    it("rm", "--all", "--force", "--time", "0")
    (work / "tmp/out").unlink(missing_ok=True)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if str(work) in line.split()[4]:
            subprocess.run(["umount", "-l", line.split()[4]])
    groups.remove_engine_parent()
    lines = [l for l in leaks.settle(before, work) if "descriptor" not in l]
    if lines:
        leaks.remove_leaks(before, work)
        pytest.fail("\n".join(lines), pytrace=False)


def podman_runs_a_command_and_gives_its_exit_code(podman):
    assert podman.run("base", "echo", "hello").ok().out == "hello\n"
    assert podman.run("base", "sh", "-c", "exit 42").rc == 42


def podman_answers_127_and_126_as_with_runc(podman):
    assert podman.run("base", "nosuch").rc == 127
    assert podman.run("base", "/nosuch/program").rc == 127
    assert podman.run("base", "/etc/passwd").rc == 126


def podman_runs_in_the_background_and_shows_logs(podman):
    id = podman.detached("--name", "web", "base", "sh", "-c", "echo line; sleep 100")
    runtime.wait_for(lambda: podman("logs", "web").out == "line\n", "the log has the line")
    (row,) = json.loads(podman("ps", "--format", "json").ok().out)
    assert row["State"] == "running"
    podman("stop", "--time", "1", "web").ok()
    assert json.loads(podman("inspect", "web").ok().out)[0]["State"]["Status"] == "exited"
    podman("start", "web").ok()
    podman("rm", "--force", "--time", "0", "web").ok()


def podman_exec_gives_output_and_exit_code(podman):
    podman.detached("--name", "web", "base", "sleep", "100")
    assert podman("exec", "web", "echo", "inside").ok().out == "inside\n"
    assert podman("exec", "web", "sh", "-c", "exit 9").rc == 9
    assert podman("exec", "--user", "1000", "--workdir", "/tmp", "--env", "A=b", "web", "sh", "-c", "echo $(id -u) $(pwd) $A").ok().out == "1000 /tmp b\n"
    assert podman("exec", "web", "nosuch").rc == 127


def podman_kill_sends_signals(podman):
    podman.detached("--name", "web", "base", "sh", "-c", 'trap "exit 3" USR1; echo ready; while :; do sleep 0.05; done')
    runtime.wait_for(lambda: "ready" in podman("logs", "web").out, "the trap is set")
    podman("kill", "--signal", "USR1", "web").ok()
    assert podman("wait", "web").ok().out.strip() == "3"


def podman_pauses_and_unpauses(podman):
    podman.detached("--name", "web", "base", "sleep", "100")
    podman("pause", "web").ok()
    assert json.loads(podman("inspect", "web").out)[0]["State"]["Status"] == "paused"
    podman("unpause", "web").ok()
    assert json.loads(podman("inspect", "web").out)[0]["State"]["Status"] == "running"


def podman_limits_hold(podman):
    host.need("memory controller", "pids controller", "cpu controller")
    assert int(podman.run("--pids-limit", "10", "base", "/bin/probe", "forks", "50").ok().out) == 9
    assert podman.run("--memory", "64m", "base", "/bin/probe", "touch", "300").rc == 137
    assert float(podman.run("--cpus", "0.2", "base", "/bin/probe", "burn", "1.5").ok().out) < 0.45


def podman_updates_nothing_but_shows_stats_and_top(podman):
    podman.detached("--name", "web", "base", "sleep", "100")
    assert "sleep 100" in podman("top", "web", "args").ok().out


def podman_terminals_work(podman):
    master, slave = pty.openpty()

    def own():
        import fcntl
        import termios
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    child = subprocess.Popen(podman.command("run", "--rm", "--network", "none", "--cgroup-parent", groups.engine_parent(), "-it", "base", "sh", "-c", "tty; read x; echo got $x; exit 4"),
                             stdin=slave, stdout=slave, stderr=slave, env=podman.env, preexec_fn=own)
    os.close(slave)
    try:
        runtime.read_until(master, "/dev/pts/0", deadline=6 * runtime.DEADLINE)
        os.write(master, b"word\n")
        runtime.read_until(master, "got word", deadline=6 * runtime.DEADLINE)
        assert child.wait(6 * runtime.DEADLINE) == 4
    finally:
        os.close(master)
        child.kill()
        child.wait()


def podman_volumes_tmpfs_and_read_only_work(podman, work):
    (work / "data").mkdir()
    (work / "data/file").write_text("volume\n")
    r = podman.run("--read-only", "--tmpfs", "/scratch", "--volume", f"{work}/data:/data:ro", "base", "sh", "-c",
                   "cat /data/file; echo x > /scratch/y && echo scratch; touch /new || echo fixed; touch /data/new || echo ro")
    assert r.ok().out == "volume\nscratch\nfixed\nro\n"


def podman_users_capabilities_and_hostname_work(podman):
    f = podman.run("--user", "1000:1000", "--cap-drop", "all", "--hostname", "web1", "--security-opt", "no-new-privileges", "base", "/bin/probe").ok().json
    assert (f["uid"], f["hostname"], f["no_new_privs"], int(f["status"]["CapBnd"], 16)) == (1000, "web1", 1, 0)


def podman_default_seccomp_profile_works(podman):
    f = podman.run("base", "/bin/probe").ok().json
    assert f["status"]["Seccomp"] == "2"


def podman_user_namespaces_work(podman):
    r = podman.run("--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536", "base", "cat", "/proc/self/uid_map")
    assert r.ok().out.split() == ["0", "100000", "65536"]


def podman_pods_share_their_namespaces(podman):
    host.need("usable podman pod groups")
    podman("pod", "create", "--name", "pod", "--network", "none", "--cgroup-parent", groups.engine_parent(), "--infra-image", "base", "--infra-command", "/bin/sleep 1000").ok()
    podman("run", "--detach", "--pod", "pod", "--name", "one", "base", "sleep", "100").ok()
    podman("run", "--detach", "--pod", "pod", "--name", "two", "base", "sleep", "100").ok()
    a, b = (podman("exec", n, "sh", "-c", "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc").ok().out for n in ("one", "two"))
    assert a == b
    podman("pod", "stop", "--time", "0", "pod").ok()


def podman_health_and_restart_policy_see_the_end(podman):
    podman.detached("--name", "short", "base", "sh", "-c", "exit 5")
    runtime.wait_for(lambda: json.loads(podman("inspect", "short").out)[0]["State"]["Status"] == "exited", "it ended")
    assert json.loads(podman("inspect", "short").out)[0]["State"]["ExitCode"] == 5


def buildah_runs_steps_of_a_build(podman, work):
    host.need("buildah")
    (work / "context").mkdir()
    (work / "context/Containerfile").write_text("FROM localhost/base\nRUN echo built > /result && id -u\nCMD [\"cat\", \"/result\"]\n")
    podman("tag", "base", "localhost/base").ok()
    command = ["buildah", "--root", f"{work}/root", "--runroot", f"{work}/run", "--storage-driver", "vfs", "bud", "--runtime", runtime.path(),
               "--isolation", "oci", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--cgroup-parent", groups.engine_parent(), "--pull-never", "-t", "made",
               str(work / "context")]
    done = subprocess.run(command, env=podman.env, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=12 * runtime.DEADLINE)
    assert done.returncode == 0, done.stderr
    assert podman.run("made").ok().out == "built\n"
