"""`vrun pull` and `vrun push` against a real registry."""
import hashlib
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import threading

import pytest

from harness import registries, runtime


def _config_of(vrun, name):
    """The manifest that vrun keeps under a name, as a document."""
    digest = next(line.split()[1] for line in vrun("pull", name).ok().err.splitlines() if line.startswith("digest:"))
    return json.loads((vrun.data / "images/blobs/sha256" / digest.split(":")[1]).read_text()), digest


def pull_brings_every_layer_under_its_digest(vrun, registry):
    done = vrun("pull", registry.image).ok()
    assert done.out == registry.image + "\n"
    manifest, digest = _config_of(vrun, registry.image)
    assert digest == json.loads(registries.run("skopeo", "inspect", "--tls-verify=false", f"docker://{registry.image}"))["Digest"]
    config = json.loads((vrun.data / "images/blobs/sha256" / manifest["config"]["digest"][7:]).read_text())
    assert vrun.layers() == sorted(d[7:] for d in config["rootfs"]["diff_ids"])
    for layer in manifest["layers"]:
        blob = (vrun.data / "images/blobs/sha256" / layer["digest"][7:]).read_bytes()
        assert hashlib.sha256(blob).hexdigest() == layer["digest"][7:]
    root = vrun.data / "images/layers" / config["rootfs"]["diff_ids"][0][7:]
    assert (root / "etc/motd").read_text() == "made for a test\n"
    assert os.readlink(root / "bin/sh") == "busybox"


def what_is_here_is_not_fetched_again(vrun, proxy):
    name = f"{proxy.host}/small:v1"
    vrun("pull", name).ok()
    assert len(proxy.seen("GET", "/blobs/")) == 3  # two layers, one configuration
    again = vrun("pull", name).ok()
    assert len(proxy.seen("GET", "/blobs/")) == 3 and again.err.count("already there") == 2


def docker_manifests_give_the_same_layers(vrun, registry, images):
    vrun("pull", registry.image).ok()
    plain = vrun.layers()
    shutil.rmtree(vrun.data)
    manifest, _ = _config_of(vrun, images.put(registry, "docker:v1", "--format", "v2s2"))
    assert manifest["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert vrun.layers() == plain


@pytest.mark.parametrize("program, suffix", [(("gzip", "-c"), "+gzip"), (("zstd", "-q", "-c"), "+zstd"), (("cat",), "")],
                         ids=["gzip", "zstd", "plain"])
def layers_may_be_compressed_or_not(vrun, liar, work, program, suffix):
    (work / "root").mkdir()
    (work / "root/numbers").write_text("\n".join(map(str, range(300_000))))
    registries.run("tar", "-C", work / "root", "-cf", work / "layer.tar", "numbers")
    tar = (work / "layer.tar").read_bytes()
    blob = subprocess.run([*program], stdin=open(work / "layer.tar", "rb"), capture_output=True, check=True).stdout
    layer = {"mediaType": registries.OCI_LAYER + suffix, "digest": liar.blob("x", blob), "size": len(blob)}
    liar.image("x", "v1", tar, layers=[layer])
    vrun("pull", f"{liar.host}/x:v1").ok()
    assert vrun.layers() == [registries.sha256(tar)[7:]]
    assert (vrun.data / "images/layers" / vrun.layers()[0] / "numbers").stat().st_size == (work / "root/numbers").stat().st_size
    wrong = {**layer, "mediaType": registries.OCI_LAYER + {"+gzip": "+zstd", "+zstd": "+gzip", "": "+gzip"}[suffix]}
    shutil.rmtree(vrun.data)
    liar.image("x", "v2", tar, layers=[wrong])
    vrun("pull", f"{liar.host}/x:v2").fails("the data is not what its media type says", rc=125)


def an_image_goes_by_digest_too(vrun, registry):
    digest = json.loads(registries.run("skopeo", "inspect", "--tls-verify=false", f"docker://{registry.image}"))["Digest"]
    name = f"{registry.host}/small@{digest}"
    assert vrun("pull", name).ok().out == name + "\n"
    missing = vrun("pull", f"{registry.host}/small@sha256:" + "0" * 64).fails("no image", rc=125)
    assert "hint:" in missing.err


def of_an_index_the_machine_takes_its_own_platform(vrun, liar, work):
    tars = {}
    for architecture in ("amd64", "arm64"):
        (work / "root").mkdir(exist_ok=True)
        (work / "root/architecture").write_text(architecture)
        registries.run("tar", "-C", work / "root", "-cf", work / "layer.tar", "architecture")
        tars[architecture] = (work / "layer.tar").read_bytes()
    entries = []
    for architecture, tar in tars.items():
        digest = liar.image("many", architecture, tar, architecture=architecture)
        size = len(liar.things[f"/v2/many/manifests/{digest}"][2])
        entries.append({"mediaType": registries.OCI_MANIFEST, "digest": digest, "size": size,
                        "platform": {"os": "linux", "architecture": architecture}})
    liar.manifest("many", "v1", {"schemaVersion": 2, "mediaType": registries.OCI_INDEX, "manifests": entries}, registries.OCI_INDEX)

    def pulled(*flags):
        vrun("pull", *flags, f"{liar.host}/many:v1").ok()
        texts = [(p / "architecture").read_text() for p in (vrun.data / "images/layers").iterdir()]
        shutil.rmtree(vrun.data)
        return texts
    assert pulled() == ["amd64"]
    assert pulled("--platform", "linux/arm64") == ["arm64"] and pulled("--platform", "aarch64") == ["arm64"]
    vrun("pull", "--platform", "linux/s390x", f"{liar.host}/many:v1").fails(
        "no image for linux/s390x", "there is: linux/amd64, linux/arm64", rc=125)
    vrun("pull", "--platform", "windows/amd64", f"{liar.host}/many:v1").fails("only images for linux", rc=125)


def podman_and_skopeo_pull_what_vrun_pushed(vrun, registry, work):
    manifest, digest = _config_of(vrun, registry.image)
    target = f"{registry.host}/pushed/by-vrun:v2"
    assert vrun("push", registry.image, target).ok().out == target + "\n"
    assert json.loads(registries.run("skopeo", "inspect", "--tls-verify=false", f"docker://{target}"))["Digest"] == digest
    registries.run("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{target}", f"dir:{work}/copied")
    assert {layer["digest"][7:] for layer in manifest["layers"]} <= {p.name for p in (work / "copied").iterdir()}
    podman = ["podman", "--root", work / "podman", "--runroot", work / "pr", "--storage-driver", "vfs"]
    registries.run(*podman, "pull", "-q", "--tls-verify=false", target)
    try:
        assert registries.run(*podman, "image", "inspect", target, "--format", "{{.Digest}}").strip() == digest
    finally:
        registries.run(*podman, "rmi", "-af")


def the_shipped_image_can_be_pushed(vrun, registry):
    vrun("push", "base", f"{registry.host}/shipped/base:v1").ok()
    listed = vrun("images").ok().out
    vrun("pull", f"{registry.host}/shipped/base:v1").ok()
    assert "shipped/base" not in listed and "shipped/base" in vrun("images").ok().out


def push_of_what_is_not_here_says_so(vrun, registry):
    vrun("push", "nothing", f"{registry.host}/x").fails("no such image 'nothing'", rc=125)


def push_sends_only_what_the_registry_lacks(vrun, registry, place):
    vrun("pull", registry.image).ok()
    again = vrun("push", registry.image, f"{registry.host}/small:again").ok()
    assert again.err.count("already there") == 3
    mounted = vrun("push", registry.image, f"{registry.host}/elsewhere/small:v1").ok()
    assert mounted.err.count("mounted") == 3
    other = registries.DockerRegistry(place / "another-registry")
    try:
        sent = vrun("push", registry.image, f"{other.host}/small:v1").ok()
        assert sent.err.count(": done") == 3
    finally:
        other.stop()


def a_large_layer_goes_up_in_chunks(vrun, liar, registry, work):
    (work / "large").mkdir()
    (work / "large/noise").write_bytes(os.urandom(70_000_000))
    registries.run("tar", "-C", work / "large", "-cf", work / "large.tar", "noise")
    liar.image("large", "v1", (work / "large.tar").read_bytes())
    vrun("pull", f"{liar.host}/large:v1").ok()
    watched = registries.Proxy(registry)
    try:
        vrun("push", f"{liar.host}/large:v1", f"{watched.host}/large:v1").ok()
        assert len(watched.seen("PATCH", "/blobs/uploads/")) == 3
    finally:
        watched.stop()
    registries.run("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{registry.host}/large:v1", f"dir:{work}/copied")


def two_pulls_at_once_do_the_work_once(vrun, proxy):
    name = f"{proxy.host}/small:v1"
    both = [vrun.start("pull", name, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for one in both:
        out, err = one.communicate(timeout=60)
        assert one.returncode == 0, err
    layers = [path for _, path, _ in proxy.seen("GET", "/blobs/")]
    manifest, _ = _config_of(vrun, name)
    for layer in manifest["layers"]:
        assert sum(layer["digest"] in path for path in layers) == 1


def a_pull_that_was_killed_is_finished_by_the_next(vrun, proxy):
    reached = threading.Event()
    release = threading.Event()

    def hold(handler, answer):
        if "/blobs/" not in handler.path or len(answer[2]) < 100_000 or release.is_set():
            return False
        status, headers, body = answer
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[:50_000])
        handler.wfile.flush()
        reached.set()
        release.wait(30)
        handler.close_connection = True
        return True
    proxy.fault = hold
    name = f"{proxy.host}/small:v1"
    child = vrun.start("pull", name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert reached.wait(30)
    runtime.wait_for(vrun.unfinished, "something half-made", 20)
    child.kill()
    child.wait()
    release.set()
    vrun("pull", name).ok()
    assert len(vrun.layers()) == 2


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def an_interrupted_pull_cleans_up(vrun, proxy, which):
    reached = threading.Event()

    def hold(handler, answer):
        if "/blobs/" not in handler.path or len(answer[2]) < 100_000:
            return False
        reached.set()
        threading.Event().wait(3)
        handler.close_connection = True
        return True
    proxy.fault = hold
    child = vrun.start("pull", f"{proxy.host}/small:v1", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert reached.wait(30)
    runtime.wait_for(vrun.unfinished, "something half-made", 20)
    child.send_signal(which)
    _, err = child.communicate(timeout=20)
    assert child.returncode == 128 + which and b"interrupted by " + which.name.encode() in err
    assert vrun.has_nothing()


def progress_is_lines_json_or_bars(vrun, registry):
    lines = [json.loads(line) for line in vrun("pull", "--progress", "json", registry.image).ok().err.splitlines()]
    ended = [line for line in lines if line["event"] == "layer" and line["state"] == "done"]
    assert len(ended) == 2 and all(line["bytes"] == line["total"] > 0 for line in ended)
    shutil.rmtree(vrun.data)
    quiet = vrun("pull", "-q", registry.image).ok()
    assert quiet.err == "" and quiet.out == registry.image + "\n"
    shutil.rmtree(vrun.data)
    mine, theirs = pty.openpty()
    child = vrun.start("pull", registry.image, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    seen = b""
    while select.select([mine], [], [], 60)[0]:
        try:
            seen += os.read(mine, 65536)
        except OSError:
            break
    os.close(mine)
    assert child.wait() == 0 and b"\x1b[" in seen and b"done" in seen
    vrun("pull", "--progress", "fancy", registry.image).fails("should be auto, plain, json or quiet", rc=125)


def a_guest_runs_from_a_pulled_image(vrun, registry):
    vrun("pull", registry.image).ok()
    assert vrun("run", "--rm", registry.image, "cat", "/etc/motd").ok().out == "made for a test\n"
