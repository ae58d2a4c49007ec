"""What only a micro-VM has: a machine with its size, a kernel that may crash, a monitor that may be killed."""
import json
import os
import random
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from harness import everyday, host, micro_vms, runtime
from harness.micro_vms import BOOT, FLAGS

LOOP = "while :; do sleep 0.1; done"


@pytest.fixture
def vrun(work):
    with everyday.fresh(work, disk="900M") as it:
        host.need("micro-VMs")
        yield it


@pytest.fixture
def bundle(vrun, work):
    """An OCI bundle with the tree of `base`, and what changes its config.json."""
    vrun("create", "--name", "tree", "--network", "none", "base", "true").ok()
    vrun("export", "-o", work / "tree.tar", "tree").ok()
    vrun("rm", "tree").ok()
    folder = work / "bundle"
    (folder / "rootfs").mkdir(parents=True)
    with tarfile.open(work / "tree.tar") as tar:
        tar.extractall(folder / "rootfs")
    oci = Oci(vrun.program + "-oci", work / "state", folder, vrun.env)
    yield oci
    for id in oci.ids:
        oci("delete", "--force", id)
    assert not list((work / "state").glob("*"))


class Oci:
    def __init__(self, program, root, folder, env):
        self.program, self.root, self.folder, self.env, self.ids = program, root, folder, env, []
        self("spec", "--bundle", folder).ok()

    def __call__(self, *words, timeout=2 * BOOT):
        command = [self.program, "--root", str(self.root), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=self.env, stdin=subprocess.DEVNULL)
        return runtime.Result(command, done.returncode, done.stdout, done.stderr)

    def configure(self, script, **members):
        path = self.folder / "config.json"
        config = json.loads(path.read_text())
        config["process"].update(terminal=False, args=["sh", "-c", script])
        for key in ("vm", "annotations"):
            config.pop(key, None)
        config.update(members)
        path.write_text(json.dumps(config))

    def id(self):
        self.ids.append(runtime.fresh_id("vm"))
        return self.ids[-1]


def _detached(vrun, name, script, *flags):
    vrun("run", "-d", "--name", name, *FLAGS, *flags, "base", "sh", "-c", f"echo up; {script}", timeout=2 * BOOT).ok()
    runtime.wait_for(lambda: "up" in vrun("logs", name).out, f"{name} is up", BOOT)


def _kernel():
    """The file of a kernel that vrun knows."""
    return sorted(p.path for p in os.scandir("/boot") if p.name.startswith("vmlinuz-"))[-1]


def _emulation(vrun):
    """Bytes that QEMU's emulation of processors may take beside the guest's memory."""
    return 0 if "engine kvm" in vrun("doctor").out else 256 << 20


def _ended(vrun, name):
    runtime.wait_for(lambda: vrun.state(name)["status"] == "exited", f"{name} has ended", BOOT)
    return vrun.state(name)


# ---- size ----

def the_guest_sees_its_own_machine_and_the_group_has_room_for_its_monitor(vrun):
    host.need("memory controller")
    _detached(vrun, "g", LOOP, "--memory", "200m", "--cpus", "1")
    machine = vrun.inspect("g")["machine"]
    engine = "kvm" if "engine kvm" in vrun("doctor").out else "qemu"
    assert (machine["engine"], machine["memory"], machine["processors"]) == (engine, 200 << 20, 1)
    assert "KVM" in machine["reason"] or "/dev/kvm" in machine["reason"]
    assert machine["kernel"] == vrun("exec", "g", "uname", "-r").ok().out.strip()
    nproc, total = vrun("exec", "g", "sh", "-c", "nproc; grep MemTotal /proc/meminfo | tr -dc 0-9").ok().out.split()
    assert nproc == "1" and 120 << 10 < int(total) < 200 << 10
    limit = micro_vms.memory_limit(vrun, "g")
    assert 200 << 20 < limit < (300 << 20) + _emulation(vrun)
    vrun("update", "--memory", "300m", "g").fails("was started with 200 MiB", "vrun stop", rc=125)
    vrun("update", "--cpus", "2", "g").fails("was started with 1 processor", rc=125)
    vrun("update", "--memory", "180m", "g", timeout=BOOT).ok()
    less = int(vrun("exec", "g", "sh", "-c", "grep MemTotal /proc/meminfo | tr -dc 0-9").ok().out)
    assert int(total) - less == 20 << 10
    assert micro_vms.memory_limit(vrun, "g") == limit - (20 << 20)
    vrun("update", "--memory", "8m", "g", timeout=BOOT).fails("needs more memory than 8 MiB", rc=125)


def what_the_guest_frees_comes_back_to_the_host(vrun):
    host.need("memory controller")
    _detached(vrun, "g", LOOP, "--memory", "256m", "--tmpfs", "/fill:size=100m")
    used = lambda: int(micro_vms.memory_file(micro_vms.groups(vrun, "g"), "memory.current").read_text())
    before = used()
    vrun("exec", "g", "dd", "if=/dev/zero", "of=/fill/x", "bs=1M", "count=80", timeout=2 * BOOT).ok()
    assert used() > before + (60 << 20)
    vrun("exec", "g", "rm", "/fill/x").ok()
    runtime.wait_for(lambda: used() < before + (40 << 20), "the pages are the host's again", BOOT)


def the_monitor_of_a_machine_is_inside_its_tenants_budget(vrun):
    host.need("memory controller")
    name = f"t{os.getpid()}"
    vrun("tenant", "create", name, "--memory", "700m").ok()
    try:
        words = ["--tenant", name, "run", "-d", "--name", "g", *FLAGS, "--memory", "100m", "base", "sh", "-c", LOOP]
        vrun(*words, timeout=BOOT).ok()
        id = json.loads(vrun("--tenant", name, "inspect", "g").ok().out)[0]["id"]
        groups = micro_vms.groups_of(id)
        limit = micro_vms.memory_file(groups, "memory.max")
        assert 100 << 20 < int(limit.read_text()) < (160 << 20) + _emulation(vrun)
        budgets = [(folder / limit.name).read_text().strip() for folder in limit.parents[1:3]]
        assert str(700 << 20) in budgets, budgets
        members = [int(pid) for pid in (groups[0] / "cgroup.procs").read_text().split()]
        assert set(micro_vms.monitors_of_machines()) & set(members)
    finally:
        vrun("tenant", "rm", "--force", name, timeout=BOOT).ok()


# ---- crashes ----

def a_panic_is_an_end_with_its_reason(vrun):
    crash = "echo before; mkdir /m; mount -t proc proc /m; echo c > /m/sysrq-trigger; sleep 1000"
    begin = time.monotonic()
    done = vrun("run", "--name", "p", *FLAGS, "--cap-add", "ALL", "--security-opt", "seccomp=unconfined", "base", "sh", "-c", crash, timeout=2 * BOOT)
    assert (done.rc, done.out) == (125, "before\n") and "the guest's kernel panicked: sysrq triggered crash" in done.err, done
    assert time.monotonic() - begin < BOOT
    state = vrun.state("p")
    assert state["exitCode"] == 125 and state["reason"] == "the guest's kernel panicked: sysrq triggered crash", state
    assert "kernel panicked" in vrun("logs", "p").err


def a_kernel_that_does_not_come_up_says_its_last_words(bundle):
    bundle.configure("true", annotations={"vrun.isolation": "vm"}, vm={"kernel": {"path": _kernel(), "parameters": ["rdinit=/nothing"]}})
    done = bundle("run", "--bundle", bundle.folder, bundle.id())
    assert done.rc == 125 and "the guest's kernel panicked: " in done.err and "its console's last words" in done.err, done


# ---- kill -9 ----

def a_killed_machine_monitor_is_an_end_by_its_signal(vrun):
    _detached(vrun, "g", LOOP)
    os.kill(vrun.state("g")["pid"], signal.SIGKILL)
    state = _ended(vrun, "g")
    assert (state["exitCode"], state["signal"], state["oomKilled"]) == (137, 9, False)
    assert not micro_vms.monitors_of_machines() and not micro_vms.groups(vrun, "g")


def a_killed_monitor_is_replaced_and_the_guest_goes_on(vrun):
    _detached(vrun, "g", LOOP)
    vrun.kill_monitor("g")
    assert vrun("exec", "g", "echo", "alive").ok().out == "alive\n"
    assert everyday.alive(vrun.monitor("g"))
    vrun("stop", "-t", "0", "g").ok()
    # Who is not a process's parent learns its exit code since Linux 6.15 (PIDFD_INFO_EXIT).
    assert vrun.state("g")["exitCode"] == (137 if host.kernel() >= (6, 15) else -1)


def a_start_killed_at_any_moment_leaves_nothing(vrun):
    dice = random.Random(5)
    for i in range(12):
        command = vrun.start("run", "-d", "--name", f"g{i}", *FLAGS, "base", "sleep", "1000", stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(dice.random() * 1.5)  # the moment is what is tested
        for line in vrun.processes():
            try:
                os.kill(int(line.split()[0]), signal.SIGKILL)
            except ProcessLookupError:
                pass
        command.kill()
        command.wait()
    kept = vrun("ps", "-aq").out.split()
    if kept:
        vrun("rm", "-f", *kept, timeout=BOOT).ok()
    runtime.wait_for(lambda: not micro_vms.monitors_of_machines(), "no machine is left", BOOT)
    assert vrun("ps", "-aq").out == ""  # and the fixture looks for mounts, groups and files


# ---- OCI bundles ----

def an_annotation_gives_a_bundle_a_kernel_of_its_own(bundle):
    bundle.configure("cat /proc/cmdline; echo err >&2; exit 3", annotations={"vrun.isolation": "vm"})
    done = bundle("run", "--bundle", bundle.folder, bundle.id())
    assert (done.rc, done.err) == (3, "err\n") and "panic=-1" in done.out, done


def a_bundle_asks_for_no_more_memory_than_there_is(bundle):
    for memory in (2 ** 63 - 1, 2 ** 64 - 1, 1 << 50):
        bundle.configure("true", vm={"hwConfig": {"memory": memory}, "kernel": {"path": _kernel()}})
        bundle("run", "--bundle", bundle.folder, bundle.id()).fails("the host has", "swap included")


def the_vm_object_gives_it_its_machine(bundle):
    bundle.configure(LOOP, vm={"hwConfig": {"vcpus": 2, "memory": 160 << 20}, "kernel": {"path": _kernel(), "parameters": ["made=here"]}})
    id = bundle.id()
    subprocess.run([bundle.program, "--root", bundle.root, "create", "--bundle", bundle.folder, id], env=bundle.env, check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=BOOT)
    assert json.loads(bundle("state", id).ok().out)["status"] == "created"
    bundle("start", id).ok()
    done = bundle("exec", id, "sh", "-c", "nproc; grep -c made=here /proc/cmdline; exit 4")
    assert (done.rc, done.out.split()) == (4, ["2", "1"]), done
    assert bundle("exec", id, "/no/such").rc in (127, 255)
    bundle("pause", id).ok()
    assert json.loads(bundle("state", id).ok().out)["status"] == "paused"
    bundle("exec", id, "true").fails("is paused")
    bundle("resume", id).ok()
    bundle("update", "--memory", "100000000", id).fails("not limited by its group")
    bundle("kill", id, "KILL").ok()
    runtime.wait_for(lambda: json.loads(bundle("state", id).ok().out)["status"] == "stopped", "it has ended", BOOT)


def a_bundle_goes_on_from_its_checkpoint_under_another_id(bundle, work):
    host.need("KVM that runs stock kernels")
    bundle.configure("n=0; while :; do n=$((n+1)); echo $n >&3; sleep 0.1; done 3>>/count", annotations={"vrun.isolation": "vm"}, root={"path": "rootfs", "readonly": False})
    counted = lambda: [int(n) for n in (bundle.folder / "rootfs/count").read_text().split()] if (bundle.folder / "rootfs/count").exists() else []
    beyond = lambda number: runtime.wait_for(lambda: len(counted()) > number, f"it counts beyond {number}", BOOT)
    quiet = dict(env=bundle.env, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=2 * BOOT)
    one, other = bundle.id(), bundle.id()
    subprocess.run([bundle.program, "--root", bundle.root, "run", "--detach", "--bundle", bundle.folder, one], **quiet)
    beyond(3)
    bundle("checkpoint", "--image-path", work / "images", "--shell-job", "--file-locks", one).fails("--shell-job, --file-locks", "of CRIU")
    bundle("checkpoint", "--image-path", work / "first", "--leave-running", one).ok()
    beyond(len(counted()))
    bundle("checkpoint", "--image-path", work / "first", one).fails("has the checkpoint of a machine", "--image-path")
    bundle("checkpoint", "--image-path", work / "images", one).ok()
    bundle("state", one).fails(one)
    said = counted()
    bundle("restore", "--image-path", work / "images", "--bundle", bundle.folder, "--tcp-established", other).fails("--tcp-established", "of CRIU")
    subprocess.run([bundle.program, "--root", bundle.root, "restore", "--detach", "--image-path", work / "images", "--bundle", bundle.folder, other], **quiet)
    beyond(len(said))
    assert counted() == list(range(1, len(counted()) + 1))
    assert bundle("exec", other, "sh", "-c", "tail -n 1 /count").ok().out.strip() in map(str, counted())
    bundle("kill", other, "KILL").ok()
    runtime.wait_for(lambda: json.loads(bundle("state", other).ok().out)["status"] == "stopped", "it has ended", BOOT)
    bundle.configure("true", annotations={})
    bundle("restore", "--image-path", work / "images", "--bundle", bundle.folder, one).fails("that of a micro-VM", "the bundle makes a container")


def an_emulated_bundle_is_not_checkpointed_and_runs_on(bundle, work):
    host.need("no KVM that runs stock kernels")
    bundle.configure(LOOP, annotations={"vrun.isolation": "vm"})
    id = bundle.id()
    subprocess.run([bundle.program, "--root", bundle.root, "run", "--detach", "--bundle", bundle.folder, id], env=bundle.env, check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=BOOT)
    bundle("checkpoint", "--image-path", work / "images", id).fails("its engine is not kvm", "vrun doctor")
    bundle("checkpoint", "--pre-dump", id).fails("--pre-dump", "of CRIU")
    assert bundle("exec", id, "echo", "there").ok().out == "there\n" and not (work / "images").exists()


@pytest.mark.parametrize("members, words", [
    ({"annotations": {"vrun.isolation": "vmm"}}, ["neither container nor vm"]),
    ({"annotations": {"vrun.isolation": "container"}, "vm": {}}, ["exclude each other"]),
    ({"vm": {"kernel": {"path": "/boot/none"}}}, ["no kernel '/boot/none'", "vrun vm kernel"]),
    ({"vm": {"image": {"path": "/x", "format": "raw"}, "hypervisor": {"path": "/usr/bin/qemu"}}}, ["vm.image", "vm.hypervisor"]),
    ({"vm": {"hwConfig": {"memory": 1 << 20}}}, ["needs more memory than 1 MiB"]),
])
def what_a_bundle_cannot_have_is_said_at_once(bundle, members, words):
    bundle.configure("true", **members)
    bundle("run", "--bundle", bundle.folder, bundle.id()).fails(*words)


# ---- many ----

def many_guests_at_once(vrun):
    """Twenty; six where each processor is emulated."""
    names = [f"g{i}" for i in range(6 if _emulation(vrun) else 20)]
    commands = [vrun.start("run", "-d", "--name", name, *FLAGS, "--memory", "80m", "base", "sh", "-c", f"echo up {name}; {LOOP}", stdout=subprocess.DEVNULL) for name in names]
    assert [command.wait(4 * BOOT) for command in commands] == [0] * len(names)
    for name in names:
        runtime.wait_for(lambda: f"up {name}" in vrun("logs", name).out, f"{name} is up", 4 * BOOT)
    assert len(micro_vms.monitors_of_machines()) == len(names)
    assert vrun("exec", "g5", "hostname", timeout=BOOT).ok().out == "g5\n"
    vrun("rm", "-f", *names, timeout=2 * BOOT).ok()
    assert not micro_vms.monitors_of_machines()
