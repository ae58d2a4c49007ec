"""The architecture as a test: include direction, forbidden words and calls, the child's purity, the programs.

The layer table is read from docs/architecture.md, so the page and the tree cannot drift apart.
VRUN_BUILD names the build whose programs are looked at (build/release)."""
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("VRUN_BUILD", ROOT / "build/release"))
PAGE = (ROOT / "docs/architecture.md").read_text()
SUFFIXES = (".cpp", ".hpp", ".c", ".h", ".S")
OURS = (*SUFFIXES, ".py", ".md", ".txt", ".cmake", ".json", ".in")


def _layers() -> dict:
    """folder -> row of the layer table."""
    rows = {}
    for level, names in re.findall(r"^L(\d)\s+(.+)$", PAGE, re.M):
        for name in re.findall(r"[a-z]+", names):
            rows[name] = int(level)
    assert rows.get("base") == 0 and rows.get("cli") == max(rows.values()), "the layer table of docs/architecture.md is readable"
    return rows


def _tracked() -> list:
    """Every file of the project, whether git knows it yet or not."""
    done = subprocess.run(["git", "-C", ROOT, "-c", f"safe.directory={ROOT}", "ls-files", "--cached", "--others", "--exclude-standard"],
                          capture_output=True, text=True, check=True)
    return [ROOT / line for line in done.stdout.splitlines() if (ROOT / line).is_file()]


FILES = _tracked()
SOURCES = [f for f in FILES if f.suffix in SUFFIXES and f.relative_to(ROOT).parts[0] in _layers()]


def _code_of(path) -> str:
    """The file without comments and texts, so that words in them do no harm."""
    text = path.read_text()
    text = re.sub(r'"(\\.|[^"\\\n])*"', '""', text)
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)


def _lines(pattern, files, text=_code_of):
    return [f"{f.relative_to(ROOT)}: {m.group(0).strip()}" for f in files for m in re.finditer(pattern, text(f))]


def includes_point_downwards_only():
    rows, wrong = _layers(), []
    for f in SOURCES:
        own = f.relative_to(ROOT).parts[0]
        for name in re.findall(r'#include "([^"]+)"', f.read_text()):
            other = name.split("/")[0]
            if other in rows and other != own and rows[other] >= rows[own]:
                # L1: the program of the stage may carry documents; folders of one row else do not know each other.
                wrong.append(f"{f.relative_to(ROOT)} (L{rows[own]}) includes {name} (L{rows[other]})")
    assert not wrong, "\n".join(wrong)


def own_headers_are_included_by_their_path_from_the_root():
    wrong = []
    for f in SOURCES:
        for name in re.findall(r'#include "([^"]+)"', f.read_text()):
            if not ((ROOT / name).exists() or name.endswith((".inc", ".pb.h")) or list(BUILD.rglob(f"generated/{name}"))):
                wrong.append(f"{f.relative_to(ROOT)}: {name}")
    assert not wrong, "\n".join(wrong)


# Words of one version of cgroups; where the documents of others name them, the reason is here.
VERSION_WORDS = r"\b(cgroup_?v1|v1|legacy|hybrid|unified)\b"
WORDS_OF_DOCUMENTS = {
    "oci": "linux.resources.unified and linux.cgroup.v1 are fields of the documents",
    "cli/oci_features.cpp": "the document of features has linux.cgroup.v1",
    "cli/oci_json.cpp": "the document of features has linux.cgroup.v1",
}


def the_words_of_cgroup_versions_stay_below_cgroups():
    wrong = []
    for f in SOURCES:
        name = str(f.relative_to(ROOT))
        if name.startswith("cgroups/") or any(name == k or name.startswith(k + "/") for k in WORDS_OF_DOCUMENTS):
            continue
        wrong += _lines(VERSION_WORDS, [f])
    assert not wrong, "\n".join(wrong)


FORBIDDEN = {
    "system()": r"(?<![\w.:>])(?<!\w )(::|std::)?system\s*\(", "popen()": r"(?<![\w.:>])(::)?popen\s*\(", "std::regex": r"std::regex|<regex>",
    "iostream": r"<iostream>|std::c(out|err|in)\b", "gets/strcpy/sprintf": r"(?<![\w.:>])(gets|strcpy|strcat|sprintf|mktemp|tmpnam)\s*\(",
    "using namespace in a header": None,
}


@pytest.mark.parametrize("what", [w for w in FORBIDDEN if FORBIDDEN[w]])
def calls_that_are_forbidden_do_not_occur(what):
    assert not (found := _lines(FORBIDDEN[what], SOURCES)), "\n".join(found)


def headers_have_no_using_namespace():
    assert not (found := _lines(r"^\s*using namespace [^;]+;", [f for f in SOURCES if f.suffix == ".hpp"])), "\n".join(found)


def headers_say_what_they_promise():
    """Every header starts with a paragraph, and is included once."""
    wrong = [str(f.relative_to(ROOT)) for f in SOURCES if f.suffix == ".hpp"
             and not (f.read_text().startswith("//") and "#pragma once" in f.read_text())]
    assert not wrong, "\n".join(wrong)


def no_folder_or_file_is_a_drawer():
    names = re.compile(r"^(utils?|helpers|common|misc|managers?|stuff)(\.|$)")
    wrong = [str(f.relative_to(ROOT)) for f in FILES if any(names.match(part) for part in f.relative_to(ROOT).parts)]
    assert not wrong, "\n".join(wrong)


def texts_have_no_tabs_carriage_returns_or_trailing_blanks():
    wrong = []
    for f in FILES:
        if f.suffix not in OURS and f.suffix:
            continue
        if {"corpus", "data"} & set(f.parts):
            continue
        data = f.read_bytes()
        if b"\0" in data:
            continue
        for what, found in (("carriage return", b"\r" in data), ("tab", b"\t" in data), ("trailing blanks", re.search(rb"[ \t]+$", data, re.M)),
                            ("no newline at the end", data and not data.endswith(b"\n"))):
            if found:
                wrong.append(f"{f.relative_to(ROOT)}: {what}")
    assert not wrong, "\n".join(wrong)


# --- the child -----------------------------------------------------------------------------

CHILD = [f for f in SOURCES if f.name.endswith(("_child.cpp", "_child.hpp"))]
ALLOWED_INCLUDES = re.compile(r'^(<(linux|asm|asm-generic)/[\w./-]+>|<stddef\.h>|<stdint\.h>|"[\w/]+_child\.hpp"|"steps/(ops|child)\.hpp")$')


def the_child_includes_nothing_but_kernel_headers_and_its_own():
    wrong = []
    for f in CHILD:
        for name in re.findall(r'^\s*#include\s+(\S+)', f.read_text(), re.M):
            if not ALLOWED_INCLUDES.match(name):
                wrong.append(f"{f.relative_to(ROOT)}: {name}")
    for f in (ROOT / "steps/ops.hpp", ROOT / "steps/child.hpp"):
        for name in re.findall(r'^\s*#include\s+(\S+)', f.read_text(), re.M):
            if not (ALLOWED_INCLUDES.match(name) or name.startswith('"base/raw_child')):
                wrong.append(f"{f.relative_to(ROOT)}: {name}")
    assert CHILD and not wrong, "\n".join(wrong)


def the_child_allocates_throws_and_prints_nothing():
    pattern = r"\bnew\b(?!\s*line)|(?<!= )\bdelete\b|\bthrow\b|\btry\b|std::|\bstatic\s+(?!constexpr|const\b|inline|_?assert|void|bool|int|long|unsigned|char|Result|auto|size_t)\w+[^()\n]*=|printf"
    assert not (found := _lines(pattern, [f for f in CHILD if f.suffix == ".cpp"])), "\n".join(found)


@pytest.fixture
def stage():
    path = BUILD / "stage/vrun-stage"
    assert path.exists(), f"{path} is built"
    return path


def _readelf(*args):
    return subprocess.run(["readelf", "-W", *map(str, args)], capture_output=True, text=True, check=True).stdout


def the_stage_has_no_interpreter_no_relocations_and_no_undefined_symbols(stage):
    assert "INTERP" not in _readelf("-l", stage)
    assert "There are no relocations" in _readelf("-r", stage)
    assert "NEEDED" not in _readelf("-d", stage)
    undefined = [line for line in _readelf("-s", stage).splitlines() if " UND " in line and line.split()[-1] != "UND"]
    assert not undefined, "\n".join(undefined)


def the_stage_is_small_and_has_no_writable_code(stage):
    assert stage.stat().st_size < 80_000, stage.stat().st_size
    for line in _readelf("-l", stage).splitlines():
        if line.strip().startswith(("LOAD", "GNU_STACK")):
            assert "RWE" not in line, line


# --- the programs ---------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["vrun", "vrun-oci"])
def the_programs_of_the_hot_path_are_static(name):
    path = BUILD / "bin" / name
    assert path.exists(), f"{path} is built"
    done = subprocess.run(["ldd", path.resolve()], capture_output=True, text=True)
    assert "statically linked" in done.stdout + done.stderr or "not a dynamic" in done.stdout + done.stderr, done.stdout
    assert "INTERP" not in _readelf("-l", path)
    headers = _readelf("-hl", path)
    assert "DYN" in headers, "position independent"
    assert "GNU_RELRO" in headers and not re.search(r"GNU_STACK.*RWE", headers)


def the_programs_carry_no_path_of_the_machine_they_were_built_on():
    for name in ("vrun",):
        data = (BUILD / "bin" / name).read_bytes()
        assert str(ROOT).encode() not in data, f"{name} names {ROOT}"


# --- docs ------------------------------------------------------------------------------------

def the_folder_list_of_the_architecture_page_is_that_of_the_tree():
    listed = set(re.findall(r"^\| `([a-z]+)` \|", PAGE, re.M))
    real = {f.relative_to(ROOT).parts[0] for f in FILES if len(f.relative_to(ROOT).parts) > 1}
    real = {name for name in real if not name.startswith(".")}
    assert listed == real, f"only on the page: {sorted(listed - real)}; only in the tree: {sorted(real - listed)}"


def links_of_the_pages_lead_somewhere():
    wrong = []
    for page in [f for f in FILES if f.suffix == ".md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            if not (page.parent / target).exists():
                wrong.append(f"{page.relative_to(ROOT)}: {target}")
    assert not wrong, "\n".join(wrong)


def every_example_block_says_how_it_is_tested():
    """<!-- test: needs-root -->, needs-user or skip REASON before each block of shell."""
    wrong = []
    for page in [f for f in FILES if f.suffix == ".md"]:
        lines = page.read_text().splitlines()
        for i, line in enumerate(lines):
            if line.strip() in ("```sh", "```bash", "```console") and not re.match(r"<!-- test: (needs-root|needs-user|skip .+) -->", lines[i - 1] if i else ""):
                wrong.append(f"{page.relative_to(ROOT)}:{i + 1}")
    assert not wrong, "\n".join(wrong)


def decisions_are_numbered_and_complete():
    pages = sorted((ROOT / "docs/decisions").glob("*.md"))
    numbers = [int(p.name[:3]) for p in pages]
    assert numbers == list(range(1, len(pages) + 1)), numbers
    for page in pages:
        words = page.read_text().lower()
        assert all(w in words for w in ("context", "choice", "price", "revisit")), page.name


def every_unit_test_folder_links_just_its_folder():
    for lists in (ROOT / "tests/unit").glob("*/CMakeLists.txt"):
        for folder in re.findall(r"vrun_unit_test\((\w+)", lists.read_text()):
            assert folder == lists.parent.name, lists


def the_project_names_no_machine_session_or_tool_of_its_making():
    pattern = re.compile(r"/work/(main|shared|\.library)|\b(claude|chatgpt|copilot|anthropic|openai)\b", re.I)
    wrong = [f"{f.relative_to(ROOT)}: {m.group(0)}" for f in FILES if f.name != Path(__file__).name and f.suffix in OURS + ("",) and "corpus" not in f.parts
             for m in pattern.finditer(f.read_text(errors="replace"))]
    assert not wrong, "\n".join(wrong)
