"""What one tenant pulled is nobody else's business: each test does the same in two stores, one where another tenant has the
image and one where nobody has, and finds no difference in words, exit codes and requests. Disk use is shared all the same."""
import json
import os
import re
import shutil
import time

import pytest

from harness import registries

B = "tb"


@pytest.fixture
def worlds(vrun, work, proxy):
    """(somebody has it, nobody has it): two vruns with the tenants A and B each."""
    other = work / "nobody"
    other.mkdir()
    both = vrun, type(vrun)(other)
    name = f"{proxy.host}/small:v1"
    for world in both:
        for tenant in ("ta", B):
            world("tenant", "create", tenant).ok()
    both[0]("--tenant", "ta", "pull", name).ok()
    proxy.requests.clear()
    yield both
    for world in both:
        for tenant in ("ta", B):
            world("tenant", "rm", "--force", tenant).ok()
        assert not world.unfinished(), "half-made things stayed"


@pytest.fixture
def theirs(images):
    """The documents of A's image."""
    index = json.loads((images.layout / "index.json").read_text())
    blobs = images.layout / "blobs/sha256"
    manifest = index["manifests"][0]["digest"]
    read = json.loads((blobs / manifest[7:]).read_text())
    return {"manifest": manifest, "config": read["config"]["digest"], "layers": read["layers"], "document": read, "blobs": blobs,
            "config_bytes": (blobs / read["config"]["digest"][7:]).read_bytes()}


def _same(worlds, act):
    """What `act` gives, which must be one thing in both worlds."""
    first, second = (act(world) for world in worlds)
    assert first == second
    return first


def _said(done, world):
    words = (done.out + done.err).replace(str(world.data), "DATA")
    return done.rc, re.sub(r"\d+(\.\d+)?m?s\b", "TIME", words)


BY_DIGEST = {
    "image inspect": lambda id: ("image", "inspect", id), "image history": lambda id: ("image", "history", id),
    "tag": lambda id: ("tag", id, "mine"), "rmi": lambda id: ("rmi", id), "save": lambda id: ("save", id),
    "push": lambda id: ("push", id, "127.0.0.1:1/x"), "run": lambda id: ("run", "--rm", "--network", "none", "--pull", "never", id, "true"),
    "create": lambda id: ("create", "--network", "none", "--pull", "never", id, "true"),
}


@pytest.mark.parametrize("verb", BY_DIGEST)
def no_verb_finds_what_another_has(worlds, theirs, verb):
    for kind in ("manifest", "config"):
        for id in (theirs[kind], theirs[kind][7:], theirs[kind][7:19], f"small@{theirs[kind]}"):
            rc, words = _same(worlds, lambda world: _said(world("--tenant", B, *BY_DIGEST[verb](id)), world))
            assert rc == 125 and "no such image" in words, words
    mine = worlds[0]("--tenant", "ta", *BY_DIGEST["image inspect"](theirs["config"][7:19]))
    mine.ok()


def pull_does_all_as_if_nobody_had_it(worlds, proxy, theirs):
    def act(world):
        proxy.requests.clear()
        done = _said(world("--tenant", B, "pull", f"{proxy.host}/small:v1"), world)
        return done, sorted((method, path) for method, path, _ in proxy.requests)
    (rc, words), requests = _same(worlds, act)
    assert rc == 0 and "already there" not in words
    assert len([path for method, path in requests if method == "GET" and "/blobs/" in path]) == 3
    # Its own the next time.
    (rc, words), requests = _same(worlds, act)
    assert rc == 0 and words.count("already there") == 2
    assert not [path for _, path in requests if "/blobs/" in path]


def a_part_of_it_is_no_more_there(worlds, liar, theirs):
    """B's registry has an image with A's first layer: B fetches it."""
    layer = (theirs["blobs"] / theirs["layers"][0]["digest"][7:]).read_bytes()
    config = json.loads(theirs["config_bytes"])
    config["rootfs"]["diff_ids"] = config["rootfs"]["diff_ids"][:1]
    config.pop("history", None)
    raw = json.dumps(config).encode()
    liar.blob("part", layer)
    liar.manifest("part", "v1", {"schemaVersion": 2, "mediaType": registries.OCI_MANIFEST, "layers": theirs["layers"][:1],
                                 "config": {"mediaType": registries.OCI_CONFIG, "digest": liar.blob("part", raw), "size": len(raw)}})

    def act(world):
        liar.requests.clear()
        return _said(world("--tenant", B, "pull", f"{liar.host}/part:v1"), world), sorted(path for _, path, _ in liar.requests)
    (rc, _), paths = _same(worlds, act)
    assert rc == 0 and any(theirs["layers"][0]["digest"] in path for path in paths)


def _forge(liar, theirs, layers, diff_ids, config=None):
    raw = config or json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()
    digest = registries.sha256(raw)
    if config is None:
        liar.blob("forged", raw)
    liar.manifest("forged", "v1", {"schemaVersion": 2, "mediaType": registries.OCI_MANIFEST, "layers": layers,
                                   "config": {"mediaType": registries.OCI_CONFIG, "digest": digest, "size": len(raw)}})
    return f"{liar.host}/forged:v1"


def _own_layer(liar, work):
    (work / "mine").write_text("mine\n")
    registries.run("tar", "-C", work, "-cf", work / "mine.tar", "mine")
    tar = (work / "mine.tar").read_bytes()
    return {"mediaType": registries.OCI_LAYER, "digest": liar.blob("forged", tar), "size": len(tar)}, registries.sha256(tar)


FORGED = ("layers", "configuration", "blob with a layer of one's own", "layer with a blob of one's own")


@pytest.mark.parametrize("what", FORGED)
def a_forged_manifest_gives_nothing(worlds, liar, theirs, work, what):
    """A manifest of B's own registry names A's digests; the registry has none of that content."""
    diff_ids = json.loads(theirs["config_bytes"])["rootfs"]["diff_ids"]
    own, own_id = _own_layer(liar, work)
    liar.image("own", "v1", (work / "mine.tar").read_bytes())
    for world in worlds:
        world("--tenant", B, "pull", f"{liar.host}/own:v1").ok()
    name = {"layers": lambda: _forge(liar, theirs, theirs["layers"][:1], diff_ids[:1]),
            "configuration": lambda: _forge(liar, theirs, theirs["layers"], diff_ids, theirs["config_bytes"]),
            "blob with a layer of one's own": lambda: _forge(liar, theirs, theirs["layers"][:1], [own_id]),
            "layer with a blob of one's own": lambda: _forge(liar, theirs, [own], diff_ids[:1])}[what]()

    def act(world):
        liar.requests.clear()
        done = _said(world("--tenant", B, "pull", name), world)
        return done, sorted({path for _, path, _ in liar.requests}), world("--tenant", B, "images", "-q").ok().out
    (rc, words), _, images = _same(worlds, act)
    assert rc == 125 and "already there" not in words.replace(own["digest"][7:19] + ": already there", ""), words
    assert len(images.split()) == 2, "its own and what came with vrun"
    for world in worlds:
        assert B + ":forged" not in world("--tenant", B, "run", "--rm", "--network", "none", "--pull", "never", name, "cat", "/etc/motd").fails(rc=125).out


def _layout(folder, theirs, blobs):
    """An OCI layout of A's image with only some of its blobs."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "blobs/sha256").mkdir(parents=True)
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    size = (theirs["blobs"] / theirs["manifest"][7:]).stat().st_size
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [
        {"mediaType": registries.OCI_MANIFEST, "digest": theirs["manifest"], "size": size,
         "annotations": {"org.opencontainers.image.ref.name": "forged:v1"}}]}))
    for digest in blobs:
        shutil.copy(theirs["blobs"] / digest[7:], folder / "blobs/sha256")
    return folder


@pytest.mark.parametrize("form", ("folder", "tar"))
def an_archive_that_lacks_blobs_is_refused_alike(worlds, theirs, work, form):
    layers = [layer["digest"] for layer in theirs["layers"]]
    shipped = worlds[0]("--tenant", B, "images", "-q").ok().out
    for lacking in (layers[0], layers[1], theirs["config"], theirs["manifest"]):
        folder = _layout(work / "thin", theirs, {*layers, theirs["config"], theirs["manifest"]} - {lacking})
        registries.run("tar", "-C", folder, "-cf", work / "thin.tar", ".")
        path = folder if form == "folder" else work / "thin.tar"
        rc, words = _same(worlds, lambda world: _said(world("--tenant", B, "load", "-i", path), world))
        assert rc == 125 and lacking[7:] in words, words
        assert _same(worlds, lambda world: world("--tenant", B, "images", "-q").ok().out) == shipped
    whole = _layout(work / "thin", theirs, {*layers, theirs["config"], theirs["manifest"]})
    assert _same(worlds, lambda world: _said(world("--tenant", B, "load", "-i", whole), world))[0] == 0
    # Now it is B's own: an archive without it will do.
    thin = _layout(work / "thin", theirs, {theirs["config"], theirs["manifest"]})
    assert _same(worlds, lambda world: _said(world("--tenant", B, "load", "-i", thin), world))[0] == 0


def a_damaged_copy_is_refused_though_another_has_it_whole(worlds, theirs, work):
    layers = [layer["digest"] for layer in theirs["layers"]]
    folder = _layout(work / "bad", theirs, {*layers, theirs["config"], theirs["manifest"]})
    blob = folder / "blobs/sha256" / layers[1][7:]
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    rc, words = _same(worlds, lambda world: _said(world("--tenant", B, "load", "-i", folder), world))
    assert rc == 125 and layers[1] in words


def removal_tells_nothing(worlds, proxy):
    name = f"{proxy.host}/small:v1"

    def act(world):
        world("--tenant", B, "pull", name).ok()
        done = _said(world("--tenant", B, "rmi", name), world)
        events = world("--tenant", B, "events", "--since", "1h", "--until", "0s", "--format", "json").ok().out
        actions = re.findall(r'"(?:Action|action)": ?"(\w+)"', events)
        proxy.requests.clear()
        world("--tenant", B, "pull", name).ok()
        return done, actions, len(proxy.seen("GET", "/blobs/"))
    (rc, words), actions, fetched = _same(worlds, act)
    assert rc == 0 and "Deleted: 2 layers, 4 blobs" in words, words
    assert actions == ["pull", "untag", "delete"], actions
    assert fetched == 3
    worlds[0]("--tenant", "ta", "save", name, "-o", os.devnull).ok()
    shutil.rmtree(worlds[0].data / "images/brought")


def a_denied_pull_says_nothing_of_what_is_there(worlds, proxy):
    def deny(handler, answer):
        registries.reply(handler, 403, b'{"errors":[{"code":"DENIED","message":"not for you"}]}', Content_Type="application/json")
        return True
    proxy.fault = deny

    def act(world):
        proxy.requests.clear()
        return _said(world("--tenant", B, "pull", f"{proxy.host}/small:v1"), world), len(proxy.requests)
    (rc, _), _ = _same(worlds, act)
    assert rc == 125


def what_both_have_lies_on_the_disk_once(worlds, proxy):
    world = worlds[0]
    count = lambda: sorted((str(p), p.lstat().st_ino) for kind in ("blobs", "layers") for p in (world.data / "images" / kind).rglob("*"))  # noqa: E731
    before = count()
    world("--tenant", B, "pull", f"{proxy.host}/small:v1").ok()
    assert count() == before
    world("--tenant", "ta", "rmi", f"{proxy.host}/small:v1").ok()
    assert count() == before
    world("--tenant", B, "rmi", f"{proxy.host}/small:v1").ok()
    assert not world.layers() and not world.blobs()


def an_attempt_that_failed_is_gone_on_with_by_its_own_tenant_alone(worlds, liar, theirs, work):
    """The first layer came, the second never: the next attempt of B fetches the second only, another tenant both."""
    first = (theirs["blobs"] / theirs["layers"][0]["digest"][7:]).read_bytes()
    liar.blob("x", theirs["config_bytes"])
    liar.blob("x", first)
    liar.manifest("x", "v1", theirs["document"])
    world = worlds[1]

    def late(handler, body):
        if theirs["layers"][1]["digest"] in handler.path:
            time.sleep(1.5)  # the first is unpacked by then
    liar.extra = late
    world("--tenant", B, "pull", f"{liar.host}/x:v1").fails(rc=125)
    liar.extra = None
    liar.blob("x", (theirs["blobs"] / theirs["layers"][1]["digest"][7:]).read_bytes())

    def fetched(tenant):
        liar.requests.clear()
        world("--tenant", tenant, "pull", f"{liar.host}/x:v1").ok()
        return [layer["digest"] in "".join(path for _, path, _ in liar.requests) for layer in theirs["layers"]]
    assert fetched(B) == [False, True]
    assert fetched("ta") == [True, True]
