"""guest export and import: a whole guest to another host; archives of strangers."""
import io
import json
import os
import signal
import subprocess
import tarfile
import time

import pytest

from harness import everyday, runtime

from .snapshots_test import NONE, _guest, _hidden, _sh, vrun  # noqa: F401


class Other(everyday.Vrun):
    """Another host: another data folder on the same disk."""

    def __init__(self, vrun):
        super().__init__(vrun.data.parent)
        self.data, self.run_dir = vrun.data.parent / "other-data", vrun.data.parent / "other-run"
        self.env = {**os.environ, "VRUN_DATA_DIR": str(self.data), "VRUN_RUN_DIR": str(self.run_dir)}


@pytest.fixture
def other(vrun):
    it = Other(vrun)
    yield it
    kept = it("ps", "-aq").out.split()
    if kept:
        it("rm", "-f", "-v", *kept).ok()
    assert not it.left()


def _nothing(vrun):
    vrun("ps").ok()
    guests = vrun.data / "guests/default"
    assert not guests.exists() or os.listdir(guests) == []
    assert vrun("volume", "ls", "-q").ok().out == ""


@pytest.mark.parametrize("running", [True, False])
def a_guest_moves_to_another_host(vrun, other, work, running):
    _guest(vrun, "sleep 1000", "-v", "box:/box", "-v", "/own", "-e", "KEY=value", "--label", "a=1")
    _sh(vrun, "cd /root; echo data >a; ln a b; chown 5:6 a; chmod 4751 a; truncate -s 1G sparse; echo end >>sparse; rm /etc/shells; rm -r /usr/share 2>/dev/null;"
              "mkdir -p /usr/share; touch /usr/share/new; mkfifo fifo; echo v >/box/v; chown 3:4 /box/v; echo o >/own/o; echo 0123456789abcdef0123456789abcdef >/etc/machine-id")
    if not running:
        vrun("stop", "-t", "0", "web").ok()
    archive = work / "web.tar"
    vrun("guest", "export", "web", "-o", archive).ok()
    assert archive.stat().st_mode & 0o777 == 0o600 and archive.stat().st_size < 1 << 20
    assert not _hidden(vrun)
    assert other("guest", "import", "-i", archive).ok().out == "web\n"
    assert other.state("web")["status"] == "created"
    other("start", "web").ok()
    out = _sh(other, "cd /root; cat a b; stat -c %u:%g:%a:%h a; tail -c 4 sparse; [ $(du -k sparse | cut -f1) -lt 1000 ] && echo holes; ls /etc/shells 2>/dev/null; ls /usr/share; cat /box/v /own/o; stat -c %u:%g /box/v;"
                     "echo $KEY; cat /etc/machine-id; test -p fifo && echo fifo")
    assert out == "data\ndata\n5:6:4751:2\nend\nholes\nnew\nv\no\n3:4\nvalue\n0123456789abcdef0123456789abcdef\nfifo\n"
    assert other.inspect("web")["request"]["labels"] == ["a=1"]
    assert other.inspect("web")["id"] != vrun.inspect("web")["id"]
    other("guest", "import", "-i", archive).fails("here already: volume box", rc=125)
    other("guest", "import", "-i", archive, "--rename-volumes").fails("guest 'web' already exists", rc=125)
    other("guest", "import", "-i", archive, "--name", "two", "--rename-volumes").ok()
    assert {"box", "two-box"} <= set(other("volume", "ls", "-q").ok().out.split())
    other("rm", "-f", "-v", "web", "two").ok()
    other("volume", "prune", "--all", "--force").ok()
    _nothing(other)


def pipes_and_snapshots_work_as_well(vrun, other):
    _guest(vrun)
    _sh(vrun, "echo then >/f")
    vrun("snapshot", "create", "web", "s").ok()
    _sh(vrun, "echo now >/f")
    script = f"VRUN_DATA_DIR={vrun.data} VRUN_RUN_DIR={vrun.run_dir} {vrun.program} guest export web@s | gzip | " \
             f"VRUN_DATA_DIR={other.data} VRUN_RUN_DIR={other.run_dir} {other.program} guest import --name moved"
    done = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "moved\n"), done
    other("start", "moved").ok()
    assert _sh(other, "cat /f", "moved") == "then\n"


def the_image_is_named_when_it_is_missing_and_comes_along_when_asked(vrun, other, work):
    vrun("run", "--name", "maker", *NONE, "base", "sh", "-c", "echo made >/made").ok()
    vrun("commit", "maker", "mine:1").ok()
    vrun("create", "--name", "web", *NONE, "mine:1", "sleep", "1000").ok()
    vrun("guest", "export", "web", "-o", work / "without.tar").ok()
    out = other("guest", "import", "-i", work / "without.tar").fails("is not here", rc=125)
    assert "vrun save" in out.err and "--with-image" in out.err and "sha256:" in out.err
    _nothing(other)
    vrun("guest", "export", "--with-image", "web", "-o", work / "with.tar").ok()
    other("guest", "import", "-i", work / "with.tar").ok()
    other("start", "web").ok()
    assert _sh(other, "cat /made") == "made\n"


# ---- archives of strangers ----

def _archive(vrun, work, *flags):
    vrun("create", "--name", "plain", *NONE, *flags, "base", "sleep", "1000").ok()
    vrun("guest", "export", "plain", "-o", work / "plain.tar").ok()
    vrun("rm", "-v", "plain").ok()
    return work / "plain.tar"


def _changed(plain, path, drop=(), add=(), replace=None):
    """The archive with entries left out, exchanged (name -> bytes) and added ((TarInfo fields, bytes))."""
    with tarfile.open(plain) as old, tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as new:
        for entry in old:
            if entry.name in drop:
                continue
            data = old.extractfile(entry).read() if entry.isreg() else b""
            data = (replace or {}).get(entry.name, data)
            entry.size = len(data)
            new.addfile(entry, io.BytesIO(data))
        for fields, data in add:
            entry = tarfile.TarInfo(fields.pop("name"))
            for key, value in fields.items():
                setattr(entry, key, value)
            entry.size = fields.get("size", len(data))
            new.addfile(entry, io.BytesIO(data))
    return path


LINK, HARD, DEVICE, DIR = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE
HOSTILE = {
    "dots": (dict(add=[(dict(name="upper/../../../../escape"), b"x")]), "'..' in a path"),
    "link_to_the_host": (dict(drop=["guest.json"], add=[(dict(name="guest.json", type=LINK, linkname="/etc/shadow"), b"")]), "guest.json"),
    "facts_are_a_link": (dict(drop=["vrun-guest.json"], add=[(dict(name="vrun-guest.json", type=LINK, linkname="/etc/shadow"), b"")]), "only archives of"),
    "upper_is_a_link": (dict(drop=["upper"], add=[(dict(name="upper", type=LINK, linkname="/etc"), b"")]), "upper"),
    "upper_is_missing": (dict(drop=["upper"]), "upper"),
    "forged_attribute": (dict(add=[(dict(name="upper/x", pax_headers={"SCHILY.xattr.trusted.overlay.redirect": "/etc"}), b"x")]), "forged overlay attribute"),
    "hard_link_out": (dict(add=[(dict(name="upper/x", type=HARD, linkname="../../../../etc/shadow"), b"")]), "upper/x"),
    "no_facts": (dict(drop=["vrun-guest.json"]), "only archives of"),
    "newer": (dict(replace={"vrun-guest.json": b'{"format":"vrun-guest","version":2,"architecture":"amd64","manifest":"sha256:00"}'}), "version"),
    "other_machine": (dict(replace={"vrun-guest.json": b'{"format":"vrun-guest","version":1,"architecture":"sparc","manifest":"sha256:00"}'}), "sparc"),
    "no_json": (dict(replace={"guest.json": b"{"}), "guest.json"),
    "foreign_name": (dict(replace={"guest.json": b'{"version":1,"id":"x","name":"../../x","tenant":"","desired":"stopped","request":{"network":"none","isolation":"container","sigProxy":true}}'}), "not a name for a guest"),
    "volume_of_nobody": (dict(replace=None, add=[(dict(name="volumes/0", type=DIR), b"")]), None),
}


@pytest.mark.parametrize("case", sorted(HOSTILE))
def hostile_archives_reach_nothing_and_leave_nothing(vrun, work, case):
    change, words = HOSTILE[case]
    change = {k: ([(dict(f), d) for f, d in v] if k == "add" else v) for k, v in change.items()}
    bad = _changed(_archive(vrun, work), work / "bad.tar", **change)
    out = vrun("guest", "import", "-i", bad)
    if words is None:
        out.ok()  # what nothing names is dropped
        assert vrun("ps", "-aq").ok().out.count("\n") == 1
        vrun("rm", "plain").ok()
    else:
        assert out.rc == 125 and words in out.err, out
        assert "root:" not in out.err, "nothing of the host is shown"
    _nothing(vrun)
    assert not (work / "escape").exists() and not (vrun.data / "escape").exists()


def devices_and_absurd_sizes_are_as_in_layers(vrun, work):
    plain = _archive(vrun, work)
    bad = _changed(plain, work / "device.tar", add=[(dict(name="upper/disk", type=DEVICE, devmajor=8, devminor=0, mode=0o666), b"")])
    assert "1 device nodes left out" in vrun("guest", "import", "-i", bad).ok().err
    assert not (vrun.data / "guests/default/plain/upper/disk").exists()
    vrun("rm", "plain").ok()
    with tarfile.open(plain) as old:
        head = [(e, old.extractfile(e).read() if e.isreg() else b"") for e in old]
    with open(work / "huge.tar", "wb") as f:
        for entry, data in head:
            f.write(entry.tobuf() + data + b"\0" * (-len(data) % 512))
        huge = tarfile.TarInfo("upper/huge")
        huge.size = 1 << 50
        f.write(huge.tobuf(format=tarfile.GNU_FORMAT))
    assert vrun("guest", "import", "-i", work / "huge.tar").rc == 125
    for size in (0, 100, 512, 3000):  # cut off anywhere
        (work / "cut.tar").write_bytes(plain.read_bytes()[:size])
        assert vrun("guest", "import", "-i", work / "cut.tar").rc == 125, size
    (work / "rubbish").write_bytes(os.urandom(100_000))
    assert vrun("guest", "import", "-i", work / "rubbish").rc == 125
    _nothing(vrun)


def what_the_configuration_asks_of_the_host_is_refused_unless_trusted(vrun, work):
    shared = work / "shared"
    shared.mkdir()
    plain = _archive(vrun, work, "-v", f"{shared}:/shared", "--cap-add", "NET_ADMIN", "--pid", "host", "--device", "/dev/null")
    out = vrun("guest", "import", "-i", plain).fails("asks of this host", rc=125)
    for word in (f"--volume {shared}:/shared", "--cap-add NET_ADMIN", "--pid host", "--device /dev/null"):
        assert word in out.err, (word, out)
    _nothing(vrun)
    shared.rmdir()
    vrun("guest", "import", "-i", plain, "--trust").fails(str(shared), rc=125)
    _nothing(vrun)
    shared.mkdir()
    vrun("guest", "import", "-i", plain, "--trust").ok()
    assert vrun.inspect("plain")["request"]["volumes"] == [f"{shared}:/shared"]


def secrets_of_this_host_are_not_given_to_a_strangers_guest(vrun, work):
    plain = _archive(vrun, work)
    with tarfile.open(plain) as old:
        record = json.loads(old.extractfile("guest.json").read())
    record["request"]["contents"] = ["secret:db:/run/secret"]
    bad = _changed(plain, work / "bad.tar", replace={"guest.json": json.dumps(record).encode()})
    vrun("guest", "import", "-i", bad).fails("secret:db", rc=125)
    _nothing(vrun)


def the_tenants_policy_holds_for_what_comes_in(vrun, work):
    plain = _archive(vrun, work, "--cap-add", "NET_ADMIN")
    vrun("tenant", "create", "strict").ok()
    try:
        vrun("--tenant", "strict", "guest", "import", "-i", plain, "--trust").fails("NET_ADMIN", rc=125)
        assert vrun("--tenant", "strict", "ps", "-aq").ok().out == "" and not _hidden(vrun, "strict")
    finally:
        vrun("tenant", "rm", "--force", "strict").ok()


def a_killed_import_leaves_nothing(vrun, other, work):
    _guest(vrun, "sleep 1000", "-v", "box:/box")
    _sh(vrun, "mkdir /many; i=0; while [ $i -lt 1500 ]; do echo $i >/many/$i; i=$((i+1)); done; echo v >/box/v")
    archive = work / "web.tar"
    vrun("guest", "export", "web", "-o", archive).ok()
    begin = time.monotonic()
    other("guest", "import", "-i", archive, "--name", "whole").ok()
    whole = time.monotonic() - begin
    other("rm", "whole").ok()
    other("volume", "rm", "box").ok()
    killed = 0
    for i in range(1, 21):
        process = other.start("guest", "import", "-i", archive, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(whole * i / 20)  # not a wait: the moment of the kill is what is tried
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        runtime.wait_for(lambda: not other.processes(), "the helper has ended")
        if other("ps", "-aq").ok().out:
            assert len(os.listdir(other.data / "guests/default/web/upper/many")) == 1500
            other("rm", "web").ok()
            other("volume", "rm", "box").ok()
        _nothing(other)
    assert killed > 5
