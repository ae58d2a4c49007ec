"""System guests in tenants: no allowance is needed, and none is gained."""
import os

import pytest

from harness import everyday

NONE = ("--network", "none")
SLEEPER = ("sh", "-c", "while :; do sleep 1000; done")


@pytest.fixture
def vrun(work):
    with everyday.fresh(work) as it:
        yield it
        for name in it("tenant", "ls", "-q").ok().out.split():
            if name != "default":
                it("tenant", "rm", "--force", name).ok()


@pytest.fixture
def acme(vrun):
    """A strict tenant, with a name that no other run of the tests has."""
    name = f"t{os.getpid()}-{os.urandom(3).hex()}"
    vrun("tenant", "create", name).ok()
    return name


def _run(vrun, tenant, *flags):
    return vrun("--tenant", tenant, "run", "-d", "--system", *NONE, *flags, "--name", "m", "base", *SLEEPER)


def a_strict_tenant_has_system_guests(vrun, acme):
    _run(vrun, acme).ok()
    vrun("--tenant", acme, "exec", "m", "sh", "-c", "mkdir /x && mount -t tmpfs none /x").ok()
    vrun("--tenant", acme, "shell", "m", "true").ok()
    assert len(vrun("--tenant", acme, "machine-id", "m").ok().out.strip()) == 32


def root_can_forbid_them(vrun, acme):
    vrun("tenant", "update", acme, "--forbid-system", "true").ok()
    out = _run(vrun, acme).fails("rule isolation: system guests", rc=125)
    assert f"vrun tenant update {acme} --forbid-system=false" in out.err
    assert vrun("--tenant", acme, "ps", "-aq").out == "", "nothing half-made is left"
    vrun("--tenant", acme, "run", "--rm", *NONE, "base", "true").ok()
    vrun("tenant", "update", acme, "--forbid-system=false").ok()
    _run(vrun, acme).ok()


@pytest.mark.parametrize("flags, words", [
    (("--cap-add", "SYS_TIME"), "rule capabilities: CAP_SYS_TIME"),
    (("--cap-add", "SYS_MODULE"), "rule capabilities: CAP_SYS_MODULE"),
    (("--privileged",), "rule unsafe: --privileged"),
    (("--security-opt", "seccomp=unconfined"), "rule unsafe: a seccomp filter of its own"),
    (("--device", "/dev/zero:/dev/net/tun"), "rule devices: '/dev/zero'"),
    (("-v", "/dev/net:/mnt"), "rule devices: '/dev/net'"),
    (("-v", "/etc:/mnt"), "rule mounts: '/etc'"),
])
def it_is_no_way_to_more(vrun, acme, flags, words):
    _run(vrun, acme, *flags).fails(words, rc=125)


def what_a_system_guest_may_others_may_not(vrun, acme):
    for flags, words in ((("--cap-add", "SYS_ADMIN"), "rule capabilities"), (("--device", "/dev/net/tun"), "rule devices")):
        vrun("--tenant", acme, "run", "--rm", *NONE, *flags, "base", "true").fails(words, rc=125)
    # Nor does a host's user namespace, allowed by root, come with the capabilities of an init.
    vrun("tenant", "update", acme, "--allow-host", "user").ok()
    _run(vrun, acme, "--userns", "host").fails("its init needs namespaces of its own", rc=125)
