"""image fsck: every kind of damage is found, named and mended where it can be."""
import json
import os
import shutil

from harness import image_tools as tools


def _layer(vrun, file):
    for name in vrun.layers():
        if os.path.lexists(vrun.data / "images/layers" / name / file):
            return vrun.data / "images/layers" / name
    raise AssertionError(f"no layer has {file}")


def _damaged(vrun, *words):
    done = vrun("image", "fsck")
    assert done.rc == 1, repr(done)
    for word in words:
        assert word in done.out, repr(done)
    return done


def a_sound_store_is_sound(vrun, loaded):
    assert vrun("image", "fsck").ok().out == "4 blobs and 2 layers checked, 0 damaged\n"
    assert vrun("image", "fsck", "--format", "json").ok().json == {"Blobs": 4, "Layers": 2, "Faults": []}
    assert vrun("run", "--rm", loaded).ok().out == "hello\n"
    vrun("image", "fsck").ok()


def every_change_of_a_layer_is_found_and_mended(vrun, loaded):
    top, below = _layer(vrun, "etc/motd"), _layer(vrun, "etc/first")

    def content():
        stat = os.stat(top / "etc/motd")
        (top / "etc/motd").write_text("jello\n")
        os.utime(top / "etc/motd", ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def unlinked():
        data, stat = (below / "etc/second").read_bytes(), os.stat(below / "etc/second")
        (below / "etc/second").unlink()
        (below / "etc/second").write_bytes(data)
        os.utime(below / "etc/second", ns=(stat.st_atime_ns, stat.st_mtime_ns))
        (below / "etc/second").chmod(stat.st_mode & 0o7777)

    changes = {
        "'etc/motd' has other content": content,
        "'etc/motd' is missing": lambda: (top / "etc/motd").unlink(),
        "'etc/evil' does not belong there": lambda: (top / "etc/evil").write_text("x"),
        "'etc/motd' has another mode": lambda: (top / "etc/motd").chmod(0o4755),
        "'etc/motd' has another owner": lambda: os.chown(top / "etc/motd", 0, 0),
        "'etc/motd' has other attributes": lambda: os.setxattr(top / "etc/motd", "user.x", b"y"),
        "'etc/motd' has another time": lambda: os.utime(top / "etc/motd"),
        "'etc/motd' is another kind of file": lambda: ((top / "etc/motd").unlink(), os.symlink("x", top / "etc/motd")),
        "'old/file' is missing": lambda: (top / "old/file").unlink(),  # the whiteout
        "'bin/sh' points elsewhere": lambda: ((below / "bin/sh").unlink(), os.symlink("evil", below / "bin/sh")),
        "names": unlinked,
    }
    for words, change in changes.items():
        change()
        _damaged(vrun, words, "layer sha256:", "needed by: localhost/small:1", "1 damaged")
        assert "it was unpacked again" in vrun("image", "fsck", "--repair").out
        vrun("image", "fsck").ok()
    assert vrun("run", "--rm", loaded).ok().out == "hello\n"


def a_missing_layer_is_unpacked_again(vrun, loaded):
    shutil.rmtree(_layer(vrun, "etc/motd"))
    _damaged(vrun, "layer sha256:", "is missing")
    vrun("image", "fsck", "--quick").fails(rc=1)
    assert vrun("run", "--rm", loaded).ok().out == "hello\n", "run mends it as well"
    vrun("image", "fsck").ok()


def damaged_blobs_are_named(vrun, loaded, layout):
    seen = vrun.inspect(loaded)
    blob = vrun.data / "images/blobs/sha256" / seen["Blobs"][1]["Digest"][7:]
    data = blob.read_bytes()
    blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    _damaged(vrun, f"blob {seen['Blobs'][1]['Digest']}", "its content has the digest", "needed by: localhost/small:1")
    vrun("image", "fsck", "--repair")
    assert not blob.exists()
    _damaged(vrun, "is missing", "pull or load the image again")
    vrun("load", "-i", layout).ok()
    vrun("image", "fsck").ok()


def damaged_documents_are_named_and_taken_away(vrun, loaded):
    seen = vrun.inspect(loaded)
    (vrun.data / "images/blobs/sha256" / seen["Digest"][7:]).write_text("{}")
    _damaged(vrun, f"image {seen['Digest']}", "vrun pull localhost/small:1 fetches it again")
    vrun("run", "--rm", loaded).fails("localhost/small:1", rc=125)
    assert loaded not in vrun.names(), "what is damaged is warned of"
    vrun("image", "prune", "-f").fails("nothing is removed while it is not known what image 'localhost/small:1' needs", "fsck --repair", rc=125)
    vrun("image", "fsck", "--repair").fails(rc=1)
    vrun("image", "prune", "-f").ok()
    assert not vrun.layers() and not vrun.blobs()
    vrun("image", "fsck").ok()


def a_damaged_name_is_taken_away(vrun, loaded):
    name = vrun.data / "images/refs/default" / vrun.refs()[0]
    name.write_text("{")
    _damaged(vrun, "image name", name.name)
    vrun("image", "fsck", "--repair").fails(rc=1)
    assert not name.exists()
