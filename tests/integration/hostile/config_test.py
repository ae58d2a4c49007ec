"""Hostile input: every wrong type, every number out of range, odd files. Refused, at once, by name."""
import copy
import json
import os
import resource
import time

import pytest

from harness import bundle as bundles
from harness import host, runtime

NUMBER, TEXT, LIST, OBJECT, BOOL = 12345, "text", [], {}, True

# (path in the config, a value of the wrong type). "+" appends to a list, making it when missing.
WRONG = [
    ("ociVersion", NUMBER), ("process", LIST), ("process.terminal", TEXT), ("process.consoleSize", LIST),
    ("process.consoleSize.height", TEXT), ("process.user", TEXT), ("process.user.uid", TEXT), ("process.user.gid", LIST),
    ("process.user.umask", TEXT), ("process.user.additionalGids", NUMBER), ("process.user.additionalGids.+", TEXT),
    ("process.args", TEXT), ("process.args.+", NUMBER), ("process.env", OBJECT), ("process.env.+", NUMBER), ("process.cwd", NUMBER),
    ("process.capabilities", LIST), ("process.capabilities.bounding", TEXT), ("process.capabilities.bounding.+", NUMBER),
    ("process.capabilities.effective", OBJECT), ("process.rlimits", OBJECT), ("process.rlimits.+", TEXT),
    ("process.noNewPrivileges", TEXT), ("process.noNewPrivileges", 1), ("process.apparmorProfile", NUMBER), ("process.oomScoreAdj", TEXT),
    ("process.selinuxLabel", NUMBER), ("process.scheduler", TEXT), ("process.ioPriority", LIST), ("process.execCPUAffinity", TEXT),
    ("root", TEXT), ("root.path", NUMBER), ("root.readonly", TEXT), ("root.readonly", 1), ("hostname", NUMBER), ("domainname", LIST),
    ("mounts", OBJECT), ("mounts.+", TEXT), ("mounts.0.destination", NUMBER), ("mounts.0.options", TEXT), ("mounts.0.options.+", NUMBER),
    ("mounts.0.uidMappings", OBJECT), ("hooks", LIST), ("hooks.prestart", OBJECT), ("hooks.prestart.+", TEXT), ("annotations", LIST),
    ("annotations.key", NUMBER), ("linux", LIST), ("linux.namespaces", OBJECT), ("linux.namespaces.+", TEXT), ("linux.uidMappings", OBJECT),
    ("linux.gidMappings.+", TEXT), ("linux.devices", OBJECT), ("linux.devices.+", NUMBER), ("linux.cgroupsPath", NUMBER),
    ("linux.resources", LIST), ("linux.resources.devices", OBJECT), ("linux.resources.memory", LIST), ("linux.resources.memory.limit", TEXT),
    ("linux.resources.cpu", TEXT), ("linux.resources.cpu.shares", TEXT), ("linux.resources.cpu.cpus", NUMBER), ("linux.resources.pids", NUMBER),
    ("linux.resources.pids.limit", TEXT), ("linux.resources.blockIO", TEXT), ("linux.resources.hugepageLimits", OBJECT),
    ("linux.resources.network", LIST), ("linux.resources.rdma", LIST), ("linux.resources.unified", LIST), ("linux.resources.unified.key", NUMBER),
    ("linux.rootfsPropagation", NUMBER), ("linux.seccomp", LIST), ("linux.seccomp", {"defaultAction": 5}),
    ("linux.seccomp", {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}}),
    ("linux.seccomp", {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": "read", "action": "SCMP_ACT_ERRNO"}]}),
    ("linux.sysctl", LIST), ("linux.sysctl.key", NUMBER), ("linux.maskedPaths", TEXT), ("linux.maskedPaths.+", NUMBER),
    ("linux.readonlyPaths", OBJECT), ("linux.mountLabel", NUMBER), ("linux.intelRdt", LIST), ("linux.personality", TEXT),
    ("linux.timeOffsets", LIST), ("linux.netDevices", LIST), ("linux.memoryPolicy", TEXT),
]

OUT_OF_RANGE = [
    ("process.user.uid", 4294967296), ("process.user.uid", 4294967295), ("process.user.uid", -1), ("process.user.gid", 4294967296),
    ("process.user.gid", 4294967295), ("process.user.uid", 1.5), ("process.user.uid", 1e300), ("process.user.umask", -1),
    ("process.user.umask", 4294967296), ("process.user.additionalGids.+", 4294967296), ("process.oomScoreAdj", 1001), ("process.oomScoreAdj", -1001),
    ("process.oomScoreAdj", 4294967296), ("linux.resources.pids.limit", 2**64), ("linux.resources.memory.limit", 2**63),
    ("linux.resources.memory.limit", -2), ("linux.resources.cpu.shares", -1), ("linux.resources.blockIO.weight", 70000),
    ("process.consoleSize", {"height": 70000, "width": 1}), ("process.rlimits.+", {"type": "RLIMIT_NOFILE", "soft": -1, "hard": 5}),
    ("process.scheduler", {"policy": "SCHED_OTHER", "nice": 20}), ("process.scheduler", {"policy": "SCHED_FIFO", "priority": 200}),
    ("process.ioPriority", {"class": "IOPRIO_CLASS_BE", "priority": 8}), ("linux.devices.+", {"path": "/dev/x", "type": "c", "major": -5, "minor": 1}),
    ("linux.devices.+", {"path": "/dev/x", "type": "c", "major": 2**33, "minor": 1}),
]

UNKNOWN = [
    ("linux.namespaces.+", {"type": "bogus"}), ("linux.rootfsPropagation", "bogus"), ("linux.devices.+", {"path": "/dev/x", "type": "z", "major": 1, "minor": 3}),
    ("process.ioPriority", {"class": "IOPRIO_CLASS_BOGUS", "priority": 0}), ("process.scheduler", {"policy": "SCHED_BOGUS"}),
    ("process.scheduler", {"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_BOGUS"]}), ("linux.personality", {"domain": "BOGUS"}),
    ("linux.resources.devices.+", {"allow": True, "type": "z", "access": "rwm"}), ("linux.resources.devices.+", {"allow": True, "type": "c", "access": "xyz"}),
    ("linux.memoryPolicy", {"mode": "BOGUS", "nodes": "0"}), ("linux.timeOffsets.bogus", {"secs": 1}), ("ociVersion", "2.0.0"), ("ociVersion", "bogus"),
]

NUL = [("process.args", ["true", "a\0b"]), ("process.env", ["A=b\0c"]), ("process.cwd", "/\0"), ("hostname", "a\0b"), ("root.path", "rootfs\0/../.."),
       ("mounts.0.destination", "/proc\0x"), ("mounts.0.source", "a\0b"), ("linux.maskedPaths", ["/a\0b"]), ("linux.cgroupsPath", "/a\0b"),
       ("linux.sysctl", {"net.a\0b": "1"}), ("linux.devices", [{"path": "/dev/a\0b", "type": "c", "major": 1, "minor": 3}])]


def _set(spec, path, value):
    at, keys = spec, path.split(".")
    for key, following in zip(keys, keys[1:]):
        if isinstance(at, list):
            at = at[int(key)]
        else:
            at = at.setdefault(key, [] if following in ("+", "0") else {})
    if keys[-1] == "+":
        at.append(copy.deepcopy(value))
    elif isinstance(at, list):
        at[int(keys[-1])] = value
    else:
        at[keys[-1]] = copy.deepcopy(value)


def _refused(rt, bundle, path, value, words=None):
    bundle.args("echo", "it ran")
    _set(bundle.spec, path, value)
    r = rt.run(bundle)
    assert r.rc > 0 and "it ran" not in r.out, f"{path} = {value!r} should be refused: {r!r}"
    if "vrun" in rt.path:
        leaf = [k for k in path.split(".") if k not in ("+", "0")][-1]
        assert leaf in r.err, f"the fault should be named by its path {path}: {r!r}"
    return r


@pytest.mark.parametrize("path, value", WRONG, ids=lambda v: str(v)[:40])
def a_value_of_the_wrong_type_is_refused(rt, bundle, path, value):
    _refused(rt, bundle, path, value)


@pytest.mark.parametrize("path, value", OUT_OF_RANGE, ids=lambda v: str(v)[:40])
def a_number_out_of_range_is_refused(rt, bundle, path, value):
    _refused(rt, bundle, path, value)


@pytest.mark.parametrize("path, value", UNKNOWN, ids=lambda v: str(v)[:40])
def an_unknown_word_is_refused(rt, bundle, path, value):
    _refused(rt, bundle, path, value)


@pytest.mark.parametrize("path, value", NUL, ids=lambda v: str(v)[:40])
def an_embedded_NUL_is_refused(rt, bundle, path, value):
    _refused(rt, bundle, path, value)


def all_faults_are_reported_at_once(rt, bundle):
    bundle.process["cwd"], bundle.process["user"]["uid"], bundle.spec["hostname"] = 5, "x", []
    r = rt.run(bundle).fails()
    if "vrun" in rt.path:
        assert all(word in r.err for word in ("process.cwd", "process.user.uid", "hostname")), r


def a_FIFO_as_config_is_refused_and_does_not_hang(rt, bundle):
    os.mkfifo(bundle.path / "config.json")
    rt("run", "--bundle", bundle.path, rt.new_id(), timeout=runtime.DEADLINE).fails("config.json")


def a_device_as_config_is_refused(rt, bundle):
    (bundle.path / "config.json").symlink_to("/dev/zero")
    rt("run", "--bundle", bundle.path, rt.new_id(), timeout=runtime.DEADLINE).fails()


def a_folder_as_config_is_refused(rt, bundle):
    (bundle.path / "config.json").mkdir()
    rt("run", "--bundle", bundle.path, rt.new_id()).fails()


def a_FIFO_as_resources_file_is_refused(rt, bundle, work):
    id = rt.start(bundle.args("sleep", "100"))
    os.mkfifo(work / "fifo")
    rt("update", "--resources", work / "fifo", id, timeout=runtime.DEADLINE).fails()


def a_FIFO_as_process_file_is_refused(rt, bundle, work):
    id = rt.start(bundle.args("sleep", "100"))
    os.mkfifo(work / "fifo")
    rt("exec", "--process", work / "fifo", id, timeout=runtime.DEADLINE).fails()


TEXTS = {
    "empty": b"", "blank": b"  \n", "not JSON": b"hello", "cut short": b'{"ociVersion": "1.0', "a list": b"[]", "null": b"null",
    "deep lists": b'{"a":' + b"[" * 100000, "deep objects": b'{"a":' * 100000, "two documents": b"{}{}", "bad UTF-8": b'{"ociVersion":"\xff\xfe"}',
    "a huge number": b'{"ociVersion":"1.0.0","process":{"user":{"uid":' + b"9" * 100000 + b"}}}", "comment": b'{/* */"ociVersion":"1.0.0"}',
    "NUL": b"{}\0", "lone surrogate": b'{"ociVersion":"1.0.0","hostname":"\\ud800"}',
}


@pytest.mark.parametrize("name", TEXTS)
def odd_texts_are_refused(rt, bundle, name):
    (bundle.path / "config.json").write_bytes(TEXTS[name])
    r = rt("run", "--bundle", bundle.path, rt.new_id(), timeout=runtime.DEADLINE)
    assert 0 < r.rc < 128, f"an error, not a crash: {r!r}"


def a_huge_config_is_refused_without_taking_the_memory(rt, bundle):
    bundle.save()
    with open(bundle.path / "config.json", "r+b") as f:
        f.seek(0, 2)
        f.truncate(3 << 30)
    def cap():
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    r = rt("run", "--bundle", bundle.path, rt.new_id(), preexec_fn=cap, timeout=runtime.DEADLINE * 2)
    assert 0 < r.rc < 128 or r.rc == 2, r


def a_thousand_mounts_or_masks_are_no_problem(rt, bundle):
    bundle.linux["maskedPaths"] += [f"/nosuch/{i}" for i in range(3000)]
    bundle.process["env"] += [f"V{i}={'x' * 100}" for i in range(3000)]
    rt.run(bundle.args("true")).ok()


def control_characters_never_reach_the_terminal_raw(rt, bundle, work):
    evil = "evil\x1b]0;owned\x07\x1b[2J\r\n"
    bundle.mount("/mnt", "bind", str(work) + "/" + evil, "bind")
    r = rt.run(bundle).fails()
    assert "\x1b" not in r.err and "\x07" not in r.err and "\r" not in r.err
    r = rt("state", "a\x1b[2Jb").fails()
    assert "\x1b" not in r.err
    r = rt("nosuch\x1b[2Jverb")
    assert "\x1b" not in r.err + r.out


def unknown_fields_are_ignored_as_the_specification_says(rt, bundle):
    bundle.spec["someFutureField"] = {"x": [1, 2, 3]}
    bundle.process["another"] = 1
    rt.run(bundle.args("true")).ok()


def the_fields_of_other_platforms_are_ignored(rt, bundle):
    bundle.spec["windows"] = {"layerFolders": ["x"]}
    rt.run(bundle.args("true")).ok()


def _damage(folder, text):
    """Spoils every file of a container but the intent record, which was complete before anything was made."""
    for path in folder.rglob("*"):
        if path.name in ("intent", "group"):
            continue
        if path.is_symlink():  # a link's text is content here
            path.unlink()
            path.write_bytes(text)
        elif path.is_file():
            path.write_bytes(text)


DAMAGE = [b"", b"{", b"null", b"[]", b'{"id":5}', b"\0" * 4096, b'{"a":' * 5000]


@pytest.mark.parametrize("number", range(len(DAMAGE)))
def a_damaged_state_file_is_an_error_and_delete_force_cleans_up(rt, bundle, number):
    id = rt.start(bundle.args("sleep", "100"))
    _damage(rt.root / id, DAMAGE[number])
    r = rt("state", id)
    assert 0 < r.rc < 128, f"an error, not a crash: {r!r}"
    assert rt("list").rc < 128
    rt("delete", "--force", id)
    assert rt("list", "--quiet").ok().out == ""


def a_missing_state_file_does_not_stop_delete_force(rt, bundle):
    id = rt.start(bundle.args("sleep", "100"))
    for path in (rt.root / id).iterdir():
        if (path.is_file() or path.is_symlink()) and path.name not in ("intent", "group"):
            path.unlink()
    rt("delete", "--force", id)
    assert rt("list", "--quiet").ok().out == ""


def one_damaged_container_does_not_hide_the_others(rt, bundle, another_bundle):
    good = rt.start(bundle.args("sleep", "100"))
    bad = rt.start(another_bundle().args("sleep", "100"))
    _damage(rt.root / bad, b"{")
    assert good in rt("list", "--quiet").out.split()
    rt("delete", "--force", bad)


def stray_files_in_the_state_root_do_no_harm(rt, bundle):
    id = rt.create(bundle)
    (rt.root / "stray").write_text("x")
    (rt.root / "empty").mkdir()
    (rt.root / "link").symlink_to("/etc")
    assert id in rt("list", "--quiet").out.split()
    (rt.root / "stray").unlink(), (rt.root / "empty").rmdir(), (rt.root / "link").unlink()
