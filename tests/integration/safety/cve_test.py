"""One regression test for each class of escape that was found in other runtimes, by its number."""
import os
import re
import signal
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from harness import host, leaks, runtime

OPEN_FLAGS = {"O_RDWR": 2, "O_WRONLY": 1, "O_RDWR|O_TRUNC": 0o1002}


# --- CVE-2019-5736: the guest overwrites the runtime's executable through /proc/self/exe ----

@pytest.mark.parametrize("program", ["/proc/self/exe", "/link"])
def cve_2019_5736_the_runtime_cannot_be_run_or_written_from_inside(rt, bundle, program):
    before = Path(rt.path).resolve().read_bytes()
    (bundle.rootfs / "link").symlink_to("/proc/self/exe")
    r = rt.run(bundle.args(program, "--version"))
    # Whatever is executed that way is not the host's file: it is refused, or a copy without a name there.
    assert Path(rt.path).resolve().read_bytes() == before
    assert r.rc != 0 or "version" in r.out


def cve_2019_5736_exec_of_a_guest_that_waits_for_the_runtime(rt, bundle):
    """A process inside opens /proc/PID/exe of every process that comes in, for writing."""
    bundle.without_namespace("pid")  # the worst case: the guest sees the host's processes
    watch = ("while :; do for p in /proc/[0-9]*; do l=$(readlink $p/exe 2>/dev/null); case $l in *vrun*|*runc*|*memfd*|*stage*) "
             "( : >> $p/exe ) 2>/dev/null && echo WROTE $l;; esac; done; done")
    bundle.capabilities("CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE")
    before = Path(rt.path).resolve().stat().st_mtime_ns
    id = rt.start(bundle.sh(watch))
    for _ in range(30):
        rt.exec(id, "true").ok()
    rt.kill(id).ok()
    out = rt.output_of(id)
    assert Path(rt.path).resolve().stat().st_mtime_ns == before
    assert "WROTE" not in out, out


def cve_2019_5736_a_library_of_the_guest_is_not_loaded_by_the_runtime(rt, bundle):
    """The runtime is static: no file of the image is part of it."""
    (bundle.rootfs / "lib").mkdir()
    (bundle.rootfs / "lib/libseccomp.so.2").write_text("x")
    id = rt.start(bundle.args("sleep", "100"))
    rt.exec(id, "true").ok()


# --- CVE-2019-19921, CVE-2023-27561, CVE-2023-28642: /proc replaced by the image or a volume -

def cve_2019_19921_a_link_at_proc_is_refused(rt, bundle):
    (bundle.rootfs / "proc").rmdir()
    (bundle.rootfs / "fake").mkdir()
    (bundle.rootfs / "proc").symlink_to("/fake")
    r = rt.run(bundle.args("true"))
    assert r.rc > 0, "mounting proc through a link must be refused"


def cve_2019_19921_a_volume_shared_between_two_guests_cannot_swap_proc(rt, bundle, another_bundle, work):
    (work / "shared").mkdir()
    (work / "shared/proc").symlink_to("../../fake")
    bundle.spec["mounts"].insert(0, {"destination": "/proc", "type": "bind", "source": str(work / "shared"), "options": ["bind"]})
    rt.run(bundle.args("true")).fails()


@pytest.mark.parametrize("path", ["/proc", "/sys", "/dev"])
def cve_2023_27561_a_link_at_a_system_folder_does_not_unmask(rt, bundle, path):
    (bundle.rootfs / path[1:]).rmdir()
    (bundle.rootfs / "elsewhere").mkdir()
    (bundle.rootfs / path[1:]).symlink_to("elsewhere")
    r = rt.run(bundle.sh("cat /proc/kcore | head -c1 | wc -c; touch /proc/sys/kernel/x; ls /sys/firmware | wc -l"))
    if path != "/dev":
        assert r.rc > 0, r


def cve_2023_28642_labels_are_written_through_a_real_procfs(rt, bundle, work):
    """/proc of the image is a tmpfs with a fake attr/exec: a label written there would have no effect."""
    host.need("AppArmor")
    subprocess.run(["apparmor_parser", "--replace"], text=True, check=True,
                   input="profile vrun-test flags=(attach_disconnected) { file, capability, mount, signal, deny /etc/passwd r, }\n")
    bundle.process["apparmorProfile"] = "vrun-test"
    bundle.spec["mounts"] = [m for m in bundle.spec["mounts"] if m["destination"] != "/proc"]
    (bundle.rootfs / "proc/self/attr/apparmor").mkdir(parents=True)
    for name in ("proc/self/attr/exec", "proc/self/attr/apparmor/exec"):
        (bundle.rootfs / name).write_text("")
    bundle.linux["maskedPaths"], bundle.linux["readonlyPaths"] = [], []
    r = rt.run(bundle.args("cat", "/etc/passwd"))
    assert r.rc > 0, "either refused, or confined"


# --- mounts over or into /proc ---------------------------------------------------------------

@pytest.mark.parametrize("destination", ["/proc/self", "/proc/1", "/proc/sys", "/proc/sys/kernel", "/proc/kcore", "/proc/thread-self/attr", "/proc/tty"])
def mounts_into_proc_are_refused(rt, bundle, work, destination):
    (work / "data").mkdir()
    bundle.mount(destination, "bind", work / "data", "bind")
    rt.run(bundle).fails("/proc")


@pytest.mark.parametrize("name", ["cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo"])
def the_files_of_proc_that_lxcfs_replaces_may_be_mounted(rt, bundle, work, name):
    (work / "file").write_text("replaced\n")
    if not Path(f"/proc/{name}").exists():
        return
    bundle.mount(f"/proc/{name}", "bind", work / "file", "bind")
    assert rt.run(bundle.args("cat", f"/proc/{name}")).ok().out == "replaced\n"


def a_filesystem_other_than_proc_on_proc_is_refused(rt, bundle, work):
    bundle.spec["mounts"][0] = {"destination": "/proc", "type": "tmpfs", "source": "tmpfs"}
    rt.run(bundle).fails("proc")


# --- CVE-2021-30465: a mount target is swapped for a link while the runtime works -----------

def cve_2021_30465_a_swapped_target_never_leads_outside(rt, bundle, work):
    (work / "volume").mkdir()
    (work / "outside").mkdir()
    (work / "volume/spot").mkdir()
    (work / "volume/link").symlink_to("/../../../../../../../../.." + str(work / "outside"))
    stop = threading.Event()

    def swap():
        """Exchanges folder and link as fast as it can: renameat2(RENAME_EXCHANGE)."""
        import ctypes
        libc = ctypes.CDLL(None)
        a, b = str(work / "volume/spot").encode(), str(work / "volume/link").encode()
        while not stop.is_set():
            for _ in range(100):
                libc.syscall(316, -100, a, -100, b, 2)
    threads = [threading.Thread(target=swap)]
    [t.start() for t in threads]
    before = Path("/proc/self/mountinfo").read_text()
    try:
        bundle.mount("/volume", "bind", work / "volume", "bind")
        for i in range(10):
            bundle.mount(f"/volume/spot/deep{i}", "tmpfs", "tmpfs")
        for _ in range(15):
            rt.run(bundle.sh("ls / > /dev/null"))
    finally:
        stop.set()
        [t.join() for t in threads]
    assert os.listdir(work / "outside") == [], "a target was made outside of the root"
    assert Path("/proc/self/mountinfo").read_text() == before


@pytest.mark.parametrize("link", ["/../../../../tmp/esc", "../../../../../../tmp/esc", "/tmp/esc"])
def cve_2021_30465_a_link_in_the_image_stays_below_the_root(rt, bundle, link):
    (bundle.rootfs / "trap").symlink_to(link)
    rt.run(bundle.mount("/trap/inner", "tmpfs", "tmpfs").args("true"))
    assert not Path("/tmp/esc").exists()


def cve_2021_30465_a_magic_link_is_not_followed(rt, bundle):
    (bundle.rootfs / "trap").symlink_to("/proc/1/root")
    rt.run(bundle.mount("/trap/tmp", "tmpfs", "tmpfs").args("true"))


# --- CVE-2022-29162, crun CVE-2022-27650: inheritable capabilities ----------------------------

def cve_2022_29162_no_capability_is_inheritable_in_run_and_exec(rt, bundle):
    id = rt.start(bundle.args("sleep", "100"))
    for r in (rt.exec(id, "/bin/probe"), rt.exec(id, "/bin/probe", flags=["--cap", "CAP_NET_RAW"])):
        assert int(r.ok().json["status"]["CapInh"], 16) == 0
    assert int(rt.facts(bundle)["status"]["CapInh"], 16) == 0


def cve_2022_27650_exec_as_another_user_has_no_inheritable_capability(rt, bundle):
    id = rt.start(bundle.args("sleep", "100"))
    s = rt.exec(id, "/bin/probe", flags=["--user", "1000"]).ok().json["status"]
    assert [int(s[k], 16) for k in ("CapInh", "CapEff", "CapPrm", "CapAmb")] == [0] * 4


# --- CVE-2024-21626: a leaked descriptor of the host as working folder ------------------------

@pytest.mark.parametrize("number", range(3, 16))
def cve_2024_21626_a_descriptor_is_no_working_folder(rt, bundle, number):
    bundle.process["cwd"] = f"/proc/self/fd/{number}"
    r = rt.run(bundle.sh("pwd; ls ../../../../../../../../../boot"))
    assert r.rc > 0 and "vmlinuz" not in r.out, r


@pytest.mark.parametrize("number", range(3, 16))
def cve_2024_21626_exec_neither(rt, bundle, number):
    id = rt.start(bundle.args("sleep", "100"))
    r = rt.exec(id, "sh", "-c", "cat ../../../../../../../../../etc/hostname /proc/self/cwd/../../../../../boot/*", flags=["--cwd", f"/proc/self/fd/{number}"])
    assert r.rc > 0


def cve_2024_21626_a_link_to_a_descriptor_neither(rt, bundle):
    (bundle.rootfs / "trap").symlink_to("/proc/self/fd/7/../../..")
    bundle.process["cwd"] = "/trap"
    r = rt.run(bundle.sh("ls boot"))
    assert "vmlinuz" not in r.out


def cve_2024_21626_no_program_runs_from_a_descriptor(rt, bundle):
    for number in range(3, 12):
        r = rt.run(bundle.args(f"/proc/self/fd/{number}", "--version"))
        assert r.rc > 0, r


def no_descriptor_but_the_first_three_reaches_the_guest(rt, bundle):
    f = rt.facts(bundle)
    assert sorted(f["fds"]) == ["0", "1", "2"], f["fds"]
    id = rt.start(bundle.args("sleep", "100"))
    assert sorted(rt.exec(id, "/bin/probe").ok().json["fds"]) == ["0", "1", "2"]
    listed = os.listdir(f"/proc/{rt.pid(id)}/fd")
    assert sorted(listed) == ["0", "1", "2"]


def descriptors_of_the_caller_do_not_reach_the_guest(rt, bundle):
    bundle.args("/bin/probe").save()
    kept = [os.open("/etc/passwd", os.O_RDONLY) for _ in range(20)]
    for fd in kept:
        os.set_inheritable(fd, True)
    try:
        f = rt("run", "--bundle", bundle.path, rt.new_id(), close_fds=False).ok().json
    finally:
        [os.close(fd) for fd in kept]
    assert sorted(f["fds"]) == ["0", "1", "2"]


def a_created_container_that_waits_holds_nothing_of_the_host(rt, bundle):
    """Between create and start the waiting process must not keep folders of the host open."""
    id = rt.create(bundle)
    pid = rt.pid(id)
    for fd in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{fd}")
        assert not target.startswith(("/sys/fs/cgroup", str(bundle.path))), (fd, target)


@pytest.mark.parametrize("closed", [[0], [1], [2], [0, 1], [1, 2], [0, 1, 2]])
def streams_closed_by_the_caller_become_dev_null(rt, bundle, closed, work):
    bundle.sh("for i in 0 1 2; do readlink /proc/self/fd/$i; done > /result; ls /proc/self/fd >> /result").save()

    def close():
        for fd in closed:
            os.close(fd)
    with open(work / "o", "w") as o:
        rc = subprocess.run(rt.command("run", "--bundle", bundle.path, rt.new_id()), stdin=subprocess.DEVNULL, stdout=o, stderr=o,
                            preexec_fn=close, close_fds=False).returncode
    lines = (bundle.rootfs / "result").read_text().split()
    assert rc == 0
    for fd in set(closed) - {1}:
        assert lines[fd] == "/dev/null", lines


# --- CVE-2024-45310: files made on the host by a race with a shared volume --------------------

def cve_2024_45310_a_swapped_parent_makes_no_file_on_the_host(rt, bundle, work):
    import ctypes
    (work / "volume/spot").mkdir(parents=True)
    (work / "outside").mkdir()
    (work / "volume/link").symlink_to("../../../../../../../.." + str(work / "outside"))
    (work / "source").write_text("x")
    stop = threading.Event()

    def swap():
        libc = ctypes.CDLL(None)
        a, b = str(work / "volume/spot").encode(), str(work / "volume/link").encode()
        while not stop.is_set():
            libc.syscall(316, -100, a, -100, b, 2)
    thread = threading.Thread(target=swap)
    thread.start()
    try:
        bundle.mount("/volume", "bind", work / "volume", "bind")
        for i in range(8):
            bundle.mount(f"/volume/spot/a{i}/b/file", "bind", work / "source", "bind")
        for _ in range(15):
            rt.run(bundle.args("true"))
    finally:
        stop.set()
        thread.join()
    assert os.listdir(work / "outside") == []


# --- CVE-2025-31133: maskedPaths through a /dev/null that is none ------------------------------

@pytest.mark.parametrize("kind", ["link", "file", "folder", "fifo"])
def cve_2025_31133_a_false_dev_null_is_never_a_mask(rt, bundle, work, kind):
    """The image brings its own /dev, without a tmpfs over it, with a /dev/null that leads elsewhere."""
    bundle.spec["mounts"] = [m for m in bundle.spec["mounts"] if not m["destination"].startswith("/dev")]
    null = bundle.rootfs / "dev/null"
    {"link": lambda: null.symlink_to("/proc/sysrq-trigger"), "file": lambda: null.write_text("fake"),
     "folder": lambda: null.mkdir(), "fifo": lambda: os.mkfifo(null)}[kind]()
    bundle.linux["maskedPaths"] = ["/proc/kcore", "/proc/keys", "/etc/passwd"]
    r = rt.run(bundle.sh("cat /etc/passwd; stat -c %F,%t,%T /proc/keys; stat -c '%n %F' /dev/null"))
    if r.rc == 0:
        assert "root:" not in r.out and "fake" not in r.out, r
        assert "character special file,1,3" in r.out, "the mask is the real null device"


def cve_2025_31133_masks_are_the_null_device_of_the_host(rt, bundle):
    r = rt.run(bundle.sh("stat -c %t,%T /proc/kcore /proc/timer_list 2>/dev/null; head -c1 /proc/kcore | wc -c")).ok()
    assert set(r.out.split()[:-1]) == {"1,3"} and r.out.split()[-1] == "0"


# --- CVE-2025-52565: /dev/console through a /dev/pts/N that is none -----------------------------

def cve_2025_52565_dev_console_is_the_terminal_whatever_the_image_brings(rt, bundle, console):
    """The image has no tmpfs on /dev: /dev/pts/0 and /dev/console are links of its own."""
    bundle.process["terminal"] = True
    bundle.spec["mounts"] = [m for m in bundle.spec["mounts"] if not m["destination"].startswith("/dev")]
    (bundle.rootfs / "dev/pts").mkdir()
    (bundle.rootfs / "dev/pts/0").symlink_to("/proc/sys/kernel/core_pattern")
    (bundle.rootfs / "dev/console").symlink_to("/proc/sysrq-trigger")
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    r = rt.try_create(bundle.sh("stat -c 'console %F' /dev/console; sleep 100"), "--console-socket", console.path)
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before
    if r.rc == 0:
        console.receive()
        rt("start", rt.ids[-1]).ok()
        assert "console" in console.read_until("console")
        mounts = Path(f"/proc/{rt.pid(rt.ids[-1])}/mountinfo").read_text()
        assert " /proc/sysrq-trigger " not in mounts and " /proc/sys/kernel/core_pattern " not in mounts


# --- CVE-2025-52881: writes to sysctls and labels redirected to another file of procfs ----------

def cve_2025_52881_a_sysctl_write_lands_in_a_real_sysctl_or_nowhere(rt, bundle, work):
    """The image shadows /proc/sys/net/... with a link to a file of its own and of the host."""
    bundle.spec["mounts"] = [m for m in bundle.spec["mounts"] if m["destination"] != "/proc"]
    (bundle.rootfs / "proc/sys/net/ipv4").mkdir(parents=True)
    (bundle.rootfs / "trap").write_text("untouched")
    (bundle.rootfs / "proc/sys/net/ipv4/ip_forward").symlink_to("/trap")
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    bundle.linux["maskedPaths"], bundle.linux["readonlyPaths"] = [], []
    rt.run(bundle.args("true"))
    assert (bundle.rootfs / "trap").read_text() == "untouched"


def cve_2025_52881_the_write_has_its_effect_behind_a_false_proc(rt, bundle):
    """Fail closed: with the image's own /proc the value is set in the kernel, or create fails."""
    bundle.spec["mounts"] = [m for m in bundle.spec["mounts"] if m["destination"] != "/proc"]
    bundle.linux["maskedPaths"], bundle.linux["readonlyPaths"] = [], []
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    r = rt.try_create(bundle)
    if r.rc == 0:
        pid = rt.pid(rt.ids[-1])
        out = subprocess.run(["nsenter", "-t", str(pid), "-n", "cat", "/proc/sys/net/ipv4/ip_forward"], capture_output=True, text=True).stdout
        assert out == "1\n"


# --- the rest of the promises ---------------------------------------------------------------

def the_state_folder_is_closed_to_others(rt, bundle):
    id = rt.create(bundle)
    for path in [rt.root / id, *(rt.root / id).rglob("*")]:
        if not path.is_symlink():
            assert not path.stat().st_mode & 0o077 or path.is_socket(), (path, oct(path.stat().st_mode))


def the_waiting_process_is_not_dumpable_for_others(rt, bundle):
    """proc(5): the files of a process that may not be dumped belong to root, whoever runs it."""
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    id = rt.create(bundle)
    assert os.stat(f"/proc/{rt.pid(id)}/environ").st_uid == 0


def a_process_that_took_the_pid_is_never_signalled(rt, bundle):
    """State says pid and start time: a pid that another process has by now is not the container's."""
    import json
    id = rt.start(bundle.args("sleep", "100"))
    real = rt.pid(id)
    other = subprocess.Popen(["sleep", "100"])
    changed = 0
    for path in (rt.root / id).rglob("*.json"):
        text = os.readlink(path) if path.is_symlink() else path.read_text()
        if not re.search(rf'\b{real}\b', text):
            continue
        path.unlink()
        path.write_text(re.sub(rf'\b{real}\b', str(other.pid), text))
        changed += 1
    try:
        assert changed, "the state names the pid somewhere"
        rt("kill", id, "KILL")
        rt("delete", "--force", id)
        assert other.poll() is None, "a foreign process was killed"
    finally:
        other.kill()
        other.wait()
        os.kill(real, 9) if os.path.exists(f"/proc/{real}") else None


def the_environment_of_the_caller_does_not_steer_the_runtime(rt, bundle):
    f = rt.run(bundle.args("/bin/probe"), env={"LD_PRELOAD": "/nosuch.so", "_LIBCONTAINER_INITPIPE": "3", "PATH": "/nosuch"}).ok().json
    assert not [e for e in f["env"] if e.startswith(("LD_PRELOAD", "_LIBCONTAINER", "NOTIFY_SOCKET"))]


def a_root_that_is_the_hosts_root_is_refused_or_harmless(rt, bundle):
    before = Path("/proc/self/mountinfo").read_text()
    bundle.spec["root"] = {"path": "/", "readonly": True}
    bundle.spec["mounts"] = bundle.spec["mounts"][:1]
    rt.run(bundle.args("true"))
    assert Path("/proc/self/mountinfo").read_text() == before


def nothing_of_the_guest_is_mounted_on_the_host(rt, bundle):
    before = Path("/proc/self/mountinfo").read_text()
    rt.start(bundle.args("sleep", "100"))
    assert Path("/proc/self/mountinfo").read_text() == before


def a_device_that_is_not_what_it_claims_is_refused(rt, bundle):
    """A user namespace binds the host's nodes: a regular file in its place must not pass as a device."""
    bundle.user_namespace()
    fake = Path("/dev/vrun-test-fake")
    fake.write_text("not a device")
    try:
        bundle.linux["devices"] = [{"path": "/dev/vrun-test-fake", "type": "c", "major": 1, "minor": 3}]
        rt.run(bundle.args("true")).fails("/dev/vrun-test-fake")
    finally:
        fake.unlink()


@pytest.mark.parametrize("kind, key", [("network", "net.ipv4.ip_default_ttl"), ("ipc", "kernel.shmmni")])
def a_kernel_parameter_of_the_host_is_refused_though_its_namespace_is_named(rt, bundle, kind, key):
    path = Path("/proc/sys") / key.replace(".", "/")
    before = path.read_text()
    proc = {"network": "net"}.get(kind, kind)
    bundle.spec["linux"]["namespaces"] = [n for n in bundle.spec["linux"]["namespaces"] if n["type"] != kind]
    bundle.namespace(kind, f"/proc/{os.getpid()}/ns/{proc}")
    bundle.linux["sysctl"] = {key: str(int(before) + 1)}
    rt.run(bundle).fails("not allowed")
    assert path.read_text() == before


def a_host_name_of_the_host_is_refused_though_its_namespace_is_named(rt, bundle):
    bundle.spec["linux"]["namespaces"] = [n for n in bundle.spec["linux"]["namespaces"] if n["type"] != "uts"]
    bundle.namespace("uts", f"/proc/{os.getpid()}/ns/uts")
    bundle.spec["hostname"] = "taken-over"
    before = os.uname().nodename
    rt.run(bundle).fails("uts namespace of the host")
    assert os.uname().nodename == before


def a_filter_that_refuses_even_the_exit_leaves_nothing_running(rt, bundle):
    """A stage that cannot execute and cannot exit must not spin."""
    bundle.seccomp("SCMP_ACT_ERRNO", {"names": ["read", "write", "sendto", "sendmsg", "close"], "action": "SCMP_ACT_ALLOW"}, architectures=["SCMP_ARCH_X86_64"])
    assert rt.run(bundle.args("true")).rc != 0
    id = rt.create(bundle)
    assert rt("start", id).rc != 0
    rt.wait_stopped(id)


def a_caller_that_ignores_SIGCHLD_still_gets_exit_codes(rt, bundle):
    def ignore():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    bundle.hook("createRuntime", "exit 0")
    assert rt.run(bundle.sh("exit 3"), preexec_fn=ignore).rc == 3
    id = rt.start(bundle.args("sleep", "100"))
    assert rt("exec", id, "sh", "-c", "exit 5", preexec_fn=ignore).rc == 5
