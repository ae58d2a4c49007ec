"""The runtime under test as an object: runs its verbs, remembers its containers, removes them."""
import array
import itertools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

TOKEN = f"it{os.getpid()}"
_numbers = itertools.count(1)
DEADLINE = float(os.environ.get("VRUN_TEST_DEADLINE", "10"))


def path() -> str:
    """RUNTIME names the program under test; without it, the release build's."""
    wanted = os.environ.get("RUNTIME") or str(Path(__file__).resolve().parents[3] / "build/release/bin/vrun-oci")
    found = shutil.which(wanted)
    if not found:
        raise SystemExit(f"no runtime at {wanted}: build it, or set RUNTIME")
    return os.path.abspath(found)


def fresh_id(word="c") -> str:
    return f"{TOKEN}-{word}{next(_numbers)}"


class Result:
    """What a command said and how it ended; `rc` as subprocess gives it."""

    def __init__(self, args, rc, out, err):
        self.args, self.rc, self.out, self.err = args, rc, out, err

    def __repr__(self):
        return f"{' '.join(map(str, self.args))}\n  -> {self.rc}\n  out: {self.out[-2000:]!r}\n  err: {self.err[-2000:]!r}"

    @property
    def json(self):
        try:
            return json.loads(self.out)
        except ValueError:
            raise AssertionError(f"not JSON: {self!r}") from None

    def ok(self):
        assert self.rc == 0, f"should succeed: {self!r}"
        return self

    def fails(self, *words, rc=None):
        assert self.rc > 0, f"should fail with an exit code: {self!r}"
        assert rc is None or self.rc == rc, f"should exit with {rc}: {self!r}"
        for word in words:
            assert word in self.err, f"stderr should have {word!r}: {self!r}"
        return self


def wait_for(claim, what, deadline=None):
    """Waits until claim() is true; never sleeps longer than the deadline."""
    end = time.monotonic() + (deadline or DEADLINE)
    while True:
        value = claim()
        if value:
            return value
        assert time.monotonic() < end, f"did not happen in time: {what}"
        time.sleep(0.005)


class Runtime:
    def __init__(self, path, root: Path, prefix=()):
        self.path, self.root, self.prefix = path, root, list(prefix)
        self.ids = []
        self.globals = []
        self.children = []

    def command(self, *args):
        return [*self.prefix, self.path, "--root", str(self.root), *self.globals, *map(str, args)]

    def run_command(self, command, input=None, timeout=None, **options):
        if input is None and "stdin" not in options:
            options["stdin"] = subprocess.DEVNULL
        command = [str(c) for c in command]
        done = subprocess.run(command, input=input, capture_output=True, text=True, errors="replace",
                              timeout=timeout or 6 * DEADLINE, **options)
        return Result(command, done.returncode, done.stdout, done.stderr)

    def __call__(self, *args, **options) -> Result:
        return self.run_command(self.command(*args), **options)

    def popen(self, *args, **options) -> subprocess.Popen:
        child = subprocess.Popen(self.command(*args), **options)
        self.children.append(child)
        return child

    def new_id(self, word="c"):
        self.ids.append(fresh_id(word))
        return self.ids[-1]

    # --- the verbs most tests need ---------------------------------------------------------
    def run(self, bundle, *flags, id=None, **options) -> Result:
        """Runs in the foreground and waits."""
        bundle.save()
        return self("run", "--bundle", bundle.path, *flags, id or self.new_id(), **options)

    def create(self, bundle, *flags, id=None, output=None, **options) -> str:
        """Creates a container that must come about; its output goes to a file, read by output_of()."""
        id = id or self.new_id()
        r = self.try_create(bundle, *flags, id=id, output=output, **options)
        assert r.rc == 0, f"create should succeed: {r!r}"
        return id

    def try_create(self, bundle, *flags, id=None, output=None, **options) -> Result:
        bundle.save()
        id = id or self.new_id()
        return self._detached(id, "create", "--bundle", bundle.path, *flags, id, **options)

    def start(self, bundle, *flags, id=None, **options) -> str:
        """create and start: a container whose process runs."""
        id = self.create(bundle, *flags, id=id, **options)
        self("start", id).ok()
        return id

    def run_detached(self, bundle, *flags, id=None, **options) -> Result:
        bundle.save()
        id = id or self.new_id()
        return self._detached(id, "run", "--detach", "--bundle", bundle.path, *flags, id, **options)

    def _detached(self, id, *args, **options):
        # A detached container keeps the streams it is given, so a pipe would keep us waiting.
        out, err = self.output_file(id), self.root.parent / f"{id}.err"
        command = self.command(*args)
        with open(out, "wb") as o, open(err, "wb") as e:
            rc = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=o, stderr=e,
                                timeout=6 * DEADLINE, **options).returncode
        return Result(command, rc, out.read_text(errors="replace"), err.read_text(errors="replace"))

    def output_file(self, id) -> Path:
        return self.root.parent / f"{id}.out"

    def output_of(self, id, deadline=None) -> str:
        """What the container's process wrote by its end."""
        self.wait_stopped(id, deadline)
        return self.output_file(id).read_text(errors="replace")

    def exec(self, id, *args, flags=(), **options) -> Result:
        return self("exec", *flags, id, *args, **options)

    def state(self, id) -> dict:
        return self("state", id).ok().json

    def status(self, id) -> str:
        return self.state(id)["status"]

    def pid(self, id) -> int:
        return self.state(id)["pid"]

    def wait_status(self, id, status, deadline=None):
        wait_for(lambda: self.status(id) == status, f"{id} is {status}", deadline)

    def wait_stopped(self, id, deadline=None):
        self.wait_status(id, "stopped", deadline)

    def kill(self, id, signal="KILL"):
        return self("kill", id, signal)

    def delete(self, id, *flags):
        return self("delete", *flags, id)

    def facts(self, bundle, *flags, **options) -> dict:
        """Runs the probe in a container made of this bundle and gives what it saw."""
        return self.run(bundle.args("/bin/probe"), *flags, **options).ok().json

    def clean_up(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
        for id in self.ids:
            try:
                self("delete", "--force", id)
            except subprocess.TimeoutExpired:
                pass


class ConsoleSocket:
    """The engine's end of --console-socket: receives the master of the container's terminal."""

    def __init__(self, folder: Path):
        self.path = folder / "console.sock"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(1)
        self.listener.settimeout(DEADLINE)
        self.master = -1
        self.seen = b""

    def receive(self) -> int:
        peer, _ = self.listener.accept()
        with peer:
            fds = array.array("i")
            data, ancillary, _, _ = peer.recvmsg(4096, socket.CMSG_SPACE(16))
            for level, type_, payload in ancillary:
                assert (level, type_) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
                fds.frombytes(payload[:len(payload) - len(payload) % 4])
        assert len(fds) == 1, f"one descriptor, got {len(fds)}"
        self.message, self.master = data, fds[0]
        return self.master

    def write(self, text):
        os.write(self.master, text.encode())

    def read_until(self, word, deadline=None):
        return read_until(self.master, word, self, deadline)

    def close(self):
        self.listener.close()
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


def read_until(fd, word, keep=None, deadline=None):
    """Reads a descriptor until the word was seen; gives all that was read."""
    end = time.monotonic() + (deadline or DEADLINE)
    text = keep.seen if keep else b""
    while word.encode() not in text:
        left = end - time.monotonic()
        assert left > 0, f"never saw {word!r}, only {text!r}"
        if select.select([fd], [], [], left)[0]:
            try:
                data = os.read(fd, 65536)
            except OSError:
                data = b""
            assert data, f"ended before {word!r}: {text!r}"
            text += data
    if keep:
        keep.seen = b""
    return text.decode(errors="replace")


def signal_number(name):
    return getattr(signal, name)
