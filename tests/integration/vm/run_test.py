"""`vrun run --isolation vm`: a kernel of its own, and everyday verbs that see no difference."""
import pytest

from harness import everyday

VM = ["--isolation", "vm", "--network", "none"]


@pytest.fixture
def vrun(work):
    with everyday.fresh(work) as it:
        yield it


@pytest.fixture
def kvm(vrun):
    line = next(one for one in vrun("doctor").out.splitlines() if "micro-vms" in one)
    if "engine kvm" not in line:
        pytest.skip(line)
    return vrun


def what_a_micro_vm_cannot_have_is_refused_at_once(vrun):
    vrun("run", "--rm", *VM, "--privileged", "--init", "base", "true").fails("--isolation vm with", "--privileged", "--init", rc=125)
    vrun("run", "--rm", "--isolation", "vm", "--network", "host", "base", "true").fails("--network host", rc=125)
    assert vrun("ps", "-a", "-q").ok().out == ""


def kernels_are_listed_and_what_is_none_is_refused(vrun):
    assert vrun("vm", "kernel", "ls").ok().out.startswith("KERNEL")
    vrun("vm", "kernel", "add", "/etc/passwd").fails("no kernel for x86-64")
    vrun("vm", "kernel", "rm", "nothing").fails("no added kernel")


def a_program_runs_with_processors_of_its_own_and_its_exit_code_comes_out(kvm):
    run = kvm("run", "--rm", *VM, "--cpus", "2", "base", "sh", "-c", "nproc; exit 7", timeout=300)
    assert (run.rc, run.out.split()) == (7, ["2"])
    assert kvm("ps", "-a", "-q").ok().out == ""


def exec_logs_and_stop_are_those_of_a_container(kvm):
    script = "trap 'echo got term; exit 3' TERM; echo up; while :; do sleep 1; done"
    kvm("run", "-d", "--name", "g", *VM, "base", "sh", "-c", script, timeout=300).ok()
    run = kvm("exec", "-w", "/tmp", "-e", "A=b", "g", "sh", "-c", "pwd; echo $A; exit 9", timeout=300)
    assert (run.rc, run.out.split()) == (9, ["/tmp", "b"])
    assert kvm("exec", "g", "no-such-program").rc == 127
    kvm("stop", "g", timeout=300).ok()
    assert "got term" in kvm("logs", "g").ok().out
    assert kvm.inspect("g")["State"]["ExitCode"] == 3
    kvm("rm", "g").ok()
