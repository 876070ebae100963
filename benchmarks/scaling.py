"""Time and memory by number of events and of items: the measurements, and `docs/scaling.md`, written from them.

    python benchmarks/prepare.py --events 1000000 --users 20000 --items 100000 --files 4
    python benchmarks/scaling.py lists --items 1000000
    python benchmarks/approximate.py RUN --items 1000000
    python benchmarks/catalog_size.py --items 1000000
    python benchmarks/larger_than_memory.py train FOLDER --cgroup CGROUP
    python benchmarks/scaling.py page

Every measurement is one line of JSON, to be added to `docs/benchmarks/scaling.jsonl`. `lists` takes random vectors, 64
wide, one thread: the cost of an exact list does not depend on what the vectors mean. An exponent b is that of a·n^b, by
least squares of the logarithms, over the sizes that the page names.
"""

import argparse
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent.parent / "docs"
RECORDS, PAGE = DOCS / "benchmarks/scaling.jsonl", DOCS / "scaling.md"
CLUSTER_EVENTS = 1e10
BYTES_PER_EVENT = 40
"""The most that lies on the disk at one time while `prepare` runs."""
BYTES_PER_ID = 60
USERS_OF_ONE = 20_000_000
LARGE = 50_000
"""Items from which on a bundle scans, see :mod:`recdistill.serving.exact_lists`."""
LISTED = (
    "milliseconds_alone",
    "milliseconds_together",
    "milliseconds_scanned_alone",
    "milliseconds_scanned_together",
    "peak_rss_gib",
)
"""Columns of the table of lists."""

HEAD = """\
# Scaling

Written by `benchmarks/scaling.py page` from [docs/benchmarks/scaling.jsonl](benchmarks/scaling.jsonl); do not edit by
hand. The commands are in that script. Two cores of a shared machine: compare CPU seconds, which are those of the whole
process (2 s are its start); wall-clock seconds show how busy the machine was. The data are synthetic: 50 interactions
per user on average, items of very different popularity. Only what was measured is in the tables.
"""


def lists(items: int, rows: int, top_k: int) -> dict[str, Any]:
    """CPU seconds of an exact list: alone, and of each of `rows` histories that are ranked together."""
    import torch

    from recdistill.evaluation.top_k import best_items
    from resident import resident_gib

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    vectors, states = (torch.randn(count, 64, generator=generator) for count in (items, rows))
    alone = []
    for row in range(min(rows, 20)):
        began = time.thread_time()
        best_items((vectors @ states[row])[None], top_k)
        alone.append(time.thread_time() - began)
    began = time.thread_time()
    found = best_items(states @ vectors.T, top_k)[1]
    together = (time.thread_time() - began) / rows
    return {
        "benchmark": "lists",
        "items": items,
        "top_k": top_k,
        "milliseconds_alone": round(1e3 * statistics.median(alone), 3),
        "milliseconds_together": round(1e3 * together, 3),
        "rows_together": rows,
        **_scanned(vectors.numpy(), states.numpy(), top_k, found.tolist()),
        "peak_rss_gib": round(resident_gib("VmHWM"), 3),
    }


def _scanned(vectors: Any, states: Any, top_k: int, expected: list[list[int]]) -> dict[str, Any]:
    """The same lists by a scan in 8 bits, as a bundle with a large catalog makes them; checked against the others."""
    import numpy as np

    from recdistill.serving.exact_lists import ExactLists

    # The first row is the padding's, which is in no list here: the others move up by one.
    table = np.concatenate([np.zeros((1, vectors.shape[1]), dtype=np.float32), vectors])
    lists, alone = ExactLists(table), []
    for row in range(min(len(states), 20)):
        began = time.thread_time()
        lists.best(states[row : row + 1], top_k, None)
        alone.append(time.thread_time() - began)
    began = time.thread_time()
    found = lists.best(states, top_k, None)[0] - 1
    together = (time.thread_time() - began) / len(states)
    if found.tolist() != expected:
        raise SystemExit("the lists differ from those of all scores")
    return {
        "milliseconds_scanned_alone": round(1e3 * statistics.median(alone), 3),
        "milliseconds_scanned_together": round(1e3 * together, 3),
    }


def exponent(sizes: list[float], costs: list[float]) -> float:
    """B of a·n^b by least squares of the logarithms; two sizes at least."""
    xs, ys = [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    mean_x, mean_y = statistics.mean(xs), statistics.mean(ys)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / sum((x - mean_x) ** 2 for x in xs)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown, numbers to the right."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---:"] * len(head), *rows])


def page(records: list[dict[str, Any]]) -> str:
    """The whole page."""
    found = [one for one in records if one["benchmark"] == "prepare"]
    prepared = sorted(found, key=lambda one: int(one["events_kept"]))
    listed = sorted((one for one in records if one["benchmark"] == "lists"), key=lambda one: int(one["items"]))
    parts = [HEAD, _prepare_section(prepared), _lists_section(listed)]
    parts.append(_approximate_section([one for one in records if one["benchmark"] == "approximate lists"]))
    trained = [one for one in records if one["benchmark"] == "student epoch"]
    parts.append(_training_section(trained))
    parts.append(_memory_section([one for one in records if one["benchmark"] == "larger than memory"]))
    return "\n".join(parts)


def _prepare_section(records: list[dict[str, Any]]) -> str:
    rows = [
        [f"{one[name]:,}" for name in ("events_kept", "users", "items")]
        + [f"{one['cpu_seconds']:.1f}", f"{one['seconds']:.1f}", f"{one['peak_rss_gib']:.2f}"]
        for one in records
    ]
    head = ["interactions", "users", "items", "CPU s", "wall s", "peak GiB"]
    events, seconds = ([float(one[name]) for one in records] for name in ("events_kept", "cpu_seconds"))
    # Of the two largest: starting the process is most of what the small ones take.
    power, last = exponent(events[-2:], seconds[-2:]), records[-1]
    hours = last["cpu_seconds"] / last["events_kept"] * CLUSTER_EVENTS / 3600
    disk, mask = CLUSTER_EVENTS * BYTES_PER_EVENT / 2**40, CLUSTER_EVENTS / 2**30
    users = CLUSTER_EVENTS * last["users"] / last["events_kept"]
    ids = users * BYTES_PER_ID / 2**30
    estimated = ["CPU hours", "disk, TiB", "a byte per interaction, GiB", "million users", "their ids in Python, GiB"]
    estimates = [f"{hours:.1f}", f"{disk:.1f}", f"{mask:.1f}", f"{users / 1e6:,.0f}", f"{ids:.0f}"]
    return f"""
## `prepare`

Interactions of 64 MiB or more are prepared from files, see [data](data.md). The peak counts pages of mapped files.

{table(head, rows)}

Between the two largest sizes, CPU seconds grow with the power {power:.2f} of the interactions.

**10¹⁰ interactions, estimated** from the last row:

{table(estimated, [estimates])}

Memory would hold the bytes and the ids. Users would have to be split over machines by hash, which all
steps allow but the count of items (k-core). {math.ceil(users / USERS_OF_ONE)} machines with {USERS_OF_ONE / 1e6:.0f}
million users each would then need what one needs for 10⁹ interactions. That is not built.
"""


def _lists_section(records: list[dict[str, Any]]) -> str:
    rows = [[f"{one['items']:,}"] + [f"{one[name]:.2f}" for name in LISTED] for one in records]
    head = ["items", "alone", "among 64", "by a scan, alone", "by a scan, among 64", "peak GiB"]
    items, costs = ([float(one[name]) for one in records] for name in ("items", "milliseconds_together"))
    return f"""
## Exact lists

The {records[0]["top_k"]} best of all items for one user embedding, 64 wide, without the model: CPU milliseconds of one
thread. With {LARGE:,} items or more a bundle scans: exact sums in 8 bits give a bound on every score, and only the few
items that the bound does not exclude are scored in fp32. The benchmark checks that both lists are the same. *Among 64*:
per list, where 64 are made together.

{table(head, rows)}

The time of a list among 64 grows with the power {exponent(items, costs):.2f} of the items. `evaluate.max_score_memory`
sets how many scores are held at a time. Without the scan, reading the 256 MB of a million vectors takes 23 ms on this
machine; in 8 bits they are 64 MB.
"""


def _approximate_section(records: list[dict[str, Any]]) -> str:
    rows = [
        [
            f"{one['items']:,}",
            one["vectors"],
            f"{one['nprobe']:,} of {one['centres']:,}",
            f"{one['recall']:.3f}",
            f"{one['milliseconds']:.2f}",
            f"{one['exact_milliseconds']:.2f}",
            f"{one['build_cpu_seconds']:.1f}",
        ]
        for one in records
    ]
    head = ["items", "item embeddings", "groups searched", "recall@10", "ms", "ms exact (scan)", "CPU s to build"]
    return f"""
## Approximate lists

`recdistill index` (extra `index`) groups items by their nearest centre and searches the fewest groups that reach the
wanted recall, 0.98 here: [serving](serving.md#an-approximate-index). The run is a student of Games. Half of
{records[0]["histories"] * 2:,} histories choose the number of groups, the other half measure. A million items are
made from its item embeddings with noise as large as the distance between neighbours. Random vectors without structure
are the worst case: there an exact scan is faster. CPU milliseconds of a list on one thread of a busy machine, without
the model (`benchmarks/approximate.py`).

{table(head, rows)}
"""


def _training_section(records: list[dict[str, Any]]) -> str:
    if not records:
        return "\n## Training a student\n\nNothing has been measured yet.\n"
    rows = [
        [
            f"{one['items']:,}",
            one["loss"],
            f"{one['steps']:,}",
            f"{one['cpu_seconds_per_1000']:.3f}",
            f"{one['cpu_seconds']:,.0f}",
            f"{one['peak_rss_gib']:.2f}",
        ]
        for one in records
    ]
    head = ["items", "student.loss.name", "steps taken", "CPU s per 1,000 targets", "CPU s per epoch at that rate"]
    return f"""
## Training a student

`benchmarks/catalog_size.py`: {records[0]["events"]:,} synthetic interactions, the default student's shape, 128
histories per step, one thread of a busy machine. The peak includes data, weights and the optimiser's state. No epoch
was trained to its end.

{table([*head, "peak GiB"], rows)}
"""


def _memory_section(records: list[dict[str, Any]]) -> str:
    ways: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for one in records:
        ways.setdefault((one["limit_mib"] or 0, one["shuffle_block"]), []).append(one)
    names = ("seconds", "cpu_seconds", "waits_for_the_disk", "mib_from_disk")
    rows = [
        [f"{limit} MiB" if limit else "none", f"{block:,}" if block else "null", str(len(lines))]
        + [f"{statistics.median(one[name] for one in lines):,.0f}" for name in names]
        for (limit, block), lines in sorted(ways.items(), reverse=True)
    ]
    head = ["memory at most", "train.shuffle_block", "rounds", "wall s", "CPU s", "waits for the disk", "MiB read"]
    first = records[0]
    return f"""
## Histories larger than memory

`benchmarks/larger_than_memory.py`: the first {first["steps"]} steps of an epoch of a student, 128 histories per
step, from {first["events"]:,} interactions in a file of {first["file_mib"]} MiB. Linux's control groups keep the
process, and what it holds of the file, below a limit. Medians of the rounds, in turns. The disk here reads 8 MiB ahead,
so a wait for one history reads megabytes; by blocks they are used.

{table(head, rows)}
"""


def main() -> None:
    """Measure lists, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    measured = commands.add_parser("lists", help="exact lists, as one line of JSON")
    measured.add_argument("--items", type=int, default=10_000)
    measured.add_argument("--rows", type=int, default=64)
    measured.add_argument("--top-k", type=int, default=10)
    commands.add_parser("page", help="write docs/scaling.md")
    options = parser.parse_args()
    if options.command == "lists":
        print(json.dumps(lists(options.items, options.rows, options.top_k)))
    else:
        records = [json.loads(line) for line in RECORDS.read_text(encoding="utf-8").splitlines()]
        PAGE.write_text(page(records), encoding="utf-8")


if __name__ == "__main__":
    main()
