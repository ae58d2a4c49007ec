"""Docker with the runtime under test as its default one: a daemon of its own, without a network, on a private socket."""
import os
import subprocess
from pathlib import Path

import pytest

from harness import bundle as bundles
from harness import groups, host, leaks, runtime

CLIENT = "/usr/bin/docker"


class Docker:
    def __init__(self, work: Path):
        self.work = work
        self.log = open(work / "log", "wb")
        daemon = ["dockerd", "--data-root", f"{work}/data", "--exec-root", f"{work}/exec", "--pidfile", f"{work}/pid", "--host", f"unix://{work}/docker.sock",
                  "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs", f"--add-runtime=tested={runtime.path()}",
                  "--default-runtime=tested", f"--cgroup-parent={groups.engine_parent()}"]
        # In a network namespace of its own: the daemon looks at links and addresses whatever it was told.
        inside = 'ip link set lo up && exec "$@"'
        self.daemon = subprocess.Popen(["unshare", "--net", "--mount", "sh", "-c", inside, "sh", *daemon], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        runtime.wait_for(lambda: self("info").rc == 0, "the daemon answers", 12 * runtime.DEADLINE)
        subprocess.run([*self.command("import"), "-", "box"], check=True, capture_output=True, timeout=60,
                       input=subprocess.run(["tar", "-C", work / "image", "-c", "."], check=True, capture_output=True).stdout)

    def command(self, *args):
        return [CLIENT, "--host", f"unix://{self.work}/docker.sock", *map(str, args)]

    def __call__(self, *args) -> runtime.Result:
        environment = {**os.environ, "DOCKER_CONFIG": str(self.work / "client")}
        done = subprocess.run(self.command(*args), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=12 * runtime.DEADLINE, env=environment)
        return runtime.Result(self.command(*args), done.returncode, done.stdout, done.stderr)

    def run(self, *flags, args):
        return self("run", "--rm", "--network=none", *flags, "box", *args)

    def detached(self, name, *flags):
        return self("run", "--detach", "--network=none", "--name", name, *flags, "box", "sleep", "100").ok()

    def close(self):
        ids = self("ps", "--all", "--quiet").out.split()
        if ids:
            self("rm", "--force", *ids)
        self.daemon.terminate()
        self.daemon.wait(4 * runtime.DEADLINE)
        self.log.close()


@pytest.fixture(scope="module")
def docker(tmp_path_factory):
    host.need("docker")
    work = tmp_path_factory.mktemp("docker")
    bundles.make_rootfs(work / "image")
    before = leaks.snapshot(work)
    it = Docker(work)
    yield it
    it.close()
    groups.remove_engine_parent()
    lines = [l for l in leaks.settle(before, work, 5.0) if "descriptor" not in l]
    if lines:
        leaks.remove_leaks(before, work)
        pytest.fail("\n".join(lines), pytrace=False)


def docker_runs_a_command_and_gives_its_exit_code(docker):
    assert docker.run(args=["echo", "hello"]).ok().out == "hello\n"
    assert docker.run(args=["sh", "-c", "exit 42"]).rc == 42


def docker_gives_127_and_126_for_what_cannot_be_executed(docker):
    missing = docker.run(args=["nosuch"])
    assert missing.rc == 127 and "executable file not found in $PATH" in missing.err, missing
    assert docker.run(args=["/etc/passwd"]).rc == 126
    assert docker.run(args=["/bin"]).rc == 126


def docker_executes_pauses_lists_and_stops(docker):
    docker.detached("web")
    assert docker("exec", "web", "echo", "inside").ok().out == "inside\n"
    assert docker("exec", "web", "sh", "-c", "exit 8").rc == 8
    docker("pause", "web").ok()
    assert "Paused" in docker("ps").ok().out
    docker("unpause", "web").ok()
    assert "sleep 100" in docker("top", "web").ok().out
    docker("stop", "--time", "1", "web").ok()
    assert docker("inspect", "--format", "{{.State.ExitCode}}", "web").ok().out == "137\n"
    docker("rm", "web").ok()


def docker_limits_hold_and_change(docker):
    host.need("memory controller")
    assert docker.run("--memory=64m", args=["/bin/probe", "touch", "300"]).rc == 137
    docker.detached("small", "--memory=256m", "--memory-swap=256m")
    docker("update", "--memory=64m", "--memory-swap=64m", "small").ok()
    assert docker("exec", "small", "/bin/probe", "touch", "300").rc == 137
    docker("rm", "--force", "small").ok()


def docker_gives_a_terminal(docker):
    client = docker.command("run", "--rm", "--network=none", "-it", "box", "sh", "-c", "tty; exit 5")
    seen = subprocess.run(["script", "--quiet", "--return", "--command", " ".join(client), "/dev/null"], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL)
    assert seen.returncode == 5 and "/dev/pts/0" in seen.stdout, seen


def docker_keeps_its_confinement(docker):
    f = docker.run("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", args=["/bin/probe"]).ok().json
    assert f["status"]["Seccomp"] == "2" and f["status"]["NoNewPrivs"] == "1"
    assert int(f["status"]["CapEff"], 16) == 0 and int(f["status"]["CapBnd"], 16) == 0
