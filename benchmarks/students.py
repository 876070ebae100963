r"""Our student beside RecTools' and RecBole's SASRec on the very same prepared data, split and ranking.

    recdistill prepare --run runs/bench
    python benchmarks/students.py --data runs/bench/prepare --others .others/bin/python \
        --out docs/benchmarks/students.jsonl

`requirements-others.txt` says how `.others` is made; without `--others` only ours can be trained. Every variant is
trained its own way in a process of its own with equally many threads, variants in turn (another one first with each
seed), and is ranked by one code: whole catalog, seen items left out, ties in file order, ties of scores counted against
the target. After each epoch the clock stops, validation is ranked, the clock goes on; test is ranked once, with the
weights of the best validation. A line of JSON for each variant and seed goes to `--out`: the settings, the curve
(`epoch`, `seconds`, `cpu_seconds`, `ndcg@10`, `hit_rate@10`), the best validation, test, versions. On a machine that
others use too, compare `cpu_seconds`. What `--out` already holds, of the same variant, seed, threads, epochs and
patience, is not trained again; an `--out` of other data is refused.

A variant may have settings of its own behind a colon, ours those of the section `student`:

    --variants ours ours:loss.name=auto,train.beta2=0.999 rectools:loss=BCE,n_negatives=256 --until 0.045

With `--until`, a variant stops at a validation NDCG@10 as high, and `reached` is the row of its curve that has it.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from other_libraries.arguments import EPOCHS, NEVER, settings_of
from other_libraries.curve import first_at
from recdistill.storage.files import read_json

HERE = Path(__file__).resolve().parent
LIBRARIES = {
    "ours": "other_libraries.ours",
    "rectools": "other_libraries.rectools_sasrec",
    "recbole": "other_libraries.recbole_sasrec",
}


def lines_of(out: Path) -> list[dict[str, Any]]:
    """The lines that are there."""
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] if out.is_file() else []


def refuse_other_data(out: Path, data: Path) -> None:
    """One file holds lines of one data set and split, or its variants could not be compared.

    Raises:
        SystemExit: `out` has a line of another.
    """
    about = read_json(data / "data.json")
    wanted = about["fingerprint"], about["split_fingerprint"]
    if any((line["data"], line.get("split")) != wanted for line in lines_of(out)):
        raise SystemExit(f"{out}: holds lines of other data than {data}; name another file with --out")


def finished(out: Path, threads: int, epochs: int | None, patience: int, until: float) -> set[tuple[str, int]]:
    """Variant and seed of the lines that are there with the same settings; without epochs, each library's own.

    A training that stops at a quality is there too where a longer one of the same is.
    """
    done = set()
    for line in lines_of(out):
        variant, settings = line["variant"], line["settings"]
        limits = settings.get("train") or settings  # ours has them among those of its training
        found = line["threads"], limits["max_epochs"], limits["patience"]
        own = settings_of(variant)[0]
        if found == (threads, epochs or EPOCHS[own], patience) and settings.get("until", NEVER) >= until:
            done.add((variant, settings["seed"]))
    return done


def command(variant: str, seed: int, arguments: argparse.Namespace) -> list[str]:
    """What trains a variant."""
    library = settings_of(variant)[0]
    python = sys.executable if library == "ours" else str(arguments.others.absolute())
    words = [
        python,
        "-m",
        LIBRARIES[library],
        "--variant",
        variant,
        "--data",
        str(arguments.data.resolve()),
        "--out",
        str(arguments.out.resolve()),
    ]
    words += ["--seed", str(seed), "--patience", str(arguments.patience), "--until", str(arguments.until)]
    return words + (["--epochs", str(arguments.epochs)] if arguments.epochs else [])


def environment(threads: int) -> dict[str, str]:
    """The same threads for all, waiting passively, since spinning threads slow down whatever else runs."""
    paths = [str(HERE.parent / "src"), str(HERE)]
    wanted = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive", "PYTHONPATH": os.pathsep.join(paths)}
    return os.environ | wanted


def turns(variants: list[str], seeds: list[int]) -> list[tuple[str, int]]:
    """Variant and seed of each training: variants in turn, another one first with each seed."""
    return [
        (variants[(first + place) % len(variants)], seed)
        for first, seed in enumerate(seeds)
        for place in range(len(variants))
    ]


def summary(line: dict[str, Any], until: float) -> dict[str, Any]:
    """What is printed of a line."""
    told = {name: line[name] for name in ("epochs", "seconds", "cpu_seconds", "best", "test")}
    reached = {"reached": first_at(line["curve"], until)} if until < NEVER else {}
    return {"variant": line["variant"], "seed": line["settings"]["seed"]} | told | reached


def variant(words: str) -> str:
    """A variant of a library that there is."""
    library, _ = settings_of(words)
    if library not in LIBRARIES:
        raise ValueError(words)
    return words


def main() -> None:
    """Parse, train what is missing, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder written by `recdistill prepare`")
    parser.add_argument("--others", type=Path, help="python of the environment with RecTools and RecBole")
    parser.add_argument("--out", type=Path, required=True, help="file of JSON lines")
    parser.add_argument("--variants", nargs="+", type=variant, default=["ours", "rectools"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--patience", type=int, default=10, help="validations without a better one before a variant stops"
    )
    parser.add_argument("--until", type=float, default=NEVER, help="validation NDCG@10 at which a variant stops")
    own = ", ".join(f"{variant} {epochs}" for variant, epochs in EPOCHS.items())
    parser.add_argument("--epochs", type=int, help=f"most epochs of every variant (unset: {own})")
    arguments = parser.parse_args()
    if arguments.others is None and {settings_of(one)[0] for one in arguments.variants} != {"ours"}:
        parser.error("--others: which python has RecTools and RecBole? (see benchmarks/requirements-others.txt)")
    refuse_other_data(arguments.out, arguments.data)
    for name, seed in turns(arguments.variants, arguments.seeds):
        limits = arguments.threads, arguments.epochs, arguments.patience, arguments.until
        if (name, seed) not in finished(arguments.out, *limits):
            done = subprocess.run(
                command(name, seed, arguments), env=environment(arguments.threads), cwd=HERE, check=False
            )
            if done.returncode:
                raise SystemExit(f"{name}, seed {seed}: ended with status {done.returncode}")
            last = arguments.out.read_text(encoding="utf-8").splitlines()[-1]
            print(json.dumps(summary(json.loads(last), arguments.until)), flush=True)


if __name__ == "__main__":
    main()
