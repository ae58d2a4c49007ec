"""The cgroup of a running container, read with the words of either version."""
from pathlib import Path

from . import host


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
