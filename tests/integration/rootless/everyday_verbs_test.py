"""Every everyday verb as an unprivileged user types it: it works, or it refuses with a reason, and it comes back."""
import pytest

from harness import host, users

NONE = ("--network", "none")
RUN = ("run", "--rm", *NONE)

# What works, in this order, on a guest `a` that sleeps; some words of the output.
WORKS = [
    ((*RUN, "--privileged", "base", "id", "-u"), "0"),
    ((*RUN, "--init", "base", "ps"), ".vrun-init -- ps"),
    ((*RUN, "--read-only", "base", "true"), ""),
    ((*RUN, "--device", "/dev/null:/dev/x", "base", "ls", "/dev/x"), "/dev/x"),
    ((*RUN, "--pid", "container:a", "base", "ps"), "sleep 1000"),
    ((*RUN, "--ipc", "host", "--uts", "host", "--cgroupns", "host", "base", "true"), ""),
    (("run", "--rm", "--network", "host", "base", "true"), ""),
    (("plan", *NONE, "base", "true"), "exec 'true'"),
    (("ps",), "sleep 1000"), (("ps", "-q"), ""), (("inspect", "a"), '"running"'), (("inspect", "base"), "sha256:"),
    (("logs", "a"), ""), (("port", "a"), ""), (("stats", "--no-stream"), "a "), (("info",), "running:       1"), (("version",), "kernel:"),
    (("exec", "a", "id", "-u"), "0"), (("debug", "a", "ps"), "sleep 1000"),
    (("update", "--restart", "always", "a"), "a"), (("update", "--restart", "no", "a"), "a"),
    (("cp", "a:/etc/passwd", "{home}/p"), ""), (("cp", "{home}/p", "a:/etc/q"), ""), (("diff", "a"), "A /etc/q"), (("export", "a", "-o", "{home}/a.tar"), ""),
    (("commit", "a", "c1"), "sha256:"), (("history", "c1"), "vrun commit"), (("tag", "c1", "c2"), ""), (("images",), "c2"),
    (("save", "-o", "{home}/c.tar", "c1"), ""), (("rmi", "c1", "c2"), "Untagged"), (("load", "-i", "{home}/c.tar"), "c1"),
    (("import", "{home}/a.tar", "imported"), "sha256:"), ((*RUN, "imported", "cat", "/etc/q"), "root"),
    (("image", "inspect", "c1"), "sha256:"), (("image", "fsck"), "0 damaged"), (("system", "df"), "Layers"),
    (("volume", "create", "v"), "v"), ((*RUN, "-v", "v:/d", "base", "sh", "-c", "echo x >/d/x; chown 5 /d/x"), ""),
    ((*RUN, "-v", "v:/d", "base", "stat", "-c", "%u", "/d/x"), "5"), (("volume", "ls"), "v "), (("volume", "inspect", "v"), "Mountpoint"),
    (("volume", "rm", "v"), "v"), (("volume", "prune", "--force"), ""), (("network", "ls"), "NAME"), (("tenant", "ls"), "default"),
    (("rename", "a", "b"), ""), (("rename", "b", "a"), ""), (("restart", "-t", "0", "a"), "a"), (("kill", "a"), "a"), (("wait", "a"), "137"),
    (("start", "a"), "a"), (("stop", "-t", "0", "a"), "a"), (("restore",), ""), (("events", "--since", "1h", "--until", "0s"), "image commit"),
    (("apply", "-f", "{home}/m.yaml", "--wait"), "done Guest site-1"), (("apply", "-f", "{home}/m.yaml"), "unchanged Guest site-1"),
    (("export", "--manifest"), "kind: Guest"), (("delete", "-f", "{home}/m.yaml"), "done Guest site-1"),
    (("container", "prune", "--force"), "a"), (("image", "prune", "--force"), ""), (("system", "prune", "--force"), ""),
]
# What is refused: on a guest `a` that sleeps, without a group of its own.
REFUSED = [
    ((*RUN, "--userns", "host", "base", "id"), "--userns host: needs root"),
    ((*RUN, "--memory", "50m", "base", "true"), "cgroup"),
    (("update", "--memory", "64m", "a"), "cgroup of its own"), (("top", "a"), "cgroup of its own"), (("pause", "a"), "cgroup of its own"),
    (("network", "create", "n"), "need root"), (("network", "inspect", "default"), "need root"), (("network", "rm", "n"), "need root"),
    (("network", "connect", "default", "a"), "not without root"), (("network", "disconnect", "default", "a"), "not without root"),
    (("tenant", "create", "t"), "tenants need root"), (("apply", "-f", "{home}/t.yaml"), "Tenant acme: tenants are made and changed by root"),
    (("pull", "127.0.0.1:1/x"), "127.0.0.1:1"), (("push", "base", "127.0.0.1:1/x"), "127.0.0.1:1"),
    (("login", "-u", "x", "-p", "y", "127.0.0.1:1"), "127.0.0.1:1"),
]
MANIFEST = """apiVersion: vrun/v1
kind: Guest
name: site
image: base
network: none
replicas: 1
args: [sleep, "1000"]
stopSignal: KILL
"""
LONGEST = 60


@pytest.fixture
def vrun(work):
    host.need("newuidmap")
    with users.fresh(work) as it:
        (it.home / "m.yaml").write_text(MANIFEST)
        (it.home / "t.yaml").write_text("apiVersion: vrun/v1\nkind: Tenant\nname: acme\n")
        it("run", "-d", "--name", "a", *NONE, "base", "sleep", "1000").ok()
        yield it


def _say(vrun, words):
    return vrun(*(w.replace("{home}", str(vrun.home)) for w in words), timeout=LONGEST)


def what_works_without_root(vrun):
    wrong = []
    for words, text in WORKS:
        done = _say(vrun, words)
        if done.rc != 0 or text not in done.out:
            wrong.append(f"{' '.join(words)}: {done!r}")
    assert not wrong, "\n".join(wrong)


def what_is_refused_without_root_says_why(vrun):
    wrong = []
    for words, text in REFUSED:
        done = _say(vrun, words)
        if done.rc != 125 or text not in done.err:
            wrong.append(f"{' '.join(words)}: {done!r}")
    assert not wrong, "\n".join(wrong)
