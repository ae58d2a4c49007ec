"""The published JSON Schema and the strict reader say the same of every field and of hundreds of wrong documents."""
import json
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest

from harness import runtime

# What the reader refuses and a schema has no words for. Each must happen, or it does not belong here.
BEYOND_A_SCHEMA = {
    r"there is no (Network|Volume|Secret|Config|Guest|guest or job) ": "names of other documents",
    r" has no probes, so it is never healthy": "another document's fields",
    r" is here twice$": "two NAME=VALUE of one NAME",
    r"a circle: ": "documents that wait for each other",
    r"schedule: (?!should be)": "the arithmetic of cron(5)",
    r"'9-8(/\w+)?' is not a port such": "a range's end before its beginning",
}

TEXTS = ["", "x", "-x", "a/b", "a b", "..", "...", ".x", "/", "/x", "/x/../y", "/x/..", "/.x/..y", "x:y", "A=1", "=1", "A=", "64m", "64MiB", "5x", "1.5",
         "1.", ".5", "1.5g", "1m30s", "500ms", "10q", "m", "100M", "7k", "8k", "7999", "2000G", "80", "0", "65535", "65536", "80:80", "0:80", "80:65536",
         "127.0.0.1::80", "[::1]:80:80", "80/udp", "80/icmp", "80-90:80-90", "9-8", "true", "yes", "host", "private", "container:a", "container:", "-1",
         "x" * 63, "x" * 64]
OTHERS = [0, 1, -1, 2, 1.5, 1000, 9000, 70000, True, False, [], ["a"], [1], [True], [[1]], [{}], ["A=1"], ["A=1", "A=2"], ["80"], [80], [0], ["=x"],
          {}, {"a": "b"}, {"a": 1}, {"a": {}}, {"a": []}, {"a=b": "c"}, {"": "x"}, {"a/b": "c"}, {"..": "x"}, {".a": "x"}, {"a": "healthy"}, {"a": "well"}]


@pytest.fixture(scope="module")
def program():
    return Path(runtime.path()).resolve().with_name("vrun-manifest")


@pytest.fixture(scope="module")
def schema(program, tmp_path_factory):
    path = tmp_path_factory.mktemp("schema") / "schema.json"
    subprocess.run([program, "schema", path], check=True, timeout=60)
    text = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(text)
    return text


def _faults(program, documents):
    """{place in documents: faults}; JSON is YAML."""
    found = {}
    for first in range(0, len(documents), 400):
        files = [{"name": f"d{first + i}", "text": json.dumps(document)} for i, document in enumerate(documents[first:first + 400])]
        done = subprocess.run([program, "read"], input=json.dumps({"files": files}).encode(), stdout=subprocess.PIPE, check=False, timeout=120)
        for line in json.loads(done.stdout).get("faults", []):
            found.setdefault(int(re.match(r"d(\d+)", line).group(1)), []).append(line)
    return found


def _paths(schema, path=()):
    """The places of all fields below an object's schema; a list's elements are its first one."""
    for name, field in schema.get("properties", {}).items():
        if path or name not in ("apiVersion", "kind", "name"):
            yield (*path, name), field
        yield from _paths(field, (*path, name))
        yield from _paths(field.get("items", {}), (*path, name, 0))


def _least(schema):
    """The smallest value that is right: required fields alone."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "properties" in schema:
        value = {name: _least(schema["properties"][name]) for name in schema["required"]}
        for way in schema.get("oneOf", [])[:1]:
            value.update({name: _least(schema["properties"][name]) for name in way["required"]})
        return value
    if schema.get("type") == "array":
        return [_least(schema["items"])] if "properties" in schema["items"] else []
    if schema.get("type") == "object":
        return {}
    for value in ["@daily", *TEXTS, *OTHERS]:
        if jsonschema.Draft202012Validator(schema).is_valid(value):
            return value
    raise AssertionError(f"no value fits {schema}")


def _with(document, schema, path, value):
    """The document with `value` at `path`; what lies on the way is made as small as it may be."""
    here, at = document, schema
    for word, following in zip(path, (*path[1:], None)):
        at = at["items"] if word == 0 else at["properties"][word]
        if following is None:
            here[word] = value
        elif word == 0:
            here = here[0]
        else:
            if here.get(word) in (None, []):
                here[word] = [_least(at["items"])] if following == 0 else _least(at)
            if at.get("oneOf"):  # exactly one of them
                for way in [name for one in at["oneOf"] for name in one["required"] if name != following and following in {n for o in at["oneOf"] for n in o["required"]}]:
                    here[word].pop(way, None)
            here = here[word]
    return document


def _compare(program, validator, documents):
    """Both verdicts on each document; the rules beyond a schema that were met."""
    faults, met, differences = _faults(program, documents), set(), []
    for i, document in enumerate(documents):
        left = []
        for line in faults.get(i, []):
            rules = [rule for rule in BEYOND_A_SCHEMA if re.search(rule, line)]
            met.update(rules)
            left += [] if rules else [line]
        if validator(document).is_valid(document) != (not left):
            differences.append(f"{json.dumps(document)}: the reader says {left or 'it is right'}")
    assert not differences, f"{len(differences)} of {len(documents)}:\n" + "\n".join(differences[:40])
    return met


def _validator(schema):
    kinds = {kind: jsonschema.Draft202012Validator(field) for kind, field in schema["$defs"].items()}
    return lambda document: kinds[document["kind"]]


def _kind_documents(schema, kind):
    """Each field with each value of the pools; each object without each required field, and with one that is unknown."""
    rules = schema["$defs"][kind]
    number = iter(range(10**6))
    small = lambda: {**_least(rules), "name": f"n{next(number)}"}  # noqa: E731
    yield small()
    for path, field in _paths(rules):
        for value in [*TEXTS, *OTHERS]:
            yield _with(small(), rules, path, value)
        nested = field if "properties" in field else field.get("items", {}) if "properties" in field.get("items", {}) else None
        for name in [] if nested is None else [*nested["required"], "nothing"]:
            value = _least(nested)
            value.pop(name, None) if name != "nothing" else value.update(nothing=1)
            yield _with(small(), rules, path, value if nested is field else [value])
    for name in rules["required"]:
        if name not in ("kind", "name", "apiVersion"):
            document = small()
            del document[name]
            yield document
    yield {**small(), "nothing": 1}


@pytest.mark.parametrize("kind", ["Tenant", "Network", "Volume", "Secret", "Config", "Guest", "Group", "Job", "CronJob"])
def the_schema_and_the_reader_say_the_same(program, schema, kind):
    documents = list(_kind_documents(schema, kind))
    assert len(documents) > 80 and kind in schema["$defs"]
    _compare(program, _validator(schema), documents)


def heads_that_are_none_are_refused_by_both(program, schema):
    whole = jsonschema.Draft202012Validator(schema)
    least = {"apiVersion": "vrun/v1", "kind": "Volume", "name": "a"}
    documents = [{**least, key: value} for key in least for value in [*TEXTS, *OTHERS] if value not in ("x", "x" * 63) or key != "name"]
    documents += [{k: v for k, v in least.items() if k != key} for key in least]
    for i, document in enumerate(documents):  # each alone: names may come twice
        assert whole.is_valid(document) == (not _faults(program, [document])), document


def each_rule_beyond_a_schema_is_needed(program, schema):
    guest = {"apiVersion": "vrun/v1", "kind": "Guest", "image": "x"}
    cron = {"apiVersion": "vrun/v1", "kind": "CronJob", "job": {"image": "x"}}
    documents = [{**guest, "name": "a", "network": "no"}, {**guest, "name": "b", "dependsOn": {"a": "healthy"}}, {**guest, "name": "c", "env": ["A=1", "A=2"]},
                 {**guest, "name": "d", "dependsOn": {"d": "started"}}, {**cron, "name": "e", "schedule": "x"}, {**guest, "name": "f", "ports": ["9-8"]}]
    assert _compare(program, _validator(schema), documents) == set(BEYOND_A_SCHEMA)
