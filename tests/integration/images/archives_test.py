"""load, save and import: archives of others are read, and others read ours."""
import io
import json
import subprocess
import tarfile

from harness import image_tools as tools


def a_loaded_image_runs(vrun, loaded):
    assert vrun("run", "--rm", loaded).ok().out == "hello\n"
    assert vrun("run", "--rm", loaded, "cat", "/old/file").rc != 0, "the second layer deleted it"
    assert vrun("run", "--rm", loaded, "sh", "-c", "stat -c %u /etc/motd; echo $A").ok().out == "1000\nb\n"
    assert "localhost/small:1" in vrun.names()


def every_form_of_archive_is_read(vrun, layout, work):
    forms = {"docker-archive": "docker:1", "oci-archive": "localhost/oci:1"}
    for form, name in forms.items():
        tools.run("skopeo", "copy", "-q", f"oci:{layout}:small", f"{form}:{work}/{form}.tar:{name}")
        assert vrun("load", "-q", "-i", work / f"{form}.tar").ok().out == name + "\n"
        assert vrun("run", "--rm", name).ok().out == "hello\n"
    assert vrun("load", "-i", layout).ok().out == "Loaded image: small:latest\n"
    assert vrun("run", "--rm", "small").ok().out == "hello\n"
    # One image, whatever it came in: layers are shared.
    assert len(vrun.layers()) == 2


def archives_come_on_stdin_and_compressed(vrun, layout, work):
    tools.run("skopeo", "copy", "-q", f"oci:{layout}:small", f"docker-archive:{work}/a.tar:packed:1")
    for name, words in (("a.tar.gz", ["gzip", "-k"]), ("a.tar.zst", ["zstd", "-q", "-k"])):
        tools.run(*words, work / "a.tar")
        with open(work / name, "rb") as stdin:
            done = subprocess.run([vrun.program, "load"], stdin=stdin, capture_output=True, text=True, env=vrun.env)
        assert (done.returncode, done.stdout) == (0, "Loaded image: packed:1\n"), done.stderr
    tools.run("xz", "-k", work / "a.tar")
    vrun("load", "-i", work / "a.tar.xz").fails("compressed by xz", "hint: unpack it first", rc=125)


def others_read_what_is_saved(vrun, loaded, podman, work):
    id = vrun.inspect(loaded)["Id"]
    vrun("save", "-o", work / "d.tar", loaded).ok()
    vrun("save", "--format", "oci-archive", "-o", work / "o.tar", loaded).ok()
    vrun("save", "--format", "oci-dir", "-o", work / "dir", loaded).ok()
    for place in (f"docker-archive:{work}/d.tar", f"oci-archive:{work}/o.tar", f"oci:{work}/dir"):
        config = json.loads(tools.run("skopeo", "inspect", "--config", place))
        assert config["config"]["Cmd"] == ["/bin/cat", "/etc/motd"]
    assert "localhost/small:1" in podman("load", "-q", "-i", work / "d.tar")
    assert podman("image", "inspect", "--format", "{{.Id}}", loaded).strip() == id.removeprefix("sha256:")
    tools.run("umoci", "unpack", "--image", f"{work}/dir:{loaded}", work / "unpacked")
    assert (work / "unpacked/rootfs/etc/motd").read_text() == "hello\n"


def what_podman_saves_is_loaded(vrun, loaded, podman, work):
    vrun("save", "-o", work / "d.tar", loaded).ok()
    podman("load", "-q", "-i", work / "d.tar")
    for form in ("docker-archive", "oci-archive"):
        podman("save", "-q", "--format", form, "-o", work / form, loaded)
        vrun("rmi", loaded).ok()
        vrun("load", "-i", work / form).ok()
        assert vrun("run", "--rm", loaded).ok().out == "hello\n"
        assert vrun("image", "fsck").ok()


def what_buildah_makes_is_loaded(vrun, disk, work):
    words = ["buildah", "--root", disk / "buildah", "--runroot", disk / "buildah-run", "--storage-driver", "vfs"]
    tools.make_root(work / "root")
    made = tools.run(*words, "from", "--name", "made", "scratch").strip()
    tools.run(*words, "copy", made, work / "root", "/")
    tools.run(*words, "config", "--cmd", '["/bin/echo","built"]', made)
    tools.run(*words, "commit", "-q", made, f"oci-archive:{work}/b.tar:localhost/built:1")
    tools.run(*words, "rm", made)
    vrun("load", "-i", work / "b.tar").ok()
    assert vrun("run", "--rm", "localhost/built:1").ok().out == "built\n"


def a_round_trip_changes_no_digest(vrun, loaded, work):
    before = vrun.inspect(loaded)
    vrun("save", "--format", "oci-archive", "-o", work / "o.tar", loaded).ok()
    vrun("rmi", loaded).ok()
    assert not vrun.layers() and not vrun.blobs()
    vrun("load", "-i", work / "o.tar").ok()
    assert vrun.inspect(loaded) == before


def several_images_share_an_archive(vrun, loaded, work):
    vrun("tag", loaded, "other:2").ok()
    vrun("save", "-o", work / "d.tar", loaded, "other:2").ok()
    vrun("rmi", loaded, "other:2").ok()
    out = vrun("load", "-i", work / "d.tar").ok().out
    assert out == "Loaded image: localhost/small:1\nLoaded image: other:2\n"


def a_root_file_system_becomes_an_image(vrun, work):
    tools.make_root(work / "root")
    tools.run("tar", "-C", work / "root", "-cf", work / "root.tar", ".")
    id = vrun("import", "-c", 'CMD ["echo", "made"]', "-c", "ENV X=y", "-c", "LABEL a=b", work / "root.tar", "mine:1").ok().out
    assert vrun("run", "--rm", "mine:1").ok().out == "made\n"
    seen = vrun.inspect("mine:1")
    assert seen["Id"] == id.strip() and seen["Config"]["Env"] == ["X=y"] and seen["Config"]["Labels"] == {"a": "b"}
    with open(work / "root.tar", "rb") as stdin:
        done = subprocess.run([vrun.program, "import", "-"], stdin=stdin, capture_output=True, text=True, env=vrun.env)
    assert done.returncode == 0, done.stderr
    assert any(name.startswith("localhost/imported:") for name in vrun.names()), "nothing else would keep it"
    vrun("import", "-c", "RUN rm -rf /", work / "root.tar", "x").fails("'RUN'", rc=125)


def a_file_that_is_no_archive_is_refused(vrun, work):
    (work / "text").write_text("no archive at all " * 100)
    vrun("load", "-i", work / "text").fails("text", "Unrecognized archive format", "hint: it is damaged, cut off, or none of", rc=125)
    vrun("load", "-i", work / "missing").fails("missing", "no such file", rc=125)
    vrun("load", "-i", work).fails("neither oci-layout nor manifest.json", rc=125)
    tools.make_root(work / "root")
    tools.run("tar", "-C", work / "root", "-cf", work / "root.tar", ".")
    vrun("load", "-i", work / "root.tar").fails("a root file system is for import", rc=125)
    vrun("load").fails("the archive is empty", rc=125)
    assert not vrun.layers() and not vrun.blobs() and not vrun.refs()


def cut_archives_leave_nothing(vrun, layout, work):
    tools.run("skopeo", "copy", "-q", f"oci:{layout}:small", f"docker-archive:{work}/a.tar:cut:1")
    whole = (work / "a.tar").read_bytes()
    for part in (1, 3, 7):
        (work / "cut.tar").write_bytes(whole[: len(whole) * part // 8])
        vrun("load", "-i", work / "cut.tar").fails("cut.tar", rc=125)
        assert not vrun.refs() and not vrun.unfinished()


def _rewritten(source, target, change):
    """A copy of a tar with each member's bytes passed through change(name, bytes)."""
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for member in old:
            data = old.extractfile(member).read() if member.isfile() else b""
            data = change(member.name, data)
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))


def changed_content_is_found_by_its_digest(vrun, layout, work):
    tools.run("skopeo", "copy", "-q", f"oci:{layout}:small", f"docker-archive:{work}/a.tar:evil:1")
    _rewritten(work / "a.tar", work / "b.tar",
              lambda name, data: data.replace(b"hello\n", b"HELLO\n") if name.endswith(".tar") else data)
    vrun("load", "-i", work / "b.tar").fails("its content has", "digest", rc=125)
    tools.run("skopeo", "copy", "-q", f"oci:{layout}:small", f"oci-archive:{work}/o.tar:evil:1")
    _rewritten(work / "o.tar", work / "p.tar",
              lambda name, data: data[:-1] + bytes([data[-1] ^ 1]) if name.startswith("blobs") and len(data) > 20000 else data)
    vrun("load", "-i", work / "p.tar").fails("digest", rc=125)
    assert not vrun.refs() and not vrun.unfinished()


def links_between_layers_are_followed_inside_the_archive(vrun, layout, work):
    """Old docker save writes a layer that comes twice once, and a link in the other place."""
    tools.run("skopeo", "copy", "-q", f"oci:{layout}:small", f"docker-archive:{work}/a.tar:linked:1")
    with tarfile.open(work / "a.tar") as old, tarfile.open(work / "b.tar", "w") as new:
        manifest = json.load(old.extractfile("manifest.json"))
        for number, name in enumerate(manifest[0]["Layers"]):
            data = old.extractfile(name).read()
            member = tarfile.TarInfo(f"store{number}.tar")
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
            link = tarfile.TarInfo(f"{number}/layer.tar")
            link.type, link.linkname = tarfile.SYMTYPE, f"../store{number}.tar"
            new.addfile(link)
            manifest[0]["Layers"][number] = link.name
        config = old.extractfile(manifest[0]["Config"]).read()
        for name, data in ((manifest[0]["Config"], config), ("manifest.json", json.dumps(manifest).encode())):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    vrun("load", "-i", work / "b.tar").ok()
    assert vrun("run", "--rm", "linked:1").ok().out == "hello\n"


def an_archive_cannot_reach_outside(vrun, work):
    """manifest.json names files of the host, directly and through links in the archive."""
    secret = work / "secret"
    secret.write_text('{"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}')

    def archive(config, link=None):
        with tarfile.open(work / "x.tar", "w") as tar:
            if link:
                member = tarfile.TarInfo("link")
                member.type, member.linkname = tarfile.SYMTYPE, link
                tar.addfile(member)
            text = json.dumps([{"Config": config, "RepoTags": ["x:1"], "Layers": ["link"]}]).encode()
            member = tarfile.TarInfo("manifest.json")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
        return vrun("load", "-i", work / "x.tar")
    for words in ((str(secret),), ("../" * 20 + str(secret)[1:],), ("link", str(secret)), ("link", "../" * 20 + str(secret)[1:])):
        archive(*words).fails("x.tar", rc=125)
    assert not vrun.blobs() and not vrun.refs()


def links_in_the_place_of_folders_lead_nowhere(vrun, layout, work):
    """`blobs` as a link to a folder of the host: nothing is read, changed or made there."""
    outside = work / "outside"
    tools.run("skopeo", "copy", "-q", f"oci:{layout}:small", f"docker-archive:{work}/d.tar:x:1")
    tools.run("cp", "-r", layout / "blobs", outside)
    before = sorted((p.name, p.stat().st_mode, p.stat().st_nlink) for p in outside.rglob("*"))

    def planted(source, links):
        with tarfile.open(work / "x.tar", "w") as new:
            for name, target in links.items():
                link = tarfile.TarInfo(name)
                link.type, link.linkname = tarfile.SYMTYPE, str(target)
                new.addfile(link)
            for name, data in source.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                new.addfile(member, io.BytesIO(data))
        return vrun("load", "-i", work / "x.tar")
    index = {name: (layout / name).read_bytes() for name in ("oci-layout", "index.json")}
    planted(index, {"blobs": outside}).fails("x.tar", "too many levels of symbolic links", rc=125)
    planted(index, {"blobs/sha256": outside / "sha256"}).fails("x.tar", rc=125)
    planted({"oci-layout": index["oci-layout"]}, {"index.json": layout / "index.json", "blobs": outside}).fails("x.tar", rc=125)
    with tarfile.open(work / "d.tar") as old:
        docker = {m.name: old.extractfile(m).read() for m in old if m.isfile()}
    planted(docker, {"blobs": outside, "archive": outside}).ok()
    assert vrun("run", "--rm", "x:1").ok().out == "hello\n"
    assert sorted((p.name, p.stat().st_mode, p.stat().st_nlink) for p in outside.rglob("*")) == before


def hostile_names_in_an_archive_are_refused(vrun, work):
    for name in ("../evil", "a/../../evil"):
        with tarfile.open(work / "x.tar", "w") as tar:
            tar.addfile(tarfile.TarInfo(name))
        vrun("load", "-i", work / "x.tar").fails("'..' in a path", rc=125)
    assert not (work / "evil").exists() and not vrun.unfinished()


def save_leaves_no_half_file(vrun, loaded, work):
    out = work / "full"
    out.mkdir()
    tools.run("mount", "-t", "tmpfs", "-o", "size=200k", "none", out)
    try:
        vrun("save", "-o", out / "a.tar", loaded).fails("no space left", rc=125)
        assert not list(out.iterdir())
        vrun("save", "--format", "oci-dir", "-o", out / "dir", loaded).fails("no space left", rc=125)
        assert not list(out.iterdir())
    finally:
        tools.run("umount", out)
    vrun("save", "--format", "zip", "-o", work / "x", loaded).fails("'zip'", "docker-archive", rc=125)
    vrun("save", "-o", work / "x", "nothing").fails("no such image 'nothing'", rc=125)
    (work / "dir").mkdir()
    vrun("save", "--format", "oci-dir", "-o", work / "dir", loaded).fails("is there already", rc=125)


def a_full_disk_leaves_nothing_half_made(layout, work):
    small = work / "small"
    small.mkdir()
    tools.run("mount", "-t", "tmpfs", "-o", "size=1500k", "none", small)
    try:
        vrun = tools.Vrun(small / "data", work / "run")
        tools.run("skopeo", "copy", "-q", f"oci:{layout}:small", f"docker-archive:{work}/a.tar:big:1")
        vrun("load", "-i", work / "a.tar").fails("no space left", rc=125)
        assert not vrun.refs() and not vrun.unfinished() and not vrun.layers()
    finally:
        tools.run("umount", small)
