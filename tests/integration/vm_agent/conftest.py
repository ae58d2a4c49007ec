"""The agent of micro-VMs without a machine: on a unix socket, with the test's BusyBox tree as the guest's root."""
import copy
import subprocess
from pathlib import Path

import pytest
from harness import agent_frames as wire
from harness import bundle as bundles
from harness import leaks, runtime
from harness.runtime import wait_for


class Agent:
    def __init__(self, program, work):
        self.socket = work / "agent"
        self.root = bundles.make_rootfs(work / "rootfs")
        self.process = subprocess.Popen(
            [program, "--no-boot", f"--listen-unix={self.socket}", f"--root={self.root}", f"--state={work / 'state'}"],
            stdin=subprocess.DEVNULL)
        wait_for(self.socket.exists, "the agent to listen")

    def client(self, **options):
        return wire.Client(self.socket, **options)

    def spec(self, *args, **process):
        spec = copy.deepcopy(bundles.DEFAULT)
        spec["process"]["args"] = list(args)
        spec["process"].update(process)
        return spec

    def run(self, *args, **process):
        """A client whose guest process has been asked for."""
        return self.client().ask(wire.RUN, {"spec": self.spec(*args, **process)})

    def started(self, *args, **process):
        client = self.run(*args, **process)
        type, content = client.frame()
        assert type == wire.STARTED, content
        return client

    def exec(self, *args, **more):
        return self.client().ask(wire.EXEC, {"args": list(args), **more})


@pytest.fixture
def agent(work):
    program = Path(runtime.path()).resolve().parent / "vrun-guest"
    (work / "state").mkdir()
    before = leaks.snapshot(work / "state")
    it = Agent(program, work)
    yield it
    it.process.kill()
    it.process.wait(10)
    cleaner = runtime.Runtime(runtime.path(), work / "state")
    cleaner("delete", "--force", "guest")
    lines = leaks.settle(before, cleaner.root)
    if lines:
        leaks.remove_leaks(before, cleaner.root)
        pytest.fail("\n".join(lines), pytrace=False)
