"""config.json: namespaces, mappings, network devices and the other fields of `linux`."""
import os
import subprocess
from pathlib import Path

import pytest

from harness import host, leaks, runtime

KINDS = {"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "mount": "mnt", "cgroup": "cgroup", "time": "time"}


def _inside(rt, bundle, name):
    return rt.run(bundle.args("readlink", f"/proc/self/ns/{name}")).ok().out.strip()


@pytest.mark.parametrize("type", KINDS)
def a_namespace_asked_for_is_a_new_one(rt, bundle, type):
    assert _inside(rt, bundle.namespace(type), KINDS[type]) != os.readlink(f"/proc/self/ns/{KINDS[type]}")


@pytest.mark.parametrize("type", ["pid", "network", "ipc", "uts", "cgroup", "time"])
def a_namespace_not_asked_for_is_that_of_the_caller(rt, bundle, type):
    del bundle.spec["hostname"]
    bundle.without_namespace(type)
    assert _inside(rt, bundle, KINDS[type]) == os.readlink(f"/proc/self/ns/{KINDS[type]}")


@pytest.mark.parametrize("type", ["pid", "network", "ipc", "uts", "cgroup", "time"])
def a_namespace_with_a_path_is_joined(rt, bundle, another_bundle, type):
    del bundle.spec["hostname"]
    first = rt.start(bundle.namespace(type).args("sleep", "100"))
    path = f"/proc/{rt.pid(first)}/ns/{KINDS[type]}"
    second = another_bundle().namespace(type, path)
    del second.spec["hostname"]
    assert _inside(rt, second, KINDS[type]) == os.readlink(path)


def a_user_namespace_with_a_path_is_joined(rt, bundle, another_bundle):
    first = rt.start(bundle.user_namespace().args("sleep", "100"))
    path = f"/proc/{rt.pid(first)}/ns/user"
    second = another_bundle().user_namespace().namespace("user", path)
    del second.linux["uidMappings"], second.linux["gidMappings"]
    assert _inside(rt, second, "user") == os.readlink(path)


def a_namespace_path_of_another_type_is_refused(rt, bundle):
    rt.run(bundle.namespace("network", "/proc/self/ns/uts")).fails()


def a_namespace_path_that_is_missing_is_named(rt, bundle):
    rt.run(bundle.namespace("network", "/nosuch/net")).fails("/nosuch/net", "no such file or directory")


def a_namespace_asked_for_twice_is_refused(rt, bundle):
    bundle.linux["namespaces"].append({"type": "pid"})
    rt.run(bundle).fails("pid")


def mappings_are_those_of_the_config(rt, bundle):
    bundle.user_namespace(200000, 1000)
    r = rt.run(bundle.sh("cat /proc/self/uid_map /proc/self/gid_map; id -u; stat -c %u /bin/probe")).ok()
    assert r.out.split() == ["0", "200000", "1000"] * 2 + ["0", "0"]


def several_mappings_are_written_in_one(rt, bundle):
    bundle.user_namespace()
    for key in ("uidMappings", "gidMappings"):
        bundle.linux[key] = [{"containerID": 0, "hostID": 100000, "size": 10}, {"containerID": 10, "hostID": 300000, "size": 5}]
    lines = rt.run(bundle.args("cat", "/proc/self/uid_map")).ok().out.splitlines()
    assert [l.split() for l in lines] == [["0", "100000", "10"], ["10", "300000", "5"]]


def a_user_namespace_gives_full_capabilities_over_its_own_only(rt, bundle):
    bundle.user_namespace().capabilities("CAP_SYS_ADMIN", "CAP_MKNOD")
    bundle.resources["devices"] = [{"allow": True, "access": "rwm"}]
    rt.run(bundle.sh("mknod /tmp/d c 1 3")).fails("Operation not permitted")
    rt.run(bundle.sh("mount -t tmpfs tmpfs /mnt")).ok()


def mappings_without_a_user_namespace_are_refused(rt, bundle):
    bundle.linux["uidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 10}]
    rt.run(bundle).fails("user")


def overlapping_mappings_are_refused(rt, bundle):
    bundle.user_namespace()
    bundle.linux["uidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 10}, {"containerID": 5, "hostID": 300000, "size": 10}]
    rt.run(bundle).fails("apping")


def time_offsets_move_the_clocks(rt, bundle):
    bundle.namespace("time").linux["timeOffsets"] = {"monotonic": {"secs": 7776000, "nanosecs": 5}, "boottime": {"secs": 1209600}}
    here = rt.run_command([bundle.rootfs / "bin/probe"]).json
    there = rt.facts(bundle)
    assert 7776000 <= there["monotonic"] - here["monotonic"] < 7776060
    assert 1209600 <= there["boottime"] - here["boottime"] < 1209660


def time_offsets_without_a_time_namespace_are_refused(rt, bundle):
    bundle.linux["timeOffsets"] = {"monotonic": {"secs": 1}}
    rt.run(bundle).fails("time")


def netDevices_move_into_the_guest_and_come_up_as_they_were(rt, bundle):
    subprocess.run("ip link add vt0 type veth peer name vt0p && ip addr add 10.9.8.7/24 dev vt0 && ip link set vt0 up mtu 1400", shell=True, check=True)
    try:
        bundle.linux["netDevices"] = {"vt0": {"name": "inner0"}}
        out = rt.run(bundle.sh("ip addr show inner0")).ok().out
        assert "inet 10.9.8.7/24" in out and "mtu 1400" in out and ",UP" in out
    finally:
        subprocess.run("ip link del vt0", shell=True, capture_output=True)


def netDevices_keep_their_name_when_none_is_given(rt, bundle):
    subprocess.run("ip link add vt1 type veth peer name vt1p", shell=True, check=True)
    try:
        bundle.linux["netDevices"] = {"vt1": {}}
        assert "vt1" in rt.run(bundle.args("ip", "link")).ok().out
    finally:
        subprocess.run("ip link del vt1", shell=True, capture_output=True)


def netDevices_that_are_missing_are_named(rt, bundle):
    bundle.linux["netDevices"] = {"nosuch0": {}}
    rt.run(bundle).fails("nosuch0")


def netDevices_without_a_network_namespace_are_refused(rt, bundle):
    bundle.without_namespace("network").linux["netDevices"] = {"lo": {}}
    rt.run(bundle).fails("netDevices")


def loopback_is_up_in_a_new_network_namespace(rt, bundle):
    assert "LOOPBACK,UP" in rt.run(bundle.args("ip", "link", "show", "lo")).ok().out


@pytest.mark.parametrize("domain, number, machine", [("LINUX", 0, "x86_64"), ("LINUX32", 8, "i686")])
def personality_is_set(rt, bundle, domain, number, machine):
    bundle.linux["personality"] = {"domain": domain}
    f = rt.facts(bundle)
    assert (f["personality"], f["machine"]) == (number, machine)


def an_unknown_personality_is_refused(rt, bundle):
    bundle.linux["personality"] = {"domain": "BSD"}
    rt.run(bundle).fails("BSD")


def memoryPolicy_is_set(rt, bundle):
    host.need("NUMA policy")
    bundle.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}
    f = rt.facts(bundle)
    assert (f["mempolicy_answer"], f["mempolicy_mode"], f["mempolicy_nodes"]) == (0, 2 | 1 << 15, 1)


def an_unknown_memory_policy_is_refused(rt, bundle):
    bundle.linux["memoryPolicy"] = {"mode": "MPOL_BOGUS", "nodes": "0"}
    rt.run(bundle).fails("MPOL_BOGUS")


def intelRdt_on_a_machine_without_it_is_refused(rt, bundle):
    host.need("no resctrl")
    bundle.linux["intelRdt"] = {"closID": "group", "l3CacheSchema": "L3:0=f"}
    rt.run(bundle).fails("ntelRdt")


def intelRdt_puts_the_guest_into_its_class(rt, bundle):
    host.need("resctrl")
    bundle.linux["intelRdt"] = {"closID": "vrun-test"}
    id = rt.start(bundle.args("sleep", "100"))
    assert str(rt.pid(id)) in Path("/sys/fs/resctrl/vrun-test/tasks").read_text().split()


def cgroupsPath_is_where_the_guest_is(rt, bundle):
    from harness import groups
    path = f"/{runtime.TOKEN}-parent/inner" if host.is_v2() else f"{runtime.TOKEN}-parent/inner"
    bundle.linux["cgroupsPath"] = path
    id = rt.start(bundle.args("sleep", "100"))
    for line in Path(f"/proc/{rt.pid(id)}/cgroup").read_text().splitlines():
        _, names, where = line.split(":", 2)
        if names == "" if host.is_v2() else names in ("pids", "memory"):
            assert where.endswith(path.lstrip("/"))
    rt.delete(id, "--force").ok()
    # The container's own group is gone; the parent, which it made on the way, is the engine's.
    left = [p for p in leaks.cgroups() if p.endswith("/inner")]
    for p in sorted(leaks.cgroups(), key=len, reverse=True):
        os.rmdir(p)
    assert left == []


def a_namespaced_process_does_not_see_the_cgroups_of_the_host(rt, bundle):
    bundle.namespace("cgroup")
    out = rt.run(bundle.args("cat", "/proc/self/cgroup")).ok().out.splitlines()
    paths = {l.split(":", 2)[1]: l.split(":", 2)[2] for l in out}
    wanted = [""] if host.is_v2() else ["", "pids", "memory", "cpu"]
    assert [paths[n] for n in wanted] == ["/"] * len(wanted)


def everything_at_once_works(rt, bundle, work):
    """Fields that each work alone may disturb each other: one guest with many of them."""
    host.need("idmapped tmpfs")
    (work / "data").mkdir()
    bundle.user_namespace().namespace("cgroup").namespace("time")
    bundle.linux["timeOffsets"] = {"boottime": {"secs": 100}}
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    bundle.process.update({"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 100}], "oomScoreAdj": 500,
                           "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 2}, "user": {"uid": 5, "gid": 6, "umask": 0o77}})
    bundle.mount("/mnt", "bind", work / "data", "rbind", "ro", "idmap").mount("/tmp", "tmpfs", "tmpfs", "tmpcopyup", "mode=1777")
    bundle.seccomp("SCMP_ACT_ALLOW", {"names": ["acct"], "action": "SCMP_ACT_ERRNO"})
    bundle.spec["root"]["readonly"] = True
    f = rt.facts(bundle)
    assert (f["uid"], f["umask"], f["rlimits"]["RLIMIT_NOFILE"], f["status"]["Seccomp"]) == (5, 0o77, [100, 100], "2")
