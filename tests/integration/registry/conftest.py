"""A real registry for the whole run, an image in it, and vrun with everything of its own."""
import os
import subprocess
from pathlib import Path

import pytest

from harness import registries, runtime


class Vrun:
    """vrun with its own store, home and configuration of registries."""

    def __init__(self, work):
        self.program = str(Path(runtime.path()).resolve().with_name("vrun"))
        self.data, self.home, self.yaml = work / "data", work / "home", work / "registries.yaml"
        self.home.mkdir()
        self.yaml.write_text("timeouts: {connect: 5, stall: 2, overall: 60}\n")
        self.env = {**os.environ, "VRUN_DATA_DIR": str(self.data), "VRUN_RUN_DIR": str(work / "run"), "HOME": str(self.home),
                    "VRUN_REGISTRIES": str(self.yaml), "XDG_RUNTIME_DIR": str(work / "xdg")}
        for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "http_proxy", "https_proxy"):
            self.env.pop(name, None)

    def start(self, *args, **more):
        return subprocess.Popen([self.program, *map(str, args)], env=self.env, **more)

    def __call__(self, *args, input="", **env):
        done = subprocess.run([self.program, *map(str, args)], input=input, capture_output=True, text=True, timeout=120,
                              env={**self.env, **env})
        return runtime.Result([self.program, *args], done.returncode, done.stdout, done.stderr)

    def registries(self, text):
        self.yaml.write_text("timeouts: {connect: 5, stall: 2, overall: 60}\nregistries:\n" + text)

    def _names(self, folder):
        path = self.data / "images" / folder
        return sorted(p.name for p in path.iterdir()) if path.exists() else []

    def layers(self):
        return [n for n in self._names("layers") if not n.startswith(".")]

    def blobs(self):
        return [n for n in self._names("blobs/sha256") if not n.startswith(".")]

    def unfinished(self):
        return [n for n in self._names("layers") + self._names("blobs/sha256") if n.startswith(".")]

    def has_nothing(self):
        return not self.layers() and not self.unfinished()


@pytest.fixture
def vrun(work):
    it = Vrun(work)
    yield it
    assert not it.unfinished(), "half-made things stayed"


@pytest.fixture(scope="session")
def images(place):
    (place / "images").mkdir()
    return registries.Images(place / "images")


@pytest.fixture(scope="session")
def registry(place, images):
    it = registries.DockerRegistry(place / "registry")
    it.image = images.put(it, "small:v1")
    yield it
    it.stop()


@pytest.fixture(scope="session")
def authority(place):
    return registries.Authority(place / "authority")


@pytest.fixture
def proxy(registry):
    it = registries.Proxy(registry)
    yield it
    it.stop()


@pytest.fixture
def liar():
    it = registries.Liar()
    yield it
    it.stop()
