"""`vrun run --isolation vm`: a kernel of its own, and everyday verbs that see no difference."""
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
    assert vrun("ps", "-a", "-q").ok().out == ""


def a_host_that_cannot_is_told_before_there_is_a_guest(vrun):
    host.need("no KVM that runs stock kernels")
    for verb in ("create", "run"):
        vrun(verb, "--name", "g", *VM, "base", "true", env={"PATH": "/nowhere"}).fails("/dev/kvm", "qemu-system-x86", rc=125)
    assert vrun("ps", "-a", "-q").ok().out == "" and vrun.left() == []


def kernels_are_listed_and_what_is_none_is_refused(vrun):
    assert vrun("vm", "kernel", "ls").ok().out.startswith("KERNEL")
    vrun("vm", "kernel", "add", "/etc/passwd").fails("no kernel for x86-64")
    vrun("vm", "kernel", "rm", "nothing").fails("no added kernel")


def a_program_runs_with_processors_of_its_own_and_its_exit_code_comes_out(vm):
    run = vm("run", "--rm", *VM, "--cpus", "2", "base", "sh", "-c", "nproc; exit 7", timeout=300)
    assert (run.rc, run.out.split()) == (7, ["2"])
    assert vm("ps", "-a", "-q").ok().out == ""


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
