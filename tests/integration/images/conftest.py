"""vrun with a store of its own, and images made by others' tools."""
import os
import subprocess

import pytest

from harness.image_tools import Vrun, make_root, run


def carries_guests(folder):
    kind = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True).stdout.strip()
    return kind not in ("overlayfs", "tmpfs")


@pytest.fixture
def disk(work):
    """A folder on a filesystem that has id-mapped mounts."""
    if carries_guests(work):
        yield work
        return
    image, folder = work / "disk.img", work / "disk"
    run("truncate", "-s", "400M", image)
    run("mkfs.ext4", "-q", image)
    folder.mkdir()
    run("mount", "-o", "loop", image, folder)
    yield folder
    run("umount", "-l", folder)


@pytest.fixture
def vrun(disk, work):
    it = Vrun(disk / "data", work / "run")
    yield it
    assert not it.unfinished(), "half-made things stayed"


@pytest.fixture(scope="session")
def layout(place):
    """An OCI layout by umoci: two layers, the second with a change, a new file and a whiteout."""
    folder = place / "umoci"
    folder.mkdir()
    image = f"{folder}/layout:small"
    run("umoci", "init", "--layout", folder / "layout")
    run("umoci", "new", "--image", image)
    run("umoci", "unpack", "--image", image, folder / "one")
    make_root(folder / "one/rootfs")
    run("umoci", "repack", "--image", image, folder / "one")
    run("umoci", "unpack", "--image", image, folder / "two")
    root = folder / "two/rootfs"
    (root / "etc/motd").write_text("hello\n")
    (root / "old/file").unlink()
    (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\nme:x:1000:1000::/:/bin/sh\n")
    os.chown(root / "etc/motd", 1000, 1000)
    run("umoci", "repack", "--image", image, folder / "two")
    run("umoci", "config", "--image", image, "--config.cmd", "/bin/cat", "--config.cmd", "/etc/motd", "--config.env", "A=b",
        "--config.label", "kind=test")
    return folder / "layout"


@pytest.fixture
def loaded(vrun, layout):
    """The name of an image in the store."""
    run("skopeo", "copy", "-q", f"oci:{layout}:small", f"oci-archive:{vrun.data.parent}/small.tar:localhost/small:1")
    vrun("load", "-i", vrun.data.parent / "small.tar").ok()
    return "localhost/small:1"


@pytest.fixture
def podman(disk):
    """podman with a store of its own."""
    words = ["podman", "--root", disk / "podman", "--runroot", disk / "pr", "--storage-driver", "vfs"]

    def call(*args):
        return run(*words, *args)
    return call
