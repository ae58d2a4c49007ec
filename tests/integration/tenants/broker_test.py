"""vrun-broker: admins of a tenant work without root, in that tenant only, whatever they send."""
import array
import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from harness import everyday, runtime

from .tenants_test import NONE, acme, vrun  # noqa: F401

# Users that every Debian has; what they are for does not matter.
ALICE, BOB, EVE = ("nobody", 65534, 65534), ("daemon", 1, 1), ("bin", 2, 2)


class Broker:
    def __init__(self, vrun, a, b):
        self.vrun, self.a, self.b = vrun, a, b
        self.path = f"/tmp/{a}/socket"

    def env(self):
        return {"PATH": "/usr/bin:/bin", "VRUN_BROKER": self.path, "HOME": "/nonexistent", "TERM": "dumb"}

    def command(self, user, *words):
        return ["/usr/bin/setpriv", "--reuid", str(user[1]), "--regid", str(user[2]), "--clear-groups", "--no-new-privs", self.vrun.program, *map(str, words)]

    def __call__(self, user, *words, input="", env=None, cwd="/", timeout=60):
        done = subprocess.run(self.command(user, *words), input=input, capture_output=True, text=True, timeout=timeout, env={**self.env(), **(env or {})}, cwd=cwd)
        return runtime.Result([user[0], *words], done.returncode, done.stdout, done.stderr)

    def raw(self, user, packet, fds=(0, 1, 2)):
        """What the broker answers to these bytes; None: nothing."""
        script = ("import socket,array,sys,json\ns=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET)\ns.connect(sys.argv[1])\n"
                  "s.settimeout(20)\nfds=array.array('i',json.loads(sys.argv[2]))\n"
                  "s.sendmsg([sys.stdin.buffer.read()],[(socket.SOL_SOCKET,socket.SCM_RIGHTS,fds)] if len(fds) else [])\nsys.stderr.write(s.recv(1<<17).decode())")
        bare = ["/usr/bin/setpriv", "--reuid", str(user[1]), "--regid", str(user[2]), "--clear-groups", "/usr/bin/python3", "-c", script, self.path, json.dumps(list(fds))]
        done = subprocess.run(bare, input=packet, capture_output=True, timeout=60, env=self.env(), cwd="/")
        return json.loads(done.stderr) if done.stderr.startswith(b"{") else None

    def ask(self, user, tenant, *words):
        return self.raw(user, json.dumps({"version": 1, "tenant": tenant, "words": list(words)}).encode())


@pytest.fixture
def broker(vrun, acme):
    it = Broker(vrun, acme, acme + "b")
    vrun("tenant", "create", it.a, "--admin", "user:nobody").ok()
    vrun("tenant", "create", it.b, "--admin", "group:daemon").ok()
    program = Path(vrun.program).with_name("vrun-broker")
    server = subprocess.Popen([program, "--socket", it.path], env=vrun.env, stdin=subprocess.DEVNULL)
    try:
        runtime.wait_for(lambda: Path(it.path).exists(), "the broker listens")
        yield it
        assert server.poll() is None, "the broker lives"
    finally:
        server.kill()
        server.wait()
        with contextlib.suppress(OSError):
            os.unlink(it.path)
        os.rmdir(Path(it.path).parent)


def an_admin_runs_guests_without_root(broker):
    out = broker(ALICE, "--tenant", broker.a, "run", "--rm", *NONE, "base", "sh", "-c", "id -u; cat; echo err >&2; exit 7", input="said\n")
    assert (out.out, out.err, out.rc) == ("0\nsaid\n", "err\n", 7)
    guest = broker(ALICE, "run", "--tenant", broker.a, "-d", "--name", "web", *NONE, "base", "sleep", "1000").ok().out.strip()
    assert guest in broker(ALICE, "ps", "-q", "--no-trunc", env={"VRUN_TENANT": broker.a}).ok().out
    assert broker(ALICE, "--tenant", broker.a, "exec", "web", "echo", "in").ok().out == "in\n"
    assert "state" in broker(ALICE, "tenant", "show", broker.a, "--format", "json").ok().out
    broker(ALICE, "tenant", "freeze", broker.a).ok()
    broker(ALICE, "tenant", "thaw", broker.a).ok()
    broker(ALICE, "tenant", "stop", broker.a, "--time", "0").ok()
    broker(ALICE, "--tenant", broker.a, "rm", "web").ok()


def a_group_makes_admins_by_the_groups_of_the_process(broker):
    broker(BOB, "--tenant", broker.b, "ps").ok()
    broker(ALICE, "--tenant", broker.b, "ps").fails("that you may manage", rc=125)


def a_stranger_learns_nothing(broker):
    words = {name: broker(EVE, "--tenant", name, "ps").fails(rc=125).err.replace(name, "X") for name in (broker.a, broker.b, "nothing")}
    assert words[broker.a] == words[broker.b] == words["nothing"]
    for tenant in ("default", "../" + broker.a, "", "a/b", broker.a + "\0", "x" * 5000):
        answer = broker.ask(EVE, tenant, "ps")
        assert answer is None or answer["code"] == 125, answer
    assert broker.ask(ALICE, "default", "ps")["code"] == 125


def without_a_broker_the_error_says_what_is_missing(broker):
    broker(ALICE, "--tenant", broker.a, "ps", env={"VRUN_BROKER": "/nonexistent/socket"}).fails("tenants need root or vrun-broker", rc=125)
    long = "/tmp/" + "x" * 120
    broker(ALICE, "--tenant", broker.a, "ps", env={"VRUN_BROKER": long}).fails(f"VRUN_BROKER: the name of the socket '{long}' is longer than 80 bytes", rc=125)


def admins_are_dismissed_at_once(broker):
    broker(ALICE, "--tenant", broker.a, "ps").ok()
    broker.vrun("tenant", "update", broker.a, "--remove-admin", "user:nobody").ok()
    broker(ALICE, "--tenant", broker.a, "ps").fails("that you may manage", rc=125)


def _verbs(vrun):
    """Every verb of the program, from its own help; a line of it that is no verb's would be seen."""
    found = []
    for line in vrun("--help").out.split("\nverbs:\n")[1].split("\n\n")[0].splitlines():
        if not line.startswith("  "):
            continue
        m = re.match(r"  ([a-z][a-z-]*(?: [a-z][a-z-]*){0,2})(?:  +| )\S", line)
        assert m or line.startswith("   "), f"is this a verb? {line!r}"
        if m:
            found.append(m.group(1))
    return found


# What each verb says of an object of the other tenant, where it takes more than its name. {g}: B's guest, {i}: its id,
# {n}: B's network, {v}: its volume, {img}: B's image, {b}: tenant B, {a}: the asker's own tenant. A verb that is in none of
# WORDS, NAMES_A_GUEST and NAMES_NOTHING fails the test: say here what it could be told.
WORDS = {
    "cp": [["{g}:/etc/passwd", "-"], ["{i}:/etc/passwd", "-"]],
    "exec": [["{g}", "true"], ["{i}", "true"], ["--privileged", "{g}", "true"]],
    "debug": [["{g}"], ["{i}"]],
    "rename": [["{g}", "mine"]],
    "commit": [["{g}", "mine"]],
    "network connect": [["{n}", "own"], ["default", "{g}"]],
    "network disconnect": [["{n}", "own"], ["default", "{g}"]],
    "run": [["--network", "container:{g}", "base", "true"], ["--network", "{n}", "base", "true"], ["--rm", "--pull", "never", "{img}", "true"]],
    "create": [["--network", "{n}", "--pull", "never", "{img}"], ["--pull", "never", "{img}"]],
    "plan": [["--pull", "never", "{img}"], ["--network", "container:{g}", "base"]],
    "tag": [["{img}", "mine"]], "image tag": [["{img}", "mine"]],
    "update": [["--pids-limit", "5", "{g}"]],
    "kill": [["{g}"], ["{i}"], ["-s", "STOP", "{g}"]],
    "tenant update": [["{b}", "--pids", "5"], ["{a}", "--pids", "none"]],
    "tenant create": [["other"]],
    "tenant rm": [["--force", "{b}"], ["--force", "{a}"]],
    "snapshot create": [["{g}"], ["{i}", "s"]], "snapshot ls": [["{g}"], ["{i}"]], "snapshot rm": [["{g}", "kept"], ["{g}@kept"]],
    "snapshot rollback": [["{g}@kept"], ["{i}", "kept"], ["--restart", "{g}@kept"]], "clone": [["{g}", "mine"], ["{g}@kept"], ["{i}"]],
    "guest export": [["{g}"], ["{g}@kept"]], "guest import": [["-i", "/etc/shadow"], ["--name", "x"]],
    **{f"tenant {verb}": [["{b}"], ["{a}", "{b}"]] for verb in ("show", "usage", "top", "freeze", "thaw", "stop", "export")},
    **{f"network {verb}": [["{n}"]] for verb in ("rm", "inspect")}, **{f"volume {verb}": [["{v}"]] for verb in ("rm", "inspect")},
    **{verb: [["{img}"]] for verb in ("rmi", "image rm", "image inspect", "history", "image history")},
    "apply": [["-f", "/etc/shadow"], ["-f", "-"]], "validate": [["-f", "/etc/shadow"]], "delete": [["-f", "/etc/shadow"]], "convert": [["-f", "/etc/shadow"]],
    "oci": [["list"], ["state", "{i}"], ["kill", "{i}"], ["delete", "--force", "{i}"]],
    "image build-disk": [["--from", "{img}", "-o", "/tmp/vrun-broker.raw"], ["--from", "/etc"]],
    "import": [["/etc/shadow", "x"]], "load": [["-i", "/etc/shadow"]], "save": [["{img}"]],
    "vm snapshot": [["{g}"], ["{i}", "s"]], "vm clone": [["{g}@kept", "mine"], ["{i}@kept"]],
    "push": [["{img}"]], "pull": [["{b}.invalid/x"]], "login": [["{b}.invalid"]], "logout": [["{b}.invalid"]],
}
NAMES_A_GUEST = {"start", "stop", "restart", "rm", "inspect", "logs", "attach", "wait", "top", "pause", "unpause", "port", "diff", "export", "stats", "shell", "machine-id", "checkpoint", "restore"}
NAMES_NOTHING = {"vm kernel ls", "vm kernel add", "vm kernel rm", "completion", "cron ls", "ps", "events", "info", "version", "doctor", "images", "image ls", "image prune", "image fsck", "system df", "system prune", "container prune",
                 "network create", "network ls", "network prune", "volume create", "volume ls", "volume prune", "tenant ls", "metrics"}
# These have no object, answer of their own tenant alone, or succeed for one that is not there.
OF_OWN = {"ps", "images", "image ls", "network ls", "network prune", "events", "stats", "version", "network create", "logout", "volume ls",
          "volume prune", "volume create", "container prune", "top", "login", "pull", "tenant top"}


def every_verb_of_one_admin_is_refused_on_the_objects_of_another_tenant(broker):
    vrun = broker.vrun
    b = lambda *w: vrun("--tenant", broker.b, *w).ok().out.strip()
    guest = b("run", "-d", "--name", "theirs", *NONE, "base", "sh", "-c", "echo secretlog; sleep 1000")
    b("network", "create", "theirnet")
    b("volume", "create", "theirvolume")
    b("tag", "base", "theirimage:1")
    b("snapshot", "create", "theirs", "kept")
    vrun("--tenant", broker.a, "run", "-d", "--name", "own", *NONE, "base", "sleep", "1000").ok()
    names = dict(g="theirs", i=guest, n="theirnet", v="theirvolume", img="theirimage:1", a=broker.a, b=broker.b)
    look = lambda: (b("inspect", "theirs"), b("snapshot", "ls", "--format", "json"), b("network", "inspect", "theirnet"), b("volume", "inspect", "theirvolume"), b("images"), vrun("tenant", "show", "--format", "json", broker.b).out)
    before = look()
    reached = []
    verbs = _verbs(vrun)
    assert len(verbs) >= 80 and "network disconnect" in verbs and "ps" in verbs, verbs
    unknown = set(verbs) - set(WORDS) - NAMES_A_GUEST - NAMES_NOTHING
    assert not unknown, f"verbs that nobody has thought about here: {sorted(unknown)}"
    for verb in verbs:
        words = verb.split()
        for more in WORDS.get(verb, [["{g}"], ["{i}"]]):
            more = [w.format(**names) for w in more]
            # In the other's tenant, by every way of saying so.
            for call in (["--tenant", broker.b, *words, *more], [*words, "--tenant", broker.b, *more], ["--tenant", broker.a, *words, f"--tenant={broker.b}", *more]):
                out = broker(ALICE, *call)
                if out.rc == 0 or "secretlog" in out.out:
                    reached.append((call, out))
            for raw in ([*words, "--tenant", broker.b, *more], [*words, f"-tenant={broker.b}", *more], ["--tenant", broker.b, *words, *more],
                        ["--data-dir", str(vrun.data), *words, *more], ["oci", *words, *more], ["guest-step", broker.b, guest, "start"]):
                answer = broker.ask(ALICE, broker.a, *raw)
                if answer is None or answer["code"] == 0:
                    reached.append((raw, answer))
            # The other's objects by their names and ids, in the asker's own tenant.
            if verb in OF_OWN:
                continue
            out = broker(ALICE, "--tenant", broker.a, *words, *more)
            if (out.rc == 0 and not (verb == "rm" and "-f" in more)) or "secretlog" in out.out:
                reached.append((verb, more, out))
    assert not reached, "\n".join(map(str, reached))
    assert look() == before, "nothing of B has changed"
    for verb in ("ps", "images", "network ls", "events --since 1h --until 1s"):
        out = broker(ALICE, "--tenant", broker.a, *verb.split())
        assert "their" not in out.out and guest[:12] not in out.out, out


def verbs_beyond_a_tenant_are_roots(broker):
    for words in (["info"], ["doctor"], ["restore"], ["system", "df"], ["system", "prune"], ["image", "prune"], ["image", "fsck"], ["image", "build-disk", "--from", "/etc"], ["tenant", "ls"],
                  ["tenant", "create", "x"], ["tenant", "update", broker.a, "--memory", "none"], ["tenant", "rm", broker.a], ["debug", "x"]):
        broker(ALICE, "--tenant", broker.a, *words).fails("is not for admins of a tenant", rc=125)


def addresses_of_networks_are_not_the_admins_to_choose(broker):
    broker(ALICE, "--tenant", broker.a, "network", "create", "--subnet", "8.8.8.0/24", "dns").fails("chosen by vrun or root", rc=125)
    broker(ALICE, "--tenant", broker.a, "network", "create", "mine").ok()
    broker(ALICE, "--tenant", broker.a, "network", "rm", "mine").ok()


def files_are_never_opened_with_roots_rights(broker, work):
    """What the client cannot read itself it cannot send; and words without what was sent are refused."""
    secret = work / "secret"
    secret.write_text("KEY=topsecret\n")
    secret.chmod(0o600)
    broker(ALICE, "--tenant", broker.a, "create", "--name", "own", *NONE, "base", "true").ok()
    run = ["run", "--rm", *NONE]
    for words in ([*run, "--env-file", secret, "base", "env"], [*run, f"--env-file={secret}", "base", "env"], ["create", "--env-file", secret, "base"],
                  [*run, "--label-file", secret, "base", "env"], ["save", "-o", work / "out", "base"], ["save", f"-o{work}/out", "base"],
                  ["load", "-i", secret], ["import", secret, "x"], ["export", "-o", work / "out", "own"], ["cp", secret, "own:/x"],
                  ["guest", "export", "-o", work / "out", "own"], ["guest", "import", "-i", secret], ["exec", "--env-file", secret, "own", "env"], ["apply", "-f", secret], ["validate", "-f", secret], ["delete", "-f", secret], ["convert", "-f", secret]):
        out = broker(ALICE, "--tenant", broker.a, *words)
        assert out.rc == 125 and "topsecret" not in out.out + out.err and "permission denied" in out.err.lower(), out
        answer = broker.ask(ALICE, broker.a, *map(str, words))
        assert answer["code"] != 0 and ("root would open for you" in answer["error"] or words[0] == "cp"), (words, answer)
    for words in ([*run, "--security-opt", f"seccomp={secret}", "base", "true"], [*run, "--cidfile", work / "id", "base", "true"],
                  [*run, "--isolation", "vm", "--disk", secret], [*run, "--isolation", "vm", "--kernel", secret, "base", "true"],
                  [*run, "--isolation", "vm", "--disk", secret, "--initrd", secret],
                  ["update", "--disk-add", secret, "own"]):
        broker(ALICE, "--tenant", broker.a, *words).fails("root would open for you", rc=125)
    broker(ALICE, "--tenant", broker.a, "update", "--volume-add", f"{secret}:/x", "own").fails(rc=125)
    broker(ALICE, "--tenant", broker.a, "update", "--volume-add", "./x:/x", "own").fails("directory is not known", rc=125)
    assert not (work / "out").exists()


@pytest.fixture
def own():
    """A directory of the caller's, that root's vrun would not know by its relative names."""
    top = Path(subprocess.run(["mktemp", "-d", "/tmp/vrun-own-XXXXXX"], capture_output=True, text=True, check=True).stdout.strip())
    os.chown(top, ALICE[1], ALICE[2])
    yield top
    subprocess.run(["rm", "-rf", top], check=True)


def _written(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    os.chown(path, ALICE[1], ALICE[2])
    return path


def files_and_variables_of_the_caller_come_with_the_call(broker, own):
    _written(own / "env", "A=from file\nFROM_ME\n")
    _written(own / "labels", "tier=front\n")
    out = broker(ALICE, "--tenant", broker.a, "run", "--rm", *NONE, "--env-file", "env", "-e", "MINE", "-e", "MISSING", "-e", "HOME", "base", "env", cwd=own,
                 env={"FROM_ME": "passed on", "MINE": "two\nlines", "SECRET": "stays", "HOME": "/own"}).ok().out
    assert "A=from file\n" in out and "FROM_ME=passed on\n" in out and "MINE=two\nlines\n" in out and "HOME=/own\n" in out
    assert "MISSING" not in out and "SECRET" not in out and "VRUN_" not in out
    broker(ALICE, "--tenant", broker.a, "run", "-d", "--name", "web", *NONE, "--label-file", "./labels", "base", "sleep", "1000", cwd=own).ok()
    assert "web" in broker(ALICE, "--tenant", broker.a, "ps", "--filter", "label=tier=front").ok().out
    assert "X=5\n" in broker(ALICE, "--tenant", broker.a, "exec", "-e", "X", "web", "env", cwd=own, env={"X": "5"}).ok().out
    assert "A=from file\n" in broker(ALICE, "--tenant", broker.a, "exec", "--env-file", own / "env", "web", "env").ok().out


def archives_are_the_callers_own_files(broker, own):
    broker(ALICE, "--tenant", broker.a, "save", "-o", "base.tar", "base", cwd=own).ok()
    assert (own / "base.tar").stat().st_uid == ALICE[1] and (own / "base.tar").stat().st_size > 1000
    broker(ALICE, "--tenant", broker.a, "load", "-i", "base.tar", cwd=own).ok()
    broker(ALICE, "--tenant", broker.a, "create", "--name", "web", *NONE, "base").ok()
    broker(ALICE, "--tenant", broker.a, "export", "-o", "web.tar", "web", cwd=own).ok()
    broker(ALICE, "--tenant", broker.a, "import", "web.tar", "again", cwd=own).ok()
    assert "again" in broker(ALICE, "--tenant", broker.a, "images").ok().out
    # What failed leaves no half archive.
    broker(ALICE, "--tenant", broker.a, "save", "-o", "none.tar", "nothing-such", cwd=own).fails(rc=125)
    assert not (own / "none.tar").exists()
    for target in ("/etc/none.tar", "/none.tar"):
        assert "permission denied" in broker(ALICE, "--tenant", broker.a, "save", "-o", target, "base").fails(rc=125).err.lower()


def cp_takes_and_makes_files_of_the_caller(broker, own):
    a = lambda *w, **k: broker(ALICE, "--tenant", broker.a, *w, cwd=own, **k)
    a("run", "-d", "--name", "web", *NONE, "base", "sh", "-c", "mkdir -p /src/sub; echo deep >/src/sub/f; echo one >/one; ln -s /etc/passwd /src/link; sleep 1000").ok()
    runtime.wait_for(lambda: "link" in a("exec", "web", "ls", "/src").out, "it is made")
    a("cp", "web:/one", "here").ok()
    a("cp", "web:/one", ".").ok()
    assert (own / "here").read_text() == (own / "one").read_text() == "one\n" and (own / "one").stat().st_uid == ALICE[1]
    a("cp", "web:/src", "new").ok()
    a("cp", "web:/src", ".").ok()
    (own / "flat").mkdir()
    os.chown(own / "flat", ALICE[1], ALICE[2])
    a("cp", "web:/src/.", "flat").ok()
    assert {(own / d / "sub/f").read_text() for d in ("new", "src", "flat")} == {"deep\n"}
    assert os.readlink(own / "new/link") == "/etc/passwd"
    a("cp", "web:/src", "here").fails(rc=125)  # a file is in its place
    a("cp", "web:/one", "nothing/").fails(rc=125)
    assert not (own / "nothing").exists()
    _written(own / "mine", "mine\n")
    a("cp", "mine", "web:/etc/").ok()
    a("cp", "mine", "web:/renamed").ok()
    a("cp", own / "src", "web:/copied").ok()
    a("cp", "src/.", "web:/tmp").ok()
    out = a("exec", "web", "sh", "-c", "cat /etc/mine /renamed /copied/sub/f /tmp/sub/f; stat -c %u /etc/mine /copied/sub/f").ok().out
    assert out == "mine\nmine\ndeep\ndeep\n0\n0\n"
    assert "permission denied" in a("cp", "/etc/shadow", "web:/x").fails().err.lower()
    assert "permission denied" in a("cp", "web:/one", "/etc/vrun-was-here").fails().err.lower()
    a("cp", "web:/nothing", "new").fails(rc=125)


def manifests_are_read_by_the_caller(broker, own):
    a = lambda *w, **k: broker(ALICE, "--tenant", broker.a, *w, cwd=own, **k)
    _written(own / "key", "hush")
    shop = ("apiVersion: vrun/v1\nkind: Config\nname: key\nfiles: {key: key}\n---\napiVersion: vrun/v1\nkind: Guest\nname: web\nimage: base\n"
            "network: none\ncommand: [sh, -c, 'cat /run/configs/key/key; sleep 1000']\nconfigs: [{name: key}]\n")
    _written(own / "shop.yaml", shop)
    a("validate", "-f", "shop.yaml").ok()
    a("apply", "-f", "shop.yaml").ok()
    assert a("exec", "web", "cat", "/run/configs/key/key").ok().out == "hush"
    assert a("diff", "-f", "shop.yaml").rc == 0
    out = a("apply", "-f", "-", "--manifest", "shop", input=shop.replace("sleep 1000", "sleep 2000")).ok().out
    assert "web" in out
    a("delete", "-f", "shop.yaml").ok()
    assert not a("ps", "-aq").ok().out
    # What its flags may not, neither may its manifests.
    _written(own / "net.yaml", "apiVersion: vrun/v1\nkind: Network\nname: dns\nsubnets: [8.8.8.0/24]\n")
    a("apply", "-f", "net.yaml").fails("chosen by vrun or root", rc=125)
    vm = "{isolation: vm, image: base, kernel: /etc/shadow}"
    for kind, text in (("Guest", vm), ("CronJob", f"{{schedule: '@daily', job: {vm}}}"), ("Group", "{guests: [{name: a, image: base}, {name: b, image: base, isolation: vm, kernel: ./shadow}]}")):
        _written(own / "sys.yaml", text.replace("{", f"{{apiVersion: vrun/v1, kind: {kind}, name: sys, ", 1))
        a("apply", "-f", "sys.yaml").fails("kernel names a file, which root would open for you", rc=125)
    for field, text in (("disks", "{isolation: vm, disks: [/etc/shadow]}"), ("initrd", "{isolation: vm, image: base, initrd: /etc/shadow}")):
        _written(own / "sys.yaml", text.replace("{", "{apiVersion: vrun/v1, kind: Guest, name: sys, ", 1))
        a("apply", "-f", "sys.yaml").fails(f"{field} names a file, which root would open for you", rc=125)
    _written(own / "steal.yaml", "apiVersion: vrun/v1\nkind: Secret\nname: s\nfiles: {key: /etc/shadow}\n")
    assert "permission denied" in a("apply", "-f", "steal.yaml").fails(rc=125).err.lower()


def only_a_sealed_memory_file_is_taken_for_files(broker, own):
    """A descriptor of another kind cannot block, change or reach anything: it is refused before vrun starts."""
    script = r"""
import array, json, os, socket, sys
import fcntl
def sealed(data, seals=0xE):
    fd = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    fcntl.fcntl(fd, 1033, seals)
    return fd
os.mkfifo("fifo")
record = lambda *texts: b"f" + b"".join(len(t).to_bytes(4, "little") + t for t in texts)
kinds = {"fifo": os.open("fifo", os.O_RDWR), "directory": os.open("/", os.O_RDONLY), "path": os.open("/etc/passwd", os.O_PATH), "file": os.open("/etc/passwd", os.O_RDONLY),
         "mem": os.open("/proc/self/mem", os.O_RDWR), "zero": os.open("/dev/zero", os.O_RDONLY), "socket": socket.socketpair()[0].fileno(),
         "open memfd": sealed(record(b"/e", b"/e", b"A=1"), 0x2), "cut": sealed(record(b"/e", b"/e", b"A=1")[:-2]), "unknown": sealed(b"zzzz"),
         "large": sealed(b"\0" * (21 << 20)), "lying": sealed(b"f\xff\xff\xff\xff")}
for name, fd in kinds.items():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(sys.argv[1])
    s.settimeout(20)
    words = json.dumps({"version": 1, "tenant": sys.argv[2], "words": ["run", "--rm", "--network", "none", "--env-file", "/e", "base", "env"]})
    s.sendmsg([words.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2, fd]))])
    print(json.dumps([name, json.loads(s.recv(1 << 17))]))
"""
    bare = ["setpriv", "--reuid", str(ALICE[1]), "--regid", str(ALICE[2]), "--clear-groups", "/usr/bin/python3", "-c", script, broker.path, broker.a]
    done = subprocess.run(bare, capture_output=True, text=True, timeout=60, cwd=own, stdin=subprocess.DEVNULL)
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(answers) == 12 and all(answer["code"] == 125 and answer["error"] for _, answer in answers), (answers, done.stderr)
    broker(ALICE, "--tenant", broker.a, "ps").ok()


def allowed_mounts_are_opened_with_the_callers_rights(broker):
    """Root allowed the directory to the tenant; the tenant's admin may still only mount what they may read themselves."""
    top = Path(f"/tmp/{broker.a}-shared")
    try:
        for name, mode, owner in (("open", 0o755, 65534), ("closed", 0o700, 0), ("readable", 0o755, 0)):
            (top / name).mkdir(parents=True)
            (top / name / "file").write_text(name)
            (top / name).chmod(mode)
            os.chown(top / name, owner, owner)
        broker.vrun("tenant", "update", broker.a, "--allow-mount", top).ok()
        run = lambda name: broker(ALICE, "--tenant", broker.a, "run", "--rm", *NONE, "-v", f"{top}/{name}", "base", "cat", "/x/file")
        assert run("open:/x").rc in (0, 125)  # where the file system maps no ids it cannot be mounted
        out = run("closed:/x:ro")
        assert out.rc == 125 and "permission denied" in out.err, out
        out = run("readable:/x")
        assert out.rc == 125 and "mount it with :ro" in out.err, out
        # What lies where the caller may not look is not told from what is not there.
        said = {run(f"closed/{name}:/x:ro").err.replace(name, "X") for name in ("file", "nowhere", "file/below")}
        assert len(said) == 1 and "permission denied" in said.pop(), said
    finally:
        subprocess.run(["rm", "-rf", top], check=True)


def an_admin_snapshots_clones_and_moves_guests_by_pipes(broker, work):
    own = lambda *w, **more: broker(ALICE, "--tenant", broker.a, *w, **more).ok().out
    own("run", "-d", "--name", "web", *NONE, "base", "sleep", "1000")
    own("exec", "web", "sh", "-c", "echo one >/f")
    own("snapshot", "create", "web", "s")
    own("exec", "web", "sh", "-c", "echo two >/f")
    own("snapshot", "rollback", "--restart", "-t", "0", "web@s")
    assert own("exec", "web", "cat", "/f") == "one\n" and own("snapshot", "ls", "-q") == "web@s\n"
    own("clone", "web@s", "two")
    with open(work / "web.tar", "wb") as out:
        subprocess.run(broker.command(ALICE, "--tenant", broker.a, "guest", "export", "two"), stdout=out, stdin=subprocess.DEVNULL, env=broker.env(), cwd="/", check=True, timeout=60)
    with open(work / "web.tar", "rb") as archive:
        done = subprocess.run(broker.command(ALICE, "--tenant", broker.a, "guest", "import", "--name", "three"), stdin=archive, capture_output=True, env=broker.env(), cwd="/", timeout=60)
    assert done.returncode == 0, done
    own("start", "three")
    assert own("exec", "three", "cat", "/f") == "one\n"
    own("snapshot", "rm", "web@s")


def the_environment_and_place_of_the_caller_are_not_vruns(broker, work):
    fake = work / "fake"
    fake.mkdir()
    out = broker(ALICE, "--tenant", broker.a, "ps", env={"VRUN_DATA_DIR": str(fake), "VRUN_RUN_DIR": str(fake), "LD_PRELOAD": "/x", "VRUN_FIXED_TENANT": broker.b})
    assert out.rc == 0 or "alone" in out.err
    assert not list(fake.iterdir())


def packets_of_strangers_end_only_their_own_connection(broker):
    good = json.dumps({"version": 1, "tenant": broker.a, "words": ["ps"]}).encode()
    for packet, fds in ((b"", (0, 1, 2)), (b"{", (0, 1, 2)), (b"[]", (0, 1, 2)), (b"\0" * 1000, (0, 1, 2)), (good, ()), (good, (0,)), (good, (0, 1)),
                        (good.replace(b": 1", b": 2"), (0, 1, 2)), (b"x" * 150000, (0, 1, 2)),
                        (json.dumps({"version": 1, "tenant": broker.a, "words": ["ps"] * 5000}).encode(), (0, 1, 2)),
                        (json.dumps({"version": 1, "tenant": broker.a, "words": ["ps\0--tenant"]}).encode(), (0, 1, 2))):
        answer = broker.raw(ALICE, packet, fds)
        assert answer is None or answer["code"] == 125, (packet[:50], answer)
    silent = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(20)]
    for one in silent:
        one.connect(broker.path)
    broker(ALICE, "--tenant", broker.a, "ps").ok()
    for one in silent:
        one.settimeout(10)
        with contextlib.suppress(ConnectionError):
            answer = one.recv(1 << 16)
            assert not answer or json.loads(answer)["code"] == 125
        one.close()


def signals_reach_the_guest(broker):
    running = subprocess.Popen(broker.command(ALICE, "--tenant", broker.a, "run", "--rm", *NONE, "base", "sh", "-c",
                                              "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.05; done"),
                               stdout=subprocess.PIPE, env=broker.env(), cwd="/", stdin=subprocess.DEVNULL)
    assert running.stdout.readline() == b"ready\n"
    running.send_signal(signal.SIGTERM)
    assert (running.stdout.read(), running.wait(20)) == (b"got\n", 3)


def a_caller_who_is_killed_leaves_no_foreground_guest(broker):
    running = subprocess.Popen(broker.command(ALICE, "--tenant", broker.a, "run", "--rm", *NONE, "base", "sh", "-c", "echo ready; sleep 1000"),
                               stdout=subprocess.PIPE, env=broker.env(), cwd="/", stdin=subprocess.DEVNULL)
    assert running.stdout.readline() == b"ready\n"
    running.kill()
    running.wait()
    end = time.monotonic() + 25  # the shell takes no SIGHUP: it is killed in the tenth second after it
    while broker.vrun("--tenant", broker.a, "ps", "-aq").out:
        assert time.monotonic() < end, "its guest is still there"
        time.sleep(0.2)


def a_terminal_is_the_callers(broker):
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir("/")
        words = broker.command(ALICE, "--tenant", broker.a, "run", "--rm", "-it", *NONE, "base", "sh")
        os.execvpe(words[0], words, broker.env())
    seen, end = b"", time.monotonic() + 20
    os.write(fd, b"tty; echo si''ze $((40+2)); exit 5\n")
    while b"size 42" not in seen and time.monotonic() < end:
        if select.select([fd], [], [], 0.2)[0]:
            with contextlib.suppress(OSError):
                seen += os.read(fd, 4096)
    assert b"/dev/pts/0" in seen and b"size 42" in seen, seen
    with contextlib.suppress(OSError):
        while os.read(fd, 4096):
            pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    os.close(fd)


def the_audit_log_says_who_asked_for_what(broker):
    vrun = broker.vrun
    broker(ALICE, "--tenant", broker.a, "run", "--rm", *NONE, "-e", "PASSWORD=hunter2", "base", "sh", "-c", "exit 4")
    broker(ALICE, "--tenant", broker.a, "info").fails(rc=125)
    vrun("--tenant", broker.a, "load", "-i", "/dev/null").fails(rc=125)
    vrun("--tenant", broker.a, "create", *NONE, "--name", "r", "base", env={"SUDO_UID": "1"}).ok()
    log = vrun.data / "tenants" / broker.a / "audit.log"
    text = log.read_text()
    assert "hunter2" not in text and log.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in text.splitlines()]
    run = next(e for e in lines if e["verb"] == "run")
    assert (run["user"], run["uid"], run["by"], run["code"], run["tenant"]) == ("nobody", 65534, "broker", 4, broker.a)
    assert "PASSWORD=..." in run["words"]
    refused = next(e for e in lines if "refused" in e)
    assert refused["user"] == "nobody" and "not for admins" in refused["refused"]
    assert next(e for e in lines if e["verb"] == "create")["user"] == "daemon"
    assert next(e for e in lines if e["verb"] == "load")["code"] == 125
    assert any(e["verb"] == "tenant create" and e["by"] == "root" for e in lines)
    broker(EVE, "--tenant", broker.a, "ps").fails(rc=125)
    assert "bin" not in [json.loads(line)["user"] for line in log.read_text().splitlines()]
    common = [json.loads(line) for line in (vrun.data / "tenants/audit.log").read_text().splitlines()]
    assert any(e["user"] == "bin" and "refused" in e for e in common)


def refusals_of_strangers_are_in_the_common_log_with_the_caller_and_do_not_fill_the_disk(broker):
    log = broker.vrun.data / "tenants/audit.log"
    before = log.stat().st_size if log.exists() else 0
    broker(ALICE, "--tenant", broker.b, "exec", "somebody", "id").fails(rc=125)  # an admin, but of another tenant
    broker(EVE, "--tenant", broker.a, "rm", "-f", "web").fails(rc=125)  # of none
    for _ in range(80):
        broker.ask(EVE, broker.a, "run", "x" * 100000)
    text = log.read_text()[before:]
    lines = [json.loads(line) for line in text.splitlines()]
    other = next(e for e in lines if e["user"] == "nobody")
    assert (other["by"], other["uid"], other["verb"], other["code"]) == ("broker", 65534, "exec", 125) and broker.b in other["refused"] and "somebody" in other["words"]
    eve = [e for e in lines if e["user"] == "bin"]
    assert eve[0]["verb"] == "rm" and broker.a in eve[0]["refused"]
    assert 20 <= len(eve) <= 24 and "of this hour" in eve[-1]["refused"], len(eve)
    assert len(text) < 60_000, len(text)
    assert not (broker.vrun.data / "tenants" / broker.b / "audit.log").exists() or '"exec"' not in (broker.vrun.data / "tenants" / broker.b / "audit.log").read_text()


def who_manages_nothing_keeps_nobody_out(broker):
    """Silent connections of four users without any tenant, as many as each may have."""
    script = ("import socket,sys,time\nheld=[]\nfor i in range(64):\n s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET)\n s.connect(sys.argv[1])\n held.append(s)\n"
              "print('held',flush=True)\ntime.sleep(100)")
    strangers = [subprocess.Popen(["/usr/bin/setpriv", "--reuid", str(70000 + n), "--regid", str(70000 + n), "--clear-groups", "/usr/bin/python3", "-c", script, broker.path],
                                  stdout=subprocess.PIPE, text=True, cwd="/") for n in range(4)]
    try:
        for stranger in strangers:
            assert stranger.stdout.readline() == "held\n"
        for _ in range(5):
            broker(ALICE, "--tenant", broker.a, "ps").ok()
    finally:
        for stranger in strangers:
            stranger.kill()
            stranger.wait()
