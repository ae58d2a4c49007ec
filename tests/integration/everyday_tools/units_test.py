"""The units of systemd that are installed: systemd takes each of them without a word."""
import re
import subprocess
from pathlib import Path

import pytest
from harness import host, runtime

UNITS = sorted((Path(__file__).resolve().parents[3] / "tools/systemd").iterdir())


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def the_unit_is_one(unit, work):
    host.need("systemd-analyze")
    programs = Path(runtime.path()).resolve().parent
    for one in UNITS:
        text = re.sub(r"^ExecStart=(vrun\S*)", rf"ExecStart={programs}/\1", one.read_text(), flags=re.M)
        (work / one.name).write_text(text)
    verdict = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=one", work / unit.name], capture_output=True, text=True)
    told = "".join(line for line in (verdict.stdout + verdict.stderr).splitlines(True) if unit.name in line)
    assert (verdict.returncode, told) == (0, "")
    assert unit.suffix == ".socket" or f"ExecStart={programs}/" in (work / unit.name).read_text()
