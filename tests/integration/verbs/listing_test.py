"""list, ps, spec, features, --version, events: what they print."""
import json
import os
import re
import time

import pytest

from harness import host, runtime

HEADER = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]


def list_of_nothing_is_the_header_alone(rt):
    assert rt("list").ok().out.split() == HEADER
    assert rt("list", "--quiet").ok().out == ""
    assert rt("list", "--format", "json").ok().out.strip() in ("null", "[]")


def list_shows_each_container_in_a_row(rt, bundle):
    a, b = rt.start(bundle.args("sleep", "100")), rt.create(bundle)
    lines = rt("list").ok().out.splitlines()
    assert lines[0].split() == HEADER
    rows = {line.split()[0]: line.split() for line in lines[1:]}
    assert set(rows) == {a, b}
    assert rows[a][1:4] == [str(rt.pid(a)), "running", str(bundle.path)]
    assert rows[b][2] == "created"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", rows[a][4])
    assert rows[a][5] == "root"


def list_columns_are_aligned_with_three_blanks(rt, bundle):
    id = rt.start(bundle.args("sleep", "100"))
    header, row = rt("list").ok().out.splitlines()
    for word in HEADER[1:]:
        at = header.index(word)
        assert row[at - 3:at].isspace() and not row[at].isspace()


def list_quiet_prints_ids_alone(rt, bundle):
    ids = sorted(rt.create(bundle) for _ in range(3))
    assert sorted(rt("list", "-q").ok().out.splitlines()) == ids


def list_as_json_has_the_fields_of_runc(rt, bundle):
    id = rt.start(bundle.args("sleep", "100"))
    (row,) = rt("list", "--format", "json").ok().json
    assert {"ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "owner"} <= set(row)
    assert row["id"] == id and row["status"] == "running"


def list_shows_a_stopped_container_with_pid_0(rt, bundle):
    id = rt.start(bundle.args("true"))
    rt.wait_stopped(id)
    (row,) = rt("list", "-f", "json").ok().json
    assert (row["status"], row["pid"]) == ("stopped", 0)


def list_refuses_an_unknown_format(rt):
    rt("list", "--format", "xml").fails("format", rc=1)


def ps_as_json_gives_the_pids(rt, bundle):
    id = rt.start(bundle.sh("sleep 100 & sleep 100"))
    runtime.wait_for(lambda: len(rt("ps", "-f", "json", id).ok().json) >= 2, "both run")
    pids = rt("ps", "--format", "json", id).ok().json
    assert rt.pid(id) in pids
    for pid in pids:
        assert os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{rt.pid(id)}/ns/pid")


def ps_as_table_is_that_of_ps_ef(rt, bundle):
    id = rt.start(bundle.args("sleep", "1234"))
    lines = rt("ps", id).ok().out.splitlines()
    assert lines[0].split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert len(lines) == 2 and "sleep 1234" in lines[1]


def ps_passes_options_to_ps(rt, bundle):
    id = rt.start(bundle.args("sleep", "1234"))
    lines = rt("ps", id, "-o", "pid,comm").ok().out.splitlines()
    assert lines[0].split() == ["PID", "COMMAND"]
    assert lines[1].split() == [str(rt.pid(id)), "sleep"]


def version_names_the_spec_it_follows(rt):
    r = rt.run_command([rt.path, "--version"]).ok()
    assert re.search(r"^spec: 1\.\d+\.\d+", r.out, re.M), r
    assert re.match(r"(runc|vrun|vrun-oci|crun) version \S+", r.out.splitlines()[0]), r
    assert rt.run_command([rt.path, "-v"]).ok().out == r.out


def help_names_every_verb(rt):
    out = rt.run_command([rt.path, "--help"]).ok().out
    for verb in ("checkpoint create delete events exec features kill list pause ps restore resume "
                 "run spec start state update").split():
        assert re.search(rf"\b{verb}\b", out), verb


@pytest.mark.parametrize("verb", "create delete events exec features kill list pause ps resume run spec start state update checkpoint restore".split())
def every_verb_has_help(rt, verb):
    r = rt.run_command([rt.path, verb, "--help"]).ok()
    assert verb in r.out


def spec_writes_a_config_that_runs(rt, bundle, work):
    bundle.spec = None
    (bundle.path / "config.json").unlink(missing_ok=True)
    r = rt("spec", cwd=bundle.path).ok()
    assert r.out == ""
    written = json.loads((bundle.path / "config.json").read_text())
    assert written["process"]["args"] == ["sh"]
    assert written["process"]["terminal"] is True
    written["process"]["terminal"] = False
    written["process"]["args"] = ["echo", "hi"]
    (bundle.path / "config.json").write_text(json.dumps(written))
    assert rt("run", "--bundle", bundle.path, rt.new_id()).ok().out == "hi\n"


def spec_takes_the_bundle_and_does_not_overwrite(rt, work):
    rt("spec", "--bundle", work).ok()
    assert (work / "config.json").exists()
    rt("spec", "--bundle", work).fails("exist", rc=1)


def spec_rootless_has_a_user_namespace(rt, work):
    rt("spec", "--rootless", "--bundle", work).ok()
    linux = json.loads((work / "config.json").read_text())["linux"]
    assert {"type": "user"} in linux["namespaces"]
    assert linux["uidMappings"] == [{"containerID": 0, "hostID": os.getuid(), "size": 1}]
    assert {"type": "network"} not in linux["namespaces"]


def features_lists_what_the_spec_asks(rt):
    f = rt("features").ok().json
    assert f["ociVersionMin"] and f["ociVersionMax"]
    assert set(f["hooks"]) == {"prestart", "createRuntime", "createContainer", "startContainer",
                               "poststart", "poststop"}
    assert {"ro", "rbind", "nosuid", "rro", "bind", "tmpcopyup"} <= set(f["mountOptions"])
    linux = f["linux"]
    assert {"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"} <= set(linux["namespaces"])
    assert "CAP_SYS_ADMIN" in linux["capabilities"]
    assert linux["cgroup"]["v2"] and linux["cgroup"]["v1"] is (host.kind() == "native"), "the truth about this host"
    assert linux["seccomp"]["enabled"] is True
    assert {"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_NOTIFY"} <= set(linux["seccomp"]["actions"])
    assert "SCMP_ARCH_X86_64" in linux["seccomp"]["archs"]
    assert linux["mountExtensions"]["idmap"]["enabled"] is True


def features_tell_the_truth_about_linux_security_modules(rt):
    linux = rt("features").ok().json["linux"]
    assert linux["apparmor"]["enabled"] in (True, False)
    if host.has("no SELinux"):
        assert "selinux" in linux


def events_stats_prints_one_line_of_json(rt, bundle):
    id = rt.start(bundle.args("sleep", "100"))
    out = rt("events", "--stats", id).ok().out
    assert out.count("\n") == 1
    event = json.loads(out)
    assert event["type"] == "stats" and event["id"] == id
    wanted = {"cpu"} | {c for c in ("memory", "pids") if host.has(f"{c} controller")}
    assert wanted <= set(event["data"])


def events_stats_count_the_processes(rt, bundle):
    host.need("pids controller")
    bundle.resources["pids"] = {"limit": 33}
    id = rt.start(bundle.sh("sleep 100 & sleep 100"))
    runtime.wait_for(lambda: rt("events", "--stats", id).ok().json["data"]["pids"]["current"] == 2, "two processes")
    assert rt("events", "--stats", id).ok().json["data"]["pids"]["limit"] == 33


def events_come_at_the_interval(rt, bundle):
    host.need("memory controller")  # runc watches for the OOM killer at the same time
    id = rt.start(bundle.args("sleep", "100"))
    import subprocess
    child = rt.popen("events", "--interval", "100ms", id, stdout=subprocess.PIPE, text=True)
    lines = [child.stdout.readline() for _ in range(3)]
    child.kill()
    child.wait()
    child.stdout.close()
    assert all(json.loads(line)["type"] == "stats" for line in lines)


def events_of_a_stopped_container_are_refused(rt, bundle):
    id = rt.start(bundle.args("true"))
    rt.wait_stopped(id)
    rt("events", "--stats", id).fails("not running", rc=1)
