"""commit, diff, export and cp: vrun-image on the trees of guests, as engines call it."""
import contextlib
import io
import json
import os
import subprocess
import tarfile

import pytest

from harness import image_tools as tools

FIRST = 600000
IDS = [{"inside": 0, "outside": FIRST, "size": 65536}]


class Guest:
    """A root as a guest has it: an overlay over an image's layers; `merged` while it is mounted."""

    def __init__(self, vrun, name, folder):
        seen = vrun.inspect(name)
        self.vrun, self.manifest, self.folder = vrun, seen["Digest"], folder
        self.lower = [vrun.data / "images/layers" / id[7:] for id in seen["RootFS"]["Layers"]]
        for part in ("upper", "work", "merged"):
            (folder / part).mkdir(parents=True)
        self.upper, self.merged = folder / "upper", folder / "merged"
        below = ":".join(str(path) for path in reversed(self.lower))
        tools.run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={below},upperdir={self.upper},workdir={folder}/work", self.merged)

    def end(self):
        tools.run("umount", self.merged)

    @contextlib.contextmanager
    def opened(self, path):
        fd = os.open(path, os.O_PATH | os.O_DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)

    def ask(self, verb, **request):
        with self.opened(self.merged) as root, self.opened(self.upper) as upper:
            stdin = request.pop("stdin", subprocess.DEVNULL)
            return self.vrun.tree(verb, pass_fds=(root, upper), stdin=stdin, root=root, upper=upper, manifest=self.manifest, **request)


@pytest.fixture
def guest(vrun, loaded, disk):
    it = Guest(vrun, loaded, disk / "guest")
    yield it
    it.end()


def _members(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {m.name: m for m in tar}


def changes_are_told(guest):
    root = guest.merged
    assert guest.ask("diff").ok().out == b""
    (root / "new").mkdir()
    (root / "new/file").write_text("x")
    (root / "etc/motd").write_text("changed\n")
    (root / "etc/passwd").unlink()
    (root / "etc/first").chmod(0o600)
    out = guest.ask("diff").ok().out.decode()
    assert out == "C /etc\nC /etc/first\nC /etc/motd\nD /etc/passwd\nA /new\nA /new/file\n"
    assert {"Kind": "D", "Path": "/etc/passwd"} in json.loads(guest.ask("diff", json=True).ok().out)


def a_directory_made_anew_hides_the_old_one(guest):
    for name in ("busybox", *os.listdir(guest.merged / "bin")):
        (guest.merged / "bin" / name).unlink(missing_ok=True)
    (guest.merged / "bin").rmdir()
    (guest.merged / "bin").mkdir()
    (guest.merged / "bin/only").write_text("x")
    lines = guest.ask("diff").ok().out.decode().split("\n")
    assert "D /bin/busybox" in lines and "A /bin/only" in lines and "C /bin" in lines


def a_commit_is_an_image_with_one_more_layer(guest, vrun, loaded):
    root = guest.merged
    (root / "etc/motd").write_text("committed\n")
    os.chown(root / "etc/motd", 1000, 1001)
    os.utime(root / "etc/motd", ns=(10**18, 1234567890123456789))
    (root / "etc/passwd").unlink()
    os.link(root / "etc/motd", root / "etc/again")
    os.symlink("/etc/motd", root / "link")
    os.mkfifo(root / "pipe", 0o640)
    os.setxattr(root / "etc/motd", "user.note", b"hi")
    (root / "long").mkdir()
    (root / "long" / ("n" * 200)).write_text("long\n")
    (root / "long" / "ünïcode").write_text("u\n")
    with open(root / "sparse", "wb") as file:
        file.seek(50 << 20)
        file.write(b"end")
    for name in os.listdir(root / "old"):
        (root / "old" / name).unlink()
    (root / "old").rmdir()
    (root / "old").mkdir()
    (root / "old/fresh").write_text("f")
    id = guest.ask("commit", name="localhost/made:2", changes=['CMD ["cat", "/etc/motd"]'], message="why", author="me").ok().out
    seen = vrun.inspect("localhost/made:2")
    assert id.decode().strip() == seen["Id"] and seen["Author"] == "me"
    assert len(seen["RootFS"]["Layers"]) == 3 and seen["Config"]["Env"][-1] == "A=b"
    assert vrun("run", "--rm", "localhost/made:2").ok().out == "committed\n"
    script = ("ls /etc /old; stat -c '%u %g %Y %h' /etc/again; stat -c %s /sparse; cat /link; ls /long | cat; stat -c %F:%a /pipe")
    out = vrun("run", "--rm", "localhost/made:2", "sh", "-c", script).ok().out
    assert "passwd" not in out and "fresh" in out and "file\n" not in out
    assert "1000 1001 1234567890 2\n" in out and f"{(50 << 20) + 3}\n" in out and "n" * 200 in out
    assert "fifo:640" in out
    layer = vrun.data / "images/layers" / seen["RootFS"]["Layers"][2][7:]
    assert (layer / "long/ünïcode").exists()
    assert os.stat(layer / "sparse").st_blocks * 512 < 1 << 20, "holes stay holes"
    assert os.getxattr(layer / "etc/motd", "user.note") == b"hi"
    assert os.stat(layer / "etc/motd").st_mtime_ns == 1234567890123456789
    vrun("image", "fsck").ok()


def others_understand_a_commit(guest, vrun, podman, work):
    (guest.merged / "etc/passwd").unlink()
    (guest.merged / "etc/motd").write_text("ours\n")
    guest.ask("commit", name="localhost/made:3").ok()
    vrun("save", "-o", work / "d.tar", "localhost/made:3").ok()
    podman("load", "-q", "-i", work / "d.tar")
    made = podman("create", "localhost/made:3").strip()
    where = podman("export", "-o", work / "x.tar", made)
    with tarfile.open(work / "x.tar") as tar:
        names = tar.getnames()
        assert tar.extractfile("etc/motd").read() == b"ours\n" and "etc/passwd" not in names, where


def commits_without_a_name_are_kept(guest, vrun):
    id = guest.ask("commit").ok().out.decode().strip()
    vrun("image", "prune", "-f").ok()
    assert vrun.inspect(id)["RepoTags"] == [f"localhost/committed:{id[7:19]}"]
    guest.ask("commit", changes=["FROM x"]).fails("'FROM' cannot be used here", rc=125)
    guest.ask("commit", name="Upper").fails("must be lower case", rc=125)


def an_export_is_the_whole_tree(guest):
    (guest.merged / "etc/motd").write_text("exported\n")
    os.chown(guest.merged / "etc/motd", FIRST + 7, FIRST + 8)
    os.chown(guest.merged / "etc/passwd", 5, 5)
    tools.run("mount", "-t", "tmpfs", "none", guest.merged / "tmp")
    try:
        (guest.merged / "tmp/inside").write_text("x")
        members = _members(guest.ask("export", ids=IDS).ok().out)
    finally:
        tools.run("umount", guest.merged / "tmp")
    assert (members["etc/motd"].uid, members["etc/motd"].gid) == (7, 8), "ids are shifted back"
    assert members["etc/passwd"].uid == 65534, "what is nobody's inside is nobody's"
    assert "tmp" in members and "tmp/inside" not in members, "mounts are left out"
    assert members["etc/second"].islnk() or members["etc/first"].islnk()
    assert "old/file" not in members


def files_come_out(guest, work):
    (guest.merged / "etc/motd").chmod(0o4755)
    guest.ask("copy-out", path="/etc/motd", file=str(work / "here")).ok()
    assert (work / "here").read_text() == "hello\n"
    assert os.stat(work / "here").st_mode & 0o7777 == 0o755, "no set-user-id program of a guest's on the host"
    (work / "dir").mkdir()
    guest.ask("copy-out", path="/etc", file=str(work / "dir")).ok()
    assert (work / "dir/etc/motd").exists()
    guest.ask("copy-out", path="/etc/.", file=str(work / "dir")).ok()
    assert (work / "dir/motd").exists()
    guest.ask("copy-out", path="/etc", file=str(work / "new")).ok()
    assert (work / "new/motd").exists()
    members = _members(guest.ask("copy-out", path="/etc", file="-").ok().out)
    assert "etc/motd" in members and "etc" in members
    guest.ask("copy-out", path="/missing", file=str(work / "x")).fails("cp:", "/missing", "no such file", rc=125)
    guest.ask("copy-out", path="/etc", file=str(work / "here")).fails("is not a directory", rc=125)
    guest.ask("copy-out", path="/etc/motd", file=f"{work}/absent/").fails("no directory", rc=125)
    assert not (work / "x").exists()


def files_go_in(guest, work):
    os.chown(guest.merged, FIRST, FIRST)
    (work / "src/sub").mkdir(parents=True)
    (work / "src/a").write_text("a\n")
    (work / "src/sub/.wh.b").write_text("b\n")
    os.chown(work / "src/a", 33, 33)
    guest.ask("copy-in", path="/tmp", file=str(work / "src"), ids=IDS).ok()
    assert (guest.merged / "tmp/src/a").read_text() == "a\n"
    assert (guest.merged / "tmp/src/sub/.wh.b").read_text() == "b\n", "no whiteout here"
    st = os.stat(guest.merged / "tmp/src/a")
    assert (st.st_uid, st.st_gid) == (FIRST, FIRST), "the guest's root owns it"
    guest.ask("copy-in", path="/tmp/kept", file=str(work / "src/a"), ids=IDS, keepOwners=True).ok()
    assert os.stat(guest.merged / "tmp/kept").st_uid == FIRST + 33
    guest.ask("copy-in", path="/etc/motd", file=str(work / "src/a"), ids=IDS).ok()
    assert (guest.merged / "etc/motd").read_text() == "a\n"
    guest.ask("copy-in", path="/etc/motd", file=str(work / "src"), ids=IDS).fails("is not a directory", rc=125)
    guest.ask("copy-in", path="/no/where", file=str(work / "src/a"), ids=IDS).fails("no such file", rc=125)
    guest.ask("copy-in", path="/tmp", file=str(work / "absent"), ids=IDS).fails("absent", rc=125)
    guest.ask("copy-in", path="/", file=str(work / "src") + "/.", ids=IDS).ok()
    assert (guest.merged / "a").exists() and (guest.merged / "sub").is_dir()


def a_tar_goes_in_from_stdin(guest, work):
    with tarfile.open(work / "x.tar", "w:gz") as tar:
        for name, uid in (("d/one", 5), ("two", 0)):
            member = tarfile.TarInfo(name)
            member.size, member.uid = 2, uid
            tar.addfile(member, io.BytesIO(b"x\n"))
    with open(work / "x.tar", "rb") as stdin:
        guest.ask("copy-in", path="/tmp", file="-", ids=IDS, stdin=stdin).ok()
    assert os.stat(guest.merged / "tmp/d/one").st_uid == FIRST + 5
    for name in ("../evil", "/../evil"):
        with tarfile.open(work / "x.tar", "w") as tar:
            tar.addfile(tarfile.TarInfo(name))
        with open(work / "x.tar", "rb") as stdin:
            guest.ask("copy-in", path="/tmp", file="-", ids=IDS, stdin=stdin).fails("'..' in a path", rc=125)


def links_of_a_guest_lead_nowhere_else(guest, work):
    """Absolute and dotted links, as source, as destination, and in the middle of both."""
    secret = work / "secret"
    secret.mkdir()
    (secret / "key").write_text("host's\n")
    root = guest.merged
    for name, target in (("abs", str(secret)), ("dots", "../" * 30 + str(secret)[1:]), ("file", str(secret / "key")),
                         ("proc", "/proc/self/root"), ("loop", "loop")):
        os.symlink(target, root / name)
    (work / "out").mkdir()
    for path in ("/abs/key", "/dots/key", "/abs/", "/proc/etc/passwd", "/loop", "/abs/../abs/key"):
        done = guest.ask("copy-out", path=path, file=str(work / "out"), followLink=True)
        assert done.rc == 125 and not list((work / "out").iterdir()), (path, done)
    guest.ask("copy-out", path="/file", file=str(work / "out")).ok()
    assert os.readlink(work / "out/file") == str(secret / "key"), "the link itself, without -L"
    (work / "evil").write_text("guest's\n")
    for path in ("/abs", "/abs/key", "/dots/key", "/file", "/proc/tmp/x"):
        guest.ask("copy-in", path=path, file=str(work / "evil"), ids=IDS)
        assert (secret / "key").read_text() == "host's\n" and os.listdir(secret) == ["key"], path
    # A link that is in the tar itself, and then a file through it.
    with tarfile.open(work / "x.tar", "w") as tar:
        link = tarfile.TarInfo("way")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        tar.addfile(link)
        member = tarfile.TarInfo("way/key")
        member.size = 2
        tar.addfile(member, io.BytesIO(b"x\n"))
    with open(work / "x.tar", "rb") as stdin:
        guest.ask("copy-in", path="/tmp", file="-", ids=IDS, stdin=stdin)
    assert (secret / "key").read_text() == "host's\n"


def nothing_is_copied_into_the_kernels_file_systems(guest, work):
    (guest.merged / "proc").mkdir()
    tools.run("mount", "-t", "proc", "proc", guest.merged / "proc")
    try:
        os.symlink("/proc/sys/kernel", guest.merged / "data")
        (work / "domainname").write_text("evil\n")
        done = guest.ask("copy-in", path="/data", file=str(work / "domainname"), ids=IDS)
        done.fails("is a file system of the kernel's", rc=125)
    finally:
        tools.run("umount", guest.merged / "proc")


def a_guest_that_swaps_names_gains_nothing(guest, work):
    """While files are copied out of and into a directory, the guest turns it into a link to the host's and back."""
    secret = work / "secret"
    secret.mkdir()
    (secret / "key").write_text("host's\n")
    root = guest.merged
    (root / "a").mkdir()
    (root / "a/key").write_text("guest's\n")
    os.symlink(secret, root / "b")
    (work / "put").write_text("guest's\n")
    stop = work / "stop"
    code = ("import ctypes, os, sys\nlibc = ctypes.CDLL(None)\nroot = sys.argv[1].encode()\n"
            "while not os.path.exists(sys.argv[2]):\n    libc.renameat2(-100, root + b'/a', -100, root + b'/b', 2)\n")
    swapper = subprocess.Popen(["/usr/bin/python3", "-c", code, root, stop])
    try:
        for round in range(40):
            out = work / f"out{round}"
            guest.ask("copy-out", path="/a/key", file=str(out))
            assert not out.exists() or out.read_text() == "guest's\n"
            guest.ask("copy-in", path="/a/key", file=str(work / "put"), ids=IDS)
            assert (secret / "key").read_text() == "host's\n" and os.listdir(secret) == ["key"]
    finally:
        stop.touch()
        swapper.wait()
