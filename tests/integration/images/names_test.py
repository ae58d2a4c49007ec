"""images, tag, rmi, prune, system df: what things are called, and what goes when a name goes."""
import subprocess

from harness import image_tools as tools


def one_image_has_many_spellings(vrun, loaded):
    id = vrun.inspect(loaded)["Id"]
    digest = vrun.inspect(loaded)["Digest"]
    vrun("tag", loaded, "app").ok()
    for word in ("app", "app:latest", "docker.io/app", "docker.io/library/app:latest", "index.docker.io/library/app",
                 f"app@{digest}", id, id[7:], id[7:19], digest, digest[:20]):
        assert vrun.inspect(word)["Id"] == id, word
    vrun("run", "aap").fails("no such image 'aap'", "did you mean 'app'", rc=125)
    vrun("image", "inspect", "ffff").fails("no such image", rc=125)


def images_are_listed_in_every_form(vrun, loaded):
    vrun("tag", loaded, "app:2").ok()
    table = vrun("images").ok().out.splitlines()
    assert table[0].split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert any(line.split()[:2] == ["app", "2"] for line in table)
    rows = vrun("image", "ls", "--format", "json").ok().json
    own = [row for row in rows if not row["Shipped"]]
    assert len(own) == 1 and sorted(own[0]["RepoTags"]) == ["app:2", "localhost/small:1"]
    assert vrun("images", "-q", "--filter", "reference=app").ok().out.strip() == own[0]["Id"][7:19]
    assert vrun("images", "-q", "--filter", "label=kind=test").ok().out.strip() == own[0]["Id"][7:19]
    assert vrun("images", "-q", "--filter", "label=kind=other").ok().out == ""
    assert own[0]["Digest"] in vrun("images", "--digests").ok().out
    vrun("images", "--filter", "color=red").fails("unknown key", rc=125)
    vrun("images", "--format", "xml").fails("'xml'", rc=125)


def history_is_told(vrun, loaded):
    steps = vrun("image", "history", "--format", "json", loaded).ok().json
    assert len([s for s in steps if s["Size"]]) == 2
    assert "umoci" in vrun("image", "history", loaded).ok().out


def the_last_name_takes_the_content_with_it(vrun, loaded):
    vrun("tag", loaded, "two").ok()
    assert vrun("rmi", loaded).ok().out == "Untagged: localhost/small:1\n"
    assert len(vrun.layers()) == 2
    out = vrun("rmi", "two").ok().out
    assert out.startswith("Untagged: two:latest\nDeleted: 2 layers")
    assert not vrun.layers() and not vrun.blobs()
    vrun("rmi", "two").fails("no such image 'two'", rc=125)
    vrun("rmi", "base").fails("came with vrun", rc=125)


def an_id_takes_every_name(vrun, loaded):
    vrun("tag", loaded, "two").ok()
    out = vrun("rmi", vrun.inspect("two")["Id"][7:19]).ok().out
    assert "Untagged: localhost/small:1\n" in out and "Untagged: two:latest\n" in out
    assert not vrun.layers()


def shared_layers_stay_for_the_other_image(vrun, loaded, work):
    tools.run("tar", "-C", "/etc", "-cf", work / "x.tar", "hostname")
    vrun("import", work / "x.tar", "other").ok()
    vrun("rmi", loaded).ok()
    assert len(vrun.layers()) == 1 and len(vrun.blobs()) == 3
    vrun("image", "fsck").ok()


def _running_guest(vrun, image):
    """A guest that ends when its stdin does."""
    guest = vrun.start("run", "--rm", "--name", "busy", image, "sh", "-c", "echo up; cat; cat /etc/motd", stdin=subprocess.PIPE,
                       stdout=subprocess.PIPE)
    assert guest.stdout.readline() == b"up\n"
    return guest


def a_guest_keeps_its_image(vrun, loaded):
    guest = _running_guest(vrun, loaded)
    try:
        vrun("rmi", loaded).fails("is used by busy", "--force", rc=125)
        vrun("image", "prune", "-f").ok()
        assert len(vrun.layers()) == 2
        vrun("rmi", "--force", loaded).ok()
        assert vrun("image", "prune", "-a", "--force").ok().out.endswith("removed 0 layers, 0 blobs, 0 B on disk\n")
        assert len(vrun.layers()) == 2, "the guest lost its layers"
        df = {row["Type"]: row for row in vrun("system", "df", "--format", "json").ok().json}
        assert df["Guests"]["TotalCount"] == 1 and df["Layers"]["Active"] == 2
    finally:
        out = guest.communicate(b"", timeout=60)[0]
    assert out == b"hello\n", "its files were there to the end"
    assert vrun("image", "prune", "-f").ok().out.startswith("removed 2 layers, 4 blobs")
    assert not vrun.layers()


def prune_takes_what_nothing_names(vrun, loaded):
    for name in vrun.refs():
        (vrun.data / "images/refs/default" / name).unlink()
    assert vrun("image", "prune", "--dry-run").ok().out.startswith("would remove 2 layers, 4 blobs")
    assert len(vrun.layers()) == 2
    assert vrun("system", "prune", "-f").ok().out.startswith("removed 2 layers, 4 blobs")
    assert not vrun.layers() and not vrun.blobs()
    vrun("image", "prune", "-a").fails("Go on? [y/N]", "--force does not ask", rc=1)
    vrun("image", "prune", "-a", input="n\n").fails("nothing is removed", rc=1)
    vrun("system", "prune").fails("nothing is removed", rc=1)


def nothing_is_collected_under_the_hands_of_others(vrun, loaded):
    import fcntl
    with open(vrun.data / "images/lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        out = vrun("rmi", loaded).ok()
        assert "others use the store" in out.err and len(vrun.layers()) == 2
        vrun("image", "prune", "-f").fails("other commands are bringing or using images", rc=125)
    vrun("image", "prune", "-f").ok()
    assert not vrun.layers()


def old_left_overs_are_collected_by_policy(vrun, loaded, work):
    """What nobody has needed for a day goes with the next command that changes images; younger things stay."""
    for name in vrun.refs():
        (vrun.data / "images/refs/default" / name).unlink()
    stamp = vrun.data / "images/collected"
    stamp.unlink(missing_ok=True)
    tools.run("tar", "-C", "/etc", "-cf", work / "x.tar", "hostname")
    vrun("import", work / "x.tar", "x").ok()
    assert stamp.exists() and len(vrun.layers()) == 3, "too young to go"


def verbs_of_two_words_explain_themselves(vrun):
    assert "image fsck" in vrun("image").ok().out
    assert "--repair" in vrun("image", "fsck", "--help").ok().out
    vrun("image", "lss").fails("unknown verb 'image lss'", "did you mean image ls?", rc=125)
    vrun("tag", "base").fails("needs 2 arguments, got 1", rc=125)
    vrun("tag", "base", "Upper").fails("must be lower case", rc=125)
