"""Who may see what: passwords, certificates, mirrors, tokens."""
import base64
import fcntl
import json
import os
import pty
import select
import termios

import pytest

from harness import registries

USER, PASSWORD = "ann", "s3cret:with colon"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@pytest.fixture(scope="session")
def closed(place, images, authority):
    """A registry that wants a password, over TLS of our own authority."""
    users = place / "htpasswd"
    users.write_text(registries.run("htpasswd", "-Bbn", USER, PASSWORD))
    it = registries.DockerRegistry(place / "closed", tls=authority, htpasswd=users)
    it.image = images.put(it, "small:v1", "--dest-creds", f"{USER}:{PASSWORD}")
    yield it
    it.stop()


@pytest.fixture
def trusting(vrun, closed, authority):
    vrun.registries(f"  {closed.host}: {{ca: {authority.ca}}}\n")
    return vrun


def an_unknown_authority_is_refused_with_the_remedy(vrun, closed):
    vrun("pull", closed.image).fails("certificate", "hint:", "`ca`", "registries.yaml", rc=125)


def an_insecure_registry_needs_no_good_certificate(vrun, closed):
    vrun.registries(f"  {closed.host}: {{insecure: true}}\n")
    vrun("login", "-u", USER, "--password-stdin", closed.host, input=PASSWORD).ok()
    vrun("pull", closed.image).ok()


def without_a_password_access_is_denied_with_the_remedy(trusting, closed):
    trusting("pull", closed.image).fails("access denied", f"vrun login {closed.host}", rc=125)
    assert trusting.has_nothing()


def login_checks_the_password_and_logout_forgets_it(trusting, closed):
    trusting("login", "-u", USER, "--password-stdin", closed.host, input="wrong").fails("access denied", rc=125)
    assert not (trusting.home / ".docker").exists()
    trusting("login", "-u", USER, "--password-stdin", closed.host, input=PASSWORD + "\n").ok()
    kept = trusting.home / ".docker/config.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert json.loads(kept.read_text())["auths"][closed.host]["auth"] == BASIC.split()[1]
    trusting("pull", closed.image).ok()
    trusting("push", closed.image, f"{closed.host}/copy:v1").ok()
    trusting("logout", closed.host).ok()
    assert closed.host not in kept.read_text()
    trusting("pull", closed.image).fails("access denied", rc=125)
    trusting("logout", closed.host).fails("not logged in", rc=125)


def login_takes_the_password_as_a_flag_too(trusting, closed):
    trusting("login", "-u", USER, "-p", PASSWORD, closed.host).ok()
    trusting("login", "-p", PASSWORD, closed.host).fails("--password needs --username", rc=125)
    trusting("login", "-u", USER, closed.host).fails("no terminal", "--password-stdin", rc=125)


def login_asks_on_a_terminal_without_echo_and_can_be_interrupted(trusting, closed):
    def session(*keys):
        mine, theirs = pty.openpty()
        child = trusting.start("login", closed.host, stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=_own_terminal)
        os.close(theirs)
        seen = b""
        for wanted, answer in keys:
            while wanted not in seen:
                assert select.select([mine], [], [], 20)[0], seen
                seen += os.read(mine, 4096)
            os.write(mine, answer)
        while select.select([mine], [], [], 20)[0]:
            try:
                seen += os.read(mine, 4096)
            except OSError:  # nobody has the other end any more
                break
        os.close(mine)
        return child.wait(20), seen.decode()
    code, seen = session((b"User name", USER.encode() + b"\n"), (b"Password", PASSWORD.encode() + b"\n"))
    assert code == 0 and "logged in" in seen and PASSWORD not in seen
    code, seen = session((b"User name", USER.encode() + b"\n"), (b"Password", b"\x03"))
    assert code == 130 and "interrupted by SIGINT" in seen


def _own_terminal():
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def login_keeps_what_others_wrote(trusting, closed):
    (trusting.home / ".docker").mkdir()
    kept = trusting.home / ".docker/config.json"
    kept.write_text('{"psFormat": "x", "auths": {"other.example": {"auth": "YTpi"}}}')
    trusting("login", "-u", USER, "-p", PASSWORD, closed.host).ok()
    now = json.loads(kept.read_text())
    assert now["psFormat"] == "x" and now["auths"]["other.example"] == {"auth": "YTpi"} and closed.host in now["auths"]


def passwords_of_podman_are_found(trusting, closed):
    folder = trusting.home.parent / "xdg/containers"
    folder.mkdir(parents=True)
    (folder / "auth.json").write_text(json.dumps({"auths": {f"{closed.host}/small": {"auth": BASIC.split()[1]}}}))
    trusting("pull", closed.image).ok()


def credential_helpers_are_asked(trusting, closed, work):
    (work / "bin").mkdir()
    helper = work / "bin/docker-credential-test"
    helper.write_text(f"""#!/bin/sh
read -r server
echo "$1 $server" >>{work}/asked
case $1 in get) printf '{{"ServerURL":"%s","Username":"%s","Secret":"%s"}}' "$server" '{USER}' '{PASSWORD}';; esac
""")
    helper.chmod(0o755)
    (trusting.home / ".docker").mkdir()
    (trusting.home / ".docker/config.json").write_text(json.dumps({"credHelpers": {closed.host: "test"}}))
    path = f"{work}/bin:{os.environ['PATH']}"
    trusting("pull", closed.image, PATH=path).ok()
    assert (work / "asked").read_text() == f"get {closed.host}\n"
    helper.unlink()
    trusting("pull", closed.image, PATH=path).fails("credential helper 'test'", "install docker-credential-test", rc=125)


def no_password_goes_over_plain_http(vrun, liar):
    def ask(handler, _):
        if handler.headers.get("Authorization"):
            return False
        registries.reply(handler, 401, WWW_Authenticate='Basic realm="x"')
        return True
    liar.extra = ask
    (vrun.home / ".docker").mkdir()
    (vrun.home / ".docker/config.json").write_text(json.dumps({"auths": {liar.host: {"auth": BASIC.split()[1]}}}))
    vrun("pull", f"{liar.host}/x:v1").fails("wants a password, but speaks plain HTTP", "insecure: true", rc=125)
    assert not any(headers.get("Authorization") for _, _, headers in liar.requests)
    vrun.registries(f"  {liar.host}: {{insecure: true}}\n")
    vrun("pull", f"{liar.host}/x:v1").fails("no image", rc=125)
    assert any(headers.get("Authorization") == BASIC for _, _, headers in liar.requests)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"], ids=["another name", "another port"])
def credentials_do_not_follow_a_redirect_to_another_host(vrun, closed, authority, images, host):
    """The registry sends us elsewhere for blobs, as those with a content network do."""
    elsewhere = registries.Proxy(closed, tls=authority)
    front = registries.Proxy(closed, tls=authority)

    def away(handler, answer):
        if "/blobs/" not in handler.path or answer[0] != 200:
            return False
        registries.reply(handler, 307, Location=f"https://{host}:{elsewhere.port}{handler.path}")
        return True

    def alone(handler, answer):
        """What the other host has is free for all: it looks the blob up with the right password itself."""
        registries.Proxy.pass_on(handler, closed.fetch(handler.path, {"Authorization": BASIC}))
        return True
    front.fault, elsewhere.fault = away, alone
    vrun.registries("".join(f"  {name}: {{ca: {authority.ca}}}\n"
                            for name in (front.host, elsewhere.host, f"localhost:{elsewhere.port}")))
    try:
        vrun("login", "-u", USER, "-p", PASSWORD, front.host).ok()
        vrun("pull", f"{front.host}/small:v1").ok()
        assert len(elsewhere.seen("GET", "/blobs/")) == 3
        assert all(headers.get("Authorization") == BASIC for _, path, headers in front.requests if "/blobs/" in path)
        assert not any("Authorization" in headers for _, _, headers in elsewhere.requests)
    finally:
        front.stop()
        elsewhere.stop()


def a_redirect_to_plain_http_is_refused(vrun, closed, authority, liar):
    front = registries.Proxy(closed, tls=authority)

    def away(handler, answer):
        if "/blobs/" not in handler.path:
            return False
        registries.reply(handler, 302, Location=f"http://no-loopback.invalid{handler.path}")
        return True
    front.fault = away
    vrun.registries(f"  {front.host}: {{ca: {authority.ca}}}\n")
    try:
        vrun("login", "-u", USER, "-p", PASSWORD, front.host).ok()
        vrun("pull", f"{front.host}/small:v1").fails("no-loopback.invalid", "plain HTTP", rc=125)
    finally:
        front.stop()


def tokens_are_fetched_once_for_a_repository(vrun, authority, work):
    """A token service: it gets the password, the registry only the token."""
    it = registries.Liar(tls=authority)
    (work / "file").write_text("x")
    registries.run("tar", "-C", work, "-cf", work / "layer.tar", "file")
    it.image("team/app", "v1", (work / "layer.tar").read_bytes())

    def guard(handler, _):
        if handler.path.startswith("/token"):
            good = handler.headers.get("Authorization") == BASIC and "scope=repository%3Ateam%2Fapp%3Apull" in handler.path
            registries.reply(handler, 200 if good else 401, b'{"token": "a-token", "expires_in": 60}')
            return True
        if handler.headers.get("Authorization") == "Bearer a-token":
            return False
        registries.reply(handler, 401, WWW_Authenticate=f'Bearer realm="https://{it.host}/token",service="s",scope="repository:team/app:pull"')
        return True
    it.extra = guard
    vrun.registries(f"  {it.host}: {{ca: {authority.ca}}}\n")
    (vrun.home / ".docker").mkdir()
    (vrun.home / ".docker/config.json").write_text(json.dumps({"auths": {it.host: {"auth": BASIC.split()[1]}}}))
    try:
        vrun("pull", f"{it.host}/team/app:v1").ok()
        assert len(it.seen("GET", "/token")) == 1
        assert not any(h.get("Authorization") == BASIC for _, path, h in it.requests if path.startswith("/v2"))
    finally:
        it.stop()


def mirrors_are_asked_first_and_the_registry_after_them(vrun, registry, images):
    mirror = registries.Proxy(registry)
    origin = registries.Proxy(registry)
    images.put(registry, "copies/small:v1")
    try:
        vrun.registries(f"  {origin.host}: {{mirrors: ['{mirror.host}/copies']}}\n")
        vrun("pull", f"{origin.host}/small:v1").ok()
        assert mirror.seen("GET", "/v2/copies/small/blobs/") and not origin.requests
        vrun.registries(f"  {origin.host}: {{mirrors: ['127.0.0.1:{registries.free_port()}', '{mirror.host}/empty']}}\n")
        vrun("pull", f"{origin.host}/small:v1").ok()
        assert origin.seen("GET", "/v2/small/manifests/v1") and mirror.seen("GET", "/v2/empty/small/manifests/v1")
    finally:
        mirror.stop()
        origin.stop()


def faults_of_the_configuration_name_their_place(vrun, registry):
    vrun.yaml.write_text("registries:\n  example.org:\n    insecur: true\n    ca: relative\n    mirrors: [http://x]\nregistrie: {}\n")
    said = vrun("pull", registry.image).fails(rc=125).err
    for place, words in (("3:5", "unknown key 'insecur', did you mean 'insecure'?"), ("4:9", "absolute path"),
                         ("5:15", "without a scheme"), ("6:1", "unknown key 'registrie', did you mean 'registries'?")):
        assert f"{vrun.yaml}:{place}: " in said and words in said, said
    vrun.yaml.write_text("registries: [\n")
    vrun("pull", registry.image).fails(f"{vrun.yaml}:2:", rc=125)
