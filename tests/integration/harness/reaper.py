"""Runs a command and collects every orphan below it, as the first process of a machine does.

A container's process that is never collected keeps its pid namespace alive, so somebody has to.
When the command has ended, what is left of its descendants is killed.
"""
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from harness import leaks  # noqa: E402


def main(command):
    leaks.become_subreaper()
    os.environ["VRUN_TEST_REAPER"] = str(os.getpid())
    for s in (signal.SIGINT, signal.SIGQUIT):  # a shell's background job has them ignored
        signal.signal(s, signal.SIG_DFL)
    child = os.spawnvp(os.P_NOWAIT, command[0], command)

    def pass_on(number, _):
        try:
            os.kill(child, number)
        except ProcessLookupError:
            pass
    for s in (signal.SIGINT, signal.SIGTERM):
        signal.signal(s, pass_on)
    code = None
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            return code
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
        if code is not None:
            for left in leaks.descendants():
                try:
                    os.kill(left, signal.SIGKILL)
                except ProcessLookupError:
                    pass


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.exit(code if code >= 0 else 128 - code)
