"""The everyday program `vrun` with data and run folders of its own, and what it left behind."""
import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

from . import leaks, runtime


class Vrun:
    def __init__(self, work):
        self.program = str(Path(runtime.path()).resolve().with_name("vrun"))
        self.data, self.run_dir = work / "data", work / "run"
        self.env = {**os.environ, "VRUN_DATA_DIR": str(self.data), "VRUN_RUN_DIR": str(self.run_dir)}

    def start(self, *args, **more):
        return subprocess.Popen([self.program, *map(str, args)], env=self.env, **more)

    def __call__(self, *args, input="", env=None, timeout=120, cwd=None):
        done = subprocess.run([self.program, *map(str, args)], input=input, capture_output=True, text=True,
                              timeout=timeout, cwd=cwd, env={**self.env, **(env or {})})
        return runtime.Result([self.program, *args], done.returncode, done.stdout, done.stderr)

    def sh(self, script, *flags, **more):
        """A guest that is gone when its script has ended."""
        return self("run", "--rm", *flags, "base", "sh", "-c", script, **more)

    def detached(self, script, *flags):
        """The id of a guest that goes on."""
        return self("run", "-d", *flags, "base", "sh", "-c", script).ok().out.strip()

    def inspect(self, guest):
        return json.loads(self("inspect", guest).ok().out)[0]

    def state(self, guest):
        return self.inspect(guest)["state"]

    def wait_for(self, guest, **wanted):
        """Until the members of the guest's state are as wanted."""
        runtime.wait_for(lambda: all(self.state(guest).get(k) == v for k, v in wanted.items()),
                         f"{guest} becomes {wanted}, is {self.state(guest)}")

    def wait_for_log(self, guest, text):
        runtime.wait_for(lambda: text in self("logs", guest).out, f"{guest} says {text!r}")

    def monitor(self, guest):
        """The pid of the guest's monitor."""
        return int((self.run_dir / "monitors/default" / self.inspect(guest)["id"] / "monitor").read_text())

    def kill_monitor(self, guest):
        pid = self.monitor(guest)
        os.kill(pid, signal.SIGKILL)
        runtime.wait_for(lambda: not alive(pid), "the monitor is dead")

    def processes(self):
        """vrun's own processes that work for this data folder."""
        found = []
        for pid in leaks.descendants():
            name = leaks.name_of(pid)
            try:
                ours = str(self.data).encode() in Path(f"/proc/{pid}/environ").read_bytes()
            except OSError:
                continue
            if ours and "vrun" in name.split(" ")[0]:
                found.append(f"{pid} {name}")
        return found

    def left(self):
        """Everything that belongs to a guest and is still there."""
        found = []
        for folder in ("guests/default", "monitors/default", "ids"):
            if (self.run_dir / folder).exists():
                found += [str(p) for p in (self.run_dir / folder).iterdir()]
        if (self.data / "guests/default").exists():
            found += [str(p) for p in (self.data / "guests/default").iterdir()]
        layers = self.data / "images/layers"
        if layers.exists():
            found += [str(p) for p in layers.iterdir() if p.name.startswith(".")]
        found += [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(self.data) + "/guests" in line]
        return found + self.processes()


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def descriptors_of(pid):
    """What each descriptor of a process refers to."""
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return found


class Terminal:
    """A vrun command on a terminal of its own."""

    def __init__(self, vrun, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(vrun.program, ["vrun", *map(str, args)], vrun.env)
        self.seen = b""

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, text):
        """Reads until the text has come; answers everything up to it."""
        end = time.monotonic() + runtime.DEADLINE
        while text.encode() not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], 0.2)
            assert time.monotonic() < end, f"no {text!r} in {self.seen!r}"
            if ready:
                try:
                    self.seen += os.read(self.fd, 4096)
                except OSError:
                    raise AssertionError(f"ended without {text!r}: {self.seen!r}") from None
        at = self.seen.index(text.encode()) + len(text)
        out, self.seen = self.seen[:at], self.seen[at:]
        return out.decode(errors="replace")

    def wait(self):
        """Its exit code."""
        try:
            while chunk := os.read(self.fd, 4096):
                self.seen += chunk
        except OSError:
            pass  # EIO: the other end is closed
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _id_maps_work_in(folder):
    """Are there id-mapped mounts? Not on overlayfs, and on tmpfs only since Linux 6.3."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True).stdout.strip()
    return kind not in ("overlayfs", "tmpfs")


@contextlib.contextmanager
def fresh(work, disk="300M"):
    """A Vrun of which nothing may be left at the end. `disk`: its size, where one has to be made."""
    size, disk = disk, None
    if not _id_maps_work_in(work):
        image = work / "disk.img"
        subprocess.run(["truncate", "-s", size, image], check=True)
        subprocess.run(["mkfs.ext4", "-q", image], check=True)
        disk = work / "disk"
        disk.mkdir()
        subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    it = Vrun(disk or work)
    try:
        yield it
        # Guests that a test keeps are removed by the program itself: that must work, too.
        kept = it("ps", "-aq").out.split()
        if kept:
            it("rm", "-f", *kept).ok()
        end = time.monotonic() + 5
        while (left := it.left()) and time.monotonic() < end:
            time.sleep(0.05)  # a killed guest's processes are still ending
    finally:
        if disk:
            subprocess.run(["umount", "-l", disk], check=True)
    assert not left, "left behind: " + "\n".join(left)
