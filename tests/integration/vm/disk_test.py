"""`vrun run --isolation vm --disk`: a whole system on a disk, with its own init and console."""
import hashlib
import io
import os
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from harness import everyday, host, netlab, runtime

VM = ["--isolation", "vm", "--network", "none"]
BOOT = 300

# The first process: counts its boots, obeys the power button, runs what is typed on the console.
INIT = """#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
{ echo boot >>/boots; } 2>/dev/null
sync
for button in /dev/input/event*; do
  (head -c 24 $button >/dev/null; echo the button; sync; poweroff -f) &
done
echo "system up $(wc -l </boots) on $(grep ' / ' /proc/mounts | cut -d' ' -f1)"
while read -r line; do eval "$line"; done
while :; do sleep 1; done
"""


@pytest.fixture
def vrun(work):
    with everyday.fresh(work) as it:
        yield it


@pytest.fixture
def vm(vrun):
    """By KVM or, where that cannot run stock kernels, by QEMU's emulation."""
    host.need("micro-VMs")
    return vrun


@pytest.fixture
def tree(vrun, work):
    """The image `base` as a directory, with an init of ours."""
    vrun("create", "--name", "t", "--network", "none", "base").ok()
    (work / "tree").mkdir()
    tar = subprocess.run([vrun.program, "export", "t"], env=vrun.env, capture_output=True, timeout=60, check=True)
    subprocess.run(["tar", "-x", "-C", work / "tree"], input=tar.stdout, timeout=60, check=True)
    vrun("rm", "t").ok()
    init = work / "tree/sbin/init"
    init.unlink()
    init.write_text(INIT)
    init.chmod(0o755)
    (work / "tree/boots").touch()
    return work / "tree"


@pytest.fixture
def disk(tree, work):
    path = work / "system.raw"
    with path.open("wb") as file:
        file.truncate(48 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", tree, path], timeout=60, check=True, capture_output=True)
    return path


def _wait_for_log(vm, guest, text):
    end = time.monotonic() + BOOT
    while text not in vm("logs", guest).out:
        state = vm.inspect(guest)["state"]
        assert time.monotonic() < end and state["running"], (state, vm("logs", guest).out)
        time.sleep(0.3)


def _tar(name, content):
    """A tar of one file, as text."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        file = tarfile.TarInfo(name)
        file.size = len(content)
        archive.addfile(file, io.BytesIO(content))
    return out.getvalue().decode()


def _boot(vm, disk, *flags, name="g"):
    vm("run", "-d", "--name", name, *VM, *flags, "--disk", disk, timeout=BOOT).ok()
    _wait_for_log(vm, name, "system up")


def what_makes_no_sense_is_refused_at_once(vrun, work):
    for flags, words in [
        (["--disk", "/etc/passwd"], "--isolation vm"),
        (["--kernel", "x", "base", "true"], "--isolation vm"),
        ([*VM, "--disk", work / "nothing"], "nothing"),
        ([*VM, "--disk", work], "a directory"),
        ([*VM, "--disk", "/dev/null"], "no disk image"),
        ([*VM, "--disk", "/etc/hostname"], "multiple of 512"),
        ([*VM, "--disk", "/etc/hostname:odd"], "no such option"),
        ([*VM, "--disk", "/etc/hostname", "base"], "an image or a command"),
        ([*VM, "--disk", "/etc/hostname", "-v", "/tmp:/x", "-e", "A=b"], "--volume"),
        ([*VM, "--initrd", "/etc/hostname", "base", "true"], "--initrd"),
        ([*VM, "--kernel-parameter", "two words", "base", "true"], "one word"),
        (VM, "IMAGE"),
    ]:
        vrun("run", "--rm", *flags).fails(words, rc=125)
    assert vrun("ps", "-a", "-q").ok().out == "" and vrun.left() == []


def images_that_cannot_boot_are_refused(vm, work):
    empty, other = work / "empty.raw", work / "other.img"
    for path, head in ((empty, b""), (other, b"QFI\xfb\0\0\0\3")):
        path.write_bytes(head)
        os.truncate(path, 1 << 20)
    vm("run", "--rm", *VM, "--disk", empty).fails("no root file system", "root=", rc=125)
    vm("run", "--rm", *VM, "--disk", other).fails("qcow2", "raw", rc=125)
    vm("run", "--rm", *VM, "--kernel", "/etc/passwd", "--disk", empty).fails("no kernel for x86-64", rc=125)
    vm("run", "--rm", *VM, "--kernel", "no-such-one", "--disk", empty).fails("no kernel 'no-such-one'", rc=125)
    vm("run", "--rm", *VM, "--initrd", work / "nothing", "--disk", empty).fails("--initrd", rc=125)
    assert vm("ps", "-a", "-q").ok().out == "" and vm.left() == []


def an_initramfs_of_ones_own_is_booted_by_its_path(vm, tree, work):
    init = "mount -t devtmpfs none /dev\nexec >/dev/console 2>&1\necho own initramfs\npoweroff -f"
    (tree / "init").write_text("#!/bin/sh\nexport PATH=/bin:/sbin:/usr/bin:/usr/sbin\n" + init + "\n")
    (tree / "init").chmod(0o755)
    subprocess.run("find . | cpio -o -H newc --quiet >../own.cpio", shell=True, cwd=tree, check=True, timeout=60)
    (work / "empty.raw").write_bytes(bytes(1 << 20))
    for initrd, place in ((work / "own.cpio", "/"), ("own.cpio", work)):
        run = vm("run", "--rm", *VM, "--initrd", initrd, "--disk", work / "empty.raw", cwd=place, timeout=BOOT)
        assert run.rc == 0 and "own initramfs" in run.out, run


def a_system_boots_has_a_console_reboots_and_stops_by_its_power_button(vm, disk):
    _boot(vm, disk)
    assert "system up 1 on /dev/vda" in vm("logs", "g").ok().out
    before = vm.inspect("g")
    console = everyday.Terminal(vm, "attach", "g")
    console.type("echo sum $((40+2))\n")
    console.expect("sum 42")
    console.type("printf 'name? '; read name; echo hello $name\n")
    console.expect("name? ")  # a prompt without an end of line comes out
    console.type("bob\n")
    console.expect("hello bob")
    console.type("reboot -f\n")
    console.expect("system up 2")
    console.type("\x10\x11")
    after = vm.inspect("g")
    for key in ("id", "name", "created"):
        assert after[key] == before[key]
    assert after["state"]["pid"] == before["state"]["pid"] and after["state"]["restarts"] == 0
    vm("stop", "g", timeout=BOOT).ok()
    assert "the button" in vm("logs", "g").ok().out
    assert vm.state("g")["exitCode"] == 0
    vm("start", "g", timeout=BOOT).ok()
    _wait_for_log(vm, "g", "system up 3")
    vm("kill", "g").ok()
    vm.wait_for("g", status="exited", exitCode=137)
    vm("rm", "g").ok()
    assert vm.left() == []


def what_needs_the_agent_or_files_says_so_at_once(vm, disk):
    _boot(vm, disk)
    for words in (["exec", "g", "true"], ["shell", "g"], ["top", "g"], ["cp", "g:/etc/passwd", "-"], ["cp", "/etc/passwd", "g:/"]):
        begin = time.monotonic()
        vm(*words).fails("agent", "vrun attach g", "build-disk", "--unit")
        assert time.monotonic() - begin < 5
    for words in (["diff", "g"], ["commit", "g", "x"], ["snapshot", "create", "g", "s"],
                  ["clone", "g", "h"]):
        vm(*words).fails("disk of its own")
    assert "g" in vm("stats", "--no-stream", "g").ok().out
    vm("pause", "g").ok()
    vm("unpause", "g").ok()
    vm("rm", "-f", "g").ok()


def one_guest_writes_a_disk_and_several_may_read_one(vm, disk):
    _boot(vm, disk)
    for flag in (disk, f"{disk}:ro"):
        vm("run", "--rm", *VM, "--disk", flag, timeout=BOOT).fails("another guest or program", rc=125)
    vm("rm", "-f", "g").ok()
    _boot(vm, f"{disk}:ro", name="a")
    _boot(vm, f"{disk}:ro", name="b")
    vm("run", "--rm", *VM, "--disk", disk, timeout=BOOT).fails("another guest or program uses it", rc=125)
    vm("rm", "-f", "a", "b").ok()
    _boot(vm, disk)
    assert "system up 2" in vm("logs", "g").ok().out  # the readers wrote nothing
    vm("rm", "-f", "g").ok()


def more_disks_are_more_devices_and_the_command_line_can_be_added_to(vm, disk, work):
    more = work / "more.raw"
    more.write_bytes(b"hello disk".ljust(512, b"\0"))
    _boot(vm, disk, "--kernel-parameter", "my.word=7", name="g")
    vm("rm", "-f", "g").ok()
    vm("run", "-d", "--name", "g", *VM, "--kernel-parameter", "my.word=7", "--disk", disk, "--disk", f"{more}:ro",
       timeout=BOOT).ok()
    _wait_for_log(vm, "g", "system up")
    console = everyday.Terminal(vm, "attach", "g")
    console.type("head -c 10 /dev/vdb; echo; grep -o my.word=7 /proc/cmdline | tr 7 8\n")
    console.expect("hello disk")
    console.expect("my.word=8")
    console.type("(echo x >/dev/vdb) 2>/dev/null || echo refused | tr a-z A-Z\n")
    console.expect("REFUSED")
    console.type("\x10\x11")
    vm("rm", "-f", "g").ok()


def a_panic_ends_the_guest_and_is_told(vm, disk):
    vm("run", "-d", "--name", "g", *VM, "--kernel-parameter", "init=/bin/false", "--disk", disk, timeout=BOOT).ok()
    runtime.wait_for(lambda: vm.state("g")["status"] == "exited", "the guest has ended", BOOT)
    state = vm.state("g")
    assert state["exitCode"] == 125 and "panicked" in state["reason"], state
    vm("rm", "g").ok()


def a_system_that_cannot_be_started_ends_the_guest_and_is_told(vm, disk):
    for word, reason in (("root=/dev/vda7", "no such disk"), ("init=/bin/nothing", "start /bin/nothing")):
        vm("run", "-d", "--name", "g", *VM, "--kernel-parameter", word, "--kernel-parameter", "rootfstype=ext4",
           "--disk", disk, timeout=BOOT).ok()
        vm("wait", "g", timeout=BOOT)
        state = vm.state("g")
        assert state["exitCode"] == 125 and reason in state["reason"], state
        vm("rm", "g").ok()


def a_kernel_by_its_path_boots_with_the_modules_of_this_host(vm, disk):
    kernel = vm("vm", "kernel", "ls").ok().out.splitlines()[1].split()[0].lstrip("*")
    path = next((p for p in (Path(f"/boot/vmlinuz-{kernel}"), Path(f"/lib/modules/{kernel}/vmlinuz")) if p.exists()), None)
    assert path, kernel
    _boot(vm, disk, "--kernel", path)
    vm("rm", "-f", "g").ok()


def nothing_is_left_when_the_machine_is_killed(vm, disk):
    _boot(vm, disk)
    os.kill(vm.state("g")["pid"], 9)
    vm.wait_for("g", status="exited")
    vm("rm", "g").ok()
    runtime.wait_for(lambda: vm.left() == [], f"nothing is left of it: {vm.left()}")
    _boot(vm, disk)  # nobody holds the disk any more
    vm("rm", "-f", "g").ok()


def _typed(vm, guest, line, word):
    """What the console says between a line that is typed and the word."""
    console = everyday.Terminal(vm, "attach", guest)
    console.type(line + "\n")
    console.expect(line.split()[-1])  # the echo
    out = console.expect(word)
    console.type("\x10\x11")
    return out


def rates_of_a_disk_hold_and_change_while_it_runs(vm, disk):
    _boot(vm, disk, "--device-read-bps", f"{disk}:1m")
    # 4 MiB of the disk's end, which nobody has read.
    read = "t=$(cut -d. -f1 /proc/uptime); dd if=/dev/vda of=/dev/null bs=64k skip=%d count=64 2>/dev/null; " \
           "echo took $(($(cut -d. -f1 /proc/uptime)-t)) se''conds"

    def seconds(skip):
        return int(_typed(vm, "g", read % skip, " seconds").split("took ")[-1].split()[0])

    assert seconds(500) >= 3
    vm("update", "--device-read-bps", f"{disk.name}:200m", "g").ok()
    assert seconds(600) <= 2
    assert vm.inspect("g")["request"]["deviceReadBps"][-1] == f"{disk.name}:200m"
    vm("update", "--device-read-bps", "/other.raw:1m", "g").fails("not a disk of the guest", str(disk))
    vm("rm", "-f", "g").ok()


def a_manifest_describes_a_system_on_a_disk(vm, disk, work):
    file = work / "system.yaml"
    file.write_text("apiVersion: vrun/v1\nkind: Guest\nname: g\nisolation: vm\nnetwork: none\nstopTimeout: 1s\n"
                    f"disks: [{disk}]\nlimits: {{memory: 128m, deviceReadBps: ['{disk}:50m']}}\n")
    assert "create Guest g" in vm("apply", "-f", file, timeout=BOOT).ok().out
    _wait_for_log(vm, "g", "system up 1")
    assert "unchanged Guest g" in vm("apply", "-f", file, timeout=BOOT).ok().out
    pid = vm.state("g")["pid"]
    file.write_text(file.read_text().replace("50m", "20m"))
    assert "change Guest g" in vm("apply", "-f", file, timeout=BOOT).ok().out
    assert vm.state("g")["pid"] == pid
    vm("delete", "-f", file, timeout=BOOT).ok()


def what_a_manifest_cannot_mean_by_disks_is_said_with_its_line(vrun, work):
    head = "apiVersion: vrun/v1\nkind: Guest\n"
    file = work / "bad.yaml"
    file.write_text(f"{head}name: a\nimage: base\ndisks: [/x.raw]\n---\n{head}name: b\n")
    err = vrun("validate", "-f", file).err
    assert "bad.yaml:5:8: guests.a.disks: there is image, too: only one of the two can be" in err
    assert "bad.yaml:7:1: guests.b: field image is missing" in err
    file.write_text(f"{head}name: a\nisolation: vm\ndisks: ['/x.raw:odd', /y]\n---\n{head}name: b\ndisks: [/x.raw]\n---\n"
                    f"{head}name: c\nisolation: vm\nimage: base\ninitrd: /x\n")
    err = vrun("apply", "-f", file).err
    assert "bad.yaml:5:9: guests.a.disks[0]: '/x.raw:odd': no such option: 'odd'" in err
    assert "bad.yaml:10:9: guests.b.disks[0]: " in err and "add isolation: vm" in err
    assert "bad.yaml:17:9: guests.c.initrd: with an image" in err


def disks_come_and_go_while_it_runs(vm, disk, work):
    host.need("KVM that runs stock kernels")
    data, more = work / "data.raw", work / "more.raw"
    data.write_bytes(b"first words\n".ljust(8 << 20, b"."))
    more.write_bytes(b"more words\n".ljust(1 << 20, b"."))
    _boot(vm, disk)
    vm("update", "--disk-add", data, "g").ok()
    assert "first words" in _typed(vm, "g", "sleep 1; head -n 1 /dev/vdb", "first words")
    _typed(vm, "g", "printf 'new words\\n' | dd of=/dev/vdb conv=notrunc,fsync 2>/dev/null; echo writ''ten", "written")
    assert data.read_bytes().startswith(b"new words\n")
    assert vm.inspect("g")["request"]["disks"] == [str(disk), str(data)]
    vm("run", "--rm", *VM, "--disk", disk, "--disk", data).fails("another guest or program uses it", rc=125)
    # its speed changes as that of others
    vm("update", "--device-read-bps", f"{data.name}:2m", "g").ok()
    _typed(vm, "g", "s=$(date +%s); dd if=/dev/vdb of=/dev/null bs=1M count=8 2>/dev/null; t=$(($(date +%s)-s)); [ $t -ge 2 ] && echo slo''w", "slow")
    # again and again
    for _ in range(10):
        vm("update", "--disk-rm", data, "g").ok()
        assert vm.inspect("g")["request"]["disks"] == [str(disk)]
        vm("update", "--disk-add", f"{data}:ro", "g").ok()
    vm("update", "--disk-rm", data, "--disk-add", data, "--disk-add", f"{more}:ro", "g").ok()
    # the machine's next boot has them, and so has the guest's
    _typed(vm, "g", "reboot -f", "system up 2")
    _typed(vm, "g", "head -n 1 /dev/vdb; head -n 1 /dev/vdc", "more words")
    vm("update", "--disk-rm", data, "g").ok()
    vm("restart", "-t", "60", "g", timeout=BOOT).ok()
    _wait_for_log(vm, "g", "system up 3")
    _typed(vm, "g", "head -n 1 /dev/vdb; ls /dev/vd?", "more words")
    vm("update", "--disk-rm", disk, "g").fails("boots from it", rc=125)
    vm("update", "--disk-rm", data, "g").fails("not a disk of the guest", rc=125)
    vm("update", "--disk-add", more, "g").fails("has it already", rc=125)
    vm("update", "--disk-add", work / "none.raw", "g").fails("none.raw", rc=125)
    assert vm.inspect("g")["request"]["disks"] == [str(disk), f"{more}:ro"]
    vm("rm", "-f", "g").ok()


def a_command_that_is_killed_while_a_disk_comes_or_goes_can_be_repeated(vm, disk, work):
    host.need("KVM that runs stock kernels")
    data = work / "data.raw"
    data.write_bytes(b"x" * (1 << 20))
    _boot(vm, disk)
    for flag in ("--disk-add", "--disk-rm", "--disk-add", "--disk-rm"):
        started = subprocess.Popen([vm.program, "update", flag, data, "g"], env=vm.env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.03)
        started.kill()
        started.wait(30)
        repeated = vm("update", flag, data, "g")
        assert repeated.rc == 0 or "already" in repeated.err or "not a disk of" in repeated.err, repeated.err
        assert vm.inspect("g")["request"]["disks"] == ([str(disk), str(data)] if flag == "--disk-add" else [str(disk)])
    vm("rm", "-f", "g").ok()


def disks_of_a_guest_that_does_not_run_change_for_its_next_start(vrun, tree, disk, work):
    host.need("micro-VMs")
    data = work / "data.raw"
    data.write_bytes(bytes(1 << 20))
    vrun("create", "--name", "g", *VM, "--disk", disk).ok()
    vrun("update", "--disk-add", data, "g").ok()
    assert vrun.inspect("g")["request"]["disks"] == [str(disk), str(data)]
    vrun("update", "--disk-rm", data.name, "g").ok()
    assert vrun.inspect("g")["request"]["disks"] == [str(disk)]
    vrun("create", "--name", "c", "--network", "none", "base").ok()
    vrun("update", "--disk-add", data, "c").fails("has an image, and no disks", rc=125)


def build_disk_makes_a_system_of_an_image(vm, work):
    path = work / "base.raw"
    assert vm("image", "build-disk", "--from", "base", "-o", path, "--size", "200m").ok().out == f"{path}\n"
    assert path.stat().st_size == 200 << 20 and path.stat().st_mode & 0o777 == 0o600
    vm("image", "build-disk", "--from", "base", "-o", path).fails("something has that name")
    vm("run", "-d", "--name", "g", *VM, "--disk", path, timeout=BOOT).ok()
    _wait_for_log(vm, "g", "/ #")
    console = everyday.Terminal(vm, "attach", "g")
    console.type("echo $((6*7)) on $(hostname); readlink /etc/resolv.conf\n")
    console.expect("42 on")
    console.expect("../run/vrun/resolv.conf")
    console.type("\x10\x11")
    vm("stop", "g", timeout=BOOT).ok()
    assert vm.state("g")["exitCode"] == 0
    vm("rm", "g").ok()


@pytest.fixture
def agent_disk(vm, work):
    """A system with busybox's init and the agent of vrun."""
    vm("image", "build-disk", "--from", "base", "-o", work / "agent.raw", "--size", "200m").ok()
    return work / "agent.raw"


def programs_run_in_a_system_with_its_agent(vm, agent_disk):
    vm("run", "-d", "--name", "g", *VM, "--disk", agent_disk, timeout=BOOT).ok()
    # At once: it waits for the end of the boot.
    it = vm("exec", "g", "sh", "-c", "echo out; echo err >&2; id -u; pwd; exit 7", timeout=BOOT)
    assert (it.rc, it.out, it.err) == (7, "out\n0\n/\n", "err\n"), it
    assert vm("exec", "g", "sh", "-c", "kill -9 $$").rc == 137
    vm("exec", "g", "no-such-program").fails("no such file", rc=127)
    vm("exec", "g", "/etc").fails("permission denied", rc=126)
    vm("exec", "-w", "/no-such", "g", "true").fails("/no-such", rc=125)
    vm("exec", "--privileged", "g", "true").fails("rights of its user", rc=125)
    assert vm("exec", "-i", "g", "cat", input="typed").ok().out == "typed"
    assert vm("exec", "-u", "nobody", "-e", "A=b", "g", "sh", "-c", "id -un; echo $A").ok().out == "nobody\nb\n"
    vm("exec", "-u", "no-such-user", "g", "true").fails("no user 'no-such-user'")
    assert vm("shell", "g", "pwd").ok().out == "/root\n"
    terminal = everyday.Terminal(vm, "exec", "-it", "g", "sh", "-c", "tty; read line; echo got $line")
    terminal.expect("/dev/pts/")
    terminal.type("it\n")
    terminal.expect("got it")
    assert terminal.wait() == 0
    assert "init" in vm("top", "g").ok().out
    assert vm("stats", "--no-stream", "--format", "json", "g").ok().out.count("pids") <= 2
    # A process that goes on has the system's init as its parent, and nobody else reaps it.
    vm("exec", "-d", "g", "sh", "-c", "sleep 0.1 & exec sleep 9876").ok()
    assert "sleep 9876" in vm("exec", "g", "ps").ok().out
    vm("rm", "-f", "g").ok()


def files_are_copied_both_ways_by_the_agent_and_the_systems_tar(vm, agent_disk, work):
    vm("cp", "/etc/passwd", "g:/").fails("g")
    vm("run", "-d", "--name", "g", *VM, "--disk", agent_disk, timeout=BOOT).ok()
    source = work / "from"
    (source / "below").mkdir(parents=True)
    (source / "plain").write_text("words\n")
    (source / "below/link").symlink_to("/etc/shadow")
    (source / "big").write_bytes(b"\0" * (3 << 20) + b"end")  # with a hole where the file system makes one
    os.truncate(source / "big", 5 << 20)
    os.chown(source / "plain", 1234, 1234)
    (source / "plain").chmod(0o4750)

    def inside(text):
        return vm("exec", "g", "sh", "-c", text).ok().out

    # Into a directory, as a new name, over a file, what is in it, and with its owners.
    vm("cp", source, "g:/root", timeout=BOOT).ok()
    assert inside("cd /root/from; cat plain; stat -c '%u:%g' plain; readlink below/link; md5sum <big") == \
        "words\n0:0\n/etc/shadow\n" + hashlib.md5((source / "big").read_bytes()).hexdigest() + "  -\n"
    vm("cp", "-a", f"{source}/plain", "g:/root/named").ok()
    assert inside("stat -c '%u:%g %a' /root/named") == "1234:1234 4750\n"
    vm("cp", f"{source}/plain", "g:root/named").ok()
    assert inside("mkdir -m 700 /root/dir; chmod 500 /root/dir; stat -c %u /root/named") == "0\n"
    vm("cp", f"{source}/.", "g:/root/dir").ok()
    assert inside("cd /root/dir; ls; stat -c %a .") == "below\nbig\nplain\n500\n"  # its own mode stays
    vm("cp", "-", "g:/root/dir", input=_tar("sent", b"by a stream")).ok()
    assert inside("cat /root/dir/sent") == "by a stream"
    # Out of it.
    to = work / "to"
    to.mkdir()
    vm("cp", "g:/root/from", to).ok()
    assert (to / "from/plain").read_text() == "words\n" and os.readlink(to / "from/below/link") == "/etc/shadow"
    assert (to / "from/big").read_bytes() == (source / "big").read_bytes()
    inside("ln -s from/plain /root/l; chmod 4755 /root/from/plain; chown 77 /root/from/plain")
    vm("cp", "g:/root/l", to).ok()
    assert os.readlink(to / "l") == "from/plain"
    vm("cp", "-L", "g:/root/l", to / "followed").ok()
    facts = (to / "followed").stat()
    assert (facts.st_uid, facts.st_mode & 0o7777, (to / "followed").read_text()) == (0, 0o755, "words\n")  # no program of root's on the host
    vm("cp", "-a", "g:/root/from/plain", to / "kept").ok()
    assert (to / "kept").stat().st_uid == 77
    (to / "contents").mkdir()
    for name in ("contents", "new"):
        vm("cp", "g:/root/dir/.", to / name).ok()
        assert sorted(os.listdir(to / name)) == ["below", "big", "plain", "sent"]
    out = vm("cp", "g:/root/from/plain", "-").ok().out
    assert tarfile.open(fileobj=io.BytesIO(out.encode())).getnames() == ["plain"]
    # What cannot be.
    vm("cp", "g:/no-such", to).fails("/no-such")
    vm("cp", "g:/root/from/plain/", to).fails("is not a directory")
    vm("cp", source, "g:/root/named").fails("is not a directory")
    vm("cp", f"{source}/plain", "g:/no/such/place").fails("no directory '/no/such'")
    vm("cp", f"{source}/plain", "g:/root/none/").fails("no directory '/root/none'")
    vm("cp", "g:/", to).fails("name something")
    vm("cp", "g:/root/from", to / "no/such").fails("no such file")
    vm("cp", work / "missing", "g:/root").fails("missing")
    vm("pause", "g").ok()
    vm("cp", "g:/root/from", to / "again").fails("paused")
    vm("unpause", "g").ok()
    inside("mv /bin/tar /bin/other")
    vm("cp", "g:/root/from", to / "again").fails("tar", rc=125)
    vm("rm", "-f", "g").ok()
    vm("cp", "g:/root/from", to).fails("g")


def the_agent_is_there_again_after_a_reboot_and_ends_with_its_system(vm, agent_disk):
    vm("run", "-d", "--name", "g", *VM, "--disk", agent_disk, timeout=BOOT).ok()
    vm("exec", "g", "touch", "/run/before", timeout=BOOT).ok()
    vm("exec", "g", "reboot").ok()
    runtime.wait_for(lambda: vm("exec", "g", "test", "-e", "/run/before", timeout=BOOT).rc == 1, "the system is another one", BOOT)
    vm("stop", "g", timeout=BOOT).ok()
    assert vm.state("g")["exitCode"] == 0
    vm("rm", "g").ok()


@pytest.mark.parametrize("check", ["--health-cmd=test -e /etc/inittab", "--health-cmd=tcp://:8080", "--health-cmd=http://:8080/page"])
def health_is_looked_at_in_the_system(vm, agent_disk, check):
    vm("run", "-d", "--name", "g", *VM, check, "--health-interval", "1s", "--health-retries", "200", "--disk", agent_disk, timeout=BOOT).ok()
    vm("exec", "g", "sh", "-c", "mkdir /www; echo hi >/www/page; httpd -p 8080 -h /www", timeout=BOOT).ok()
    runtime.wait_for(lambda: vm.state("g").get("health") == "healthy", "the system is healthy", BOOT)
    vm("rm", "-f", "g").ok()


def build_disk_says_what_is_wrong(vrun, work):
    (work / "empty").mkdir()
    for flags, words in [
        ([], "--from is missing"),
        (["--from", work / "empty"], "no init"),
        (["--from", work / "nothing"], "nothing"),
        (["--from", "base", "--size", "1m"], "do not fit"),
        (["--from", "base", "--size", "much"], "not a size"),
        (["--from", "base", "--kernel", "no-such-one"], "no kernel 'no-such-one'"),
        (["--from", "no/such-folder"], "no/such-folder"),
    ]:
        vrun("image", "build-disk", *flags, "-o", work / "x.raw").fails(words)
    assert [p.name for p in work.iterdir() if "x.raw" in p.name] == []


def a_directory_becomes_a_disk_with_its_owners_and_modes(vrun, tree, work):
    (tree / "home/file").write_text("hello")
    os.chown(tree / "home/file", 1234, 77)
    (tree / "home/file").chmod(0o4751)
    vrun("image", "build-disk", "--from", tree, "-o", work / "x.raw").ok()
    facts = subprocess.run(["debugfs", "-R", "stat /home/file", work / "x.raw"], capture_output=True, text=True, timeout=60).stdout
    assert "04751" in facts and "1234" in facts and "77" in facts, facts
    subprocess.run(["e2fsck", "-f", "-n", work / "x.raw"], check=True, capture_output=True, timeout=60)


def a_qcow2_image_is_copied_for_the_guest(vm, disk, work):
    host.need("qemu-img")
    other = work / "system.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", disk, other], check=True, timeout=60)
    vm("run", "--rm", *VM, "--disk", other).fails("qcow2", "format=qcow2", rc=125)
    vm("run", "--rm", *VM, "--disk", f"{disk}:format=qcow2").fails("no qcow2 image", rc=125)
    before = other.read_bytes()
    vm("run", "-d", "--name", "g", *VM, "--disk", f"{other}:format=qcow2", timeout=BOOT).ok()
    _wait_for_log(vm, "g", "system up 1")
    vm("restart", "g", timeout=BOOT).ok()
    _wait_for_log(vm, "g", "system up 2")  # the copy stays with the guest
    vm("rm", "-f", "g").ok()
    assert other.read_bytes() == before


def a_qcow2_image_that_leads_to_other_files_is_refused(vm, work):
    host.need("qemu-img")
    leads = work / "leads.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", "/etc/shadow", "-F", "raw", leads, "1M"], check=True, timeout=60)
    vm("run", "--rm", *VM, "--disk", f"{leads}:format=qcow2").fails("needs other files", rc=125)
    assert vm("ps", "-a", "-q").ok().out == ""


class Networks(netlab.Host):
    """A host of its own with a default network."""

    def __init__(self, work, program):
        work.mkdir()
        super().__init__(work)
        self.program = program

    def __call__(self, *words, timeout=BOOT):
        return self.run(self.program, *words, env=self.env, timeout=timeout)


def the_cards_have_their_addresses_before_the_system_starts(vm, disk):
    # Beside the other data: image layers can be mounted by ids there.
    there = Networks(Path(vm.env["VRUN_DATA_DIR"]).parent / "there", vm.program)
    try:
        there("run", "-d", "--name", "g", "--isolation", "vm", "--hostname", "web", "--disk", disk).ok()
        _wait_for_log(there, "g", "system up")
        facts = next(iter(there.inspect("g")["networkSettings"]["networks"].values()))
        address, ping = facts["ipAddress"], f"ping -c 1 -W 9 {facts['gateway']} | grep -o '[0-9]* packets rec'; echo do''ne"
        out = _typed(there, "g", "hostname; ip addr show eth0; ip route; cat /run/vrun/resolv.conf; echo do''ne", "done")
        assert "web" in out and address in out and "default via" in out and "nameserver" in out, out
        assert "1 packets rec" in _typed(there, "g", ping, "done")
        _typed(there, "g", "reboot -f", "system up 2")
        assert "1 packets rec" in _typed(there, "g", ping, "done")
        there("rm", "-f", "g").ok()
    finally:
        there.end()


def debian_boots_to_its_end_and_goes_off_by_its_power_button(vm, work):
    host.need("KVM that runs stock kernels", "Debian root file system")
    (work / "debian").mkdir()
    archive = Path(__file__).resolve().parents[3] / "build/debian-12.tar"
    subprocess.run(["tar", "-x", "-f", archive, "-C", work / "debian", "--exclude=./dev/*"], check=True, timeout=300)
    vm("image", "build-disk", "--from", work / "debian", "-o", work / "debian.raw", "--autologin", timeout=BOOT).ok()
    vm("run", "-d", "--name", "g", *VM, "--disk", work / "debian.raw", timeout=BOOT).ok()
    # By the agent that build-disk has put in, while the system boots.
    assert vm("exec", "g", "systemctl", "is-system-running", "--wait", timeout=BOOT).ok().out == "running\n"
    assert vm("exec", "g", "systemctl", "is-active", "vrun-guest").ok().out == "active\n"
    _wait_for_log(vm, "g", "root@")
    vm("stop", "g", timeout=BOOT).ok()
    assert vm.state("g")["exitCode"] == 0 and "Power down" in vm("logs", "g").ok().out
    vm("rm", "g").ok()
