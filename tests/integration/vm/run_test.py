"""`vrun run --isolation vm`: a kernel of its own, and everyday verbs that see no difference."""
import json
import os
import struct
import subprocess
import time
from pathlib import Path

import pytest

from harness import everyday, host

VM = ["--isolation", "vm", "--network", "none"]


@pytest.fixture
def vrun(work):
    with everyday.fresh(work) as it:
        yield it


@pytest.fixture
def vm(vrun):
    """By KVM or, where that cannot run stock kernels, by QEMU's emulation."""
    host.need("micro-VMs")
    return vrun


def what_a_micro_vm_cannot_have_is_refused_at_once(vrun):
    vrun("run", "--rm", *VM, "--privileged", "--init", "base", "true").fails("--isolation vm with", "--privileged", "--init", rc=125)
    vrun("run", "--rm", "--isolation", "vm", "--network", "host", "base", "true").fails("--network host", rc=125)
    vrun("run", "--rm", *VM, "--view", "limits", "base", "true").fails("--view", "its limits", rc=125)
    vrun("run", "--rm", *VM, "--security-opt", "apparmor=mine", "base", "true").fails("--security-opt apparmor", rc=125)
    vrun("run", "--rm", *VM, "--system", "base", "true").fails("--system and --isolation vm", "--disk", rc=125)
    assert vrun("ps", "-a", "-q").ok().out == ""


def an_update_that_the_next_start_would_refuse_is_refused(vm):
    vm("create", "--name", "g", *VM, "base", "true").ok()
    vm("update", "--device-read-bps", "/dev/vda:1m", "g").fails("--device-read-bps", "has no disk", rc=125)
    vm("update", "--cpuset-mems", "0", "g").fails("--cpuset-mems", rc=125)
    vm("run", "--rm", *VM, "--device-write-iops", "/dev/vda:9", "base", "true").fails("has no disk", rc=125)
    assert vm("start", "-a", "g", timeout=300).rc == 0
    vm("rm", "g").ok()


def a_host_that_cannot_is_told_before_there_is_a_guest(vrun):
    host.need("no KVM that runs stock kernels")
    for verb in ("create", "run"):
        vrun(verb, "--name", "g", *VM, "base", "true", env={"PATH": "/nowhere"}).fails("/dev/kvm", "qemu-system-x86", rc=125)
    assert vrun("ps", "-a", "-q").ok().out == "" and vrun.left() == []


def kernels_are_listed_and_what_is_none_is_refused(vrun):
    assert vrun("vm", "kernel", "ls").ok().out.startswith("KERNEL")
    vrun("vm", "kernel", "add", "/etc/passwd").fails("no kernel for x86-64")
    vrun("vm", "kernel", "rm", "nothing").fails("no added kernel")


def _elf(machine, *kinds):
    """An ELF file of 64 bits with a part of each kind; 1: to load, 3: its interpreter."""
    parts = b"".join(struct.pack("<IIQQQQQQ", kind, 5, 0, 0x1000000, 0x1000000, 64, 64, 4096) for kind in kinds)
    return b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0x1000000, 64, 0, 0, 64, 56, len(kinds), 0, 0, 0) + parts + bytes(4096)


def what_cannot_be_booted_is_told_at_once_and_leaves_nothing(vm, work):
    kernel = next(path for path in sorted(Path("/boot").glob("vmlinuz-*")) if Path("/lib/modules", path.name[8:], "modules.dep").exists())
    (work / "cut").write_bytes(kernel.read_bytes()[:2_000_000])
    (work / "arm").write_bytes(_elf(183, 1))
    (work / "program").write_bytes(_elf(62, 3, 1))
    for name, words in (("cut", "truncated"), ("arm", "for another machine"), ("program", "a program, no kernel")):
        vm("run", "--rm", *VM, "--kernel", work / name, "base", "true").fails(words, "vrun vm kernel ls", rc=125)
    (work / "modules").mkdir()
    for name in ("modules.dep", "modules.builtin"):
        (work / "modules" / name).touch()
    vm("vm", "kernel", "add", kernel, "--name", "bare", "--modules", work / "modules").ok()
    vm("run", "--rm", *VM, "--kernel", "bare", "base", "true").fails("no module virtio_pci", "vrun vm kernel ls", rc=125)
    vm("run", "--rm", *VM, "--memory", "9000g", "base", "true").fails("the host has", "swap included", rc=125)
    assert vm("ps", "-a", "-q").ok().out == ""


def a_full_disk_is_told_with_the_remedy_and_leaves_no_half_kernel(vm, work):
    host.need("idmapped tmpfs")
    small = work / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=14m", "none", small], check=True)
    try:
        vm("run", "--rm", *VM, "base", "true", env={"VRUN_DATA_DIR": str(small)}).fails("no space left on device", "vrun system prune", rc=125)
        assert [path.name for path in (small / "vm/cache").iterdir()] == ["lock"]
        assert vm("ps", "-a", "-q", env={"VRUN_DATA_DIR": str(small)}).ok().out == ""
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def what_no_kernel_needs_any_more_is_cleared_away(vm):
    cache = vm.data / "vm/cache"
    kept = lambda: sorted(path.name for path in cache.iterdir())
    run = ["run", "--rm", *VM]
    vm(*run, "base", "true", timeout=300).ok()
    first = kept()
    kernel = json.loads(vm("vm", "kernel", "ls", "--format", "json").ok().out)[0]
    vm("vm", "kernel", "add", kernel["file"], "--name", "another", "--modules", kernel["modules"]).ok()
    vm("run", "-d", "--name", "g", *VM, "--kernel", "another", "base", "sleep", "1000", timeout=300).ok()
    assert len(kept()) > len(first)
    row = next(one for one in json.loads(vm("system", "df", "--format", "json").ok().out) if one["Type"] == "Kernels")
    assert row["TotalCount"] == row["Active"] == len(kept()) - 1 and row["Size"] > 1 << 20
    vm("vm", "kernel", "rm", "another").ok()
    left = {name for name in kept() if not name.endswith(".qemu")}
    assert left == {name for name in first if not name.endswith(".qemu")}, "what the other kernel was unpacked to has gone"
    assert vm("exec", "g", "echo", "goes on", timeout=300).ok().out == "goes on\n"
    vm("rm", "-f", "g").ok()
    for folder in cache.glob("*.qemu"):
        os.utime(folder, (1, 1))  # as if it was last taken long ago
    of_qemu = len(list(cache.glob("*.qemu")))
    assert ("would remove 1 unpacked kernels" in vm("system", "prune", "-f", "--dry-run").ok().out) == (of_qemu == 2)
    pruning = vm.start("system", "prune", "-f", stdout=subprocess.DEVNULL)
    pruning.kill()
    pruning.wait()
    vm("system", "prune", "-f").ok()
    vm(*run, "base", "true", timeout=300).ok()
    assert len(kept()) <= len(first)


def a_program_runs_with_processors_of_its_own_and_its_exit_code_comes_out(vm):
    run = vm("run", "--rm", *VM, "--cpus", "2", "base", "sh", "-c", "nproc; exit 7", timeout=300)
    assert (run.rc, run.out.split()) == (7, ["2"])
    assert vm("ps", "-a", "-q").ok().out == ""


def a_guest_knows_more_files_than_its_monitor_may_open(vm, work):
    for folder in range(4):
        (work / "many" / str(folder)).mkdir(parents=True)
        for file in range(300):
            (work / "many" / str(folder) / str(file)).write_text(f"{folder} {file}")
        (work / "many" / str(folder)).chmod(0o777)  # where owners cannot be mapped, the guest's root is nobody there
    (work / "many").chmod(0o777)
    script = """
        set -e
        ls -lR /m | grep -c -- -rw
        mv /m/0/7 /m/1/moved; ln /m/0/8 /m/2/linked; exec 5</m/0/9 6</m/3/8; rm /m/0/8 /m/0/9; ls -l /m/1 /m/2 | grep -c -- -rw
        cat /m/1/moved /m/2/linked - <&5; echo
        touch /m/ready; while [ ! -e /m/go ]; do sleep 0.2; done; sleep 1.5
        cat /m/3/7; test ! -e /m/3/8; stat -Lc %s /proc/self/fd/6; cat <&6"""
    command = [vm.program, "run", "--rm", *VM, "-v", f"{work}/many:/m", "base", "sh", "-c", script]
    run = subprocess.Popen(["sh", "-c", 'ulimit -n 400 && exec "$@"', "sh", *command], env=vm.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 300
        while not (work / "many/ready").exists():
            assert run.poll() is None and time.monotonic() < end
            time.sleep(0.1)
        (work / "new").write_text("new")
        (work / "new").rename(work / "many/3/7")
        (work / "many/3/8").unlink()
        (work / "many/go").touch()
        assert run.communicate(timeout=60)[0].split("\n") == ["1200", "602", "0 70 80 9", "new3", "3 8"]
    finally:
        run.kill()
        run.wait()


def exec_logs_and_stop_are_those_of_a_container(vm):
    script = "trap 'echo got term; exit 3' TERM; echo up; while :; do sleep 1; done"
    vm("run", "-d", "--name", "g", *VM, "base", "sh", "-c", script, timeout=300).ok()
    run = vm("exec", "-w", "/tmp", "-e", "A=b", "g", "sh", "-c", "pwd; echo $A; exit 9", timeout=300)
    assert (run.rc, run.out.split()) == (9, ["/tmp", "b"])
    assert vm("exec", "g", "no-such-program").rc == 127
    vm("stop", "g", timeout=300).ok()
    assert "got term" in vm("logs", "g").ok().out
    assert vm.state("g")["exitCode"] == 3
    vm("rm", "g").ok()
