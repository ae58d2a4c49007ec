"""Images count in a tenant's disk budget: what it pulls, loads, imports and commits, and what its Secrets and Configs may be."""
import os
import signal
import subprocess
import time

from .tenants_test import NONE, _run, _show, acme, vrun  # noqa: F401

MIB = 1 << 20
REFUSED = "the tenant's disk budget has no room for more images"


def _tar(work, name, mib):
    folder = work / name
    folder.mkdir()
    (folder / "big").write_bytes(os.urandom(mib * MIB))
    archive = work / f"{name}.tar"
    subprocess.run(["tar", "-C", folder, "-cf", archive, "."], check=True)
    return archive


def _images(vrun, name):
    return _show(vrun, name)["disk"]["images"]


def _store(vrun):
    """Bytes of the whole image store on the disk."""
    return int(subprocess.run(["du", "-s", "-B1", vrun.data / "images"], check=True, capture_output=True, text=True).stdout.split()[0])


def what_is_imported_is_charged_and_given_back(vrun, acme, work):
    vrun("tenant", "create", acme, "--disk", "64M").ok()
    _run(vrun, acme, "true").ok()
    assert _images(vrun, acme) == 0, "what came with vrun is free"
    vrun("--tenant", acme, "import", _tar(work, "one", 10), "one:1").ok()
    assert 20 * MIB <= _images(vrun, acme) <= 21 * MIB, "the blob and what it unpacks to"
    size, used = map(int, _run(vrun, acme, "df -m / | tail -1").ok().out.split()[1:3])
    assert used >= 20, "the guests' half is smaller by it"
    out = _run(vrun, acme, "dd if=/dev/zero of=/x bs=1M count=100 2>/dev/null; wc -c </x")
    assert int(out.out) < (size - 20) * MIB, out
    vrun("--tenant", acme, "rmi", "one:1").ok()
    assert _images(vrun, acme) == 0
    assert int(_run(vrun, acme, "df -m / | tail -1").ok().out.split()[2]) < used - 18


def what_does_not_fit_is_refused_before_it_is_written(vrun, acme, work):
    vrun("tenant", "create", acme, "--disk", "32M").ok()
    _run(vrun, acme, "true").ok()
    before = _store(vrun)
    vrun("--tenant", acme, "import", _tar(work, "one", 20), "one:1").fails(REFUSED, rc=125)
    assert _store(vrun) - before < MIB and _images(vrun, acme) == 0, "nothing of it stays"
    vrun("--tenant", acme, "image", "inspect", "one:1").fails("no such image")
    # What its guests wrote counts as well.
    vrun("--tenant", acme, "run", "--name", "full", *NONE, "base", "sh", "-c", "head -c 24m /dev/zero >/x").ok()
    small = _tar(work, "two", 5)
    vrun("--tenant", acme, "import", small, "two:1").fails(REFUSED, rc=125)
    vrun("--tenant", acme, "rm", "full").ok()
    vrun("--tenant", acme, "import", small, "two:1").ok()
    assert 10 * MIB <= _images(vrun, acme) <= 11 * MIB


def an_archive_that_is_small_and_unpacks_to_much_is_stopped(vrun, acme, work):
    """Holes and zeros cost their size: gzip makes 1000 of them one."""
    vrun("tenant", "create", acme, "--disk", "32M").ok()
    _run(vrun, acme, "true").ok()
    before = _store(vrun)
    bomb = work / "bomb.tar.gz"
    subprocess.run(f"truncate -s 200M {work}/zeros && tar -C {work} -c zeros | gzip >{bomb}", shell=True, check=True)
    assert bomb.stat().st_size < MIB
    vrun("--tenant", acme, "import", bomb, "bomb:1").fails(REFUSED, rc=125)
    many = work / "many"
    many.mkdir()
    for i in range(40_000):
        (many / str(i)).touch()
    subprocess.run(f"tar -C {many} -cz . >{work}/many.tar.gz", shell=True, check=True)
    vrun("--tenant", acme, "import", work / "many.tar.gz", "many:1").fails(REFUSED, rc=125)
    assert _store(vrun) - before < MIB


def committed_guests_count(vrun, acme):
    vrun("tenant", "create", acme, "--disk", "64M").ok()
    vrun("--tenant", acme, "run", "--name", "web", *NONE, "base", "sh", "-c", "head -c 12m /dev/urandom >/x").ok()
    vrun("--tenant", acme, "commit", "web", "web:1").ok()
    assert 24 * MIB <= _images(vrun, acme) <= 25 * MIB
    vrun("--tenant", acme, "commit", "web", "web:2").ok()  # 12 in the guest, 24 in an image, as much in the next
    assert 24 * MIB <= _images(vrun, acme) <= 25 * MIB, "the same content once"
    vrun("--tenant", acme, "run", "--name", "more", *NONE, "base", "sh", "-c", "head -c 12m /dev/urandom >/x").ok()
    vrun("--tenant", acme, "commit", "more", "more:1").fails(REFUSED, rc=125)


def every_tenant_pays_the_whole(vrun, acme, work):
    """Who has the same content pays for it as if nobody else had it: the sum tells nothing of others."""
    archive = _tar(work, "one", 6)
    sums = []
    for name in (acme, acme + "b"):
        vrun("tenant", "create", name, "--disk", "64M").ok()
        vrun("--tenant", name, "import", archive, "one:1").ok()
        sums.append(_images(vrun, name))
    first, second = sums
    assert 12 * MIB <= first <= 13 * MIB and abs(first - second) <= 8192
    vrun("--tenant", acme, "rmi", "one:1").ok()
    assert _images(vrun, acme) == 0 and _images(vrun, acme + "b") == second
    _run(vrun, acme + "b", "true").ok()


def a_killed_import_leaves_a_right_sum(vrun, acme, work):
    vrun("tenant", "create", acme, "--disk", "256M").ok()
    archive = _tar(work, "one", 60)
    for delay in (0.02, 0.08, 0.15, 0.25):
        process = subprocess.Popen([vrun.program, "--tenant", acme, "import", archive, "one:1"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=vrun.env, start_new_session=True)
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        vrun("--tenant", acme, "import", _tar(work, f"small{delay}", 1), "small:1").ok()  # sweeps
        on_disk = _store(vrun)
        assert _images(vrun, acme) >= on_disk - 4 * MIB, "all that is there is charged"
    vrun("--tenant", acme, "import", archive, "one:1").ok()
    assert 120 * MIB <= _images(vrun, acme) <= 135 * MIB


def secrets_and_configs_have_a_room_of_their_own(vrun, acme, work):
    vrun("tenant", "create", acme).ok()
    text = "apiVersion: vrun/v1\nkind: Config\nname: c{i}\ndata: {{a: \"{data}\"}}\n"
    whole = work / "m.yaml"
    data = "x" * (3 * MIB + MIB // 2)
    manifests = [text.format(i=i, data=data) for i in range(10)]
    refused = None
    for i, manifest in enumerate(manifests):
        whole.write_text(manifest)
        out = vrun("--tenant", acme, "apply", "--manifest", f"m{i}", "-f", whole)
        if out.rc != 0:
            refused = (i, out)
            break
    assert refused and refused[0] in (8, 9) and "may have 1000 of 32 MiB together" in refused[1].err, refused
