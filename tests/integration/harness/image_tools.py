"""Tools for tests of images: vrun with a store of its own, other programs, a small root file system."""
import json
import os
import shutil
import subprocess
from pathlib import Path

from harness import runtime


def run(*words, **more):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=300, **more)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


class Vrun:
    def __init__(self, data, run_dir):
        self.program = str(Path(runtime.path()).resolve().with_name("vrun"))
        self.helper = str(Path(self.program).with_name("vrun-image"))
        self.data = data
        self.env = {**os.environ, "VRUN_DATA_DIR": str(data), "VRUN_RUN_DIR": str(run_dir)}

    def start(self, *args, **more):
        return subprocess.Popen([self.program, *map(str, args)], env=self.env, **more)

    def __call__(self, *args, input="", **more):
        done = subprocess.run([self.program, *map(str, args)], input=input, capture_output=True, text=True, timeout=300,
                              env=self.env, **more)
        return runtime.Result([self.program, *args], done.returncode, done.stdout, done.stderr)

    def tree(self, verb, pass_fds=(), stdin=subprocess.DEVNULL, **request):
        """A verb of vrun-image on trees, which engines call with descriptors."""
        words = [self.helper, verb, json.dumps({"dataDir": str(self.data), **request})]
        done = subprocess.run(words, stdin=stdin, capture_output=True, timeout=300, pass_fds=pass_fds, env=self.env)
        return runtime.Result(words, done.returncode, done.stdout, done.stderr.decode())

    def names(self):
        return self("images", "--format", "names").ok().out.split()

    def inspect(self, name):
        return self("image", "inspect", name).ok().json[0]

    def _list(self, folder):
        path = self.data / "images" / folder
        return sorted(p.name for p in path.iterdir()) if path.exists() else []

    def layers(self):
        return [n for n in self._list("layers") if not n.startswith(".")]

    def blobs(self):
        return [n for n in self._list("blobs/sha256") if not n.startswith(".")]

    def refs(self):
        return [n for n in self._list("refs/default") if not n.startswith(".")]

    def unfinished(self):
        return [n for n in self._list("layers") + self._list("blobs/sha256") if n.startswith(".")]


def make_root(root):
    for folder in ("bin", "etc", "tmp", "old"):
        (root / folder).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for name in ("sh", "cat", "ls", "echo", "sleep", "stat", "rm", "mkdir", "ln", "touch", "mv", "chmod", "chown"):
        os.symlink("busybox", root / "bin" / name)
    (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    (root / "old/file").write_text("below\n")
    (root / "etc/first").write_text("first\n")
    os.link(root / "etc/first", root / "etc/second")


def wait_until_gone(group):
    """Until every process of a killed group is dead: one on its way out may still hold its locks."""
    def gone():
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        alive = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    fields = Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
                    alive += [entry] if int(fields[2]) == group and fields[0] not in "ZX" else []
                except OSError:
                    pass
        return not alive
    runtime.wait_for(gone, f"the processes of group {group} end")
