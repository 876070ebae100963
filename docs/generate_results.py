"""Write `docs/results.md` from what `recdistill compare --json` left in `docs/results/<study>/<split>.json`, and from
the students beside other libraries' in `docs/benchmarks/students.jsonl`.

    recdistill study configs/studies/planted.yaml --set evaluate.split=test
    recdistill compare runs/studies/planted/*/seed-* --group --baseline main:student --json > test.json
    mv test.json docs/results/planted
    python docs/generate_results.py            write the page
    python docs/generate_results.py --check    exit with status 1 if it is out of date

The folder of a study that was done once more on another device has that device's name behind a dot:
`docs/results/ml-100k.h100`. What must be known of a section before it is read stands in `note.md` beside its files. The
same runs against another baseline, `<split>-against-<variant>.json`, are shown below the section they belong to. The
drawing of the learning curve is `docs/results/learning-curve.svg`.

No number of the page is typed: all stand in those files. A model that variants share (the student, mostly) is shown
once.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from learning_curve import learning_curve
from recdistill.config.yaml_files import read_yaml
from recdistill.reporting.comparison import comparison_tables
from recdistill.reporting.wording import p_value, signed

ROOT = Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs/results.md", ROOT / "docs/results"
STUDENTS = ROOT / "docs/benchmarks/students.jsonl"
DRAWING = RESULTS / "learning-curve.svg"

HEAD = """\
# Results

Written by `docs/generate_results.py` from the files in [docs/results](results); do not edit by hand. [Reading the
results](reading-results.md) says what the figures show, [experiments](experiments.md) what was tried and did not
help, [evaluation](evaluation.md) how intervals and tests are made, each study's file what its variants are. Choices
are made on validation; a section that says "test" is the test evaluation of settings that were chosen before.

Cost is the mean over a variant's runs. A step that variants share was done once; its cost is shown with each.
"""


def unlike(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries without those of a model that an earlier variant has with the very same values."""
    seen: set[tuple[Any, ...]] = set()
    kept = []
    for entry in entries:
        key = (entry["model"], entry["seeds"], entry["mean"], entry["std"])
        if key not in seen:
            kept.append(entry)
        seen.add(key)
    return kept


def section(path: Path) -> str:
    """One study on one split."""
    found = json.loads(path.read_text(encoding="utf-8"))
    chosen = chosen_models(found)
    found["entries"] = unlike(found["entries"])
    shown = {(entry["variant"], entry["model"]) for entry in found["entries"]}
    for parts in found["slices"].values():
        for part in parts:
            part["entries"] = [entry for entry in part["entries"] if (entry["variant"], entry["model"]) in shown]
    name = path.parent.name
    study = f"configs/studies/{name.partition('.')[0]}.yaml"
    elsewhere = f" --out runs/studies/{name}" if "." in name else ""
    split = " --set evaluate.split=test" if found["split"] == "test" else ""
    seeds = sorted({seed for about in found["variants"].values() for seed in about["seeds"]})
    some = f" --seeds {' '.join(map(str, seeds))}" if seeds != read_yaml(ROOT / study, "study")["seeds"] else ""
    against = sorted({":".join(e["against"].values()) for e in found["entries"] if "against" in e})
    baseline = f" --baseline {against[0]}" if len(against) == 1 else ""
    note = path.parent / "note.md"
    lines = [
        f"## {title(path, found)}",
        "",
        f"[{study}](../{study}); [{path.name}](results/{name}/{path.name}). Without `--json` this is printed:",
        "",
        *([note.read_text(encoding="utf-8")] if note.is_file() else []),
        "```console",
        f"$ recdistill study {study}{elsewhere}{some}{split}",
        f"$ recdistill compare runs/studies/{name}/*/seed-* --group{baseline}{chosen} --json",
        "```",
        "",
        "```text",
        comparison_tables(found),
        "```",
        *made_with(found),
        *(line for other in in_order(f"{name}/{path.stem}-against-*.json") for line in against_another(other)),
    ]
    return "\n".join(lines)


def made_with(found: dict[str, Any]) -> list[str]:
    """The commits and the torch that the runs were made with, where the file names them."""
    names = {name: set[str]() for name in ("commit", "torch")}
    for about in found["variants"].values():
        for name, versions in names.items():
            versions.update(about.get("code", {}).get(name, []))
    commits = sorted(commit[:7] + commit[40:] for commit in names["commit"])
    return ["", f"Code: {', '.join(commits)}; torch {', '.join(sorted(names['torch']))}."] if commits else []


def against_another(path: Path) -> list[str]:
    """The same runs against another baseline: means, differences and tests alone."""
    found = json.loads(path.read_text(encoding="utf-8"))
    found["entries"] = unlike(found["entries"])
    baseline = next(":".join(entry["against"].values()) for entry in found["entries"] if "against" in entry)
    what_was_ranked, means, differences = comparison_tables(found).split("\n\n")[:3]
    return [
        "",
        f"Against `{baseline}` ([{path.name}](results/{path.parent.name}/{path.name}), `--baseline {baseline}`):",
        "",
        "```text",
        *(what_was_ranked, "", means, "", differences),
        "```",
    ]


def title(path: Path, found: dict[str, Any]) -> str:
    """A section's heading: the study, the split, and the device where the study was done once more."""
    name, again, _ = path.parent.name.partition(".")
    steps = [step for about in found["variants"].values() for step in about.get("devices", {}).values()]
    devices = {device for step in steps for device in step}
    where = f" on {' and '.join(sorted(devices))}" if again else ""
    return f"{name}{where}, {path.stem}"


def chosen_models(found: dict[str, Any]) -> str:
    """The option that chose the models which were compared; empty where it was all that the runs trained."""
    models = list(dict.fromkeys(entry["model"] for entry in found["entries"]))
    trained = {step for about in found["variants"].values() for step in about["steps"]} & {
        "student",
        "teacher",
        "distilled",
    }
    return "" if trained <= set(models) else f" --models {','.join(models)}"


NAMES = {"ours": "recdistill", "rectools": "RecTools", "recbole": "RecBole"}

STUDENTS_HEAD = """\
## Students beside other libraries, MovieLens-100K

The same prepared data, split, ties and ranking for all; each library's own way of training, with the settings in the
[file](benchmarks/students.jsonl); weights of the best validation, one test evaluation with them. `cpu s`: training
until then, validation not counted. `patience`: validations without a better one before training stops. `ours, s`: CPU
seconds until our student of the same seed first validated as well as this row's best; `ratio`: `cpu s` over that.
Where an epoch of a variant cost more CPU than in its other rows (`s per epoch`), other work shared the machine, and
`ratio` is too large by the same factor.

```console
$ recdistill prepare --run runs/bench
$ python benchmarks/students.py --data runs/bench/prepare --others .others/bin/python \\
    --out docs/benchmarks/students.jsonl --seeds 42 43 44 --threads 1    # --variants rectools --patience 100
                                                                         # --variants recbole --epochs 46
```

| SASRec of | patience | seed | best epoch, of | NDCG@10: validation | test | cpu s | s per epoch | ours, s | ratio |
|---|---|---|---|---|---|---|---|---|---|"""


def level_reached(line: dict[str, Any], level: float) -> float | None:
    """CPU seconds until a training first validated at least as well as `level`; None where it never did."""
    return next((point["cpu_seconds"] for point in line["curve"] if point["ndcg@10"] >= level), None)


def students_section(path: Path) -> str:
    """Each training of `benchmarks/students.py` in a row, then the means of each variant's."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    ours = {line["settings"]["seed"]: line for line in lines if line["variant"] == "ours"}
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for line in sorted(lines, key=lambda line: int(line["settings"]["seed"])):
        patience = (line["settings"].get("train") or line["settings"])["patience"]  # ours has it in its training's
        groups.setdefault((line["variant"], patience), []).append(line)
    rows = [STUDENTS_HEAD]
    for (variant, patience), group in sorted(groups.items()):
        for line in group:
            seed, best = line["settings"]["seed"], line["best"]
            reached = level_reached(ours[seed], best["ndcg@10"]) if variant != "ours" and seed in ours else None
            times = "| |" if reached is None else f"{reached:.0f} | {best['cpu_seconds'] / reached:.1f} |"
            rows.append(
                f"| {NAMES[variant]} | {patience} | {seed} | {best['epoch']}, {line['epochs']} | {best['ndcg@10']:.4f} "
                f"| {line['test']['ndcg@10']:.4f} | {best['cpu_seconds']:.0f} "
                f"| {line['cpu_seconds'] / line['epochs']:.1f} | {times}"
            )
        validation, test = (statistics.mean(line[of]["ndcg@10"] for line in group) for of in ("best", "test"))
        seconds = statistics.mean(line["best"]["cpu_seconds"] for line in group)
        about = f"**{NAMES[variant]}** | {patience} | **mean of {len(group)}** | "
        rows.append(f"| {about}| **{validation:.4f}** | **{test:.4f}** | {seconds:.0f} | | | |")
    return "\n".join(rows)


SIGNIFICANT = 0.05
"""Above this corrected p a teacher's gain is not established, so no share of it is shown."""

SUMMARY_HEAD = """\
## At a glance: test, variant `main`

NDCG@10, means over seeds; gains over the plain student with the 95 % interval of the difference and Holm-corrected p
over all comparisons of the study (the test holds the seeds fixed, the interval resamples them); `titles alone`: the
no-distillation ablation, a student with title embeddings and no teacher (variant `titles-alone`); `retained`: the
distilled student's gain as a share of the teacher's, where the teacher's interval is above 0 and its p below .05;
`core-min`: one seed, all steps, where it ran on a CPU alone.

| data | seeds | student | titles alone | teacher | distilled | retained | core-min |
|---|---|---|---|---|---|---|---|"""


def summary() -> Iterator[str]:
    """A row for each study that was read on test, if there is one."""
    rows = [row for path in in_order("*/test.json") if (row := summary_row(path))]
    if rows:
        yield "\n".join([SUMMARY_HEAD, *rows])


def summary_row(path: Path) -> str:
    """One study's student, teacher and distilled student; empty where it is not of all three, or not to the student."""
    found = json.loads(path.read_text(encoding="utf-8"))
    models = {entry["model"]: entry for entry in found["entries"] if entry["variant"] == "main"}
    if found["metric"] != "ndcg@10" or not {"student", "teacher", "distilled"} <= set(models):
        return ""
    student, teacher, distilled = (models[model] for model in ("student", "teacher", "distilled"))
    if any(one.get("against") != {"variant": "main", "model": "student"} for one in (teacher, distilled)):
        return ""
    retained = (
        f"{100 * distilled['difference'] / teacher['difference']:.0f} %"
        if teacher["difference_interval"][0] > 0 and teacher["p_holm"] < SIGNIFICANT
        else ""
    )
    costs = [step["core_seconds"] for step in found["variants"]["main"]["steps"].values()]
    heading = title(path, found)
    anchor = heading.lower().replace(",", "").replace(" ", "-")
    link = f"[{heading.removesuffix(', test')}](#{anchor})"
    titles = [
        entry for entry in found["entries"] if (entry["variant"], entry["model"]) == ("titles-alone", "distilled")
    ]
    cells = [
        link,
        str(student["seeds"]),
        f"{student['mean']:.4f}",
        *(map(gained, titles) if titles else [""]),
        gained(teacher),
        gained(distilled),
        retained,
        "" if None in costs or "." in path.parent.name else f"{sum(costs) / 60:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def gained(entry: dict[str, Any]) -> str:
    """A mean, its gain, the difference's interval and p."""
    low, high = entry["difference_interval"]
    gain = "" if entry["gain_percent"] is None else f"{entry['gain_percent']:+.1f} % "
    return f"{entry['mean']:.4f}, {gain}[{signed(low)}, {signed(high)}], p {p_value(entry['p_holm'])}"


def page() -> tuple[str, str]:
    """The whole page, studies and splits in the order of their names; and the drawing that it shows."""
    curve, drawing = learning_curve(RESULTS)
    curve = curve.format(drawing=DRAWING.relative_to(PAGE.parent))
    return "\n\n".join([HEAD.rstrip(), *summary(), curve, *sections()]) + "\n", drawing


def in_order(pattern: str) -> list[Path]:
    """Files of results by study, split and device."""
    return sorted(RESULTS.glob(pattern), key=lambda path: (path.parent.name.partition("."), path.stem))


def sections() -> Iterator[str]:
    """One for each file."""
    if STUDENTS.is_file():
        yield students_section(STUDENTS)
    for path in in_order("*/*.json"):
        if path.stem in ("validation", "test"):
            yield section(path)


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if the page is out of date")
    check = parser.parse_args().check
    written = dict(zip((PAGE, DRAWING), page(), strict=True))
    if check:
        late = [path for path, text in written.items() if not path.is_file() or path.read_text("utf-8") != text]
        for path in late:
            sys.stderr.write(f"{path.relative_to(ROOT)} is out of date; run: python docs/generate_results.py\n")
        return int(bool(late))
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
