"""Manifests: what is described is made, once; what changes is changed and no more; killed in the middle, it is finished."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from harness import everyday, host, runtime

GUEST = """
apiVersion: vrun/v1
kind: Guest
name: {name}
image: base
network: none
args: {args}
stopSignal: KILL
{more}
---
"""
SLEEP = '[sleep, "1000"]'


def _guest(name="web", args=SLEEP, more=""):
    return GUEST.format(name=name, args=args, more=more)


@pytest.fixture
def vrun(work):
    """Secrets need the run folder on tmpfs."""
    run = Path(tempfile.mkdtemp(prefix="vrun-run-", dir="/dev/shm"))
    try:
        with everyday.fresh(work) as it:
            it.run_dir = run
            it.env["VRUN_RUN_DIR"] = str(run)
            it.work = work
            yield it
            it("delete", "-f", work / "shop.yaml", "--manifest", "shop").ok()
    finally:
        shutil.rmtree(run)


def _write(vrun, text):
    path = vrun.work / "shop.yaml"
    path.write_text(text)
    return path


def _apply(vrun, text, *flags):
    return vrun("apply", "-f", _write(vrun, text), "--timeout", f"{runtime.DEADLINE}s", *flags)


def _steps(vrun, text, *flags):
    """{name: action} of the plan."""
    out = vrun("diff", "-f", _write(vrun, text), "--format", "json", *flags).out
    return {step["name"]: step["action"] for step in json.loads(out)}


def _names(vrun):
    return sorted(line.split()[-1] for line in vrun("ps", "-a").ok().out.splitlines()[1:])


def what_is_described_is_made_and_a_second_apply_changes_nothing(vrun):
    text = _guest("db") + _guest("web", more="replicas: 3\ndependsOn: {db: started}")
    assert vrun("diff", "-f", _write(vrun, text)).rc == 1
    out = _apply(vrun, text).ok().out
    assert "create Guest db" in out and "done Guest web-3" in out
    assert _names(vrun) == ["db", "web-1", "web-2", "web-3"]
    pids = {name: vrun.state(name)["pid"] for name in _names(vrun)}
    out = _apply(vrun, text).ok().out
    assert set(line.split()[0] for line in out.splitlines()) == {"unchanged"}
    assert vrun("diff", "-f", _write(vrun, text)).rc == 0
    assert {name: vrun.state(name)["pid"] for name in _names(vrun)} == pids


def a_dry_run_changes_nothing(vrun):
    assert "create Guest web" in _apply(vrun, _guest(), "--dry-run").ok().out
    assert _names(vrun) == []


def limits_labels_and_restart_change_without_a_restart(vrun):
    host.need("pids controller")
    _apply(vrun, _guest(more="limits: {pids: 50}\nlabels: {tier: front}")).ok()
    pid = vrun.state("web")["pid"]
    out = _apply(vrun, _guest(more="limits: {pids: 60}\nlabels: {tier: back}\nrestart: always")).ok().out
    assert "change Guest web" in out and "limits.pids: '50' -> '60'" in out and "labels.tier: 'front' -> 'back'" in out
    assert vrun.state("web")["pid"] == pid
    seen = vrun("exec", "web", "sh", "-c", "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null").out
    assert "60" in seen
    assert "tier=back" in json.dumps(vrun.inspect("web")) or '"tier": "back"' in json.dumps(vrun.inspect("web"))


def probes_change_without_a_restart_and_the_new_ones_count(vrun):
    probe = "probes: {{liveness: {{exec: [test, -e, {}], interval: 100ms, retries: 1}}}}"
    _apply(vrun, _guest(more=probe.format("/bin")), "--wait").ok()
    pid = vrun.state("web")["pid"]
    _apply(vrun, _guest(more=probe.format("/nowhere"))).ok()
    vrun.wait_for("web", health="unhealthy") if "health" in vrun.state("web") else runtime.wait_for(
        lambda: "unhealthy" in vrun("ps").out, "the new probe counts")
    assert vrun.state("web")["pid"] == pid


def another_program_is_another_guest(vrun):
    _apply(vrun, _guest()).ok()
    first = vrun.inspect("web")["id"]
    out = _apply(vrun, _guest(args='[sleep, "2000"]')).ok().out
    assert "replace Guest web" in out and "args[1]: '1000' -> '2000'" in out
    assert vrun.inspect("web")["id"] != first and vrun.state("web")["status"] == "running"


def a_replica_that_does_not_come_up_gets_its_old_form_back_and_the_others_are_left(vrun):
    ready = "replicas: 3\nupdate: {maxUnavailable: 1, timeout: 2s}\nprobes: {readiness: {exec: [test, -e, /up], interval: 100ms}}"
    _apply(vrun, _guest(args='[sh, -c, "touch /up; exec sleep 1000"]', more=ready), "--wait").ok()
    pids = [vrun.state(f"web-{i}")["pid"] for i in (2, 3)]
    _apply(vrun, _guest(args='[sleep, "3000"]', more=ready)).fails("Guest web-1: ", "its old form runs again", "Guest web-2: not begun", rc=125)
    runtime.wait_for(lambda: vrun("exec", "web-1", "test", "-e", "/up").rc == 0, "it is the old one")
    assert [vrun.state(f"web-{i}")["pid"] for i in (2, 3)] == pids


def what_is_no_longer_named_goes_with_prune_only_and_fewer_replicas_at_once(vrun):
    _apply(vrun, _guest("a") + _guest("b", more="replicas: 3")).ok()
    _apply(vrun, _guest("b", more="replicas: 1")).ok()
    assert _names(vrun) == ["a", "b-1"]
    out = _apply(vrun, _guest("b", more="replicas: 1"), "--prune").ok().out
    assert "delete Guest a" in out and _names(vrun) == ["b-1"]
    vrun("delete", "-f", vrun.work / "shop.yaml").ok()
    assert _names(vrun) == []


def a_guest_that_somebody_else_made_is_not_taken_over(vrun):
    vrun.detached("sleep 1000", "--name", "web", "--network", "none")
    _apply(vrun, _guest()).fails("guest web is there already and was not made by a manifest", rc=125)
    assert _steps_of_delete(vrun) == {}


def _steps_of_delete(vrun):
    out = vrun("delete", "-f", vrun.work / "shop.yaml", "--dry-run", "--format", "json").ok().out
    return {step["name"]: step["action"] for step in json.loads(out)}


@pytest.mark.parametrize("after", [0.02, 0.05, 0.1, 0.2, 0.35, 0.6])
def killed_in_the_middle_the_next_apply_reaches_the_state(vrun, after):
    """SIGKILL to apply at different moments; its steps die with it."""
    text = _guest("db") + _guest("web", more="replicas: 6\ndependsOn: {db: started}") + _guest("old")
    _apply(vrun, _guest("old", args='[sleep, "5"]')).ok()
    process = vrun.start("apply", "-f", _write(vrun, text), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after)  # the moment is the test's parameter
    process.send_signal(signal.SIGKILL)
    process.wait()
    _apply(vrun, text, "--wait").ok()
    wanted = ["db", "old"] + [f"web-{i}" for i in range(1, 7)]
    assert _names(vrun) == wanted
    assert all(vrun.state(name)["status"] == "running" for name in wanted)
    assert set(_steps(vrun, text).values()) == {"unchanged"}


SECRET = """
apiVersion: vrun/v1
kind: Secret
name: key
data: {{password: {}}}
---
"""


def secrets_are_files_of_the_guests_user_and_nowhere_else(vrun):
    hidden = "hid-den-w0rd"
    text = SECRET.format(hidden) + _guest(more='secrets: [{name: key}]\nuser: "1000"')
    out = _apply(vrun, text).ok()
    inside = vrun("exec", "web", "sh", "-c", "cat /run/secrets/key/password; stat -c %a:%u /run/secrets/key/password /run/secrets/key; env").ok().out
    assert inside.startswith(hidden + "400:1000\n") and inside.count(hidden) == 1
    shown = [out.out, out.err, vrun("inspect", "web").out, vrun("logs", "web").out, vrun("diff", "-f", vrun.work / "shop.yaml").out,
             vrun("ps", "-a", "--no-trunc").out, vrun("export", "--manifest").out, Path(f"/proc/{vrun.state('web')['pid']}/environ").read_text()]
    assert not [text for text in shown if hidden in text]
    found = [path for place in (vrun.data, vrun.run_dir) for path in place.rglob("*")
             if path.is_file() and not path.is_symlink() and "images" not in path.parts and hidden.encode() in path.read_bytes()]
    assert len(found) == 2, found
    assert all(path.stat().st_mode & 0o077 == 0 for path in found)
    vrun("rm", "-f", "web").ok()
    assert not list((vrun.run_dir / "contents").rglob("password"))


def another_secret_replaces_the_guests_that_read_it(vrun):
    _apply(vrun, SECRET.format("one-1") + _guest(more="secrets: [{name: key}]") + _guest("other")).ok()
    plan = _steps(vrun, SECRET.format("two-2") + _guest(more="secrets: [{name: key}]") + _guest("other"))
    assert plan == {"key": "change", "web": "replace", "other": "unchanged"}
    _apply(vrun, SECRET.format("two-2") + _guest(more="secrets: [{name: key}]") + _guest("other")).ok()
    assert vrun("exec", "web", "cat", "/run/secrets/key/password").out == "two-2"


def secrets_are_refused_where_they_would_reach_a_disk(vrun, work):
    disk = vrun.data / "run"
    disk.mkdir(parents=True)
    if subprocess.run(["stat", "-f", "-c", "%T", disk], capture_output=True, text=True).stdout.strip() == "tmpfs":
        return
    env = {"VRUN_RUN_DIR": str(disk)}
    path = _write(vrun, SECRET.format("a-word") + _guest(more="secrets: [{name: key}]"))
    vrun("apply", "-f", path, env=env).fails("secrets must not reach a disk", rc=125)
    vrun("delete", "-f", path, env=env).ok()


def a_job_runs_once_and_others_wait_for_it(vrun):
    job = "apiVersion: vrun/v1\nkind: Job\nname: seed\nimage: base\nnetwork: none\nargs: [sh, -c, 'exit {}']\n---\n"
    text = job.format(0) + _guest(more="dependsOn: {seed: completed}")
    _apply(vrun, text).ok()
    assert vrun.state("seed")["exitCode"] == 0 and vrun.state("web")["status"] == "running"
    assert _steps(vrun, text) == {"seed": "unchanged", "web": "unchanged"}
    bad = job.format(3) + _guest(more="dependsOn: {seed: completed}")
    vrun("rm", "-f", "web", "seed").ok()
    _apply(vrun, bad).fails("Guest web: seed exited with code 3", rc=125)


def guests_of_a_group_share_a_network_and_its_init_comes_first(vrun):
    text = ("apiVersion: vrun/v1\nkind: Group\nname: g\nnetwork: none\ninit: [{name: first, image: base, args: ['true']}]\n"
            f"guests: [{{name: a, image: base, args: {SLEEP}}}, {{name: b, image: base, args: {SLEEP}}}]\n")
    _apply(vrun, text).ok()
    assert _names(vrun) == ["g-a", "g-b", "g-first"]
    spaces = {os.readlink(f"/proc/{vrun.state(n)['pid']}/ns/net") for n in ("g-a", "g-b")}
    assert len(spaces) == 1 and spaces != {os.readlink("/proc/self/ns/net")}
    assert set(_steps(vrun, text).values()) == {"unchanged"}


def a_network_comes_before_its_guests_and_goes_after_them(vrun):
    text = ("apiVersion: vrun/v1\nkind: Network\nname: back\nsubnets: [10.77.3.0/24]\nipv6: false\n---\n"
            + _guest().replace("network: none", "network: back\nip: 10.77.3.9"))
    _apply(vrun, text).ok()
    assert "10.77.3.9" in vrun("exec", "web", "ip", "addr").ok().out
    assert set(_steps(vrun, text).values()) == {"unchanged"}
    pid = vrun.state("web")["pid"]
    ports = text.replace("ip: 10.77.3.9", "ip: 10.77.3.9\nports: ['18080:80']")
    assert "change Guest web" in _apply(vrun, ports).ok().out
    assert "18080" in vrun("port", "web").ok().out and vrun.state("web")["pid"] == pid
    _apply(vrun, text.replace("10.77.3.0", "10.77.4.0").replace("3.9", "4.9")).fails(
        "Network back cannot change (subnets[0]: '10.77.3.0/24' -> '10.77.4.0/24') while guests are on it: web", "another name", rc=125)
    assert vrun.state("web")["pid"] == pid
    labelled = ports.replace("ipv6: false", "ipv6: false\nlabels: {tier: back}")
    assert "change Network back" in _apply(vrun, labelled).ok().out, "labels change while guests are on it"
    assert vrun.state("web")["pid"] == pid and "tier" in vrun("network", "inspect", "back").ok().out
    assert set(_steps(vrun, labelled).values()) == {"unchanged"}
    moved = ports.replace("name: back", "name: front").replace("network: back", "network: front").replace("10.77.3.", "10.77.4.")
    _apply(vrun, moved, "--prune").ok()
    assert "10.77.4.9" in vrun("exec", "web", "ip", "addr").ok().out, "the way that the refusal names"
    assert "back" not in vrun("network", "ls", "-q").out.split()
    vrun("delete", "-f", vrun.work / "shop.yaml").ok()
    assert "back" not in vrun("network", "ls", "-q").out


def settings_change_what_is_applied(vrun):
    path = _write(vrun, _guest())
    vrun("apply", "-f", path, "--set", "guests.web.replicas=2").ok()
    assert _names(vrun) == ["web-1", "web-2"]


def faults_are_said_all_at_once_and_nothing_is_made(vrun):
    path = _write(vrun, _guest(more="limits: {memory: 5x}\ntty: yes") + _guest(more="dependsOn: {dc: started}").replace("web", "db"))
    done = vrun("apply", "-f", path)
    assert done.rc == 1 and len(done.err.splitlines()) == 3
    assert f"{path}:9:18: guests.web.limits.memory: '5x' is not a size such as 64m" in done.err
    assert _names(vrun) == []
    assert vrun("validate", "-f", path).rc == 1 and vrun("diff", "-f", path).rc == 2
    vrun("apply").fails("no manifest is named", rc=125)


def what_is_exported_and_applied_again_is_the_same(vrun):
    vrun("run", "-d", "--name", "web", "--network", "none", "--label", "a=b", "-e", "X=1 2", "base", "sleep", "1000").ok()
    text = vrun("export", "--manifest").ok().out
    vrun("rm", "-f", "web").ok()
    _apply(vrun, text).ok()
    request = json.dumps(vrun.inspect("web"))
    assert "X=1 2" in request
    assert vrun("export", "--manifest", "web").ok().out == text
    assert set(_steps(vrun, text).values()) == {"unchanged"}


def a_guest_with_nearly_every_flag_is_exported_and_applied_again(vrun):
    """All that this host can carry out together; unit tests take every flag alone."""
    vrun.detached("sleep 1000", "--name", "other", "--network", "none")
    here = vrun.work / "here"
    here.mkdir()
    flags = ["--hostname", "h", "--domainname", "d", "-e", "X=1 2", "-w", "/tmp", "-u", "0:0", "--group-add", "5", "--ulimit", "nofile=100:200", "--shm-size", "2m",
             "--read-only", "-v", f"{here}:/here:ro", "--mount", f"type=bind,source={here},target=/there", "--tmpfs", "/cache:size=1m", "--network", "container:other",
             "--pid", "container:other", "--no-new-privs", "--cap-add", "SYS_TIME", "--cap-drop", "NET_RAW", "--cgroupns", "private",
             "--restart", "on-failure:3", "--stop-signal", "KILL", "--stop-timeout", "3", "--start-after", "other", "--health-cmd", "true", "--health-interval", "9s",
             "--init", "--label", "a=b", "--annotation", "c=d", "--log-opt", "max-file=3", "--log-driver", "local", "--oom-score-adj", "5", "--view", "host", "--pull", "never"]
    vrun("run", "-d", "--name", "web", *flags, "base", "sleep", "1000").ok()
    text = vrun("export", "--manifest", "web").ok().out
    vrun("rm", "-f", "web").ok()
    _apply(vrun, text).ok()
    assert vrun.state("web")["status"] == "running"
    assert vrun("export", "--manifest", "web").ok().out == text, "nothing was lost"
    assert set(_steps(vrun, text).values()) == {"unchanged"}
    assert vrun("exec", "web", "sh", "-c", "cat /proc/sys/kernel/domainname").ok().out == "d\n"


def bandwidths_of_a_group_are_of_the_network_of_all(vrun):
    group = GROUP.format(a=1000).replace("network: none", "network: default\nbandwidthIn: 8M")
    _apply(vrun, group).ok()
    pids = [vrun.state(name)["pid"] for name in ("pod-a", "pod-b")]
    assert "change Group pod-a" in _apply(vrun, group.replace("8M", "16M")).ok().out
    assert [vrun.state(name)["pid"] for name in ("pod-a", "pod-b")] == pids


def a_compose_file_is_converted_and_applied(vrun):
    compose = vrun.work / "compose.yaml"
    compose.write_text("services:\n  web:\n    image: base\n    command: sleep 1000\n    network_mode: none\n    build: .\n")
    done = vrun("convert", "-f", compose).ok()
    assert "services.web.build: has no counterpart" in done.err
    _apply(vrun, done.out).ok()
    assert vrun.state("web")["status"] == "running"


def kinds_that_cannot_be_made_are_refused_with_the_reason(vrun):
    _apply(vrun, _guest(more="isolation: vm\ninit: true")).fails("isolation: vm with init", rc=1)
    assert _names(vrun) == []


def the_reader_of_foreign_text_has_no_rights():
    """It has given them up before it reads the first byte."""
    program = Path(runtime.path()).resolve().with_name("vrun-manifest")
    child = subprocess.Popen([program, "read"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        status = lambda: dict(line.split(":", 1) for line in Path(f"/proc/{child.pid}/status").read_text().splitlines())  # noqa: E731
        runtime.wait_for(lambda: status().get("Seccomp", "").strip() == "2", "the filter")
        facts = {key: value.split() for key, value in status().items()}
        assert facts["CapEff"] == facts["CapPrm"] == facts["CapInh"] == ["0" * 16] and facts["NoNewPrivs"] == ["1"]
        if os.geteuid() == 0:
            assert set(facts["Uid"]) == set(facts["Gid"]) == {"65534"} and not facts["Groups"]
            assert sorted(os.listdir(f"/proc/{child.pid}/fd")) == ["0", "1", "2"]
        request = {"files": [{"name": "f", "text": "apiVersion: vrun/v1\nkind: Secret\nname: s\ndata: {../../out: x}\n"}]}
        out, _ = child.communicate(json.dumps(request).encode(), timeout=20)
        assert "f:4:8: secrets.s.data: '../../out' is no name of a file" in out.decode()
    finally:
        child.kill()
        child.wait()


GROUP = """
apiVersion: vrun/v1
kind: Group
name: pod
network: none
guests:
- {{name: a, image: base, args: [sleep, "{a}"], stopSignal: KILL}}
- {{name: b, image: base, args: [sleep, "2000"], stopSignal: KILL}}
"""


def a_group_shares_network_and_ipc_also_after_its_first_guest_was_replaced(vrun):
    look = lambda name: vrun("exec", name, "sh", "-c", "for ns in net ipc user pid; do readlink /proc/self/ns/$ns; done").ok().out.split()
    for a in (1000, 1001):
        _apply(vrun, GROUP.format(a=a)).ok()
        first, second = look("pod-a"), look("pod-b")
        assert first[:3] == second[:3] and first[3] != second[3], "network and IPC (so users) are one, processes are not"
    vrun("exec", "pod-a", "true").ok()
    steps = _steps(vrun, GROUP.format(a=1002))
    assert steps == {"pod-a": "replace", "pod-b": "replace"}, steps
    assert "shares the network of pod-a, which begins anew" in vrun("diff", "-f", _write(vrun, GROUP.format(a=1002))).out
    assert set(_steps(vrun, GROUP.format(a=1001)).values()) == {"unchanged"}


def what_run_would_refuse_is_told_before_anything_is_made(vrun):
    text = _guest("good") + _guest("bad", more='restart: sometimes\nsecurity: {capAdd: [NET_ADMIN, FOO]}\ntmpfs: [x]')
    for command in (["validate"], ["diff"], ["apply", "--dry-run"], ["apply"]):
        done = vrun(*command, "-f", _write(vrun, text))
        assert done.rc == (2 if command == ["diff"] else 1) and done.err.count("\n") == 3, done
        for place in ("19:10: guests.bad.restart: 'sometimes'", "20:32: guests.bad.security.capAdd[1]: 'FOO'", "21:9: guests.bad.tmpfs[0]: 'x'"):
            assert f"shop.yaml:{place}" in done.err, done
    assert vrun("ps", "-aq").out == ""


def a_file_of_a_config_that_is_not_there_is_said_with_the_other_way(vrun):
    text = "apiVersion: vrun/v1\nkind: Config\nname: page\nfiles: {index.html: \"hello\"}\n"
    _apply(vrun, text).fails("Config page", "'hello'", "texts stand in `data`")
    assert vrun("ps", "-aq").out == ""


def what_only_the_host_can_tell_is_told_in_the_words_of_the_manifest(vrun):
    host.need("memory controller")
    many = "9000"
    out = _apply(vrun, _guest("a", more="limits: {cpusetCpus: '" + many + "'}") + _guest("b", more="volumes: ['/no/such:/x']")).fails(
        "Guest a: limits.cpusetCpus '9000'", "Guest b: volumes '/no/such:/x'", rc=125)
    assert "--" not in out.err and "hint: a: " in out.err and "; b: create it first" in out.err, out
    text = "apiVersion: vrun/v1\nkind: Network\nname: n\nsubnets: [10.1.0.0/33]\n"
    vrun("validate", "-f", _write(vrun, text)).fails("shop.yaml:4:11: networks.n.subnets[0]: '10.1.0.0/33' is no subnet", rc=1)
    cron = "apiVersion: vrun/v1\nkind: CronJob\nname: c\nschedule: '@daily'\ntimeZone: Mars/Base\njob: {image: base}\n"
    vrun("validate", "-f", _write(vrun, cron)).fails("shop.yaml:5:11: cronJobs.c.timeZone: 'Mars/Base' is no time zone", rc=1)


def a_wait_in_vain_names_the_guests_and_where_to_look(vrun):
    text = _guest("slow", more="probes: {readiness: {exec: [test, -e, /up], interval: 100ms}}") + """
apiVersion: vrun/v1
kind: Job
name: fails
image: base
network: none
args: ["false"]
"""
    done = vrun("apply", "-f", _write(vrun, text), "--wait", "--timeout", "2s").fails(
        "Guest slow: guest slow did not come up within 2 s", "Job fails: fails exited with code 1", rc=125)
    assert "vrun logs slow" in done.err and "vrun logs fails" in done.err, done


def files_of_others_and_odd_ways_to_name_one_are_answered_with_the_right_way(vrun):
    compose = _write(vrun, "services: {web: {image: base}}\n")
    for verb in ("validate", "apply"):
        done = vrun(verb, "-f", compose).fails(f"a Compose file is no manifest of vrun: `vrun convert -f {compose}`", rc=1)
        assert len(done.err.splitlines()) == 1, done
    pod = _write(vrun, "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: c, image: base}]}\n")
    done = vrun("validate", "-f", pod).fails("a Kubernetes file is no manifest of vrun", f"vrun convert -f {pod}", rc=1)
    assert len(done.err.splitlines()) == 1, done
    vrun("validate", pod).fails(f"files are named by -f: vrun validate -f {pod}", rc=125)
    for verb in ("run", "create", "start"):
        vrun(verb, "--manifest", pod).fails("vrun has no flag '--manifest'", "vrun apply -f FILE", rc=125)
    vrun("up", "-f", pod).fails("unknown verb 'up'", "vrun apply -f FILE", rc=125)
    _write(vrun, _guest())
