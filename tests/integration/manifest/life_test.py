"""What acts after apply has ended: probes, commands around a guest's life, CronJobs."""
import json
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest

from harness import everyday, runtime

GUEST = """
apiVersion: vrun/v1
kind: Guest
name: {name}
image: base
network: none
args: [sh, -c, '{script}']
stopSignal: KILL
{more}
---
"""
SLEEP = "exec sleep 1000"
CRON = """
apiVersion: vrun/v1
kind: CronJob
name: tick
schedule: '@every 2s'
{more}
job:
  image: base
  network: none
  stopSignal: KILL
  args: [sh, -c, '{script}']
---
"""


def _guest(name="web", script=SLEEP, more=""):
    return GUEST.format(name=name, script=script, more=more)


@pytest.fixture
def vrun(work):
    run = Path(tempfile.mkdtemp(prefix="vrun-run-", dir="/dev/shm"))
    try:
        with everyday.fresh(work) as it:
            it.run_dir = run
            it.env["VRUN_RUN_DIR"] = str(run)
            it.work = work
            yield it
            it("delete", "-f", work / "shop.yaml", "--manifest", "shop").ok()
            runtime.wait_for(lambda: not it.processes(), "no process of vrun is left")
    finally:
        shutil.rmtree(run)


def _apply(vrun, text, *flags):
    path = vrun.work / "shop.yaml"
    path.write_text(text)
    return vrun("apply", "-f", path, "--timeout", f"{runtime.DEADLINE}s", *flags)


def _events(vrun, action):
    lines = [json.loads(line) for line in (vrun.data / "events.jsonl").read_text().splitlines()]
    return [line["attributes"] for line in lines if line["action"] == action]


def _probe(vrun, name, which):
    return vrun.state(name)["probes"][which]


def _until(wanted, what):
    runtime.wait_for(wanted, what)


READY = "probes: {readiness: {exec: [test, -e, /ready], interval: 100ms, retries: 1}}"


def readiness_is_followed_for_as_long_as_the_guest_runs(vrun):
    _apply(vrun, _guest(more=READY)).ok()
    _until(lambda: "exited with code 1" in _probe(vrun, "web", "readiness").get("reason", ""), "the reason is known")
    assert vrun.state("web")["ready"] is False and "(not ready)" in vrun("ps").out
    vrun("exec", "web", "touch", "/ready").ok()
    vrun("wait", "--condition", "ready", "web", timeout=60).ok()
    assert vrun.state("web")["ready"] is True and "(not ready)" not in vrun("ps").out
    vrun("exec", "web", "rm", "/ready").ok()
    vrun.wait_for("web", ready=False)
    told = [(e["probe"], e["status"]) for e in _events(vrun, "health_status")]
    assert ("readiness", "healthy") in told and told[-1] == ("readiness", "unhealthy")
    vrun("wait", "--condition", "healthy", "web").fails("has no health check", rc=125)


def startup_holds_the_others_back(vrun):
    more = ("probes: {startup: {exec: [test, -e, /up], interval: 100ms, retries: 1000}, "
            "liveness: {exec: [test, -e, /alive], interval: 100ms, retries: 1, action: kill}}")
    _apply(vrun, _guest(more=more)).ok()
    _until(lambda: _probe(vrun, "web", "startup")["failures"] > 2, "startup is checked")
    assert _probe(vrun, "web", "liveness") == {"state": "starting", "failures": 0, "last": "none"}
    vrun("exec", "web", "touch", "/alive", "/up").ok()
    vrun.wait_for("web", health="healthy", ready=True)
    vrun("exec", "web", "rm", "/up").ok()  # nobody asks any more
    time.sleep(0.5)
    assert vrun.state("web")["ready"] is True
    vrun("exec", "web", "rm", "/alive").ok()
    vrun.wait_for("web", status="exited")
    assert "its health check failed: exited with code 1" in vrun.state("web")["reason"]


def a_guest_that_does_not_come_up_is_started_again_by_its_startup_probe(vrun):
    more = "restart: 'no'\nprobes: {startup: {exec: ['false'], interval: 100ms, retries: 2, action: restart}}"
    _apply(vrun, _guest(more=more)).ok()
    _until(lambda: vrun.state("web")["restarts"] >= 1, "it is started again")


def successes_count_in_a_row_and_the_first_check_waits(vrun):
    more = "probes: {readiness: {exec: ['true'], interval: 100ms, initialDelay: 1s, successes: 3}}"
    begin = time.monotonic()
    _apply(vrun, _guest(more=more), "--wait").ok()
    assert time.monotonic() - begin >= 1.2
    assert vrun.state("web")["ready"] is True


def a_probe_that_hangs_is_killed_and_nothing_piles_up(vrun):
    more = "probes: {readiness: {exec: [sh, -c, 'sleep 4321 & sleep 4321'], interval: 100ms, timeout: 300ms, retries: 2}}"
    _apply(vrun, _guest(more=more)).ok()
    _until(lambda: _probe(vrun, "web", "readiness")["failures"] >= 3, "it fails again and again")
    assert _probe(vrun, "web", "readiness")["reason"] == "it took too long and was killed"
    inside = vrun("exec", "web", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").out
    assert inside.count("sleep 4321") <= 6, inside


def the_next_monitor_goes_on_with_the_probes(vrun):
    more = ("probes: {startup: {exec: [test, -e, /up], interval: 100ms, retries: 1000}, "
            "readiness: {exec: [test, -e, /ready], interval: 100ms, retries: 1}}")
    _apply(vrun, _guest(script="touch /up /ready; " + SLEEP, more=more), "--wait").ok()
    pid = vrun.state("web")["pid"]
    vrun("exec", "web", "rm", "/up").ok()
    vrun.kill_monitor("web")
    assert vrun.state("web")["ready"] is True  # and startup is not asked again
    vrun("exec", "web", "rm", "/ready").ok()
    vrun.wait_for("web", ready=False, pid=pid)


def others_wait_for_readiness_and_probes_change_live(vrun):
    text = _guest("db", more=READY) + _guest("web", more="dependsOn: {db: healthy}")
    path = vrun.work / "shop.yaml"
    path.write_text(text)
    going = vrun.start("apply", "-f", path, "--timeout", "60s")
    _until(lambda: "db" in vrun("ps").out, "db runs")
    time.sleep(0.5)
    assert "web" not in vrun("ps", "-a").out
    vrun("exec", "db", "touch", "/ready").ok()
    assert going.wait(60) == 0
    pid = vrun.state("db")["pid"]
    _apply(vrun, text.replace("/ready", "/other")).ok()
    vrun.wait_for("db", ready=False, pid=pid)
    _apply(vrun, _guest("db")).ok()
    _until(lambda: "probes" not in vrun.state("db"), "the probe is gone")
    assert vrun.state("db")["ready"] is True and vrun.state("db")["pid"] == pid


# ---- commands around its life ----


def post_start_runs_in_the_guest_before_it_counts_as_started(vrun):
    more = "lifecycle: {postStart: [sh, -c, 'sleep 1; touch /hook']}"
    text = _guest("db", more=more) + _guest("web", more="dependsOn: {db: started}")
    begin = time.monotonic()
    _apply(vrun, text).ok()
    assert time.monotonic() - begin >= 1
    vrun("exec", "db", "test", "-e", "/hook").ok()


def a_post_start_that_fails_kills_the_guest(vrun):
    _apply(vrun, _guest(more="lifecycle: {postStart: [sh, -c, 'exit 7']}")).ok()
    vrun.wait_for("web", status="exited")
    assert "its postStart command failed: exited with code 7" in vrun.state("web")["reason"]


def each_start_has_its_post_start_and_a_new_monitor_does_not_repeat_it(vrun):
    vrun("run", "-d", "--name", "web", "--network", "none", "--stop-signal", "KILL", "--post-start", "echo once >>/count",
         "base", "sleep", "1000").ok()
    vrun("wait", "--condition", "ready", "web", timeout=60).ok()
    vrun.kill_monitor("web")
    vrun("ps").ok()
    time.sleep(0.5)
    assert vrun("exec", "web", "cat", "/count").ok().out == "once\n"
    vrun("restart", "web").ok()
    vrun("wait", "--condition", "ready", "web", timeout=60).ok()
    assert vrun("exec", "web", "cat", "/count").ok().out == "once\n" * 2
    vrun("rm", "-f", "web").ok()


STOPS = ("run", "-d", "--name", "web", "--network", "none", "--stop-signal", "KILL")


@pytest.mark.parametrize("how", ("stop", "restart"))
def pre_stop_runs_before_the_signal(vrun, how):
    kept = vrun.work / "kept"
    kept.mkdir(mode=0o777)
    kept.chmod(0o777)
    vrun(*STOPS, "-v", f"{kept}:/kept", "--pre-stop", "echo said >>/kept/word", "base", "sleep", "1000").ok()
    vrun(how, "web").ok()
    assert (kept / "word").read_text() == "said\n"
    vrun("rm", "-f", "web").ok()
    assert (kept / "word").read_text() == "said\n"  # rm -f asks nobody


def pre_stop_has_no_longer_than_the_stop(vrun):
    vrun(*STOPS, "--stop-timeout", "1", "--pre-stop", "sleep 1000", "base", "sleep", "1000").ok()
    begin = time.monotonic()
    done = vrun("stop", "web").ok()
    assert time.monotonic() - begin < 15 and "its preStop command: it took longer" in done.err
    assert vrun.state("web")["status"] == "exited"
    vrun("rm", "web").ok()


# ---- CronJobs ----


def _runs(vrun):
    return json.loads(vrun("ps", "-a", "--format", "json").ok().out)


def _cron(vrun):
    return json.loads(vrun("cron", "ls", "--format", "json").ok().out)


def _timer(vrun):
    return int((vrun.run_dir / "cron/default").read_text())


def a_cron_job_runs_again_and_again_and_old_runs_go(vrun):
    text = CRON.format(script="exit 0", more="keepSucceeded: 2")
    _apply(vrun, text).ok()
    seen = set()

    def enough():
        seen.update(run["name"] for run in _runs(vrun))
        return len(seen) >= 4
    _until(enough, "it ran four times")
    assert all(name.startswith("tick-20") and len(name) == len("tick-20260131102030") for name in seen)
    _until(lambda: len(_runs(vrun)) <= 3, "old runs are gone")
    line = _cron(vrun)[0]
    assert line["schedule"] == "@every 2s" and line["nextTime"] and "exited with code 0" in line["last"] or "running" in line["last"]
    assert "tick" in vrun("cron", "ls").ok().out
    assert "unchanged CronJob tick" in _apply(vrun, text).ok().out


def a_killed_timer_is_revived_by_any_command(vrun):
    _apply(vrun, CRON.format(script="exit 0", more="")).ok()
    _until(lambda: _runs(vrun), "it runs")
    first = _timer(vrun)
    os.kill(first, signal.SIGKILL)
    count = len(_runs(vrun))
    vrun("ps").ok()
    _until(lambda: _timer(vrun) != first and everyday.alive(_timer(vrun)), "another timer lives")
    _until(lambda: len(_runs(vrun)) > count, "it runs again")


def forbid_leaves_out_and_replace_ends_the_run_before(vrun):
    _apply(vrun, CRON.format(script=SLEEP, more="concurrency: forbid")).ok()
    _until(lambda: "has not ended" in (_cron(vrun) or [{"last": ""}])[0]["last"], "a run is left out")
    assert len(_runs(vrun)) == 1
    name = _runs(vrun)[0]["name"]
    _apply(vrun, CRON.format(script=SLEEP, more="concurrency: replace")).ok()
    _until(lambda: (runs := _runs(vrun)) and len(runs) == 1 and runs[0]["name"] != name, "it is replaced")


def a_suspended_job_does_not_run_and_its_missed_times_are_gone(vrun):
    _apply(vrun, CRON.format(script="exit 0", more="suspend: true")).ok()
    time.sleep(3)
    assert _runs(vrun) == [] and _cron(vrun)[0]["suspend"] is True
    _apply(vrun, CRON.format(script="exit 0", more="")).ok()
    _until(lambda: len(_runs(vrun)) == 1, "it runs")


def after_a_downtime_one_run_at_most_is_made_up_for(vrun):
    _apply(vrun, CRON.format(script="exit 0", more="suspend: true")).ok()
    job = CRON.format(script="exit 0", more="startingDeadline: 1h").replace("@every 2s", "@every 1h")
    _apply(vrun, job).ok()
    os.kill(_timer(vrun), signal.SIGKILL)
    (vrun.data / "cron/default/tick/due").write_text(str(int(time.time()) - 86400))
    vrun("ps").ok()
    _until(lambda: len(_runs(vrun)) == 1, "one run is made up for")
    vrun("rm", "-f", _runs(vrun)[0]["name"]).ok()
    _apply(vrun, job.replace("startingDeadline: 1h", "startingDeadline: 0s")).ok()
    os.kill(_timer(vrun), signal.SIGKILL)
    (vrun.data / "cron/default/tick/due").write_text(str(int(time.time()) - 86400))
    vrun("ps").ok()
    _until(lambda: "startingDeadline was over" in _cron(vrun)[0]["last"], "it is too late")
    assert _runs(vrun) == []


def a_run_that_cannot_start_says_why(vrun):
    _apply(vrun, CRON.format(script="exit 0", more="").replace("image: base", "image: nowhere\n  pull: never")).ok()
    _until(lambda: "cannot start" in _cron(vrun)[0]["last"], "the reason is kept")


def delete_ends_the_job_its_runs_and_its_timer(vrun):
    _apply(vrun, CRON.format(script=SLEEP, more="")).ok()
    _until(lambda: _runs(vrun), "it runs")
    timer = _timer(vrun)
    vrun("delete", "-f", vrun.work / "shop.yaml").ok()
    assert _runs(vrun) == [] and _cron(vrun) == []
    _until(lambda: not everyday.alive(timer), "the timer has ended")


def schedules_that_are_none_are_refused_with_the_place(vrun):
    done = _apply(vrun, CRON.format(script="x", more="").replace("@every 2s", "0 0 31 2 *"))
    assert done.rc == 1 and "cronJobs.tick.schedule: '0 0 31 2 *' is no schedule: no such day ever comes" in done.err
    _apply(vrun, CRON.format(script="x", more="timeZone: Mars/Base")).fails("'Mars/Base' is no time zone", rc=1)
