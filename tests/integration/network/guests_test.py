"""`vrun run` on networks: ports, names, shared namespaces; the whole of vrun inside a namespace that plays the host."""
import sys
import time

import pytest

from harness import netlab, runtime
from harness.netlab import HOST4, HOST6


@pytest.fixture
def host(work):
    it = netlab.Host(work)
    yield it
    for line in it.vrun("ps", "-aq").out.split():
        it.vrun("rm", "-f", line)
    it.end()


HTTPD = "mkdir /w; echo hello from $(hostname) > /w/index.html; exec httpd -f -p 80 -h /w"


def _web(host, *flags):
    host.vrun("run", "-d", "--name", "web", *flags, "base", "sh", "-c", HTTPD).ok()


def _fetch(space, url):
    end = time.monotonic() + runtime.DEADLINE
    while True:
        done = space.run(sys.executable, "-c", "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=2).read().decode(), end='')", url)
        if done.rc == 0 or time.monotonic() > end:
            return done.out
        time.sleep(0.05)


def a_published_httpd_answers_outside_and_on_the_host(host):
    _web(host, "-p", "8080:80")
    for space, address in ((host.outside, HOST4), (host.outside, f"[{HOST6}]"), (host, "127.0.0.1"), (host, HOST4)):
        assert _fetch(space, f"http://{address}:8080/") == "hello from web\n"
    host.vrun("stop", "-t", "0", "web").ok()
    assert host.outside.ask(HOST4, 8080) == "refused"
    host.vrun("start", "web").ok()
    assert _fetch(host.outside, f"http://{HOST4}:8080/") == "hello from web\n"


def two_guests_talk_by_name_over_both_families(host):
    host.vrun("network", "create", "front").ok()
    _web(host, "--network", "front", "--network-alias", "www")
    for name in ("web", "web.front", "www"):
        out = host.vrun("run", "--rm", "--network", "front", "base", "wget", "-q", "-O", "-", f"http://{name}/").ok().out
        assert out == "hello from web\n"
    six = host.vrun("network", "inspect", "front").ok().json[0]["guests"][0]["networks"][0]["address6"]
    assert host.vrun("run", "--rm", "--network", "front", "base", "wget", "-q", "-O", "-", f"http://[{six}]/").ok().out == "hello from web\n"


def guests_share_a_namespace(host):
    _web(host, "--network", "default")
    _fetch(host, "http://127.0.0.1/")
    assert host.vrun("run", "--rm", "--network", "container:web", "base", "wget", "-q", "-O", "-", "http://127.0.0.1/").ok().out == "hello from web\n"


def a_connected_guest_is_on_both(host):
    host.vrun("network", "create", "back").ok()
    _web(host, "--network", "default")
    host.vrun("network", "connect", "back", "web", "--alias", "store").ok()
    assert host.vrun("run", "--rm", "--network", "back", "base", "wget", "-q", "-O", "-", "http://store/").ok().out == "hello from web\n"
    host.vrun("network", "disconnect", "back", "web").ok()
    host.vrun("network", "rm", "back").ok()


@pytest.mark.parametrize("flags, words", [
    (("-p", "8080:80"), ("port 8080/tcp is in use", "guest 'web' has published it")),
    (("--network", "nothing-like-it"), ("network 'nothing-like-it': there is none", "vrun network ls")),
    (("--network", "host", "-p", "80"), ("the guest has no network of its own",)),
    (("--ip", "10.160.0.999"), ("not an IPv4 address",)),
    (("-p", "80:http"), ("'http' is not a port",)),
])
def what_cannot_be_attached_leaves_nothing(host, flags, words):
    _web(host, "-p", "8080:80")
    before = host.left()
    host.vrun("run", "--rm", *flags, "base", "true").fails(*words, rc=125)
    assert host.left() == before


def guests_that_ended_leave_nothing(host):
    for _ in range(5):
        host.vrun("run", "--rm", "-p", "8080:80", "base", "true").ok()
    runtime.wait_for(lambda: not host.left(), "the interfaces' end")


def ports_of_a_running_guest_are_changed_and_kept(host):
    _web(host, "--network", "default")
    host.vrun("update", "--publish-add", "8080:80", "web").ok()
    assert _fetch(host.outside, f"http://{HOST4}:8080/") == "hello from web\n"
    host.vrun("restart", "-t", "0", "web").ok()
    assert _fetch(host.outside, f"http://{HOST4}:8080/") == "hello from web\n"
    host.vrun("update", "--publish-rm", "8080:80", "--publish-add", "8081:80", "web").ok()
    assert _fetch(host.outside, f"http://{HOST4}:8081/") == "hello from web\n"
    assert host.outside.ask(HOST4, 8080) == "refused"
    host.vrun("update", "--publish-rm", "9:9", "web").fails("guest 'web' has not published 9->9/tcp", rc=1)


def a_renamed_guest_is_found_and_removed_by_its_new_name(host):
    _web(host, "-p", "8080:80")
    host.vrun("rename", "web", "www").ok()
    assert host.vrun("run", "--rm", "--network", "default", "base", "wget", "-q", "-O", "-", "http://www/").ok().out == "hello from web\n"
    host.vrun("rm", "-f", "www").ok()
    runtime.wait_for(lambda: not host.left(), "the interfaces' end")
