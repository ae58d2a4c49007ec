"""Fixtures of every integration test: the runtime under test, a fresh bundle, and the leak check."""
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import bundle as bundles  # noqa: E402
from harness import leaks, runtime  # noqa: E402


@pytest.fixture(scope="session")
def place():
    """A folder for everything of this run; others may search it, so that user namespaces reach it."""
    folder = Path(tempfile.mkdtemp(prefix="vrun-it."))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def work(place):
    """A folder for one test."""
    folder = Path(tempfile.mkdtemp(dir=place))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def rt(work):
    """The runtime with a state root of its own; after the test nothing may be left of it."""
    (work / "state").mkdir(mode=0o711)
    before = leaks.snapshot(work / "state")
    it = runtime.Runtime(runtime.path(), work / "state")
    yield it
    it.clean_up()
    lines = leaks.settle(before, it.root)
    if lines:
        leaks.remove_leaks(before, it.root)
        pytest.fail("\n".join(lines), pytrace=False)


@pytest.fixture
def bundle(work):
    return bundles.Bundle(work / "bundle")


@pytest.fixture
def another_bundle(work):
    """Makes more bundles."""
    count = iter(range(1, 1000))
    return lambda: bundles.Bundle(work / f"bundle{next(count)}")


@pytest.fixture
def console(work):
    it = runtime.ConsoleSocket(work)
    yield it
    it.close()


def pytest_collection_modifyitems(config, items):
    """In the lab, which is slow, only the tests of lab_tests.txt run unless others are named."""
    from fnmatch import fnmatch

    from harness import host
    if host.kind() != "lab" or os.environ.get("VRUN_TEST_LAB_ALL") or config.getoption("keyword") or config.getoption("file_or_dir"):
        return
    patterns = [line.strip() for line in (Path(__file__).parent / "lab_tests.txt").read_text().splitlines() if line.strip() and line[0] != "#"]
    kept = [i for i in items if any(fnmatch(i.nodeid, p) for p in patterns)]
    config.hook.pytest_deselected(items=[i for i in items if i not in kept])
    items[:] = kept
