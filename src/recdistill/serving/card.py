"""A bundle's `README.md`, its model card: data, method, metrics with intervals and controls, limits, licences."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recdistill.data.fetch import WHEELS
from recdistill.printable import inline_code, literal
from recdistill.reporting.language import Texts
from recdistill.reporting.markdown import escape
from recdistill.reporting.wording import bracketed, metric_name, story_sentences
from recdistill.serving.bundle_files import Bundle
from recdistill.storage.files import read_json
from recdistill.storage.step_files import read_manifest
from recdistill.storage.typed import JsonValue

METRICS = ("ndcg@10", "hit_rate@10", "mrr@10")
BASE_MODELS = {"title_encoder": "title encoder", "llm": "language model"}

TAKES_NEW = "; `recdistill add-items` takes in new ones by\n  their titles"

CARD = """\
---
library_name: recdistill
tags: [recommender-system, sequential-recommendation, knowledge-distillation, onnx]
---

# {name}

A {kind} recommender: it reads a person's latest {max_length} items and ranks all {items:,} items of its catalog. {made}

```python
from recdistill import Recommender

recommender = Recommender.load("FOLDER")  # where this bundle lies
for item in recommender.recommend_ids([{examples}]):
    print(item.item_id, item.title, item.score)
```

It needs recdistill with its extra `serve` (numpy and onnxruntime, not torch). `recdistill serve FOLDER` answers over
HTTP and on a page. Other programs read `{file}` by onnxruntime: int64 `items` (B, L) are item numbers, oldest first,
padded on the right with 0 ({padding}); `seen` (B, M) are left out of the answer; `k` (1). Item
number n is entry n of the lists in `catalog.json`. `bundle.json` has size and sha256 of every file.

## Data

{data}

## Method

{method}

## Results

{results}
{int8}
## Limits

- It knows the {items:,} items of its catalog and no others{titles}.
- A history is all that it goes by: no time of day, no price, no stock. After an empty history it lists the most popular
  items.
- It repeats what the interactions hold, popular items most of all. It serves rare items and short histories worse; the
  run's report says by how much.
- Scores are not probabilities, and only differences within one answer mean anything.
{notes}
## Licences

{licences}
"""


def bundle_card(run: Path, bundle: Bundle) -> str:
    """The card of a bundle that is made from a run."""
    best = next(iter(bundle.models))
    about, settings = read_json(run / "prepare" / "data.json"), _settings(run)
    first = next(iter(bundle.models.values()))
    ids = read_json(run / "prepare" / "catalog.json")["item_ids"][1:3]
    return CARD.format(
        name=escape(bundle.name),
        kind="distilled" if best == "distilled" else "sequential",
        made=f"Written by recdistill {bundle.version} on {bundle.made[:10]}.",
        max_length=first.max_length,
        items=bundle.num_items,
        examples=", ".join(map(literal, ids)),
        file=first.file,
        padding=f"L is at most {first.max_length}, and each row holds an item",
        data=_data(about, bundle),
        method=_method(best, settings),
        results=_results(run),
        int8=_int8(bundle),
        titles=TAKES_NEW if (run / best / "title_map.json").is_file() else "",
        notes="".join(f"- {note}\n" for note in bundle.notes),
        licences=_licences(str(about.get("source", "")), settings.get("teacher", {})),
    )


def _settings(run: Path) -> dict[str, dict[str, JsonValue]]:
    """Settings of the run's steps, as their manifests have them."""
    found = {}
    for step in ("student", "teacher", "distilled"):
        if manifest := read_manifest(run / step):
            found[step] = manifest["config"]
    return found


def _data(about: Mapping[str, Any], bundle: Bundle) -> str:
    counts = about["statistics"]
    settings = about.get("settings", {})
    return (
        f"Source {_code(about.get('source'))}: {counts['events']:,} interactions of {counts['users']:,} users with "
        f"{counts['items']:,} items, split {_code(settings.get('split'))}; {counts.get('titles_missing', 0):,} items "
        f"have no title. External ids are {bundle.ids}. Fingerprints: data `{bundle.inputs['data'][:16]}`, split "
        f"`{bundle.inputs['split'][:16]}`."
    )


def _method(best: str, settings: Mapping[str, Any]) -> str:
    student = settings.get(best, {}) if best == "student" else settings.get("student", {})
    model, layers, width = (student.get(key, "") for key in ("model", "num_layers", "embedding_dim"))
    shape = f"{_code(model)}, {layers} layers, width {width}"
    if best == "student":
        return f"A student ({shape}) trained on the interactions alone. No language model took part."
    teacher, distill = settings.get("teacher", {}), settings.get("distilled", {})
    kind, llm, encoder = (_base(str(teacher.get(key, ""))) for key in ("kind", "llm", "title_encoder"))
    reads = f"language model {_code(llm)}, " if kind == "llm" else ""
    return (
        f"A student ({shape}) trained on the interactions and on the outputs of a teacher ("
        f"{_code(f'teacher.kind: {kind}')}, {reads}titles read by {_code(encoder)}; distillation "
        f"{_code(distill.get('method'))}, start {_code(distill.get('start'))}). The comparisons below and the "
        "run's report say what of the gain is the teacher's, and what the titles' alone."
    )


def _code(value: object) -> str:
    return inline_code("" if value is None else str(value))


def _base(location: str) -> str:
    """A model's name without the folders of the machine it lay on."""
    return Path(location).name if "/" in location and Path(location).is_absolute() else location


def _results(run: Path) -> str:
    path = run / "evaluation" / "metrics.json"
    if not path.is_file():
        return "The run was not evaluated; `recdistill evaluate` measures it."
    metrics, texts = read_json(path), Texts("en")
    lines = [f"| model | {' | '.join(map(metric_name, METRICS))} |", f"|---|{'---|' * len(METRICS)}"]
    for name, values in metrics["models"].items():
        ends = metrics["intervals"][name]
        lines.append(f"| {escape(name)} | {' | '.join(bracketed(values[key], ends[key]) for key in METRICS)} |")
    counts = {key: f"{metrics[key]:,}" for key in ("rows", "users", "items")}
    seen = texts("seen_filtered" if metrics["filter_seen"] else "seen_kept")
    lines += ["", texts("how", split=texts(f"split_{metrics['split']}"), seen=seen, **counts)]
    sentences = [f"- {one}" for one in story_sentences(metrics, texts, "ndcg@10")]
    return "\n".join([*lines, "", *sentences, "", "Brackets are 95 % bootstrap intervals over users."])


def _int8(bundle: Bundle) -> str:
    if bundle.int8 is None:
        return ""
    cost = bundle.int8
    return (
        f"\nIn 8 bits (`model.int8.onnx`) validation NDCG@10 over {cost.targets:,} targets is {cost.int8_ndcg_10:.4f}, "
        f"and {cost.ndcg_10:.4f} as trained; {100 * cost.same_lists:.1f} % of the lists of ten are the same.\n"
    )


def _licences(source: str, teacher: Mapping[str, Any]) -> str:
    terms = WHEELS[source].licence if source in WHEELS else "the terms of the interactions are their owner's"
    lines = [f"- Data: {terms}."]
    for key, kind in BASE_MODELS.items():
        location = str(teacher.get(key, ""))
        if not location or (key == "llm" and teacher.get("kind") != "llm" and teacher.get("title_encoder") != "llm"):
            continue
        told = WHEELS[location].licence if location in WHEELS else f"{_code(_base(location))}: see its own card"
        lines.append(f"- The {kind} that the teacher used: {told}. None of its weights is here.")
    return "\n".join([*lines, "- The weights in this folder: to be stated here by whoever publishes them."])
