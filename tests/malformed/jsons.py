"""Malformed JSON: what steps, bundles, tunes and benches leave, changed by hand or by a broken disk."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

from malformed.case import Case, Content, written
from recdistill.data.about import About, Names
from recdistill.distill.outputs import Fingerprints, OutputsReader
from recdistill.evaluation.stored import read_stored
from recdistill.experiments.bench.results import read_rows
from recdistill.reporting.collect import read_run
from recdistill.serving.bundle_files import read_bundle, read_catalog
from recdistill.storage.manifest import Memory, Timings
from recdistill.storage.step_files import read_manifest
from recdistill.storage.typed import read_typed
from recdistill.students.make import load_student

DEEP = 200_000
ANYHOW: dict[str, Content] = {
    "empty": "",
    "blank": " \n",
    "no text": b"\xff\xfe\x00",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "NULs": b"\0" * 64,
    "cut short": '{"fingerprint": "ab',
    "two values": "{} {}",
    "a trailing comma": '{"a": 1,}',
    "single quotes": "{'a': 1}",
    "a comment": '{"a": 1 /* one */}',
    "a list": "[]",
    "a number": "1",
    "a text": '"text"',
    "null": "null",
    "NaN": '{"a": NaN}',
    "infinity": '{"a": -Infinity}',
    "a number beyond all floats": '{"a": 1e999}',
    "a number of 5,000 digits": '{"a": ' + "9" * 5000 + "}",
    "a key twice": '{"a": 1, "a": 2}',
    "a lone surrogate": '{"a": "\\ud800"}',
    "a lone surrogate in bytes": b'{"a": "\xed\xa0\x80"}',
    "an escape sequence in bytes": b'{"a": "\x1b[2J"}',
    "many levels": lambda: b"[" * DEEP + b"]" * DEEP,
    "many levels of objects": lambda: b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "a pickle": b"\x80\x04\x95" + b"\0" * 40,
    "an unknown key": '{"nobody_knows": 1}',
    "an escape sequence in a key": '{"\\u001b[2J": 1}',
}
"""None of these is any of the files."""
MANIFEST = {"fingerprint": "f" * 16, "inputs": {}, "config": {}}
NAMES = {"item_ids": ["", "a"], "titles": ["", "A"]}
OUTPUTS = {
    "data": "d",
    "split": "s",
    "teacher": "t",
    "top_k": 2,
    "state_dim": 0,
    "shard_rows": 4,
    "rows": 0,
    "shards": 0,
    "bytes": 0,
}
MODEL = {"file": "m.onnx", "vectors": "v.npy", "max_length": 5, "embedding_dim": 4, "fingerprint": "", "int8_file": ""}
BUNDLE = {
    "name": "b",
    "fingerprint": "f",
    "form": 1,
    "version": "0",
    "made": "2026",
    "ids": "text",
    "num_items": 1,
    "exclude_seen": True,
    "inputs": {},
    "models": {"distilled": MODEL},
    "files": {},
    "int8": None,
    "notes": [],
}
SHAPE = {
    "num_items": 3,
    "model": "sasrec",
    "block": "sasrec",
    "embedding_dim": 4,
    "num_layers": 1,
    "num_heads": 1,
    "ffn_multiplier": 1,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "max_length": 5,
}
STORE = Fingerprints("d", "s", "t")
Reader = Callable[[Path], object]
READERS: dict[str, tuple[str, Reader]] = {
    "manifest": ("student/manifest.json", lambda folder: read_manifest(folder / "student")),
    "step": ("student/manifest.json", read_run),
    "timings": ("timings.json", lambda folder: read_typed(folder / "timings.json", Timings)),
    "memory": ("memory.json", lambda folder: read_typed(folder / "memory.json", Memory)),
    "catalog": ("catalog.json", lambda folder: read_typed(folder / "catalog.json", Names)),
    "data": ("data.json", lambda folder: read_typed(folder / "data.json", About)),
    "metrics": ("evaluation/metrics.json", read_stored),
    "outputs": ("outputs.json", lambda folder: OutputsReader(folder, STORE)),
    "student": ("student.json", load_student),
    "bundle": ("bundle.json", read_bundle),
    "bundle's catalog": ("catalog.json", read_catalog),
    "bench": ("results.jsonl", read_rows),
}


def case(reader: str, name: str, content: Content, said: str = "") -> Case:
    file, read = READERS[reader]
    return Case(f"{reader}: {name}", written(file, content), read, said)


def changed(reader: str, whole: dict[str, Any], name: str, said: str, **values: Any) -> Case:
    """A whole file with some other values; None takes a key away."""
    content = {key: value for key, value in (whole | values).items() if value is not None}
    return case(reader, name, json.dumps(content), said)


def held(name: str, said: str, **model: Any) -> Case:
    return changed("bundle", BUNDLE, name, said, models={"distilled": MODEL | model})


def file_of(name: str, path: str) -> Case:
    file = {"bytes": 1, "sha256": "0" * 64}
    listed = dict.fromkeys((path, "m.onnx", "v.npy", "catalog.json"), file)
    return changed("bundle", BUNDLE, name, "is not one of the bundle's own files", files=listed)


TYPED = [
    changed("manifest", MANIFEST, "no fingerprint", "fingerprint: missing", fingerprint=None),
    changed("manifest", MANIFEST, "a number as fingerprint", "fingerprint: 1 is not a text", fingerprint=1),
    changed("manifest", MANIFEST, "settings in a list", "config: [] is not an object", config=[]),
    changed("manifest", MANIFEST, "inputs of numbers in lists", "inputs.a", inputs={"a": [1]}),
    changed("manifest", MANIFEST, "truth as seconds", "seconds: True is not a number", seconds=True),
    changed("manifest", MANIFEST, "half a count", "attempts: 1.5 is not a whole number", attempts=1.5),
    changed("catalog", NAMES, "ids that are numbers", "item_ids.1", item_ids=["", 1]),
    changed("catalog", NAMES, "titles in an object", "titles", titles={"a": "A"}),
    changed("outputs", OUTPUTS, "other data", "other data", data="x"),
    changed("outputs", OUTPUTS, "another teacher", "other teacher", teacher="x"),
    changed("outputs", OUTPUTS, "lists of no items", "out of range", top_k=0),
    changed("outputs", OUTPUTS, "lists of fewer than no items", "", top_k=-1),
    changed("outputs", OUTPUTS, "a number as text", "rows", rows="0"),
    changed("bundle", BUNDLE, "another form", "a bundle of form 2", form=2),
    changed("bundle", BUNDLE, "no files", "is not one of the bundle's own files"),
    changed("bundle", BUNDLE, "files in a list", "not as", files=[]),
    changed("bundle", BUNDLE, "a file of no size", "not as", files={"a": {}}),
    changed("bundle", BUNDLE, "models in a list", "not as", models=[]),
    changed("bundle", BUNDLE, "seen as text", "not as", exclude_seen="yes"),
    changed("bundle", BUNDLE, "one key more", "nobody is not known", nobody=1),
    held("a graph outside", "not one of the bundle's own files", file="../m.onnx"),
    held("a graph anywhere", "not one of the bundle's own files", file="/etc/passwd"),
    held("a graph that is no text", "not as", file=1),
    held("a graph with a NUL", "not one of the bundle's own files", file="m\0.onnx"),
    held("vectors outside", "not one of the bundle's own files", vectors="a/../../v.npy"),
    held("a history of no items", "not as", max_length=0),
    held("a history of half an item", "not as", max_length=0.5),
    file_of("a file outside", "../outside.txt"),
    file_of("a file anywhere", "/etc/passwd"),
    file_of("a file that is the folder above", ".."),
    file_of("a file that is the folder", "."),
    file_of("a file without a name", ""),
    file_of("a hidden file", ".profile"),
    file_of("a file in a folder", "a/b"),
    file_of("a file with a backslash", "a\\b"),
    file_of("a file with a NUL", "a\0b"),
    file_of("a file with an escape sequence", "a\x1b[2J"),
    changed("bundle's catalog", NAMES | {"counts": [0, 1]}, "fewer titles", "not of the same number", titles=[""]),
    changed("bundle's catalog", NAMES | {"counts": [0, 1]}, "ids that are numbers", "ids and titles", item_ids=[0, 1]),
    changed("bundle's catalog", NAMES | {"counts": [0, 1]}, "truth as a count", "whole numbers", counts=[0, True]),
    changed("bundle's catalog", NAMES | {"counts": [0, 1]}, "no counts", "not as", counts=None),
    changed("student", SHAPE, "an unknown model", "model", model="bert4rec"),
    changed("student", SHAPE, "a text as width", "embedding_dim", embedding_dim="4"),
    changed("student", SHAPE, "no number of items", "num_items", num_items=None),
]
GOOD = {("bench", "empty")}
"""No rows yet."""
CASES = [case(*pair, ANYHOW[pair[1]]) for pair in product(READERS, ANYHOW) if pair not in GOOD] + TYPED
