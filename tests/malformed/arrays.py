"""Malformed arrays: prepared data, shards of the teacher's outputs, their index."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from malformed.case import Case, Content, Write, all_of, written
from malformed.jsons import OUTPUTS, STORE
from recdistill.data.prepared import PreparedData
from recdistill.distill.outputs import OutputsReader
from recdistill.storage.files import write_array, write_json


def npy(header: str, data: bytes = b"", length: int | None = None) -> bytes:
    """A `.npy` file with any header."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + (len(text) if length is None else length).to_bytes(2, "little") + text + data


def described(descr: str, shape: str, order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


ARRAYS: dict[str, Content] = {
    "empty": b"",
    "six bytes": b"\x93NUMPY",
    "text": "1,2,3\n",
    "a pickle": b"\x80\x04\x95" + b"\0" * 40,
    "an archive of arrays": b"PK\x03\x04" + b"\0" * 60,
    "another version": b"\x93NUMPY\x09\x00" + b"\0" * 60,
    "a header longer than the file": npy(described("'<i4'", "(3,)"), b"\0" * 12, length=60_000),
    "a header that is no literal": npy("__import__('os').system('true')"),
    "a header with a key too many": npy("{'descr': '<i4', 'fortran_order': False, 'shape': (1,), 'a': 1}", b"\0" * 4),
    "a header of many brackets": npy("(" * 9000),
    "objects": npy(described("'|O'", "(1,)"), b"\x80\x04N."),
    "objects within records": npy(described("[('a', '|O')]", "(1,)"), b"\x80\x04N."),
    "a type that is not there": npy(described("'<q9'", "(1,)"), b"\0" * 9),
    "a type that is a number": npy(described("3", "(1,)"), b"\0" * 9),
    "fewer values than it says": npy(described("'<i4'", "(3,)"), b"\0" * 8),
    "10¹⁸ values": npy(described("'<i4'", "(10**18,)").replace("10**18", str(10**18)), b"\0" * 8),
    "10³⁰ values": npy(described("'<i4'", f"({10**30},)"), b"\0" * 8),
    "fewer than no values": npy(described("'<i4'", "(-1,)"), b"\0" * 8),
    "half a value": npy(described("'<i4'", "(1.5,)"), b"\0" * 8),
    "text as values": npy(described("'<U4'", "(1,)"), b"\0" * 16),
    "five axes": npy(described("'<i4'", "(1, 1, 1, 1, 1)"), b"\0" * 4),
    "no axis": npy(described("'<i4'", "()"), b"\0" * 4),
}
"""None of these is an array of the package's."""


def prepared(**arrays: Any) -> Write:
    """A prepared folder with some arrays of its own."""
    held = {"items": [1, 2, 1], "timestamps": [1, 2, 3], "offsets": [0, 3], "train_ends": [1], "validation_ends": [2]}
    kinds = {"items": "int32", "timestamps": "int64", "offsets": "int64"}

    def write(folder: Path) -> None:
        for name, values in (held | arrays).items():
            write_array(folder / f"{name}.npy", np.asarray(values, dtype=kinds.get(name, "int32")))
        write_json(folder / "catalog.json", {"item_ids": ["", "a", "b"], "titles": ["", "A", "B"]})
        write_json(folder / "data.json", {"fingerprint": "d", "split_fingerprint": "s"})

    return write


def outputs(folder: Path) -> None:
    """A store of one shard with two rows."""
    write_json(folder / "outputs.json", OUTPUTS | {"rows": 2, "shards": 1})
    write_array(folder / "item_embeddings.npy", np.zeros((3, 4), dtype=np.float16))
    write_array(folder / "index_keys.npy", np.array([0, 1]))
    write_array(folder / "index_rows.npy", np.array([0, 1]))
    write_array(folder / "shard-00000" / "top_items.npy", np.ones((2, 2), dtype=np.int32))
    write_array(folder / "shard-00000" / "top_scores.npy", np.ones((2, 2), dtype=np.float32))


def look_up(folder: Path) -> None:
    OutputsReader(folder, STORE).require(np.array([0, 0]), np.array([0, 1]))


def array_cases(name: str, whole: Write, file: str, read: Callable[[Path], object]) -> list[Case]:
    return [
        Case(f"{name}: {damage}", all_of(whole, written(file, content)), read, Path(file).name)
        for damage, content in ARRAYS.items()
    ]


def of_prepared(name: str, said: str = "not of one another", **arrays: Any) -> Case:
    return Case(f"prepared: {name}", prepared(**arrays), PreparedData.load, said)


PREPARED = [
    *array_cases("prepared", prepared(), "items.npy", PreparedData.load),
    of_prepared("an item beyond the catalog", items=[1, 3, 1]),
    of_prepared("the padding as an item", items=[1, 0, 1]),
    of_prepared("an item before all", items=[1, -1, 1]),
    of_prepared("a history that goes backwards", offsets=[0, 3, 2, 3], train_ends=[1] * 3, validation_ends=[1] * 3),
    of_prepared("histories beyond the interactions", offsets=[0, 4]),
    of_prepared("histories that begin late", offsets=[1, 3]),
    of_prepared("no histories at all", offsets=[]),
    of_prepared("fewer times", timestamps=[1]),
    of_prepared("splits of other users", train_ends=[1, 1]),
    of_prepared("a split beyond its history", validation_ends=[4]),
    of_prepared("a split that goes backwards", train_ends=[3], validation_ends=[2]),
]


def of_outputs(name: str, said: str, **arrays: Any) -> Case:
    def write(folder: Path) -> None:
        outputs(folder)
        for file, values in arrays.items():
            write_array(folder / f"{file.replace('__', '/')}.npy", np.asarray(values))

    return Case(f"shards: {name}", write, look_up, said)


SHARDS = [
    *array_cases("shards", outputs, "shard-00000/top_items.npy", look_up),
    *array_cases("index", outputs, "index_keys.npy", look_up),
    of_outputs("fewer rows in one column", "not of one shape", **{"shard-00000__top_scores": np.ones((1, 2), "f4")}),
    of_outputs("wider lists", "not of one shape", **{"shard-00000__top_items": np.ones((2, 3), "i4")}),
    of_outputs("items that are fractions", "holds float32", **{"shard-00000__top_items": np.ones((2, 2), "f4")}),
    of_outputs("embeddings of one axis", "holds float64", item_embeddings=np.ones(3)),
    of_outputs("an index of fewer rows", "1 rows of 2 keys", index_rows=[0]),
    of_outputs("an index of another size", "the index holds", index_rows=[0], index_keys=[0]),
    of_outputs("keys of others", "lacks the target", index_keys=[7, 8]),
    of_outputs("a row beyond all shards", "no such file", index_rows=[0, 9]),
    of_outputs("a row beyond its shard", "beyond", index_rows=[0, 3]),
    of_outputs("a row before all", "", index_rows=[0, -5]),
]


CASES = [*PREPARED, *SHARDS]
