"""The cgroup of a running container, read with the words of either version."""
import time
from pathlib import Path

from . import host, runtime


class Group:
    def __init__(self, pid: int):
        self.paths = {}
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            for name in names.split(",") if names else [""]:
                self.paths[name.removeprefix("name=")] = path.lstrip("/")

    def v2(self) -> Path:
        return host.v2_root() / self.paths[""]

    def folder(self, controller: str) -> Path:
        if controller in host.v2_controllers() or controller == "":
            return self.v2()
        v1 = {"io": "blkio"}.get(controller, controller)
        return host.v1_mounts()[v1] / self.paths[v1]

    def on_v2(self, controller) -> bool:
        return controller in host.v2_controllers()

    def read(self, controller: str, v2: str, v1: str = None) -> str:
        name = v2 if self.on_v2(controller) else v1
        return (self.folder(controller) / name).read_text().strip()


def engine_parent() -> str:
    """The group that an engine under test makes its containers' groups in: below our own one."""
    own = ""
    if host.v1_mounts():
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            if len(path) > len(own) + 1:
                own = path
    return f"{own.rstrip('/')}/{runtime.TOKEN}-engine"


def remove_engine_parent() -> None:
    """Removes what the engine itself keeps; a container's group that is left makes it stay, and be found."""
    parent = engine_parent().lstrip("/")
    roots = {*host.v1_mounts().values(), host.v2_root()} - {None}
    end = time.monotonic() + 3  # the engine's monitors end a little after their containers
    while any((root / parent).exists() for root in roots) and time.monotonic() < end:
        # Groups of pods have a bare number as their name; Podman 4.3 forgets those beside its controllers.
        pods = [p for root in roots for p in (root / parent).glob("[0-9a-f]" * 64)]
        inside = [p / "conmon" for p in pods] + pods
        for path in inside + [root / parent / name for root in roots for name in ("conmon", "")]:
            try:
                path.rmdir()
            except OSError:
                pass
        time.sleep(0.02)
    for above in [(root / parent).parent for root in roots]:
        while above not in roots:
            try:
                above.rmdir()
            except OSError:
                break
            above = above.parent
