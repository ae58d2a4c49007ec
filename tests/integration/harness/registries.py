"""Registries for tests, all on loopback: Debian's docker-registry, a proxy that breaks things on the way to it,
and a registry of a few lines that says whatever a test wants."""
import hashlib
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness import runtime

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"


def run(*words, **more):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=120, **more)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class DockerRegistry:
    """A real registry; `host` is how images there are called."""

    def __init__(self, folder: Path, tls=None, htpasswd=None):
        self.folder = folder
        folder.mkdir()
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.tls = tls
        lines = ["version: 0.1", "log: {level: error, accesslog: {disabled: true}}",
                 f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}", "http:", f"  addr: {self.host}"]
        if tls:
            lines += ["  tls:", f"    certificate: {tls.certificate}", f"    key: {tls.key}"]
        if htpasswd:
            lines += ["auth:", "  htpasswd:", "    realm: tests", f"    path: {htpasswd}"]
        (folder / "config.yml").write_text("\n".join(lines) + "\n")
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"], stdout=self.log, stderr=self.log)
        runtime.wait_for(self._answers, "the registry answers", 20)

    def _answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def connect(self):
        if self.tls:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=ssl._create_unverified_context())
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def fetch(self, path, headers=None, method="GET", body=None):
        """(status, headers, body) of one request."""
        connection = self.connect()
        connection.request(method, path, body, headers or {})
        got = connection.getresponse()
        answer = (got.status, dict(got.getheaders()), got.read())
        connection.close()
        return answer

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


class Authority:
    """A certificate authority of our own and a server certificate for loopback."""

    def __init__(self, folder: Path):
        folder.mkdir()
        self.ca, self.certificate, self.key = folder / "ca.pem", folder / "server.pem", folder / "server.key"
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority of a test",
            "-keyout", folder / "ca.key", "-out", self.ca, "-addext", "basicConstraints=critical,CA:TRUE")
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", self.key, "-out", folder / "request")
        (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        run("openssl", "x509", "-req", "-in", folder / "request", "-CA", self.ca, "-CAkey", folder / "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", folder / "names", "-out", self.certificate)


class _Server:
    """A threaded HTTP server whose requests are all remembered."""

    def __init__(self, tls=None):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length) if length else b""
                with outer.lock:
                    outer.requests.append((self.command, self.path, dict(self.headers)))
                try:
                    outer.answer(self, body)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _serve

            def log_message(self, *_):
                pass

        self.requests, self.lock = [], threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.certificate, tls.key)
            # The handshake belongs into the thread of the connection.
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.host = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def seen(self, method, part):
        with self.lock:
            return [r for r in self.requests if r[0] == method and part in r[1]]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def reply(handler, status, body=b"", **headers):
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    if "Content_Length" not in headers:
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


class Proxy(_Server):
    """Passes requests on to a registry. `fault(handler, answer)` may do something else: it gets the upstream's
    (status, headers, body) and returns True when it has answered."""

    def __init__(self, upstream: DockerRegistry, fault=None, tls=None):
        self.upstream, self.fault = upstream, fault
        super().__init__(tls)

    def answer(self, handler, body):
        headers = {k: v for k, v in handler.headers.items() if k.lower() != "connection"}
        answer = self.upstream.fetch(handler.path, headers, handler.command, body)
        if self.fault and self.fault(handler, answer):
            return
        self.pass_on(handler, answer)

    @staticmethod
    def pass_on(handler, answer):
        status, headers, body = answer
        handler.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("connection", "transfer-encoding"):
                handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)


def cut(handler, answer, after):
    """The head is right, the body ends after some bytes and the connection with it."""
    status, headers, body = answer
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body[:after])
    handler.wfile.flush()
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


class Liar(_Server):
    """A registry that has what a test puts into it: by path, (status, content type, bytes)."""

    def __init__(self, tls=None):
        self.things = {}
        self.extra = None  # called before everything; True: answered
        super().__init__(tls)

    def answer(self, handler, body):
        if self.extra and self.extra(handler, body):
            return
        path = handler.path.split("?")[0]
        if path == "/v2/":
            return reply(handler, 200)
        status, kind, data = self.things.get(path, (404, "application/json", b'{"errors":[{"message":"nothing here"}]}'))
        reply(handler, status, data, Content_Type=kind)

    def blob(self, repository, data: bytes) -> str:
        self.things[f"/v2/{repository}/blobs/{sha256(data)}"] = (200, "application/octet-stream", data)
        return sha256(data)

    def manifest(self, repository, tag, document, kind=OCI_MANIFEST) -> str:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        for name in (tag, sha256(data)):
            self.things[f"/v2/{repository}/manifests/{name}"] = (200, kind, data)
        return sha256(data)

    def image(self, repository, tag, tar: bytes, architecture="amd64", **changes) -> str:
        """A whole image of one plain layer; `changes` replace members of the manifest."""
        config = json.dumps({"architecture": architecture, "os": "linux", "config": {},
                             "rootfs": {"type": "layers", "diff_ids": [sha256(tar)]}}).encode()
        manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST,
                    "config": {"mediaType": OCI_CONFIG, "digest": self.blob(repository, config), "size": len(config)},
                    "layers": [{"mediaType": OCI_LAYER, "digest": self.blob(repository, tar), "size": len(tar)}]}
        manifest.update(changes)
        return self.manifest(repository, tag, manifest)


class Images:
    """Images made by Debian's tools from its busybox, as an OCI layout."""

    def __init__(self, folder: Path):
        self.layout = folder / "layout"
        root = folder / "root"
        (root / "bin").mkdir(parents=True)
        shutil.copy("/bin/busybox", root / "bin/busybox")
        for name in ("sh", "cat", "echo", "ls", "true"):
            (root / "bin" / name).symlink_to("busybox")
        (root / "etc").mkdir()
        (root / "etc/motd").write_text("made for a test\n")
        second = folder / "second"
        second.mkdir()
        (second / "noise").write_bytes(os.urandom(3_000_000))
        run("umoci", "init", "--layout", self.layout)
        run("umoci", "new", "--image", f"{self.layout}:v1")
        run("umoci", "insert", "--image", f"{self.layout}:v1", root, "/")
        run("umoci", "insert", "--image", f"{self.layout}:v1", second, "/data")
        run("umoci", "config", "--image", f"{self.layout}:v1", "--config.cmd", "/bin/sh")

    def put(self, registry: DockerRegistry, name: str, *flags):
        run("skopeo", "copy", "-q", "--dest-tls-verify=false", *flags, f"oci:{self.layout}:v1", f"docker://{registry.host}/{name}")
        return f"{registry.host}/{name}"
