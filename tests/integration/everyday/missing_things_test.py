"""Every verb that is given something that is not there ends with 125, and says what is missing."""
import re
import subprocess

import pytest

from harness import everyday

# What each verb is asked, and what it says; a verb that is not here is asked for "nosuch".
GUEST = "no such guest 'nosuch'"
IMAGE = "nosuch"
MISSING = {
    **{verb: (["nosuch"], GUEST) for verb in (
        "start", "stop", "restart", "kill", "rm", "inspect", "logs", "attach", "wait", "top", "pause", "unpause", "port",
        "diff", "export", "debug")},
    "stats": (["--no-stream", "nosuch"], GUEST),
    "exec": (["nosuch", "true"], GUEST),
    "rename": (["nosuch", "other"], GUEST),
    "update": (["--pids-limit", "5", "nosuch"], GUEST),
    "cp": (["nosuch:/etc/passwd", "-"], GUEST),
    "commit": (["nosuch", "image"], GUEST),
    "run": (["--rm", "--pull", "never", "nosuch"], IMAGE),
    "create": (["--pull", "never", "nosuch"], IMAGE),
    "plan": (["nosuch"], IMAGE),
    "push": (["nosuch", "127.0.0.1:1/x"], IMAGE),
    "pull": (["127.0.0.1:1/nosuch"], IMAGE),
    **{verb: (["nosuch"], IMAGE) for verb in (
        "rmi", "image rm", "save", "image inspect", "history", "image history", "network inspect", "network rm", "volume inspect",
        "volume rm", "tenant show", "tenant usage", "tenant freeze", "tenant thaw", "tenant stop", "tenant rm")},
    "tag": (["nosuch", "other"], IMAGE), "image tag": (["nosuch", "other"], IMAGE),
    "network connect": (["default", "nosuch"], "nosuch"), "network disconnect": (["default", "nosuch"], "nosuch"),
    "tenant update": (["nosuch", "--pids", "5"], IMAGE),
    "completion": (["nosuch"], "no completions for 'nosuch'"),
    "image build-disk": (["--from", "/nosuch", "-o", "/tmp/nosuch.raw"], "/nosuch"),
    "load": (["-i", "/nosuch"], "/nosuch"), "import": (["/nosuch", "x"], "/nosuch"), "logout": (["nosuch.invalid"], "nosuch"),
    "apply": (["-f", "/nosuch"], "/nosuch"), "delete": (["-f", "/nosuch"], "/nosuch"),
    "events": (["--filter", "nosuch=x", "--until", "0s"], "nosuch"),
}
# These take the name of nothing that there is, or answer with codes of their own (docs/everyday.md).
OTHERS = {"container prune", "ps", "info", "version", "doctor", "images", "image ls", "login", "image prune", "image fsck", "system df",
          "system prune", "network create", "network ls", "network prune", "volume create", "volume ls", "volume prune", "tenant create",
          "tenant ls", "tenant top", "metrics", "validate", "convert", "oci"}


@pytest.fixture
def vrun(work):
    with everyday.fresh(work) as it:
        yield it


def _verbs(vrun):
    lines = re.search(r"verbs:\n(.*?)\n\n", vrun("--help").ok().out, re.S).group(1).splitlines()
    return [re.match(r"  ((?:container|image|system|network|volume|tenant|secret|snapshot|manifest) \S+|\S+)", line).group(1) for line in lines]


def every_verb_fails_alike_on_what_is_not_there(vrun):
    wrong = []
    verbs = _verbs(vrun)
    assert len(verbs) > 60 and set(MISSING) <= set(verbs)
    for verb in verbs:
        if verb in OTHERS:
            continue
        words, text = MISSING.get(verb, (["nosuch"], "nosuch"))
        done = vrun(*verb.split(), *words)
        if done.rc != 125 or text not in done.err or not done.err.startswith(("vrun: ", "pulling ", "pushing ")):
            wrong.append(f"{verb}: {done!r}")
    assert not wrong, "\n".join(wrong)


def too_few_descriptors_are_an_error_not_a_shorter_list(vrun):
    vrun("create", "--name", "a", "--network", "none", "base").ok()
    for words in ("ps -a", "images", "run --rm --network none base true"):
        done = subprocess.run(["sh", "-c", f"ulimit -n 8; exec {vrun.program} {words}"], env=vrun.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 125 and done.stdout == "", done
        assert done.stderr == "vrun: only 8 open files are allowed to this process, vrun needs 64\n  hint: raise the limit: ulimit -n 1024\n"
    vrun("rm", "a").ok()


def one_of_several_that_is_missing_makes_the_same_code(vrun):
    for name in ("a", "b"):
        vrun.detached("sleep 1000", "--name", name, "--network", "none")
    assert vrun("inspect", "a", "nosuch").fails(GUEST, rc=125).json[0]["name"] == "a"
    assert vrun("stop", "-t", "0", "nosuch", "a").fails(GUEST, rc=125).out == "a\n"
    assert vrun("rm", "a", "nosuch").fails(GUEST, rc=125).out == "a\n"
    vrun("rm", "-f", "nosuch").ok()
    assert vrun("wait", "nosuch").fails(GUEST, rc=125).out == ""
    vrun("rm", "-f", "b").ok()
