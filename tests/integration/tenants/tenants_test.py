"""Tenants: who they are, what their guests may use together, whose ids they have, how they are halted."""
import json
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import everyday, groups, host, runtime

NONE = ("--network", "none")


@pytest.fixture
def vrun(work):
    with everyday.fresh(work) as it:
        yield it
        # Tenants are taken away by the program itself, with all they have; nothing of them may be left.
        names = [n for n in it("tenant", "ls", "-q").ok().out.split() if n != "default"]
        for name in names:
            it("tenant", "rm", "--force", name).ok()
            assert not _group_dirs(name)
        left = {p.name for p in (it.data / "tenants").glob("*")} - {"ids.json", "lock", "audit.log", "default"}
        assert not left and not [*(it.run_dir / "tenants").glob("*")]


@pytest.fixture
def acme():
    """A name that no other run of the tests on this machine has: groups are the machine's."""
    return f"t{os.getpid()}-{os.urandom(3).hex()}"


def _group_dirs(name):
    roots = {*host.v1_mounts().values(), host.v2_root()} - {None}
    found = subprocess.run(["find", *map(str, roots), "-type", "d", "(", "-path", f"*/vrun/{name}", "-o", "-path", f"*/vrun/{name}/*", ")"], capture_output=True, text=True)
    return found.stdout.split()


def _show(vrun, name):
    return json.loads(vrun("tenant", "show", "--format", "json", name).ok().out)[0]


def _run(vrun, name, script, *flags, **more):
    return vrun("--tenant", name, "run", "--rm", *NONE, *flags, "base", "sh", "-c", script, **more)


def _detached(vrun, name, script, *flags):
    return vrun("--tenant", name, "run", "-d", *NONE, *flags, "base", "sh", "-c", script).ok().out.strip()


def _pid(vrun, name, guest):
    return json.loads(vrun("--tenant", name, "inspect", guest).ok().out)[0]["state"]["pid"]


def _paths(pid):
    """Its groups in the hierarchies that this host shows."""
    return {name: path for name, path in groups.Group(pid).paths.items() if name == "" or host.v1_mounts()}


def default_is_always_there_and_cannot_be_changed(vrun):
    assert _show(vrun, "default")["budget"]["memory"] is None
    for verb in (["rm"], ["update", "--pids", "5"], ["freeze"], ["thaw"]):
        vrun("tenant", verb[0], "default", *verb[1:]).fails("the tenant 'default' cannot be", rc=125)
    vrun("tenant", "create", "default").fails("already exists", rc=125)


def all_faults_are_said_at_once_and_nothing_is_made(vrun):
    out = vrun("tenant", "create", "Ac", "--cpus", "two", "--memory", "2X", "--pids", "0", "--admin", "root").fails("5 faults", rc=125)
    for words in ("'Ac' is not a tenant's name", "--cpus: 'two'", "--memory: '2X'", "--pids: '0' is out of range", "--admin: 'root' is not user:NAME"):
        assert words in out.err, out.err
    assert vrun("tenant", "ls", "-q").ok().out == "default\n"
    assert not (vrun.data / "tenants").exists()


def an_unknown_tenant_is_an_error_with_the_nearest_name(vrun, acme):
    vrun("tenant", "create", acme).ok()
    for words in (["ps"], ["images"], ["network", "ls"], ["run", "base"], ["rm", "x"]):
        vrun("--tenant", acme + "x", *words).fails(f"no such tenant '{acme}x'", rc=125)
        vrun(*words, env={"VRUN_TENANT": acme + "x"}).fails(f"did you mean {acme}?", rc=125)
    vrun("ps", "--tenant", "").fails("its value is empty", rc=125)
    vrun("ps", "--tenant").fails("needs a value", rc=125)
    for bad in ("../default", "..", "a/b", "A"):
        vrun("--tenant", bad, "ps").fails("no such tenant", rc=125)


def the_flag_is_taken_anywhere_but_from_the_guests_command(vrun, acme):
    vrun("tenant", "create", acme).ok()
    for words in (["--tenant", acme, "ps", "-aq"], ["ps", "--tenant", acme, "-aq"], ["ps", "-aq", f"--tenant={acme}"]):
        vrun(*words).ok()
    out = _run(vrun, acme, 'echo "$@"; :')
    assert out.rc == 0
    assert vrun("run", "--rm", *NONE, "base", "echo", "--tenant", "x").ok().out == "--tenant x\n"


def names_guests_and_images_are_a_tenants_own(vrun, acme):
    vrun("tenant", "create", acme).ok()
    vrun("tenant", "create", acme + "b").ok()
    mine = _detached(vrun, acme, "sleep 1000", "--name", "web")
    other = _detached(vrun, acme + "b", "sleep 1000", "--name", "web")
    assert mine != other
    for name, own, foreign in ((acme, mine, other), (acme + "b", other, mine)):
        assert vrun("--tenant", name, "ps", "-q", "--no-trunc").out.split() == [own]
        for verb in (["stop"], ["rm", "-f"], ["exec"], ["inspect"], ["logs"]):
            more = ["true"] if verb == ["exec"] else []
            out = vrun("--tenant", name, *verb, foreign, *more)
            assert verb[0] == "rm" or out.rc != 0, (verb, out)
    vrun("ps", "-q").ok()
    assert vrun("ps", "-q").out == ""
    for name in (acme, acme + "b"):
        assert vrun("--tenant", name, "ps", "-q").out != "", "nobody stopped it"
    vrun("--tenant", acme, "tag", "base", "mine:1").ok()
    assert "mine" in vrun("--tenant", acme, "images").out
    assert "mine" not in vrun("--tenant", acme + "b", "images").out
    assert "mine" not in vrun("images").out


def a_tenants_ids_are_disjoint_from_all_others(vrun, acme):
    starts = {}
    for name in (acme, acme + "b"):
        vrun("tenant", "create", name).ok()
        block = _show(vrun, name)["ids"][0]
        first = [int(_run(vrun, name, "cat /proc/self/uid_map").ok().out.split()[1]) for _ in range(2)]
        assert all(block["first"] <= f and f + 65536 <= block["first"] + block["count"] for f in first)
        starts[name] = block
    a, b = starts.values()
    assert a["first"] + a["count"] <= b["first"] or b["first"] + b["count"] <= a["first"]
    default = int(vrun.sh("cat /proc/self/uid_map", *NONE).ok().out.split()[1])
    assert all(not s["first"] <= default < s["first"] + s["count"] for s in (a, b))
    # Not reused: a file somewhere may carry them.
    vrun("tenant", "rm", acme).ok()
    vrun("tenant", "create", acme).ok()
    assert _show(vrun, acme)["ids"][0]["first"] not in (a["first"], b["first"])


def parallel_creations_never_share_ids_nor_exceed_the_number_of_guests(vrun, acme):
    vrun("tenant", "create", acme, "--max-guests", "20").ok()
    vrun("--tenant", acme, "run", "--rm", *NONE, "base", "true").ok()  # layers are there

    def one(i):
        return vrun("--tenant", acme, "create", *NONE, "--name", f"g{i}", "base", "true", timeout=300)

    with ThreadPoolExecutor(64) as pool:
        done = list(pool.map(one, range(64)))
    good = [d for d in done if d.rc == 0]
    assert len(good) == 20, [d.err for d in done if d.rc]
    assert all("has 20 guests already" in d.err for d in done if d.rc != 0)
    assert _show(vrun, acme)["guests"] == 20
    vrun("tenant", "update", acme, "--max-guests", "21").ok()
    vrun("--tenant", acme, "create", *NONE, "base", "true").ok()
    vrun("--tenant", acme, "create", *NONE, "base", "true").fails("may have no more (max-guests)", rc=125)


def running_guests_share_no_uid(vrun, acme):
    """64 at once, of three tenants: no range touches another, in the kernel and in the notes."""
    vrun("tenant", "create", acme).ok()
    vrun("tenant", "create", acme + "b").ok()
    vrun("--tenant", acme, "run", "--rm", *NONE, "base", "true").ok()
    owners = [(acme, acme + "b", "default")[i % 3] for i in range(64)]

    def one(name):
        return vrun("--tenant", name, "run", "-d", *NONE, "base", "sleep", "1000", timeout=300).ok().out.strip()

    with ThreadPoolExecutor(64) as pool:
        ids = list(pool.map(one, owners))
    assert len(set(ids)) == 64
    for kind in ("uid_map", "gid_map"):
        ranges = sorted(_ranges(Path(f"/proc/{_pid(vrun, name, i)}/{kind}").read_text()) for name, i in zip(owners, ids))
        assert _overlaps(ranges) == []
    assert len(list((vrun.run_dir / "ids").iterdir())) >= 64
    assert _overlaps([(0, 65536), (65535, 10)]) and not _overlaps([(0, 10), (10, 10)]), "the check can fail"
    for name in (acme, acme + "b"):
        assert vrun("tenant", "stop", name, "--time", "0").ok()
        assert _show(vrun, name)["running"] == 0


def _ranges(text):
    """(first id outside, how many) of a map with one line."""
    (line,) = text.splitlines()
    _, outside, count = map(int, line.split())
    return outside, count


def _overlaps(ranges):
    return [(a, b) for a, b in zip(ranges, ranges[1:]) if a[0] + a[1] > b[0]]


def one_group_is_the_parent_of_guests_and_monitors(vrun, acme):
    vrun("tenant", "create", acme).ok()
    guest = _detached(vrun, acme, "sleep 1000")
    monitor = int((vrun.run_dir / "monitors" / acme / guest / "monitor").read_text())
    for pid, part in ((_pid(vrun, acme, guest), f"guests/{guest}"), (monitor, "monitors")):
        paths = _paths(pid)
        assert paths and all(p.endswith(f"vrun/{acme}/{part}") for p in paths.values()), paths
    # Also when the next command runs in another group than the first one did.
    assert _show(vrun, acme)["processes"] == 2


def the_budget_is_in_the_group_and_changes_live(vrun, acme):
    host.need("memory controller")
    vrun("tenant", "create", acme, "--cpus", "1.5", "--cpu-weight", "200", "--memory", "100M", "--swap", "0", "--pids", "60").ok()
    guest = _detached(vrun, acme, "sleep 1000", "--cpus", "1")
    group = groups.Group(_pid(vrun, acme, guest))
    for name in group.paths:
        group.paths[name] = group.paths[name].removesuffix(f"/guests/{guest}")
    assert group.read("memory", "memory.max", "memory.limit_in_bytes") == str(100 << 20)
    assert group.read("pids", "pids.max", "pids.max") == "60"
    quota = lambda: group.read("cpu", "cpu.max", "cpu.cfs_quota_us").split()[0]
    assert quota() == "150000"
    if group.on_v2("memory"):
        assert group.read("memory", "memory.swap.max") == "0"
    vrun("tenant", "update", acme, "--cpus", "0.5", "--pids", "none", "--memory", "80M").ok()
    assert quota() == "50000"
    assert group.read("pids", "pids.max", "pids.max") == "max"
    assert group.read("memory", "memory.max", "memory.limit_in_bytes") == str(80 << 20)
    vrun("tenant", "update", acme, "--cpus", "none").ok()
    assert quota() in ("max", "-1")
    assert _show(vrun, acme)["budget"]["cpuWeight"] == 200


def guests_together_get_no_more_cpu_than_the_tenant_has(vrun, acme):
    host.need("memory controller")
    vrun("tenant", "create", acme, "--cpus", "0.3").ok()
    guests = [_detached(vrun, acme, "while :; do :; done", "--cpus", "1") for _ in range(3)]
    pids = [_pid(vrun, acme, g) for g in guests]

    def ticks():
        return sum(sum(map(int, Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split()[11:13])) for p in pids)

    before, start = ticks(), time.monotonic()
    time.sleep(2)
    used = (ticks() - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - start)
    assert 0.15 < used < 0.38, used


def memory_is_the_tenants_whoever_of_its_guests_uses_it(vrun, acme):
    host.need("memory controller")
    vrun("tenant", "create", acme, "--memory", "48M", "--swap", "0").ok()
    out = _run(vrun, acme, "head -c 200m /dev/zero | tail >/dev/null; echo $?", "--memory", "500M")
    assert out.out.strip() != "0"
    assert _run(vrun, acme, "echo well").ok().out == "well\n"


@pytest.mark.parametrize("flags", [["--rm"], ["--rm", "-t"], []], ids=["direct", "monitored", "kept"])
def a_kill_for_the_tenants_memory_names_the_tenant_and_one_for_the_guests_does_not(vrun, acme, flags):
    host.need("memory controller")
    vrun("tenant", "create", acme, "--memory", "64M", "--swap", "0").ok()
    grow = ["--network", "none", "base", "sh", "-c", "x=a; while :; do x=$x$x; done"]
    for limit, words in ((["--memory", "500M"], f"the memory of tenant '{acme}' is used up, its limit is 64MiB"), ([], "its limit is 64MiB"),
                         (["--memory", "16m"], "its limit is 16m")):
        done = vrun("--tenant", acme, "run", *flags, *limit, *grow)
        assert done.rc == 137 and words in done.err, (limit, done)
        assert ("tenant" in done.err) == (limit != ["--memory", "16m"]), done
    if not flags:
        reasons = [json.loads(vrun("--tenant", acme, "inspect", one).ok().out)[0]["state"]["reason"] for one in vrun("--tenant", acme, "ps", "-aq").out.split()]
        assert len(reasons) == 3 and sum(f"tenant '{acme}'" in one for one in reasons) == 2, reasons


def the_tenants_monitors_outlive_a_guest_that_uses_up_the_memory(vrun, acme):
    """By descriptors, which are no process's own: whom the kernel kills is then a matter of a few pages."""
    host.need("memory controller")
    vrun("tenant", "create", acme, "--memory", "48M", "--swap", "0").ok()
    other = _detached(vrun, acme, "sleep 1000")
    guest = _detached(vrun, acme, "cat /proc/self/oom_score_adj; for i in 1 2 3 4 5 6 7 8; do (ulimit -n $(ulimit -Hn); i=3; while :; do eval \"exec $i</dev/null\"; i=$((i+1)); done) & done; wait; sleep 1000")
    runtime.wait_for(lambda: vrun("--tenant", acme, "logs", guest).out.startswith("100"), "it has begun")
    time.sleep(2)
    for one in (other, guest):
        monitor = int((vrun.run_dir / "monitors" / acme / one / "monitor").read_text())
        assert everyday.alive(monitor), one
    assert json.loads(vrun("--tenant", acme, "inspect", other).ok().out)[0]["state"]["status"] == "running"


def processes_are_counted_over_all_guests(vrun, acme):
    host.need("memory controller")
    vrun("tenant", "create", acme, "--pids", "30").ok()
    twenty = "i=0; while [ $i -lt 20 ]; do sleep 1000 & i=$((i+1)); done"
    _detached(vrun, acme, twenty + "; wait")
    runtime.wait_for(lambda: _show(vrun, acme)["processes"] >= 22, "the first guest has its processes")
    assert "fork" in _run(vrun, acme, twenty).err
    vrun("tenant", "update", acme, "--pids", "60").ok()
    assert _run(vrun, acme, twenty).ok().err == ""


def what_cannot_be_enforced_is_refused_with_the_reason(vrun, acme):
    if host.kind() != "native":
        return  # says what a host with blkio of version 1 cannot do
    out = vrun("tenant", "create", acme, "--io-read", "50M", "--bandwidth", "1M").fails("--io-read: cannot be enforced", rc=125)
    assert "--bandwidth: cannot be enforced" in out.err and "--best-effort" in out.err
    out = vrun("tenant", "create", acme, "--io-read", "50M", "--best-effort").ok()
    assert "--io-read is not enforced" in out.err
    assert _show(vrun, acme)["unenforced"] == ["io-read"]
    _run(vrun, acme, "true").ok()


def freeze_halts_and_thaw_lets_go_on(vrun, acme):
    vrun("tenant", "create", acme).ok()
    guest = _detached(vrun, acme, "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done")
    lines = lambda: len(vrun("--tenant", acme, "logs", guest).out.split())
    runtime.wait_for(lambda: lines() > 3, "it works")
    vrun("tenant", "freeze", acme).ok()
    assert _show(vrun, acme)["state"] == "frozen"
    time.sleep(0.2)
    before = lines()
    time.sleep(0.5)
    assert lines() == before
    _run(vrun, acme, "true").fails(f"tenant '{acme}' is frozen", rc=125)
    vrun("--tenant", acme, "exec", guest, "true").fails(f"vrun tenant thaw {acme}", rc=125)
    vrun("--tenant", acme, "run", "-d", *NONE, "base", "true").fails("is frozen", rc=125)
    vrun("tenant", "thaw", acme).ok()
    runtime.wait_for(lambda: lines() > before, "it goes on")


def stop_ends_all_guests_and_restart_policies_do_not_start_them_again(vrun, acme):
    vrun("tenant", "create", acme).ok()
    polite = _detached(vrun, acme, "trap 'exit 7' TERM; while :; do sleep 0.05; done", "--restart", "always")
    rude = _detached(vrun, acme, "trap '' TERM; while :; do sleep 0.05; done")
    time.sleep(0.3)
    start = time.monotonic()
    vrun("tenant", "stop", acme, "--time", "1").ok()
    assert time.monotonic() - start < 5
    state = lambda g: json.loads(vrun("--tenant", acme, "inspect", g).ok().out)[0]["state"]
    assert state(polite)["exitCode"] == 7 and state(rude)["exitCode"] == 137
    assert _show(vrun, acme)["running"] == 0


def a_frozen_tenant_can_be_stopped(vrun, acme):
    vrun("tenant", "create", acme).ok()
    guest = _detached(vrun, acme, "sleep 1000")
    vrun("tenant", "freeze", acme).ok()
    vrun("tenant", "stop", acme, "--time", "0").ok()
    assert json.loads(vrun("--tenant", acme, "inspect", guest).ok().out)[0]["state"]["exitCode"] == 137


def rm_refuses_what_would_be_lost(vrun, acme):
    vrun("tenant", "create", acme).ok()
    _detached(vrun, acme, "sleep 1000")
    vrun("--tenant", acme, "tag", "base", "mine:1").ok()
    vrun("tenant", "rm", acme).fails("has 1 guest, 1 image", rc=125)
    assert _show(vrun, acme)["running"] == 1
    vrun("tenant", "rm", "--force", acme).ok()
    vrun("--tenant", acme, "ps").fails("no such tenant", rc=125)
    assert not _group_dirs(acme)


def a_killed_monitor_gets_a_successor_in_the_tenants_group(vrun, acme):
    vrun("tenant", "create", acme).ok()
    guest = _detached(vrun, acme, "sleep 1000")
    file = vrun.run_dir / "monitors" / acme / guest / "monitor"
    first = int(file.read_text())
    os.kill(first, 9)
    runtime.wait_for(lambda: not everyday.alive(first), "the monitor is dead")
    vrun("--tenant", acme, "create", *NONE, "base", "true").ok()  # repairs
    second = int(file.read_text())
    assert second != first
    assert all(re.search(rf"vrun/{acme}/", p) for p in _paths(second).values()), _paths(second)


def processors_of_its_own_are_a_budget_that_changes_live(vrun, acme):
    host.need("cpuset controller")
    if os.cpu_count() < 2:
        pytest.skip("one processor")
    for bad in ("1-0", "a", "0,", "99999"):
        vrun("tenant", "create", acme, "--cpuset-cpus", bad).fails("is not a list of processors", rc=125)
    vrun("tenant", "create", acme, "--cpuset-cpus", "1").ok()
    assert _show(vrun, acme)["budget"]["cpusetCpus"] == "1"
    allowed = "grep Cpus_allowed_list /proc/self/status"
    assert _run(vrun, acme, allowed).ok().out.split() == ["Cpus_allowed_list:", "1"]
    guest = _detached(vrun, acme, "sleep 1000")
    of_guest = lambda: os.sched_getaffinity(_pid(vrun, acme, guest))
    assert of_guest() == {1}
    for wanted, cpus in (("0", {0}), ("0-1", {0, 1}), ("1", {1}), ("none", os.sched_getaffinity(0))):
        vrun("tenant", "update", acme, "--cpuset-cpus", wanted).ok()
        assert of_guest() == cpus, wanted
    assert _show(vrun, acme)["budget"]["cpusetCpus"] is None
    vrun("--tenant", acme, "rm", "-f", guest).ok()
