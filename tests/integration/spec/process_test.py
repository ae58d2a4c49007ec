"""config.json: every field of `process`, seen from inside the guest."""
import os

import pytest

from harness import host, runtime


def args_are_passed_as_they_are(rt, bundle):
    bundle.args("/bin/probe", "facts", "a b", "", "ü", "$HOME")
    assert rt.run(bundle).ok().json["argv"] == ["/bin/probe", "facts", "a b", "", "ü".encode().decode("latin-1"), "$HOME"]


def args_are_looked_up_in_the_PATH_of_the_guest(rt, bundle):
    (bundle.rootfs / "odd").mkdir()
    (bundle.rootfs / "odd/tool").write_text("#!/bin/sh\necho found\n")
    (bundle.rootfs / "odd/tool").chmod(0o755)
    bundle.process["env"] = ["PATH=/nosuch:/odd:/bin"]
    assert rt.run(bundle.args("tool")).ok().out == "found\n"


def env_is_exactly_what_was_asked_and_HOME(rt, bundle):
    bundle.process["env"] = ["PATH=/bin", "A=1", "EMPTY="]
    os.environ["LEAKED"] = "yes"
    try:
        env = rt.facts(bundle)["env"]
    finally:
        del os.environ["LEAKED"]
    assert [e for e in env if not e.startswith("HOME=")] == ["PATH=/bin", "A=1", "EMPTY="]
    assert "HOME=/root" in env


def HOME_is_that_of_the_user_in_the_guest(rt, bundle):
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    assert "HOME=/home" in rt.facts(bundle)["env"]
    bundle.process["env"].append("HOME=/given")
    assert [e for e in rt.facts(bundle)["env"] if e.startswith("HOME=")] == ["HOME=/given"]


def the_last_of_a_repeated_variable_wins(rt, bundle):
    bundle.process["env"] = ["PATH=/bin", "A=1", "A=2"]
    assert rt.run(bundle.sh("echo $A")).ok().out == "2\n"


def cwd_is_where_the_process_starts(rt, bundle):
    bundle.process["cwd"] = "/tmp"
    assert rt.facts(bundle)["cwd"] == "/tmp"


def cwd_is_made_when_it_is_not_there(rt, bundle):
    bundle.process["cwd"] = "/made/here"
    assert rt.facts(bundle)["cwd"] == "/made/here"


def cwd_must_be_absolute(rt, bundle):
    bundle.process["cwd"] = "tmp"
    rt.run(bundle).fails("cwd")


def cwd_is_entered_as_the_user_of_the_process(rt, bundle):
    """A folder that only the user may enter works, as does one that only root may (runc tries both)."""
    (bundle.rootfs / "mine").mkdir(mode=0o700)
    os.chown(bundle.rootfs / "mine", 1000, 1000)
    bundle.process["cwd"], bundle.process["user"] = "/mine", {"uid": 1000, "gid": 1000}
    assert rt.facts(bundle)["cwd"] == "/mine"


def user_sets_all_the_ids(rt, bundle):
    bundle.process["user"] = {"uid": 1234, "gid": 2345, "additionalGids": [10, 20, 4294967294]}
    f = rt.facts(bundle)
    assert f["status"]["Uid"].split() == ["1234"] * 4
    assert f["status"]["Gid"].split() == ["2345"] * 4
    assert f["groups"] == [10, 20, 4294967294]


def no_group_of_the_caller_reaches_the_guest(rt, bundle):
    bundle.args("/bin/probe").save()
    f = rt("run", "--bundle", bundle.path, rt.new_id(), preexec_fn=lambda: os.setgroups([0, 77])).ok().json
    assert 77 not in f["groups"]


@pytest.mark.parametrize("mask", [0, 0o027, 0o777])
def umask_is_set(rt, bundle, mask):
    bundle.process["user"]["umask"] = mask
    assert rt.facts(bundle)["umask"] == mask


def umask_of_the_caller_does_not_reach_the_guest(rt, bundle):
    bundle.args("/bin/probe").save()
    f = rt("run", "--bundle", bundle.path, rt.new_id(), umask=0o707).ok().json
    assert f["umask"] == 0o022


def capabilities_are_set_in_five_sets(rt, bundle):
    bundle.process["capabilities"] = {
        "bounding": ["CAP_KILL", "CAP_CHOWN", "CAP_NET_RAW"], "permitted": ["CAP_KILL", "CAP_CHOWN"],
        "effective": ["CAP_KILL"], "inheritable": ["CAP_CHOWN"], "ambient": ["CAP_CHOWN"]}
    # exec of root's program would raise everything in the bounding set, so the user is another.
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["noNewPrivileges"] = False
    s = rt.facts(bundle)["status"]
    assert int(s["CapBnd"], 16) == 1 << 5 | 1 << 0 | 1 << 13
    assert int(s["CapAmb"], 16) == 1 << 0
    assert int(s["CapEff"], 16) == int(s["CapPrm"], 16) == 1 << 0, "what exec keeps of an ambient one"
    assert int(s["CapInh"], 16) == 1 << 0


def a_guest_without_the_capabilities_object_has_none(rt, bundle):
    del bundle.process["capabilities"]
    s = rt.facts(bundle)["status"]
    assert [int(s[k], 16) for k in ("CapEff", "CapPrm", "CapInh", "CapAmb")] == [0] * 4


def inheritable_capabilities_are_empty_unless_asked(rt, bundle):
    assert int(rt.facts(bundle)["status"]["CapInh"], 16) == 0


def an_unknown_capability_is_refused_by_its_path(rt, bundle):
    bundle.capabilities("CAP_KILL", "CAP_BOGUS")
    rt.run(bundle).fails("CAP_BOGUS")


def rlimits_are_set(rt, bundle):
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 123, "hard": 456},
                                 {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
                                 {"type": "RLIMIT_FSIZE", "soft": 1 << 20, "hard": 1 << 21},
                                 {"type": "RLIMIT_STACK", "soft": 1 << 20, "hard": 1 << 23},
                                 {"type": "RLIMIT_AS", "soft": 1 << 30, "hard": 1 << 31}]
    r = rt.facts(bundle)["rlimits"]
    assert r["RLIMIT_NOFILE"] == [123, 456] and r["RLIMIT_CORE"] == [0, 0]
    assert r["RLIMIT_FSIZE"] == [1 << 20, 1 << 21] and r["RLIMIT_STACK"] == [1 << 20, 1 << 23]
    assert r["RLIMIT_AS"] == [1 << 30, 1 << 31]


def rlimits_can_be_raised(rt, bundle):
    host.need("CAP_SYS_RESOURCE")
    bundle.process["rlimits"] = [{"type": "RLIMIT_MEMLOCK", "soft": 2**64 - 1, "hard": 2**64 - 1}]
    assert rt.facts(bundle)["rlimits"]["RLIMIT_MEMLOCK"] == [2**64 - 1] * 2


@pytest.mark.parametrize("limits", [
    [{"type": "RLIMIT_BOGUS", "soft": 1, "hard": 1}],
    [{"type": "RLIMIT_NOFILE", "soft": 9, "hard": 8}],
    [{"type": "RLIMIT_NOFILE", "soft": 8, "hard": 8}] * 2])
def bad_rlimits_are_refused(rt, bundle, limits):
    bundle.process["rlimits"] = limits
    rt.run(bundle).fails("rlimit")


@pytest.mark.parametrize("wanted", [True, False])
def noNewPrivileges_is_set_and_only_then(rt, bundle, wanted):
    bundle.process["noNewPrivileges"] = wanted
    assert rt.facts(bundle)["no_new_privs"] == int(wanted)


def oomScoreAdj_is_set(rt, bundle):
    bundle.process["oomScoreAdj"] = 123
    assert rt.run(bundle.args("cat", "/proc/self/oom_score_adj")).ok().out == "123\n"


def oomScoreAdj_of_the_caller_is_kept_when_not_asked(rt, bundle):
    mine = open("/proc/self/oom_score_adj").read()
    assert rt.run(bundle.args("cat", "/proc/self/oom_score_adj")).ok().out == mine


def scheduler_sets_policy_and_nice(rt, bundle):
    bundle.process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 5}
    s = rt.facts(bundle)["scheduler"]
    assert (s["policy"], s["nice"]) == (3, 5)


def scheduler_sets_real_time_priority_and_flags(rt, bundle):
    bundle.process["scheduler"] = {"policy": "SCHED_FIFO", "priority": 7, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}
    if host.has("realtime group scheduling"):  # there a group has no real-time budget of its own
        bundle.resources["cpu"] = {"realtimeRuntime": 10000, "realtimePeriod": 1000000}
    s = rt.facts(bundle)["scheduler"]
    assert (s["policy"], s["priority"], s["flags"] & 1) == (1, 7, 1)


def scheduler_sets_deadlines(rt, bundle):
    host.need("deadline scheduling")
    bundle.process["scheduler"] = {"policy": "SCHED_DEADLINE", "runtime": 10_000_000, "deadline": 50_000_000,
                                   "period": 100_000_000}
    s = rt.facts(bundle)["scheduler"]
    assert (s["policy"], s["runtime"], s["deadline"], s["period"]) == (6, 10_000_000, 50_000_000, 100_000_000)


def an_unknown_scheduling_policy_is_refused(rt, bundle):
    bundle.process["scheduler"] = {"policy": "SCHED_BOGUS"}
    rt.run(bundle).fails("SCHED_BOGUS")


@pytest.mark.parametrize("name, number", [("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_IDLE", 3)])
def ioPriority_is_set(rt, bundle, name, number):
    bundle.process["ioPriority"] = {"class": name, "priority": 4}
    assert rt.facts(bundle)["ioprio"] == number << 13 | 4


def execCPUAffinity_holds_for_exec_after_its_start(rt, bundle):
    host.need("two processors")
    bundle.process["execCPUAffinity"] = {"initial": "0", "final": "1"}
    id = rt.start(bundle.args("sleep", "100"))
    assert rt.exec(id, "/bin/probe").ok().json["affinity"] == [1]


def apparmorProfile_is_set(rt, bundle):
    host.need("AppArmor")
    import subprocess
    profile = "profile vrun-test flags=(attach_disconnected) { file, capability, mount, signal, deny /etc/passwd r, }\n"
    subprocess.run(["apparmor_parser", "--replace"], input=profile, text=True, check=True)
    bundle.process["apparmorProfile"] = "vrun-test"
    r = rt.run(bundle.sh("cat /proc/self/attr/current; cat /etc/passwd")).fails()
    assert r.out.startswith("vrun-test (enforce)") and "denied" in r.err


def apparmorProfile_on_a_host_without_it_is_refused(rt, bundle):
    host.need("no AppArmor")
    bundle.process["apparmorProfile"] = "some-profile"
    rt.run(bundle).fails("pparmor")


def selinuxLabel_on_a_host_without_it_is_refused(rt, bundle):
    host.need("no SELinux")
    bundle.process["selinuxLabel"] = "system_u:system_r:container_t:s0"
    rt.run(bundle).fails("elinux")


def mountLabel_on_a_host_without_it_is_refused(rt, bundle):
    host.need("no SELinux")
    bundle.linux["mountLabel"] = "system_u:object_r:container_file_t:s0"
    rt.run(bundle).fails()


def signals_are_neither_blocked_nor_ignored(rt, bundle):
    """The caller's mask and ignored signals would make a guest that cannot be stopped."""
    import signal
    bundle.args("/bin/probe").save()

    def odd():
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
        for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(s, signal.SIG_IGN)
    f = rt("run", "--bundle", bundle.path, rt.new_id(), preexec_fn=odd, restore_signals=False).ok().json
    assert (f["signals_blocked"], f["signals_ignored"]) == (0, 0)


def the_first_process_has_no_odd_attributes(rt, bundle):
    f = rt.facts(bundle)
    assert (f["pid"], f["ppid"], f["pdeathsig"], f["securebits"], f["keepcaps"], f["subreaper"]) == (1, 0, 0, 0, 0, 0)
    assert (f["sid"], f["pgid"]) == (1, 1)


def hostname_and_domainname_are_set(rt, bundle):
    bundle.spec["hostname"], bundle.spec["domainname"] = "web-1", "example.org"
    f = rt.facts(bundle)
    assert (f["hostname"], f["domainname"]) == ("web-1", "example.org")


def hostname_without_a_uts_namespace_is_refused(rt, bundle):
    bundle.without_namespace("uts")
    rt.run(bundle).fails("hostname")


def process_without_args_is_refused(rt, bundle):
    bundle.args()
    rt.run(bundle).fails("args")


def a_config_without_process_is_refused_at_start(rt, bundle):
    del bundle.spec["process"]
    rt.run(bundle).fails("process")


def annotations_are_kept_and_shown(rt, bundle):
    bundle.spec["annotations"] = {"a.b": "c", "empty": ""}
    id = rt.create(bundle)
    assert rt.state(id)["annotations"] == {"a.b": "c", "empty": ""}
