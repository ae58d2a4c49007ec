"""Clones: the files and the configuration of a guest, and nothing that makes it that guest."""
import json
import os

import pytest

from .snapshots_test import NONE, _guest, _hidden, _killed, _moments, _sh, _stock, vrun  # noqa: F401


def _request(vrun, name):
    return vrun.inspect(name)["request"]


def a_clone_is_a_guest_of_its_own(vrun):
    _guest(vrun, "sleep 1000", "--hostname", "origin", "-e", "KEY=value", "--label", "a=1", "--label", "vrun.manifest=x")
    _sh(vrun, "echo data >/root/f; chown 7:8 /root/f; echo 0123456789abcdef0123456789abcdef >/etc/machine-id; mkdir -p /var/lib/dbus; cp /etc/machine-id /var/lib/dbus/")
    assert vrun("clone", "web", "two", "--label", "b=2").ok().out == "two\n"
    assert vrun.state("two")["status"] == "created", "it is not started"
    vrun("start", "two").ok()
    assert _sh(vrun, "cat /root/f; stat -c %u:%g /root/f; hostname; echo $KEY; wc -c </etc/machine-id; readlink /var/lib/dbus/machine-id", "two") == \
        "data\n7:8\ntwo\nvalue\n0\n/etc/machine-id\n"
    one, two = vrun.inspect("web"), vrun.inspect("two")
    assert one["id"] != two["id"] and one["firstId"] != two["firstId"]
    assert two["request"]["labels"] == ["a=1", "b=2"]
    _sh(vrun, "echo other >/root/f", "two")
    assert _sh(vrun, "cat /root/f; cat /etc/machine-id") == "data\n0123456789abcdef0123456789abcdef\n", "the origin is as it was"


def a_clone_of_a_snapshot_is_of_then(vrun):
    _guest(vrun)
    _sh(vrun, "echo then >/f")
    vrun("snapshot", "create", "web", "s").ok()
    _sh(vrun, "echo now >/f")
    vrun("clone", "web@s", "then").ok()
    made = vrun("clone", "web").ok().out.strip()
    assert made.startswith("base-")
    vrun("rm", "-f", "web").ok()
    for name, text in (("then", "then\n"), (made, "now\n")):
        vrun("start", name).ok()
        assert _sh(vrun, "cat /f", name) == text


def ports_and_addresses_are_left_out_and_told(vrun):
    vrun("network", "create", "--subnet", "10.77.5.0/24", "net").ok()
    try:
        vrun("create", "--name", "web", "--network", "net:ip=10.77.5.9", "-p", "8081:80", "-p", "81", "base", "sleep", "1000").ok()
        out = vrun("clone", "web", "two").ok()
        assert "--network net:ip=10.77.5.9" in out.err and "--publish 8081:80" in out.err and "give the clone its own" in out.err
        assert (_request(vrun, "two")["network"], _request(vrun, "two")["publish"]) == ("net", ["81"])
        out = vrun("clone", "web", "three", "-p", "8082:80").ok()
        assert "8081" not in out.err and _request(vrun, "three")["publish"] == ["81", "8082:80"]
        vrun("clone", "web", "four", "-p", "x").fails("x", rc=125)
        vrun("rm", "web", "two", "three").ok()
    finally:
        vrun("network", "rm", "net")


@pytest.mark.parametrize("how", ["copy", "share", "empty"])
def volumes_are_copied_shared_or_empty(vrun, how):
    _guest(vrun, "sleep 1000", "-v", "box:/box", "--mount", "type=volume,source=crate,target=/crate", "-v", "/own")
    _sh(vrun, "echo b >/box/f; echo c >/crate/f; echo o >/own/f")
    vrun("clone", "--volumes", how, "web", "two").ok()
    vrun("start", "two").ok()
    assert _sh(vrun, "cat /box/f /crate/f /own/f 2>/dev/null; true", "two") == ("" if how == "empty" else "b\nc\no\n")
    _sh(vrun, "echo changed | tee /box/f /crate/f /own/f", "two")
    assert _sh(vrun, "cat /box/f /crate/f /own/f") == ("changed\nchanged\no\n" if how == "share" else "b\nc\no\n")
    names = vrun("volume", "ls", "-q").ok().out.split()
    assert ("two-box" in names and "two-crate" in names) == (how != "share")
    vrun("rm", "-f", "-v", "web", "two").ok()
    vrun("volume", "prune", "--all", "--force").ok()


def what_is_taken_is_told(vrun):
    _guest(vrun, "sleep 1000", "-v", "box:/box")
    vrun("clone", "web", "web").fails("guest 'web' already exists", rc=125)
    vrun("clone", "web", "../x").fails("not a name for a guest", rc=125)
    vrun("clone", "web@no", "x").fails("has no snapshot 'no'", rc=125)
    vrun("clone", "web", "x", "--volumes", "some").fails("there are: copy, share, empty", rc=125)
    vrun("volume", "create", "two-box").ok()
    vrun("clone", "web", "two").fails("volume 'two-box' already exists", rc=125)
    assert vrun("ps", "-aq").ok().out.count("\n") == 1 and not _hidden(vrun)


def a_killed_clone_is_whole_or_gone(vrun):
    _guest(vrun, "sleep 1000", "-v", "box:/box", "-v", "/own")
    _stock(vrun)
    _sh(vrun, "echo b >/box/f")
    killed = 0
    for i, delay in enumerate(_moments(vrun, "clone", "web", "first")):
        killed += _killed(vrun, delay, "clone", "web", f"c{i}")
        vrun("ps").ok()
        there = set(vrun("ps", "-a", "--format", "{{.Names}}").ok().out.split())
        assert not _hidden(vrun), i
        assert set(os.listdir(vrun.data / "guests/default")) == there, i
        assert vrun.state("web")["status"] == "running", i
        volumes = set(vrun("volume", "ls", "-q").ok().out.split())
        assert (f"c{i}-box" in volumes) == (f"c{i}" in there), (i, volumes)
        if f"c{i}" in there:
            assert len(os.listdir(vrun.data / f"guests/default/c{i}/upper/many")) == 1500
            vrun("rm", "-v", f"c{i}").ok()
            vrun("volume", "rm", f"c{i}-box").ok()
    assert killed > 5
    assert len(vrun("volume", "ls", "-q").ok().out.split()) == 4, "two of web, two of first"


def a_tenant_with_no_room_for_guests_gets_no_clone(vrun):
    vrun("tenant", "create", "few", "--max-guests", "1").ok()
    try:
        vrun("--tenant", "few", "create", "--name", "web", *NONE, "base", "sleep", "1000").ok()
        vrun("--tenant", "few", "clone", "web", "two").fails("has 1 guests already", rc=125)
        found = json.loads(vrun("--tenant", "few", "inspect", "web").ok().out)[0]
        assert found["tenant"] == "few"
    finally:
        vrun("tenant", "rm", "--force", "few").ok()
