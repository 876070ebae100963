"""Do readers survive any bytes? Valid files are changed at random, again and again, and read; a line of JSON a reader.

    python benchmarks/fuzz.py --seconds 600 --keep build/fuzz

A reader may give what it reads, or refuse with a `UserError`; anything else is a finding: its kind is told, and the
bytes are kept. Each reader runs in a process of its own with bounded memory, so that a crash or a hang is seen too.
The same seed makes the same files. Ends with status 1 where there was a finding.
"""

import argparse
import json
import logging
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recdistill.config import DataConfig
from recdistill.config.settings import run_config
from recdistill.config.yaml_files import read_yaml
from recdistill.data.about import Names
from recdistill.data.sources import open_source
from recdistill.errors import UserError
from recdistill.experiments.bench.reading import read_matrix
from recdistill.experiments.study_file import read_study
from recdistill.experiments.tune.space import read_space
from recdistill.serving.bundle_files import read_bundle, read_catalog
from recdistill.storage.files import map_array, read_tensors, write_array
from recdistill.storage.manifest import Manifest
from recdistill.storage.typed import read_typed

MEMORY_BYTES = 6 << 30
"""Address space of a reader's process; what torch and polars map counts too."""
CHILD_SECONDS = 120
"""Of the processor: on a machine that does much beside, a round takes longer by the clock."""
ROUND = 1500
"""Files that one process reads."""
Read = Callable[[Path], object]
HEAD = b"user_id,item_id,timestamp\n"
ROWS = b'u1,"i 1",1\nu1,i2,2\nu2,i1,3.5\n'
TOKENS = (
    *(b"\0", b"\xff\xfe", b"\xed\xa0\x80", b'"', b'""', b"\n", b"\r", b"\r\n", b",", b"\t", b"::", b"NaN", b"1e999"),
    *(b"-1", b"9" * 30, b"[" * 70, b"{", b"}", b"]", b"&a ", b"*a", b"<<: ", b"!!", b"\\ud800", b"\\u0000", b"../"),
    *(b"null", b"~", b"PAR1", b"\x1f\x8b", b"(", b"'", b": ", b"- ", b"\xe2\x80\xae", b"\x1b[2J"),
)
"""What is put into files beside random bytes."""
INTER = b"user_id:token\titem_id:token\ttimestamp:float\n1\t2\t3\n4\t5\t6\n"
STUDY = b"name: s\nbase: {student.dropout: 0.1}\nseeds: [1, 2]\nvariants:\n  main: {}\n  b: {distill.weight: 2}\n"
MATRIX = b"name: m\nrows: 64\ncells: {base: {}, base-again: {}}\nsections: [{name: s, cells: [base-again]}]\n"
SPACE = b"student.dropout: {low: 0.1, high: 0.5}\nstudent.num_layers: {choices: [1, 2]}\n"
SETTINGS = b"seed: 1\nrun: a\nstudent: {dropout: 0.1, train: {max_epochs: 3}}\ndata: {source: csv, path: x}\n"
MANIFEST = b'{"fingerprint": "ab", "inputs": {"data": "d"}, "config": {"seed": 1, "x": [1.5, null]}, "seconds": 1.5}'
CATALOG = b'{"item_ids": ["", "a"], "titles": ["", "A \\u00e9"], "counts": [0, 3]}'
BUNDLE = json.dumps(
    {
        "name": "b",
        "fingerprint": "f",
        "form": 1,
        "version": "0",
        "made": "2026",
        "ids": "text",
        "num_items": 1,
        "exclude_seen": True,
        "inputs": {},
        "files": {"a": {"bytes": 1, "sha256": "00"}},
        "models": {"distilled": {"file": "a", "vectors": "b", "max_length": 5, "embedding_dim": 4, "fingerprint": ""}},
    }
).encode()


def table(source: str, **settings: Any) -> Read:
    """Reads interactions."""

    def read(path: Path) -> None:
        open_source(DataConfig(source=source, path=str(path), **settings)).read_interactions(with_ratings=False)  # type: ignore[arg-type]

    return read


def settings(path: Path) -> None:
    """Reads a run's settings."""
    found = read_yaml(path, "config")
    if isinstance(found, dict):
        run_config(found)


def parquet_bytes() -> bytes:
    """A whole Parquet file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        frame = pl.DataFrame({"user_id": ["u", "v"] * 9, "item_id": list(range(18)), "timestamp": [1.5] * 18})
        frame.write_parquet(path)
        return path.read_bytes()


def array_bytes() -> bytes:
    """A whole `.npy` file."""
    with tempfile.TemporaryDirectory() as folder:
        write_array(Path(folder) / "a.npy", np.arange(12, dtype=np.int32).reshape(3, 4))
        return (Path(folder) / "a.npy").read_bytes()


def tensor_bytes() -> bytes:
    """A whole safetensors file."""
    from safetensors.numpy import save

    return bytes(save({"a": np.ones((2, 3), dtype=np.float32), "b": np.zeros(4, dtype=np.float16)}, {"k": "v"}))


READERS: dict[str, tuple[str, Callable[[], bytes], Read]] = {
    "csv": ("a.csv", lambda: HEAD + ROWS, table("csv")),
    "csv, no quotes": ("a.csv", lambda: HEAD + ROWS, table("csv", quote="none")),
    "csv, long separator": ("a.csv", lambda: (HEAD + ROWS).replace(b",", b"::"), table("csv", separator="::")),
    "csv, skipping": ("a.csv", lambda: HEAD + ROWS, table("csv", bad_rows="skip")),
    "parquet": ("a.parquet", parquet_bytes, table("parquet")),
    "recbole": (
        "a.inter",
        lambda: b"user_id:token\titem_id:token\ttimestamp:float\n1\t2\t3\n4\t5\t6\n",
        table("recbole"),
    ),
    "settings": ("a.yaml", lambda: SETTINGS, settings),
    "study": ("a.yaml", lambda: STUDY, read_study),
    "matrix": ("a.yaml", lambda: MATRIX, read_matrix),
    "space": ("a.yaml", lambda: SPACE, read_space),
    "manifest": ("manifest.json", lambda: MANIFEST, lambda path: read_typed(path, Manifest)),
    "catalog": ("catalog.json", lambda: CATALOG, lambda path: read_typed(path, Names)),
    "bundle": ("bundle.json", lambda: BUNDLE, lambda path: read_bundle(path.parent)),
    "bundle's catalog": ("catalog.json", lambda: CATALOG, lambda path: read_catalog(path.parent)),
    "array": ("a.npy", array_bytes, map_array),
    "tensors": ("a.safetensors", tensor_bytes, read_tensors),
}
"""Reader → the file's name, a valid one, and what reads it."""


def changed(content: bytes, chance: random.Random) -> bytes:
    """A file with one to six changes."""
    made = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        place = chance.randrange(len(made) + 1)
        length = chance.choice((1, 1, 2, 4, 8, 40))
        match chance.randrange(6):
            case 0:
                made[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                del made[place : place + length]
            case 2:
                made[place:place] = chance.choice(TOKENS)
            case 3:
                made[place : place + length] = chance.randbytes(length)
            case 4:
                start = chance.randrange(len(made) + 1)
                made[place:place] = made[start : start + length] * chance.choice((1, 2, 50))
            case _:
                made[place : place + length] = chance.choice((b"\0", b"\xff")) * length
    return bytes(made)


def round_of(reader: str, seed: int, count: int, keep: Path | None) -> dict[str, Any]:
    """Read so many changed files; what came of them."""
    name, valid, read = READERS[reader]
    chance, content = random.Random(f"{reader} {seed}"), valid()
    logging.getLogger("recdistill").setLevel(logging.ERROR)
    counts, findings = {"read": 0, "refused": 0}, list[str]()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        for number in range(count):
            made = changed(content, chance)
            path.write_bytes(made)
            if keep is not None:  # before it is read: a crash leaves no time for it
                (keep / "last").write_bytes(made)
            try:
                read(path)
                counts["read"] += 1
            except UserError:
                counts["refused"] += 1
            except BaseException as error:  # noqa: BLE001 (whatever it is, it is a finding)
                findings.append(type(error).__name__)
                if keep is not None:
                    (keep / f"{reader.replace(' ', '_')}-{seed}-{number}").write_bytes(made)
    return counts | {"findings": findings}


def in_a_process(reader: str, seed: int, keep: Path | None) -> dict[str, Any]:
    """:func:`round_of` in a process of its own, with bounded memory and time."""
    command = [sys.executable, __file__, "--round", reader, "--seed", str(seed)]
    command += ["--keep", str(keep)] if keep else []

    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (CHILD_SECONDS, CHILD_SECONDS + 5))

    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=20 * CHILD_SECONDS, preexec_fn=bound
        )
    except subprocess.TimeoutExpired:
        return {"read": 0, "refused": 0, "findings": ["no end"]}
    if done.returncode:
        return {"read": 0, "refused": 0, "findings": [f"ended with {done.returncode}"]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Fuzz, and tell what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="How long, at least one round of each reader.")
    parser.add_argument("--seed", type=int, default=0, help="Of the first round.")
    parser.add_argument("--keep", type=Path, default=None, help="Folder for the bytes of findings.")
    parser.add_argument("--round", default="", help="One round of this reader in this process (used by itself).")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    if options.round:
        sys.stdout.write(json.dumps(round_of(options.round, options.seed, ROUND, options.keep)) + "\n")
        return
    totals: dict[str, dict[str, Any]] = {name: {"read": 0, "refused": 0, "findings": []} for name in READERS}
    end, seed = time.monotonic() + options.seconds, options.seed
    while seed == options.seed or time.monotonic() < end:
        for name, total in totals.items():
            found = in_a_process(name, seed, options.keep)
            for key in total:
                total[key] += found[key]
        seed += 1
    for name, total in totals.items():
        sys.stdout.write(json.dumps({"reader": name, **total}) + "\n")
    sys.exit(int(any(total["findings"] for total in totals.values())))


if __name__ == "__main__":
    main()
