"""`vrun events` tells of images, networks and volumes; `rmi` takes names as it is asked, and no more."""
import json

import pytest

from harness import everyday, image_tools as tools, netlab, registries


@pytest.fixture
def vrun(work):
    with everyday.fresh(work) as it:
        yield it


def _told(vrun, *filters):
    words = [w for f in filters for w in ("--filter", f)]
    out = vrun("events", "--since", "1h", "--until", "0s", "--format", "json", *words).ok().out
    return [(e["type"], e["action"], e["name"]) for e in map(json.loads, out.splitlines())]


def images_come_and_go(vrun, work):
    tools.run("tar", "-C", "/etc", "-cf", work / "x.tar", "hostname")
    vrun("import", work / "x.tar", "one").ok()
    vrun("tag", "one", "two").ok()
    vrun("save", "-o", work / "one.tar", "one").ok()
    vrun("rmi", "one").ok()
    vrun("rmi", "two").ok()
    vrun("load", "-i", work / "one.tar").ok()
    vrun("create", "--name", "g", "--network", "none", "base", "true").ok()
    vrun("commit", "g", "mine").ok()
    wanted = [("import", "one"), ("tag", "two"), ("untag", "one"), ("untag", "two"), ("delete", "two"), ("load", "one"), ("commit", "mine")]
    assert _told(vrun, "type=image") == [("image", action, f"{name}:latest") for action, name in wanted]
    assert _told(vrun, "event=commit") == [("image", "commit", "mine:latest")]
    assert _told(vrun, "image=two:latest", "event=tag") == [("image", "tag", "two:latest")]
    assert _told(vrun, "image=base") == [("guest", "create", "g")]
    line = vrun("events", "--since", "1h", "--until", "0s", "--filter", "event=commit").ok().out
    assert " image commit sha256:" in line and line.endswith(" (name=mine:latest)\n")
    vrun("rm", "g").ok()


def pulls_and_pushes_are_told(vrun, work):
    registry = registries.DockerRegistry(work / "registry")
    try:
        name = f"{registry.host}/x:v1"
        vrun("push", "base", name).ok()
        vrun("pull", name).ok()
        assert _told(vrun, "type=image") == [("image", "push", name), ("image", "pull", name)]
    finally:
        registry.stop()


def volumes_of_verbs_and_of_guests_are_told(vrun):
    vrun("volume", "create", "v").ok()
    vrun("volume", "create", "v").ok()
    vrun("run", "--rm", "--network", "none", "-v", "w:/w", "base", "true").ok()
    vrun("volume", "rm", "v").ok()
    vrun("volume", "prune", "--force", "--all").ok()
    assert _told(vrun, "type=volume") == [("volume", a, n) for a, n in (("create", "v"), ("create", "w"), ("destroy", "v"), ("destroy", "w"))]
    assert _told(vrun, "volume=v", "event=create") == [("volume", "create", "v")]


def networks_are_told(work):
    host = netlab.Host(work)
    try:
        vrun = host.vrun
        for words in (("network", "create", "n"), ("network", "create", "m"), ("create", "--name", "g", "--network", "none", "base", "true"),
                      ("network", "connect", "n", "g"), ("network", "disconnect", "n", "g"), ("rm", "g"), ("network", "rm", "n"), ("network", "prune")):
            vrun(*words).ok()
        wanted = [("create", "n"), ("create", "m"), ("connect", "n"), ("disconnect", "n"), ("remove", "n"), ("remove", "m")]
        assert _told(vrun, "type=network") == [("network", a, n) for a, n in wanted]
        last = vrun("events", "--since", "1h", "--until", "0s", "--filter", "event=connect").ok().out
        assert "(name=n, guest=g, guestId=" in last
    finally:
        host.end()


def a_name_is_taken_though_a_guest_uses_the_image_when_another_name_stays(vrun, work):
    vrun("tag", "base", "mine").ok()
    vrun("create", "--name", "g", "--network", "none", "mine", "true").ok()
    assert vrun("rmi", "mine").ok().out == "Untagged: mine:latest\n"  # it is called base as well
    tools.run("tar", "-C", "/etc", "-cf", work / "x.tar", "hostname")
    vrun("import", work / "x.tar", "one").ok()
    vrun("tag", "one", "two").ok()
    vrun("create", "--name", "h", "--network", "none", "one", "true").ok()
    vrun("rmi", "one").ok()
    vrun("rmi", "two").fails("image 'two:latest' is used by h", rc=125)
    vrun("rmi", "--force", "two").ok()
    vrun("rm", "g", "h").ok()


def a_digest_takes_the_names_of_its_repository_alone(vrun):
    for name in ("here/x:1", "here/x:2", "there/y:1"):
        vrun("tag", "base", name).ok()
    digest = json.loads(vrun("image", "inspect", "base").ok().out)[0]["Digest"]
    assert vrun("rmi", f"here/x@{digest}").ok().out == "Untagged: here/x:1\nUntagged: here/x:2\n"
    assert "there/y" in vrun("images").ok().out
    vrun("rmi", f"elsewhere/z@{digest}").fails("no such image", rc=125)
    vrun("rmi", "there/y:1").ok()
