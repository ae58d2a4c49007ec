"""What registries and networks do wrong: each gives one clear error, or is overcome; nothing half-made stays."""
import json
import threading
import time

import pytest

from harness import registries


def _is_layer(handler, answer):
    return handler.command == "GET" and "/blobs/" in handler.path and len(answer[2]) > 100_000


def a_cut_connection_is_continued_where_it_broke(vrun, proxy):
    cuts = []

    def fault(handler, answer):
        if not _is_layer(handler, answer) or len(cuts) >= 3:
            return False
        cuts.append(handler.path)
        registries.cut(handler, answer, 60_000)
        return True
    proxy.fault = fault
    vrun("pull", f"{proxy.host}/small:v1").ok()
    ranges = [headers["Range"] for _, path, headers in proxy.seen("GET", "/blobs/") if "Range" in headers]
    assert len(ranges) == 3 and "bytes=60000-" in ranges


def a_server_without_ranges_is_read_again_from_the_start(vrun, proxy):
    cuts = []

    def fault(handler, answer):
        if not _is_layer(handler, answer):
            return False
        if handler.path not in cuts:
            cuts.append(handler.path)
            registries.cut(handler, answer, 60_000)
            return True
        if "Range" not in handler.headers:
            return False
        proxy.pass_on(handler, proxy.upstream.fetch(handler.path))
        return True
    proxy.fault = fault
    vrun("pull", f"{proxy.host}/small:v1").ok()
    assert len(cuts) == 2


def a_range_that_was_not_asked_for_is_refused(vrun, proxy):
    def fault(handler, answer):
        if not _is_layer(handler, answer):
            return False
        if "Range" not in handler.headers:
            registries.cut(handler, answer, 60_000)
        else:
            registries.reply(handler, 206, answer[2][:1000], Content_Range=f"bytes 0-999/{len(answer[2]) + 60_000}")
        return True
    proxy.fault = fault
    vrun("pull", f"{proxy.host}/small:v1").fails("asked for the bytes from 60000 on", rc=125)
    assert vrun.has_nothing()


def a_server_that_is_busy_is_asked_again(vrun, proxy):
    refused = []

    def fault(handler, answer):
        if len(refused) >= 3:
            return False
        refused.append(handler.path)
        status = (503, 429, 500)[len(refused) - 1]
        registries.reply(handler, status, Retry_After="0")
        return True
    proxy.fault = fault
    vrun("pull", f"{proxy.host}/small:v1").ok()
    assert len(refused) == 3


def changed_bytes_are_noticed(vrun, proxy):
    def fault(handler, answer):
        if not _is_layer(handler, answer):
            return False
        status, headers, body = answer
        proxy.pass_on(handler, (status, headers, body[:-20] + bytes([body[-20] ^ 1]) + body[-19:]))
        return True
    proxy.fault = fault
    vrun("pull", f"{proxy.host}/small:v1").fails("its content has the digest sha256:", "damaged or changed on its way", rc=125)
    assert vrun.has_nothing()


@pytest.mark.parametrize("change, words", [(b"more", "bytes to send, the manifest says"), (None, "bytes to send, the manifest says")],
                         ids=["too long", "too short"])
def a_wrong_length_is_refused(vrun, proxy, change, words):
    def fault(handler, answer):
        if not _is_layer(handler, answer):
            return False
        body = answer[2] + change if change else answer[2][:-10]
        registries.reply(handler, 200, body)
        return True
    proxy.fault = fault
    vrun("pull", f"{proxy.host}/small:v1").fails(words, rc=125)
    assert vrun.has_nothing()


def reading_stops_at_the_declared_size(vrun, proxy):
    """No Content-Length, and no end either."""
    sent = []

    def fault(handler, answer):
        if not _is_layer(handler, answer):
            return False
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(answer[2])
        for _ in range(2000):
            handler.wfile.write(b"x" * 100_000)
            sent.append(100_000)
        return True
    proxy.fault = fault
    vrun("pull", f"{proxy.host}/small:v1").fails("more bytes than the", rc=125)
    assert sum(sent) < 100_000_000 and vrun.has_nothing()


def a_stalled_server_is_given_up(vrun, proxy):
    stop = threading.Event()

    def fault(handler, answer):
        if not _is_layer(handler, answer):
            return False
        status, headers, body = answer
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(b"")
        handler.wfile.flush()
        stop.wait(60)
        handler.close_connection = True
        return True
    proxy.fault = fault
    vrun.yaml.write_text("timeouts: {connect: 2, stall: 1, overall: 5}\n")
    begin = time.monotonic()
    said = vrun("pull", f"{proxy.host}/small:v1").fails(rc=125)
    stop.set()
    assert "no byte for 1 seconds" in said.err or "took too long" in said.err
    assert time.monotonic() - begin < 30 and vrun.has_nothing()


def a_server_that_drips_meets_the_overall_deadline(vrun, proxy):
    def fault(handler, answer):
        if not _is_layer(handler, answer):
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(answer[2])))
        handler.end_headers()
        for i in range(600):
            handler.wfile.write(answer[2][i:i + 1])
            handler.wfile.flush()
            time.sleep(0.1)
        return True
    proxy.fault = fault
    vrun.yaml.write_text("timeouts: {connect: 2, stall: 2, overall: 3}\n")
    begin = time.monotonic()
    vrun("pull", f"{proxy.host}/small:v1").fails("took too long altogether", rc=125)
    assert time.monotonic() - begin < 30 and vrun.has_nothing()


def an_unreachable_registry_and_a_missing_image_say_so(vrun, registry):
    nobody = registries.free_port()
    vrun("pull", f"127.0.0.1:{nobody}/x").fails(f"127.0.0.1:{nobody}", "hint: check the name, the network", rc=125)
    vrun("pull", f"{registry.host}/nothing:v9").fails("no image 'nothing:v9'", "hint:", rc=125)
    vrun("pull", "example.org/UPPER/case:x").fails("image name", rc=125)
    vrun("pull", "registry.invalid/x").fails("registry.invalid", rc=125)


def a_proxy_is_for_other_machines_only(vrun, registry):
    nobody = f"http://127.0.0.1:{registries.free_port()}"
    vrun("pull", registry.image, http_proxy=nobody, https_proxy=nobody, ALL_PROXY=nobody).ok()
    vrun("pull", "registry.invalid/x", https_proxy=nobody).fails("hint: check the name, the network and the proxy variables", rc=125)


TAR = bytes(1024)
CONFIG = {"mediaType": registries.OCI_CONFIG, "digest": "sha256:" + "1" * 64, "size": 2}
LAYER = {"mediaType": registries.OCI_LAYER, "digest": "sha256:" + "2" * 64, "size": 2}


@pytest.mark.parametrize("change, words", [
    ({"layers": []}, "layers"),
    ({"layers": [LAYER] * 501}, "layers"),
    ({"layers": [{**LAYER, "size": -1}]}, "size"),
    ({"layers": [{k: v for k, v in LAYER.items() if k != "size"}]}, "size"),
    ({"layers": [{**LAYER, "digest": "sha256:../../../etc/passwd"}]}, "digest"),
    ({"layers": [{**LAYER, "mediaType": "application/vnd.example.layer+lzma"}]}, "application/vnd.example.layer+lzma"),
    ({"manifests": []}, "manifests"),
    ({"mediaType": "application/vnd.example.manifest"}, "application/vnd.example.manifest"),
    ({"config": {**CONFIG, "mediaType": "application/vnd.cncf.helm.config.v1+json"}}, "artifact"),
    ({"schemaVersion": 1, "mediaType": None, "fsLayers": []}, "schema 1"),
], ids=["no layers", "too many layers", "negative size", "no size", "bad digest", "unknown compression", "mixed with an index",
        "unknown manifest", "artifact", "schema 1"])
def bad_manifests_are_refused_by_name(vrun, liar, change, words):
    document = {"schemaVersion": 2, "mediaType": registries.OCI_MANIFEST, "config": CONFIG, "layers": [LAYER]}
    document.update(change)
    kind = registries.OCI_MANIFEST
    if document["mediaType"] is None:
        del document["mediaType"]
        kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    liar.manifest("bad", "v1", document, kind)
    vrun("pull", f"{liar.host}/bad:v1").fails(words, rc=125)
    assert vrun.has_nothing() and not liar.seen("GET", "/blobs/sha256:222")


def a_manifest_of_more_than_4_mib_is_not_read(vrun, liar):
    liar.manifest("big", "v1", b'{"x": "' + b"x" * (5 << 20) + b'"}')
    vrun("pull", f"{liar.host}/big:v1").fails("larger than 4194304 bytes", rc=125)


def a_manifest_under_a_wrong_digest_is_refused(vrun, liar):
    liar.image("x", "v1", TAR)
    other = registries.sha256(b"another")
    liar.things[f"/v2/x/manifests/{other}"] = liar.things["/v2/x/manifests/v1"]
    vrun("pull", f"{liar.host}/x@{other}").fails("its content has the digest", rc=125)


def an_index_within_an_index_and_a_lying_size_are_refused(vrun, liar):
    inner = liar.manifest("x", "inner", {"schemaVersion": 2, "mediaType": registries.OCI_INDEX, "manifests": []}, registries.OCI_INDEX)
    size = len(liar.things[f"/v2/x/manifests/{inner}"][2])
    entry = {"mediaType": registries.OCI_MANIFEST, "digest": inner, "size": size, "platform": {"os": "linux", "architecture": "amd64"}}
    liar.manifest("x", "v1", {"schemaVersion": 2, "mediaType": registries.OCI_INDEX, "manifests": [entry]}, registries.OCI_INDEX)
    vrun("pull", f"{liar.host}/x:v1").fails("an index within an index", rc=125)
    liar.manifest("x", "v2", {"schemaVersion": 2, "mediaType": registries.OCI_INDEX, "manifests": [{**entry, "size": size + 1}]}, registries.OCI_INDEX)
    vrun("pull", f"{liar.host}/x:v2").fails("the index says", rc=125)


def layers_and_configuration_must_agree(vrun, liar):
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                         "rootfs": {"type": "layers", "diff_ids": [registries.sha256(TAR), registries.sha256(b"y")]}}).encode()
    liar.image("x", "v1", TAR, config={"mediaType": registries.OCI_CONFIG, "digest": liar.blob("x", config), "size": len(config)})
    vrun("pull", f"{liar.host}/x:v1").fails("the manifest has 1 layers, the configuration 2", rc=125)
    wrong = json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                        "rootfs": {"type": "layers", "diff_ids": [registries.sha256(b"not this")]}}).encode()
    liar.image("x", "v2", TAR, config={"mediaType": registries.OCI_CONFIG, "digest": liar.blob("x", wrong), "size": len(wrong)})
    vrun("pull", f"{liar.host}/x:v2").fails("its content has the digest", rc=125)
    assert vrun.has_nothing()


def words_of_a_registry_cannot_play_with_the_terminal(vrun, liar):
    liar.things["/v2/x/manifests/v1"] = (418, "application/json", json.dumps({"errors": [{"message": "\x1b[2Jgone"}]}).encode())
    said = vrun("pull", f"{liar.host}/x:v1").fails("HTTP 418", rc=125)
    assert "\x1b" not in said.err and "gone" in said.err


def the_network_process_has_no_privileges(vrun, proxy):
    """While bytes are on their way: whoever holds the connection is nobody, without capabilities."""
    found = {}

    def fault(handler, answer):
        if _is_layer(handler, answer) and not found:
            found.update(_owner_of(handler.client_address[1]))
        return False
    proxy.fault = fault
    vrun("pull", f"{proxy.host}/small:v1").ok()
    assert found["Uid"].split() == ["65534"] * 4 and found["Gid"].split() == ["65534"] * 4
    assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == 0 and found["NoNewPrivs"].strip() == "1"
    assert found["Groups"].strip() == ""


def _owner_of(port):
    """The status of the process whose socket has this local port."""
    import os
    from pathlib import Path
    wanted = f"{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(":" + wanted):
            inode = fields[9]
            break
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if any(os.readlink(fd) == f"socket:[{inode}]" for fd in (process / "fd").iterdir()):
                return dict(line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line)
        except OSError:
            continue
    raise AssertionError("nobody has the socket")
