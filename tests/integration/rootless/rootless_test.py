"""Rootless: an unprivileged user, with one mapping of its own and with newuidmap."""
import json
import os
import pwd
import subprocess
from pathlib import Path

import pytest

from harness import bundle as bundles
from harness import host, leaks, runtime

USER = "vruntest"


@pytest.fixture(scope="module")
def user():
    """An unprivileged user with 65536 subordinate ids, made for these tests."""
    try:
        entry = pwd.getpwnam(USER)
        made = False
    except KeyError:
        subprocess.run(["useradd", "--no-create-home", "--shell", "/bin/sh", "--add-subids-for-system", USER], check=True, capture_output=True)
        entry, made = pwd.getpwnam(USER), True
    yield entry
    if made:
        subprocess.run(["userdel", USER], capture_output=True)


@pytest.fixture
def rootless(work, user):
    """The runtime as that user runs it."""
    home = work / "home"
    (home / "state").mkdir(parents=True, mode=0o700)
    before = leaks.snapshot(home / "state")
    it = runtime.Runtime(runtime.path(), home / "state", prefix=["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups",
                                                                "--inh-caps=-all", "env", f"XDG_RUNTIME_DIR={home}", f"HOME={home}"])
    made = bundles.Bundle(home / "bundle")
    made.without_namespace("network")
    made.spec["mounts"] = [m for m in made.spec["mounts"] if m["type"] not in ("sysfs",)]
    made.linux["resources"] = {}
    made.namespace("user")
    made.linux["uidMappings"] = [{"containerID": 0, "hostID": user.pw_uid, "size": 1}]
    made.linux["gidMappings"] = [{"containerID": 0, "hostID": user.pw_gid, "size": 1}]
    for folder, _, files in os.walk(home):
        for name in [folder] + [os.path.join(folder, f) for f in files]:
            os.lchown(name, user.pw_uid, user.pw_gid)
    it.bundle = made
    yield it
    it.clean_up()
    lines = leaks.settle(before, it.root)
    if lines:
        leaks.remove_leaks(before, it.root)
        pytest.fail("\n".join(lines), pytrace=False)


def _mapped(rt, user):
    """A bundle whose root is the user and whose other ids are subordinate ones."""
    first = {}
    for key, path in (("uid", "/etc/subuid"), ("gid", "/etc/subgid")):
        first[key] = [int(l.split(":")[1]) for l in Path(path).read_text().splitlines() if l.startswith(f"{USER}:")][0]
        own = user.pw_uid if key == "uid" else user.pw_gid
        rt.bundle.linux[f"{key}Mappings"] = [{"containerID": 0, "hostID": own, "size": 1}, {"containerID": 1, "hostID": first[key], "size": 65535}]
    return first


def a_user_runs_a_container_with_a_single_mapping(rootless, user):
    r = rootless.run(rootless.bundle.sh("id -u; cat /proc/self/uid_map"))
    assert r.ok().out.split() == ["0", "0", str(user.pw_uid), "1"]


def a_user_goes_through_the_whole_life_of_a_container(rootless):
    id = rootless.start(rootless.bundle.args("sleep", "100"))
    assert rootless.status(id) == "running"
    assert rootless.exec(id, "id", "-u").ok().out == "0\n"
    assert id in rootless("list", "--quiet").ok().out
    rootless.kill(id).ok()
    rootless.wait_stopped(id)
    rootless.delete(id).ok()


def the_owner_in_list_is_the_user(rootless):
    rootless.create(rootless.bundle)
    assert rootless("list", "--format", "json").ok().json[0]["owner"] == USER


def newuidmap_gives_a_range(rootless, user):
    host.need("newuidmap")
    first = _mapped(rootless, user)
    rootless.bundle.capabilities("CAP_CHOWN")
    r = rootless.run(rootless.bundle.sh("cat /proc/self/uid_map; chown 5:6 /tmp; stat -c %u:%g /tmp")).ok()
    assert r.out.split() == ["0", str(user.pw_uid), "1", "1", str(first["uid"]), "65535", "5:6"]
    subprocess.run(["chown", f"{user.pw_uid}:{user.pw_gid}", rootless.bundle.rootfs / "tmp"], check=True)


def another_user_inside_works_with_newuidmap(rootless, user):
    host.need("newuidmap")
    _mapped(rootless, user)
    rootless.bundle.process["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [7]}
    f = rootless.facts(rootless.bundle)
    assert (f["uid"], f["gid"], f["groups"]) == (1000, 1000, [7])


def a_range_without_newuidmap_is_refused_with_a_hint(rootless, user):
    _mapped(rootless, user)
    rootless.prefix.append("PATH=/nosuch")
    rootless.run(rootless.bundle).fails("newuidmap")


def a_foreign_id_in_the_mapping_is_refused(rootless, user):
    rootless.bundle.linux["uidMappings"] = [{"containerID": 0, "hostID": 0, "size": 1}]
    r = rootless.run(rootless.bundle.args("id"))
    assert r.rc > 0 and "uid=0" not in r.out


def a_config_without_a_user_namespace_is_refused(rootless):
    rootless.bundle.without_namespace("user")
    del rootless.bundle.linux["uidMappings"], rootless.bundle.linux["gidMappings"]
    r = rootless.run(rootless.bundle).fails()
    assert "user namespace" in r.err or "ermission" in r.err or "ermitted" in r.err, r


def limits_without_delegation_are_an_error_with_a_hint(rootless):
    """runc and crun run the guest without the limit."""
    rootless.bundle.linux["resources"] = {"pids": {"limit": 5}}
    assert "cgroup" in rootless.run(rootless.bundle).fails().err


def limits_hold_in_a_delegated_group(rootless, user):
    host.need("v2 hierarchy with memory")
    parent = host.ROOT / f"{runtime.TOKEN}-delegated"
    inner = parent / "own"
    inner.mkdir(parents=True)
    try:
        for name in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
            os.chown(parent / name, user.pw_uid, user.pw_gid)
            os.chown(inner / name, user.pw_uid, user.pw_gid)
        (parent / "cgroup.subtree_control").write_text("+pids +memory")
        rootless.bundle.linux["cgroupsPath"] = f"/{parent.name}/guest"
        rootless.bundle.linux["resources"] = {"pids": {"limit": 10}}
        rootless.prefix = ["sh", "-c", f'echo $$ > {inner}/cgroup.procs; exec "$@"', "sh", *rootless.prefix]
        assert int(rootless.run(rootless.bundle.args("/bin/probe", "forks", "50")).ok().out) == 9
    finally:
        for folder in (parent / "guest", inner, parent):
            if folder.exists():
                os.rmdir(folder)


def a_state_root_of_another_user_is_refused(rootless, work):
    (work / "closed").mkdir(mode=0o700)
    rootless.root = work / "closed"
    rootless("list")
    r = rootless.run(rootless.bundle).fails()
    assert "permission denied" in r.err.lower()


def a_terminal_works_rootless(rootless, console):
    os.chmod(console.path, 0o777)
    rootless.bundle.process["terminal"] = True
    id = rootless.create(rootless.bundle.sh("echo on $(tty); sleep 100"), "--console-socket", console.path)
    console.receive()
    rootless("start", id).ok()
    console.read_until("on /dev/")


def spec_rootless_of_a_user_runs(rootless, user):
    config = rootless.bundle.path / "config.json"
    config.unlink(missing_ok=True)
    rootless("spec", "--rootless", "--bundle", rootless.bundle.path).ok()
    spec = json.loads(config.read_text())
    spec["process"]["terminal"] = False
    spec["process"]["args"] = ["id", "-u"]
    config.write_text(json.dumps(spec))
    assert rootless("run", "--bundle", rootless.bundle.path, rootless.new_id()).ok().out == "0\n"
