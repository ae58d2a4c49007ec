"""What somebody who knows Docker types first: its words work, or the answer says what to do instead."""
import json

import pytest

from harness import everyday


@pytest.fixture
def vrun(work):
    with everyday.fresh(work) as it:
        yield it


NONE = ("--network", "none")


def templates_of_docker_find_our_members(vrun):
    id = vrun.detached("sleep 1000", "--name", "web", *NONE, "-v", "/tmp:/seen:ro", "-l", "a=b")
    assert vrun("inspect", "-f", "{{.State.Status}} {{.Name}} {{.Id}}", "web").ok().out == f"running web {id}\n"
    assert vrun("inspect", "-f", "state.status", "web").ok().out == "running\n"
    assert vrun("inspect", "-f", "{{range .Mounts}}{{.Source}}:{{.Destination}} {{.RW}}{{end}}", "web").ok().out == \
        "/tmp:/seen false\n"
    assert vrun("ps", "--format", "{{.Names}} {{.State}} {{.Labels}}").ok().out == "web running a=b\n"
    assert vrun("ps", "--format", "table {{.Names}}\\t{{.Image}}").ok().out.split() == ["NAMES", "IMAGE", "web", "base"]
    vrun("ps", "--format", "{{.Nmes}}").fails("no member 'Nmes'", "did you mean Names?", rc=125)
    vrun("inspect", "-f", "{{if .State}}x{{end}}", "web").fails("is not understood", "json and jq", rc=125)
    assert vrun("images", "--format", "{{.Repository}}:{{.Tag}}").ok().out == "base:latest\n"
    assert vrun("image", "inspect", "-f", "{{json .Config.Cmd}}", "base").ok().out == '["/bin/sh"]\n'
    vrun("rm", "-f", "web").ok()


def inspect_finds_images_and_goes_on(vrun):
    vrun("create", "--name", "g", *NONE, "base").ok()
    asked = vrun("inspect", "nosuch", "base", "g").fails("no such guest 'nosuch'", rc=125)
    assert [one.get("name", one.get("RepoTags")) for one in json.loads(asked.out)] == [["base:latest"], "g"]
    vrun("rm", "g").ok()


def ps_filters(vrun):
    for name in ("a", "b", "c"):
        vrun("create", "--name", name, *NONE, "-v", "/tmp:/t", "base").ok()
    names = lambda *flags: vrun("ps", "-a", "--format", "{{.Names}}", *flags).ok().out.split()
    assert names("-l") == ["c"] and names("-f", "since=a") == ["c", "b"] and names("-f", "before=b") == ["a"]
    assert len(names("-f", "network=none")) == 3 and names("-f", "network=default") == []
    assert len(names("-f", "volume=/t")) == 3 and names("-f", "volume=/u") == [] and names("-f", "publish=80") == []
    vrun("ps", "-f", "status=foo").fails("no guest is ever that", "created, running", rc=125)
    vrun("ps", "-f", "since=nosuch").fails("no such guest", rc=125)
    assert " B" in vrun("ps", "-as").ok().out or "kB" in vrun("ps", "-as").ok().out
    assert isinstance(json.loads(vrun("ps", "-as", "--format", "json").ok().out)[0]["size"], int)
    vrun("container", "prune", "-f").ok()


def a_long_reason_does_not_break_the_table(vrun):
    vrun("run", "-d", "--name", "x", *NONE, "base", "/no/such/" + "long" * 30).fails(rc=127)
    lines = vrun("ps", "-a").ok().out.splitlines()
    assert "…" in lines[1] and len(lines[1]) < 160
    assert "longlong" in vrun("ps", "-a", "--no-trunc").ok().out
    vrun("rm", "x").ok()


def verbs_of_two_words_are_those_of_one(vrun):
    vrun("create", "--name", "a", *NONE, "base").ok()
    id = vrun("container", "ls", "-aq").ok().out
    assert id == vrun("ps", "-aq").ok().out and len(id) == 13
    assert vrun("history", "base").ok().out == vrun("image", "history", "base").ok().out
    assert "base" in vrun("image", "list").ok().out and "linux" in vrun("system", "info").ok().out.lower()
    assert "  ps " in vrun("container").ok().out and "  pull " in vrun("image").ok().out
    assert "usage: vrun stop" in vrun("help", "container", "stop").ok().out
    vrun("container", "checkpoint", "a").fails("is a container", "--isolation vm", rc=125)
    vrun("container", "restore", "a").fails("has no checkpoint", rc=125)
    vrun("build", ".").fails("does not build images", rc=125)
    vrun("container", "rm", "a").ok()


def only_guests_that_do_not_run_are_pruned_and_only_when_asked(vrun):
    vrun.detached("sleep 1000", "--name", "up", *NONE)
    vrun("create", "--name", "a", *NONE, "-l", "x=1", "base").ok()
    vrun("create", "--name", "b", *NONE, "base").ok()
    vrun("container", "prune").fails("[y/N]", "nothing is removed", rc=1)
    vrun("container", "prune", input="n\n").fails("nothing is removed", rc=1)
    assert vrun("container", "prune", "--filter", "label=x", input="y\n").ok().out == "a\n"
    assert vrun("container", "prune", "--force").ok().out == "b\n"
    assert vrun("ps", "-a", "--format", "{{.Names}}").ok().out == "up\n"
    vrun("rm", "-f", "up").ok()


def counts_of_words_are_said(vrun):
    vrun("tag", "base").fails("needs 2 arguments, got 1", "vrun tag IMAGE NAME", rc=125)
    vrun("run").fails("needs at least 1 argument, got 0", rc=125)
    vrun("load", "s.tar").fails("takes no arguments, got 1", "--input", rc=125)
    assert "base" in vrun("images", "base").ok().out and "base" not in vrun("images", "nosuch").ok().out
    assert vrun("images", "-q", "-f", "dangling=true").ok().out == ""


def a_name_is_taken_until_it_is_removed(vrun):
    vrun("create", "--name", "a", *NONE, "base").ok()
    vrun("create", "--name", "a", *NONE, "base").fails("guest 'a' already exists", "vrun rm a", "vrun rename", rc=125)
    vrun("rm", "a").ok()


def kill_is_a_wish_that_it_ends(vrun):
    vrun.detached("trap : HUP; echo up; while :; do sleep 0.05; done", "--name", "k", *NONE, "--restart", "always")
    vrun.wait_for_log("k", "up")
    vrun("kill", "-s", "HUP", "k").ok()
    assert vrun.state("k")["status"] == "running"
    vrun("kill", "k").ok()
    vrun.wait_for("k", status="exited", exitCode=137)
    assert vrun.state("k")["restarts"] == 0
    vrun("rm", "k").ok()


def stop_takes_a_signal(vrun):
    vrun.detached("trap 'exit 7' HUP; echo up; while :; do sleep 0.05; done", "--name", "s", *NONE)
    vrun.wait_for_log("s", "up")
    vrun("stop", "--signal", "HUP", "--timeout", "60", "s").ok()
    vrun.wait_for("s", status="exited", exitCode=7)
    vrun("stop", "--signal", "NOSUCH", "s").fails("NOSUCH", rc=125)
    vrun("rm", "s").ok()


def times_and_counts_of_logs(vrun):
    vrun.detached("echo one; echo two", "--name", "l", *NONE)
    vrun.wait_for("l", status="exited")
    assert vrun("logs", "--since", "1000000001", "l").ok().out == "one\ntwo\n"
    assert vrun("logs", "--since", "9999999999", "l").ok().out == ""
    assert vrun("logs", "--tail", "-1", "l").ok().out == "one\ntwo\n"
    vrun("logs", "--tail", "x", "l").fails("not a number of lines", rc=125)
    vrun("rm", "l").ok()


def events_are_of_the_guest_that_is_named(vrun):
    id = vrun("create", "--name", "x", *NONE, "base").ok().out.strip()
    vrun("create", "--name", id[0], *NONE, "base").ok()
    shown = vrun("events", "--since", "10m", "--until", "0s", "-f", f"guest={id[0]}").ok().out
    assert f"name={id[0]}," in shown and "name=x," not in shown
    assert "name=x," in vrun("events", "--since", "10m", "--until", "0s", "-f", f"container={id[:12]}").ok().out
    vrun("rm", "x", id[0]).ok()


def flags_that_can_be_wrong_alone_are(vrun):
    for flags, words in ((("--health-retries", "x"), "--health-retries 'x'"),
                         (("--health-interval", "5"), "a time needs a unit"),
                         (("--ulimit", "foo=1"), "see setrlimit(2)"),
                         (("--device", "/etc/passwd"), "not a device"),
                         (("--entrypoint", ""), "takes the image's command away")):
        vrun("run", "--rm", *NONE, *flags, "base").fails(words, rc=125)


def rmi_goes_on(vrun):
    vrun("run", "--rm", *NONE, "base", "true").ok()
    vrun("tag", "base", "mine:1").ok()
    assert "mine:1" in vrun("rmi", "nosuch", "mine:1").fails("no such image 'nosuch'", rc=125).out
    assert "mine" not in vrun("images").ok().out


def a_plan_fetches_nothing(vrun):
    vrun("plan", *NONE, "registry.invalid/x", "true").fails("no such image", rc=125)


def errors_of_the_runtime_name_flags(vrun):
    vrun("run", "--rm", *NONE, "-u", "99999999", "base", "id").fails("--user: 99999999 is not mapped", "0 to 65535", rc=125)
    vrun("run", "--rm", *NONE, "--sysctl", "vm.swappiness=1", "base", "id").fails("--sysctl vm.swappiness", rc=125)
    vrun("run", "--rm", *NONE, "--cpus", "10000", "base", "id").fails("more than there are", "this host has", rc=125)
    vrun("run", "--rm", *NONE, "--cpuset-cpus", "9000", "base", "id").fails("--cpuset-cpus '9000'", rc=125)
    missing = vrun("run", "-d", "--name", "m", *NONE, "base", "nosuch").fails("PATH comes from --env and the image", rc=127)
    assert "process." not in missing.err and "process." not in json.dumps(vrun.state("m"))
    vrun("rm", "m").ok()


def nothing_is_run_in_a_paused_guest(vrun):
    vrun.detached("sleep 1000", "--name", "p", *NONE)
    vrun("pause", "p").ok()
    vrun("exec", "p", "true").fails("guest 'p' is paused", "vrun unpause p", rc=125)
    vrun("unpause", "p").ok()
    vrun("rm", "-f", "p").ok()


def root_pings_by_default(vrun):
    assert "0% packet loss" in vrun("run", "--rm", *NONE, "base", "ping", "-c", "1", "127.0.0.1").ok().out
    vrun("run", "--rm", *NONE, "--cap-drop", "NET_RAW", "base", "ping", "-c", "1", "127.0.0.1").fails("permission denied", rc=1)
    shared = vrun("plan", "--network", "host", "base", "true").ok().out
    assert "CAP_KILL" in shared and "CAP_NET_RAW" not in shared


def an_image_loaded_twice_goes_by_its_id(vrun, work):
    vrun("save", "-o", work / "b.tar", "base").ok()
    vrun("load", "-i", work / "b.tar").ok()
    ids = vrun("images", "-q").ok().out.split()
    assert len(ids) == 1, "the name means the one in the store"
    vrun("run", "--rm", *NONE, ids[0], "true").ok()
    vrun("rmi", ids[0]).ok()
    assert vrun("images", "-q").ok().out.split() == ids, "what came with vrun is seen again"
    vrun("run", "--rm", *NONE, "base", "true").ok()


def what_came_with_vrun_is_in_no_registry(vrun):
    vrun("run", "--rm", *NONE, "--pull", "always", "base", "true").ok()
    vrun("run", "--rm", *NONE, "--platform", "linux/s390x", "base", "true").fails("came with vrun, for linux/", rc=125)
    vrun("pull", "--platform", "foo", "registry.invalid/x").fails("unknown operating system or architecture", rc=125)


def pull_goes_on(vrun):
    failed = vrun("pull", "127.0.0.1:1/a", "127.0.0.1:1/b")
    assert failed.rc == 125 and "127.0.0.1:1/a" in failed.err and "'127.0.0.1:1/b'" in failed.err


def top_takes_options_of_ps(vrun):
    vrun.detached("sleep 1234", "--name", "t", *NONE)
    for options in (("aux",), ("-ef",), ("-eo", "pid,args"), ("--", "-ef")):
        shown = vrun("top", "t", *options).ok().out
        assert "sleep 1234" in shown and len(shown.splitlines()) <= 3, options
    assert "INSIDE" in vrun("top", "t", "--no-stream").ok().out
    vrun("top", "t", "-o", "args").fails("no PID column", rc=125)
    vrun("rm", "-f", "t").ok()


def copies_say_where_something_is_missing(vrun, work):
    vrun("create", "--name", "c", *NONE, "base").ok()
    vrun("cp", "c:/nofile", work).fails("in the guest: open '/nofile'", rc=125)
    vrun("cp", "-", "c:/tmp", input="no archive").fails("stdin: ", "is a tar archive", rc=125)
    vrun("commit", "--pause=false", "c", "copy:1").ok()
    id = vrun("commit", "c").ok().out.strip()
    assert f"localhost/committed:{id[7:19]}" in vrun("images", "--format", "names").ok().out
    vrun("rm", "c").ok()


def warnings_are_for_people(vrun):
    said = vrun("run", "--rm", *NONE, "--pid", "host", "base", "true").ok().err
    assert said.startswith("vrun: warning: --pid host: ") and "level=" not in said


def disk_use_of_each(vrun):
    vrun("create", "--name", "mine", *NONE, "base").ok()
    shown = vrun("system", "df", "-v").ok().out
    guests = shown.split("\nguests:\n")[1].splitlines()
    assert "Layers" in shown and "base" in shown and guests[1].split()[0] == "mine"
    vrun("rm", "mine").ok()
