"""What tenants have used: right after restarts, kill -9 and removal, and as Prometheus reads it."""
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import everyday, host, runtime

from .tenants_test import NONE, _detached, _pid, _run, _show, acme, vrun  # noqa: F401

# Burns so many hundredths of a second of cpu, as the kernel counts them, and says how many it has used.
BURN = """
while :; do
  i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done
  set -- $(cut -d' ' -f14,15 /proc/$$/stat); [ $(($1+$2)) -ge TICKS ] && break
done
"""


def _usage(vrun, name, *flags):
    return json.loads(vrun("tenant", "usage", name, "-o", "json", *flags).ok().out)


def cpu_time_of_a_known_load_is_counted(vrun, acme):
    host.need("memory controller")
    vrun("tenant", "create", acme).ok()
    _run(vrun, acme, "true").ok()
    before = _usage(vrun, acme)["total"]["cpuSeconds"]
    _run(vrun, acme, BURN.replace("TICKS", "150"), "--name", "burner").ok()
    used = _usage(vrun, acme)["total"]["cpuSeconds"] - before
    assert 1.45 < used < 2.0, used  # the shell's own ticks, and a little for its start and its children
    total = _usage(vrun, acme)["total"]
    assert total["starts"] == 2
    assert [g["name"] for g in _usage(vrun, acme)["guests"] if g["cpuSeconds"] > 1] == ["burner"]


def the_sum_is_what_the_tenants_own_group_counted(vrun, acme):
    """Under one per cent, over guests that ended, were killed, restarted, removed and lost their monitors."""
    host.need("memory controller")
    vrun("tenant", "create", acme).ok()
    busy = "i=0; while :; do i=$((i+1)); done"
    one, two = (_detached(vrun, acme, busy, "--restart", "always") for _ in range(2))
    time.sleep(0.5)
    _usage(vrun, acme)
    os.kill(_pid(vrun, acme, one), 9)  # it is started again
    monitor = int((vrun.run_dir / "monitors" / acme / two / "monitor").read_text())
    os.kill(monitor, 9)
    time.sleep(1)
    vrun("--tenant", acme, "ps").ok()
    vrun("--tenant", acme, "restart", "-t", "0", two).ok()
    time.sleep(0.5)
    vrun("--tenant", acme, "rm", "-f", one).ok()
    time.sleep(0.3)
    vrun("tenant", "stop", acme, "--time", "0").ok()
    location = json.loads((vrun.run_dir / "tenants" / acme / "group.json").read_text())
    guests = Path(location["paths"].get("cpuacct") or location["paths"].get("cpu,cpuacct") or location["paths"][""]) / "guests"
    if (guests / "cpuacct.usage").exists():
        counted = int((guests / "cpuacct.usage").read_text()) / 1e9
    else:
        counted = int(re.search(r"usage_usec (\d+)", (guests / "cpu.stat").read_text())[1]) / 1e6
    used = _usage(vrun, acme)["total"]
    assert counted > 0.3  # a busy machine gives it little
    assert abs(used["cpuSeconds"] - counted) < counted / 100, (used, counted)
    assert used["starts"] == 4


@pytest.mark.parametrize("budget", [[], ["--disk", "300M"]])
def what_lies_on_disk_counts_for_as_long_as_it_lies_there(vrun, acme, budget):
    """A volume of a guest that has gone: the total has it, no guest does."""
    vrun("tenant", "create", acme, *budget).ok()
    _run(vrun, acme, "dd if=/dev/zero of=/data/file bs=1M count=128 2>/dev/null; sync", "--volume", "v:/data").ok()
    before, begin = _usage(vrun, acme)["total"]["diskGiBHours"], time.monotonic()
    time.sleep(8)
    after, end = _usage(vrun, acme), time.monotonic()
    shown = (after["total"]["diskGiBHours"] - before) * 1024 * 3600 / (end - begin)  # MiB
    own = 30 if budget else 1  # what a file system has of its own, and the rest of the tenant
    assert 128 * 0.97 < shown < 128 * 1.03 + own, shown
    assert all(guest["diskGiBHours"] < after["total"]["diskGiBHours"] / 2 for guest in after["guests"])


# Burns so many nanoseconds as the kernel counts them for this process, says how many these were, and waits.
KNOWN = """
while :; do
  i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done
  read ns rest </proc/$$/schedstat; [ $ns -ge 1500000000 ] && break
done
echo burnt $ns
"""


def a_known_load_is_counted_within_one_per_cent_whatever_becomes_of_its_guests(vrun, acme):
    """What the processes themselves were counted, against the account: over an end, kill -9 of a guest and of a monitor,
    restarts and removal."""
    host.need("memory controller")
    vrun("tenant", "create", acme).ok()
    burnt = lambda g: [int(line.split()[1]) for line in vrun("--tenant", acme, "logs", g).ok().out.splitlines() if line.startswith("burnt")]

    def wait_for(guest, times):
        end = time.monotonic() + 120  # a busy machine gives it little
        while len(burnt(guest)) < times:
            assert time.monotonic() < end, f"{guest} has not burnt {times} times: {burnt(guest)}"
            time.sleep(0.1)

    ended = _run(vrun, acme, KNOWN).ok().out
    removed, killed, lonely = (_detached(vrun, acme, KNOWN + "exec sleep 1000", "--restart", "always", "--name", name) for name in ("removed", "killed", "lonely"))
    monitor = int((vrun.run_dir / "monitors" / acme / lonely / "monitor").read_text())
    os.kill(monitor, 9)
    runtime.wait_for(lambda: not everyday.alive(monitor), "the monitor is dead")
    wait_for(killed, 1)
    os.kill(_pid(vrun, acme, killed), 9)  # begins anew
    wait_for(lonely, 1)
    vrun("--tenant", acme, "restart", "-t", "0", lonely).ok()
    wait_for(removed, 1)
    known = int(ended.split()[1]) + sum(burnt(removed))
    vrun("--tenant", acme, "rm", "-f", removed).ok()
    for guest in (killed, lonely):
        wait_for(guest, 2)
        known += sum(burnt(guest))
    vrun("tenant", "stop", acme, "--time", "0").ok()
    vrun("--tenant", acme, "rm", killed).ok()
    used = _usage(vrun, acme)["total"]
    assert known > 8.9e9 and used["starts"] == 6, (known, used)
    assert abs(used["cpuSeconds"] * 1e9 - known) < known / 100, (used, known)


def memory_is_integrated_over_time(vrun, acme):
    host.need("memory controller")
    vrun("tenant", "create", acme).ok()
    start = time.monotonic()
    guest = _detached(vrun, acme, "head -c 50m /dev/zero >/dev/shm/x; echo full; sleep 1000")
    runtime.wait_for(lambda: "full" in vrun("--tenant", acme, "logs", guest).out, "the memory is used")
    for _ in range(4):
        _usage(vrun, acme)
        time.sleep(0.25)
    seconds = time.monotonic() - start
    bytes_seconds = _usage(vrun, acme)["total"]["memoryGiBHours"] * 2**30 * 3600
    assert 0.8 < bytes_seconds / (50 * 2**20 * seconds) < 1.35, (bytes_seconds, seconds)


def what_was_used_stays_when_the_guest_is_gone(vrun, acme):
    vrun("tenant", "create", acme).ok()
    guest = _detached(vrun, acme, "echo x >/file; sleep 0.2")
    vrun("--tenant", acme, "wait", guest).ok()
    before = _usage(vrun, acme)
    vrun("--tenant", acme, "rm", guest).ok()
    assert _usage(vrun, acme) == before
    assert before["total"]["starts"] == 1


def periods_and_forms(vrun, acme):
    vrun("tenant", "create", acme).ok()
    _run(vrun, acme, "true", "--name", "g1").ok()
    assert _usage(vrun, acme, "--to", "2020-01-01")["guests"] == []
    assert _usage(vrun, acme, "--from", "1h")["total"]["starts"] == 1
    assert "GUEST" in vrun("tenant", "usage", acme).ok().out and "total" in vrun("tenant", "usage", acme).out
    lines = vrun("tenant", "usage", acme, "-o", "csv").ok().out.splitlines()
    assert lines[0].startswith("guest,name,cpuSeconds,memoryGiBHours") and len(lines) == 3
    assert {line.count(",") for line in lines} == {11}, lines
    for flags in (["--from", "yesterday"], ["--to", "2026-13-01"], ["--from", "2026-02-01", "--to", "2026-01-01"], ["-o", "xml"]):
        vrun("tenant", "usage", acme, *flags).fails(rc=125)
    vrun("tenant", "usage", acme + "x").fails("did you mean", rc=125)


def metrics_are_text_for_prometheus(vrun, acme):
    vrun("tenant", "create", acme, "--max-guests", "5").ok()
    _detached(vrun, acme, "sleep 1000")
    text = vrun("metrics").ok().out
    seen, name = {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split()[2]
            assert name not in seen, "each metric stands once"
            seen[name] = {}
        elif line.startswith("# TYPE "):
            assert line.split()[2] == name and line.split()[3] in ("gauge", "counter")
            assert (line.split()[3] == "counter") == name.endswith("_total")
        else:
            m = re.fullmatch(r'([a-z_]+)\{tenant="([a-z0-9-]+)"\} ([0-9.]+)', line)
            assert m and m[1] == name, line
            seen[name][m[2]] = float(m[3])
    assert seen["vrun_tenant_guests_running"][acme] == 1
    if host.has("memory controller"):
        assert seen["vrun_tenant_processes"][acme] == 2 and seen["vrun_tenant_memory_bytes"][acme] > 0
    assert acme in vrun("tenant", "top", acme).ok().out


def guests_of_the_default_tenant_are_accounted_for_too(vrun, acme):
    vrun("run", "--rm", "--name", "roots", *NONE, "base", "sh", "-c", "head -c 5m /dev/zero >/f").ok()
    usage = _usage(vrun, "default")
    assert [g["name"] for g in usage["guests"]] == ["roots"] and usage["total"]["starts"] == 1
    assert _show(vrun, "default")["name"] == "default" and "default" in vrun("tenant", "ls", "-q").ok().out.split()


# ---- metrics --listen ----

class Scraped:
    def __init__(self, vrun, where):
        self.server = subprocess.Popen([vrun.program, "metrics", "--listen", where], env=vrun.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.where = self.server.stdout.readline().strip().removeprefix("listening on ")

    def connect(self):
        kind, target = (socket.AF_UNIX, self.where[5:]) if self.where.startswith("unix:") else (socket.AF_INET, ("127.0.0.1", int(self.where.rsplit(":", 1)[1])))
        it = socket.socket(kind, socket.SOCK_STREAM)
        it.settimeout(20)
        it.connect(target)
        return it

    def raw(self, request):
        with self.connect() as it:
            it.sendall(request)
            parts = []
            with contextlib.suppress(ConnectionError):
                while part := it.recv(65536):
                    parts.append(part)
        return b"".join(parts)

    def get(self, path="/metrics", method="GET"):
        head, _, body = self.raw(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).partition(b"\r\n\r\n")
        return head.decode(), body.decode()

    def end(self):
        self.server.terminate()
        code = self.server.wait(20)
        self.server.stdout.close()
        return code


@pytest.fixture(params=["tcp", "unix"])
def scraped(vrun, work, request):
    it = Scraped(vrun, "127.0.0.1:0" if request.param == "tcp" else f"unix:{work}/metrics.sock")
    yield it
    assert it.end() == 0
    assert not (work / "metrics.sock").exists()


def metrics_are_served_to_a_scraper(vrun, acme, scraped):
    vrun("tenant", "create", acme, "--max-guests", "5").ok()
    head, body = scraped.get()
    assert head.startswith("HTTP/1.1 200 OK") and "text/plain; version=0.0.4" in head and f"Content-Length: {len(body)}" in head
    assert f'vrun_tenant_guests{{tenant="{acme}"}} 0' in body
    _detached(vrun, acme, "sleep 1000")
    assert f'vrun_tenant_guests_running{{tenant="{acme}"}} 1' in scraped.get("/metrics?x=1")[1]
    head, body = scraped.get(method="HEAD")
    assert head.startswith("HTTP/1.1 200") and not body


def whatever_is_sent_it_goes_on(scraped):
    for request, status in ((b"\r\n\r\n", b"400"), (b"hello\r\n\r\n", b"400"), (b"GET /metrics\r\n\r\n", b"400"), (b"GET  /metrics HTTP/1.1\r\n\r\n", b"400"),
                            (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"), (b"GET / HTTP/1.1\r\n\r\n", b"404"), (b"GET /../metrics HTTP/1.1\r\n\r\n", b"404"),
                            (b"\x00\xff" * 300 + b"\r\n\r\n", b"400"), (b"GET /" + b"a" * 7000 + b" HTTP/1.1\r\n\r\n", b"404")):
        assert scraped.raw(request).split(b" ")[1] == status, request[:40]
    assert scraped.raw(b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 9000).split(b" ")[1] == b"431"
    silent = [scraped.connect() for _ in range(32)]  # as many as it takes
    for it in silent[:16]:
        it.sendall(b"GET /met")
    start = time.monotonic()
    assert scraped.get()[0].startswith("HTTP/1.1 200"), "those who say nothing are let go"
    assert time.monotonic() - start < 15
    for it in silent:
        it.close()


def metrics_are_for_this_host_alone(vrun):
    for where in ("0.0.0.0:9", "192.0.2.1:9", "[::]:9", ":9", "9", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:x", "unix:relative", "unix:" + "/x" * 60, "example.org:9"):
        vrun("metrics", "--listen", where).fails("not an address of this host alone", rc=125)


def a_socket_of_systemd_is_served_and_left_where_it_is(vrun, work):
    """As systemd hands one over: descriptor 3, LISTEN_FDS=1 and LISTEN_PID."""
    vrun("metrics", "--listen", "systemd").fails("systemd gave no socket", rc=125)
    path = work / "metrics.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        script = ("import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); "
                  "os.execv(sys.argv[2], sys.argv[2:])")
        it = Scraped.__new__(Scraped)
        it.server = subprocess.Popen([sys.executable, "-c", script, str(listener.fileno()), vrun.program, "metrics", "--listen", "systemd"], env=vrun.env,
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, pass_fds=[listener.fileno()])
        it.where = it.server.stdout.readline().strip().removeprefix("listening on ")
        assert it.where == f"unix:{path}"
        for _ in range(2):
            assert it.get()[0].startswith("HTTP/1.1 200 OK")
        assert it.end() == 0 and path.exists(), "it is systemd's"



def promtool_finds_nothing_to_complain_about(vrun, acme):
    if shutil.which("promtool") is None:
        pytest.skip("promtool of Debian's prometheus is not installed")
    vrun("tenant", "create", acme, "--memory", "64M", "--best-effort").ok()
    _run(vrun, acme, "true").ok()
    done = subprocess.run(["promtool", "check", "metrics"], input=vrun("metrics").ok().out, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done
