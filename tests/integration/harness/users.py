"""An unprivileged user for everyday tests: own files of /etc in this mount namespace, a home, vrun as that user."""
import contextlib
import os
import stat
import subprocess
from pathlib import Path

from . import everyday, leaks

NAME, UID, FIRST, COUNT = "vruneveryday", 7001, 3_000_000_000, 65536
FILES = ("passwd", "group", "subuid", "subgid")


class UserVrun(everyday.Vrun):
    """vrun as the user types it; `program` is a script that becomes the user first."""

    def __init__(self, work, etc, space=None):
        super().__init__(work)
        self.real, self.etc, self.work, self.space = self.program, etc, work, space
        self.home, session = work / "home", work / "session"
        for folder in (self.home, session):
            folder.mkdir(mode=0o700)
            os.chown(folder, UID, UID)
        self.data, self.run_dir = self.home / ".local/share/vrun", session / "vrun"
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("VRUN_", "XDG_"))}
        self.env |= {"HOME": str(self.home), "XDG_RUNTIME_DIR": str(session), "PATH": os.environ["PATH"]}
        self.program = str(work / "vrun-as-user")
        self.use()

    def use(self, words=()):
        """From now on vrun is run below these words (before the user is one)."""
        net = ["/usr/bin/nsenter", f"--net=/proc/{self.space.pid}/ns/net"] if self.space else []
        self.become = ["/usr/bin/setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all"]
        Path(self.program).write_text("#!/bin/sh\nexec " + " ".join([*map(str, words), *net, *self.become, self.real]) + ' "$@"\n')
        os.chmod(self.program, 0o755)

    def with_programs(self, *names):
        """The user's PATH has just these programs."""
        folder = self.work / "programs"
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for name in names:
            (folder / name).symlink_to(f"/usr/bin/{name}")
        self.env["PATH"] = str(folder)

    def without_ranges(self):
        for name in ("subuid", "subgid"):
            (self.etc / name).write_text("")

    def own(self, path):
        os.chown(path, UID, UID)
        return path

    def uplinks(self):
        """pasta and slirp4netns of this user's guests."""
        found = []
        for pid in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                name = Path(f"/proc/{pid}/comm").read_text().strip()
                if not name.startswith(("pasta", "passt", "slirp4netns")) or not everyday.alive(pid):
                    continue
                if f"VRUN_RUN_DIR={self.run_dir}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes():
                    found.append(f"{pid} {name}")
        return found

    def members(self):
        """Who is noted to be in the user namespace, apart from the lock."""
        folder = self.run_dir / "namespace"
        return [p.name for p in folder.iterdir() if p.name != "lock"] if folder.exists() else []

    def left(self):
        notes = list((self.run_dir / "uplinks").iterdir()) if (self.run_dir / "uplinks").exists() else []
        return super().left() + self.uplinks() + [f"member {name}" for name in self.members()] + [str(n) for n in notes]


@contextlib.contextmanager
def _files_of_etc(work):
    """passwd, group, subuid and subgid with our user, for this mount namespace."""
    etc = work / "etc"
    etc.mkdir()
    lines = {"passwd": f"{NAME}:x:{UID}:{UID}::/:/bin/sh\n", "group": f"{NAME}:x:{UID}:\n"}
    done, made = [], []
    try:
        for name in FILES:
            real = Path("/etc") / name
            if not real.exists():
                real.touch()
                made.append(real)
            (etc / name).write_text(real.read_text() + lines.get(name, f"{NAME}:{FIRST}:{COUNT}\n"))
            subprocess.run(["mount", "--bind", etc / name, real], check=True)
            done.append(real)
        yield etc
    finally:
        for real in done:
            subprocess.run(["umount", real], check=True)
        for real in made:
            real.unlink()


@contextlib.contextmanager
def fresh(work, space=None):
    """A UserVrun of which nothing may be left at the end. `space`: the network namespace that is its host's."""
    work.chmod(work.stat().st_mode | stat.S_IXOTH)
    with _files_of_etc(work) as etc:
        it = UserVrun(work, etc, space)
        yield it
        it.env["PATH"] = os.environ["PATH"]
        it.use()
        kept = it("ps", "-aq").out.split()
        if kept:
            it("rm", "-f", *kept).ok()
        it("ps").ok()  # notes of the dead go when nobody is left in the namespace
        end = everyday.time.monotonic() + 5
        while (left := it.left()) and everyday.time.monotonic() < end:
            everyday.time.sleep(0.05)
    assert not left, "left behind: " + "\n".join(left)
    assert not [d for d in leaks.descendants() if str(it.data) in leaks.name_of(d)]
