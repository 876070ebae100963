r"""Targets learned per second, our teacher's text prompts against PEFT's LoRA with TRL's packing, same language model.

    recdistill fetch smollm2 && recdistill prepare --run runs/bench
    python benchmarks/trl_packing.py --data runs/bench/prepare --trl .trl/bin/python \
        --out docs/benchmarks/trl-packing.jsonl

`requirements-trl.txt` says how `.trl` is made. The same users, titles, training targets, blocks, LoRA rank and layers,
all in fp32. Two ways to write the targets for TRL:

- `prompts`, as published recipes do: one example per target, the titles of the latest items and then the target's,
  which alone is learned;
- `histories`: a user's titles end to end, each token predicted from those before it, so that each event is read and
  learned once. A history longer than a row is cut between two items, and its next part begins with the instruction.

Each is trained by transformers' `Trainer` and by TRL's `SFTTrainer` on the same packed rows
(`other_libraries/trl_sft.py` says what was chosen in their favour). Ours reads each event once too (`targets: every`,
`windows: sliding`, `padding: packed`), with a soft token per item, gated experts and a student beside it. **The losses
differ in kind**: TRL learns the title's tokens out of the vocabulary, ours the item out of the catalog. With `prompts`
a target's title depends on the latest items alone, with `histories` on all before it in its part, in ours on as many as
the blocks hand on, each looking back over the latest items.

Checked first: the documents that TRL packed have the tokens of our prompts without the soft tokens, and are learned
where they should be; both sides learn the same targets, each once; without adapters the language models' hidden states
are equal; and the adapters have equally many parameters. Then all train some steps in turn, another one first in each
round; the first turn of each warms up. The time of a step is that of making the batch, forward, loss, backward,
clipping and the optimiser. Tokenising and packing before the first step count for nothing.

Lines of JSON: the settings, what was checked, each variant (medians and ranges over the rounds), and ours against each,
round by round.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from numpy.typing import NDArray

from ablation import random_student
from naive.lines import Lines, ratio, spread, told
from recdistill.config import RunConfig, TeacherConfig
from recdistill.data.fetch import cache_folder
from recdistill.data.prepared import PreparedData
from recdistill.language_models.locations import llm_location
from recdistill.teacher.prompts import PromptBatch, PromptBuilder
from recdistill.teacher.teacher import Teacher
from recdistill.training.optimisation import Optimisation
from recdistill.training.teacher import TeacherTraining
from streams import spread as spread_plan

HERE = Path(__file__).resolve().parent
READINGS, TRAINERS = ("prompts", "histories"), ("Trainer", "sft")
SAME = 1e-4
"""Largest difference of hidden states that the check lets pass."""
IGNORED = -100
"""The label of a token that is not learned."""
Target = tuple[int, int]
"""User and position."""
Tokens = tuple[tuple[int, ...], tuple[int, ...]]
"""Tokens and labels of a document."""
Packed = dict[str, NDArray[np.int64]]
"""What TRL packed: `ids` and `labels` of all tokens, `lengths` of documents, `documents` of each row."""


@dataclass(frozen=True)
class Document:
    """A text for TRL: the titles of a user's items at positions `start`..`end` - 1, of which those from `learned` on
    are targets; with `whole` all tokens are learned, else those of the targets alone.
    """

    user: int
    start: int
    end: int
    learned: int
    whole: bool

    @property
    def targets(self) -> list[Target]:
        """The targets that it teaches."""
        return [(self.user, position) for position in range(self.learned, self.end)]


def prompt_documents(data: PreparedData, history: int) -> list[Document]:
    """One for each training target, with up to `history` items before it."""
    targets = data.targets("train")
    return [
        Document(user, max(position - history, 0), position + 1, position, whole=False)
        for user, position in zip(targets.users.tolist(), targets.positions.tolist(), strict=True)
    ]


def history_documents(data: PreparedData, item_tokens: NDArray[np.int64], beside: int, most: int) -> list[Document]:
    """The train interactions of each user that is trained on, cut between items where they are too long for a row.

    Args:
        data: the histories.
        item_tokens: (N + 1,), tokens of each item's title.
        beside: tokens of a document beside its titles.
        most: tokens of a row.
    """
    found = []
    for user in np.flatnonzero(data.trained_ends >= 2).tolist():
        end = int(data.trained_ends[user])
        lengths = item_tokens[data.history(user, end)]
        start = 0
        while start < end:
            fitting = int(np.searchsorted(lengths[start:].cumsum(), most - beside, side="right"))
            if not fitting:
                raise SystemExit(f"a title has more than the {most} tokens of a row")
            found.append(Document(user, start, start + fitting, max(start, 1), whole=True))
            start += fitting
    return [one for one in found if one.targets]


def text(data: PreparedData, document: Document, instruction: str) -> dict[str, str]:
    """What TRL is given of a document."""
    first = int(data.offsets[document.user])
    lines = [f"\n{data.titles[item]}" for item in data.items[first + document.start : first + document.end].tolist()]
    if document.whole:
        return {"text": instruction + "".join(lines)}
    context = document.learned - document.start
    return {"prompt": instruction + "".join(lines[:context]), "completion": "".join(lines[context:])}


def title_lengths(builder: PromptBuilder) -> NDArray[np.int64]:
    """Tokens of each item's title, (N + 1,); the soft token behind it is left out, and index 0 means nothing."""
    return builder.tokens_per_item() - 1


def words(builder: PromptBuilder, items: NDArray[np.int32]) -> list[int]:
    """The tokens of some titles in our prompts, without their soft tokens."""
    return [int(token) for item in items.tolist() for token in builder.segment(item)[:-1]]


def expected(data: PreparedData, document: Document, builder: PromptBuilder, end: int) -> Tokens:
    """Tokens and labels that a document must have: those of our prompts, and TRL's token that ends a text."""
    first = int(data.offsets[document.user])
    items = data.items[first + document.start : first + document.end]
    context = document.learned - document.start
    head = [int(token) for token in builder.segment(builder.head)]
    before, learned = head + words(builder, items[:context]), [*words(builder, items[context:]), end]
    ids = before + learned
    return tuple(ids), tuple(ids if document.whole else [IGNORED] * len(before) + learned)


def packed_documents(packed: Packed) -> Iterator[list[Tokens]]:
    """The documents of each row that TRL packed."""
    ends = packed["lengths"].cumsum()
    pieces = [np.split(packed[name], ends[:-1]) for name in ("ids", "labels")]
    documents = [(tuple(ids.tolist()), tuple(labels.tolist())) for ids, labels in zip(*pieces, strict=True)]
    start = 0
    for count in packed["documents"].tolist():
        yield documents[start : start + count]
        start += count


def targets_of_rows(
    data: PreparedData,
    documents: list[Document],
    builder: PromptBuilder,
    end: int,
    packed: dict[str, NDArray[np.int64]],
) -> list[list[Target]]:
    """The targets that TRL learns in each row.

    Raises:
        SystemExit: a row has a document that is none of these, or one of these is in no row.
    """
    unread: dict[Tokens, list[Document]] = defaultdict(list)
    for document in documents:
        unread[expected(data, document, builder, end)].append(document)
    rows = []
    for row in packed_documents(packed):
        if any(not unread[tokens] for tokens in row):
            raise SystemExit("TRL reads or learns other tokens than ours")
        rows.append([target for tokens in row for target in unread[tokens].pop().targets])
    if left := sum(map(len, unread.values())):
        raise SystemExit(f"TRL left out {left} of {len(documents)} documents")
    return rows


def once(targets: list[Target]) -> set[Target]:
    """All targets; raises where one stands twice."""
    found = Counter(targets)
    if found.total() != len(found):
        raise SystemExit("a target is learned twice")
    return set(found)


def targets_of_ours(training: TeacherTraining) -> list[Target]:
    """The targets of all batches of an epoch, whose prompts are checked to be those of the users' histories.

    Raises:
        SystemExit: a prompt has other tokens than instruction, titles and soft tokens, or a target is another item.
    """
    data, windows, builder = training.teacher.data, training.windows, training.teacher.prompts
    head, found = [int(token) for token in builder.segment(builder.head)], []
    for rows in training.plan(0):
        batch = training.collate(rows)
        chosen = windows.take(rows)
        for prompt, (user, start, end) in enumerate(zip(chosen.users, chosen.starts, chosen.ends, strict=True)):
            items = data.history(int(user), int(end))[int(start) :]
            if titles_read(batch, prompt) != head + words(builder, items):
                raise SystemExit("our prompts have other tokens than the histories")
        places = data.offsets[batch.users.numpy()] + batch.positions.numpy()
        if not np.array_equal(data.items[places], batch.target_items.numpy()):
            raise SystemExit("our targets are other items than the histories")
        found += list(zip(batch.users.tolist(), batch.positions.tolist(), strict=True))
    return found


def titles_read(batch: PromptBatch, prompt: int) -> list[int]:
    """The tokens of one prompt of a packed batch, without soft tokens."""
    own = (batch.token_prompts == prompt) & batch.mask & (batch.soft_items == 0)
    tokens: list[int] = batch.token_ids[own].tolist()
    return tokens


@torch.no_grad()
def hidden_states(teacher: Teacher, tokens: list[int]) -> NDArray[np.float32]:
    """The last hidden states (T, H) of our language model, whose experts add nothing before they are trained."""
    ranker, ids = teacher.ranker.eval(), torch.tensor([tokens])
    inputs = ranker.llm.get_input_embeddings()(ids)
    places, mask = torch.arange(len(tokens)).unsqueeze(0), torch.ones_like(ids, dtype=torch.bool)
    options = ranker.layout_options("packed", torch.tensor([len(tokens)]), places, mask, inputs.dtype)
    gate = torch.ones(1, 1, teacher.config.adapter.rank)
    found: NDArray[np.float32] = ranker.run(inputs, ids, gate, options)[0].numpy()
    return found


@dataclass
class Variant:
    """What was measured of one variant: a number for each round."""

    name: str
    targets: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)

    def each(self, clock: str) -> list[float]:
        """Targets learned per second of a clock, round by round."""
        return [count / took for count, took in zip(self.targets, getattr(self, clock), strict=True)]

    def add(self, targets: int, seconds: float, cpu_seconds: float) -> None:
        """Note one round."""
        self.targets.append(targets)
        self.seconds.append(seconds)
        self.cpu_seconds.append(cpu_seconds)

    def line(self) -> dict[str, Any]:
        """What is told of it."""
        return {
            "variant": self.name,
            "targets_per_cpu_second": spread(self.each("cpu_seconds")),
            "targets_per_second": spread(self.each("seconds")),
            "targets_per_round": self.targets,
            "cpu_seconds_per_round": [round(took, 2) for took in self.cpu_seconds],
        }


class Ours:
    """Our teacher's training, some steps at a time, on batches of all sizes that an epoch has."""

    def __init__(self, training: TeacherTraining) -> None:
        self.training, config = training, training.teacher.config
        self.optimisation = Optimisation(training, config.train, "cpu", config.precision)

    def turn(self, number: int, steps: int) -> tuple[int, float, float]:
        """Targets learned, seconds, CPU seconds of some whole training steps."""
        training = self.training
        training.module.train()
        plan = spread_plan(list(training.plan(number)), training.windows.num_targets, steps)
        targets, began = 0, (time.perf_counter(), time.process_time())
        for rows in plan:
            batch = training.collate(rows)
            count = training.num_targets(batch)
            self.optimisation.backward([(batch, True)], count)
            self.optimisation.step()
            targets += count
        return targets, time.perf_counter() - began[0], time.process_time() - began[1]


class Trl:
    """TRL in a process of its own, which trains when it is its turn.

    Args:
        python: of the environment with TRL.
        folder: with settings and documents; the process writes there what it packed.
        threads: of the process.
    """

    def __init__(self, python: Path, folder: Path, threads: int) -> None:
        settings = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive", "HF_HOME": str(folder / "hf")}
        self.process = subprocess.Popen(
            [str(python.absolute()), str(HERE / "other_libraries" / "trl_sft.py"), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | settings | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": ""},
            text=True,
        )
        self.folder, self.next_row = folder, 0
        self.ready = self.answer()
        with np.load(folder / "packed.npz") as packed:
            self.packed = dict(packed)
        self.hidden: NDArray[np.float32] = np.load(folder / "hidden.npy")
        self.rows: list[list[Target]] = []

    def answer(self) -> dict[str, Any]:
        """The next line of JSON.

        Raises:
            SystemExit: the process has ended.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"TRL's process ended with status {self.process.wait()}")
        return dict(json.loads(line))

    def turn(self, number: int, steps: int) -> tuple[int, float, float]:
        """Targets learned, seconds, CPU seconds of some whole training steps, the next rows in their order."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        answer = self.answer()
        rows = [self.rows[(self.next_row + step) % len(self.rows)] for step in range(steps)]
        self.next_row += steps
        return sum(map(len, rows)), answer["seconds"], answer["cpu_seconds"]

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def settings(arguments: argparse.Namespace, layers: int) -> RunConfig:
    """Ours: text prompts of which each event is read once; all else is the default."""
    default = TeacherConfig()
    teacher = replace(
        default,
        llm=arguments.llm,
        layers=layers or None,
        prompt="text",
        targets="every",
        windows="sliding",
        padding="packed",
        history_length=arguments.history,
        title_encoder="llm",
        adapter=replace(default.adapter, layers=tuple(arguments.modules)),
        train=replace(default.train, learning_rate=1e-6),
    )
    return RunConfig(teacher=teacher)


def some_users(data: PreparedData, count: int) -> PreparedData:
    """The same data, of which some users alone are trained on."""
    drawn = np.random.default_rng(0).permutation(np.flatnonzero(data.trained_ends >= 2))[:count]
    return replace(data, trained_users=np.isin(np.arange(data.num_users), drawn))


def documents_of(reading: str, training: TeacherTraining, tokens: int) -> list[Document]:
    """The documents of one reading."""
    teacher, builder = training.teacher, training.teacher.prompts
    if reading == "prompts":
        return prompt_documents(teacher.data, teacher.config.history_length)
    beside = len(builder.segment(builder.head)) + 1  # TRL's token that ends a text
    return history_documents(teacher.data, title_lengths(builder), beside, tokens)


def write_task(
    folder: Path, training: TeacherTraining, documents: list[Document], probe: list[int], trainer: str, tokens: int
) -> None:
    """What TRL's process reads."""
    config, data = training.teacher.config, training.teacher.data
    texts = [text(data, document, config.instruction) for document in documents]
    (folder / "documents.json").write_text(json.dumps(texts), encoding="utf-8")
    asked = {
        "trainer": trainer,
        "model": llm_location(config.llm, cache_folder()),
        "layers": config.layers,
        "rank": config.adapter.rank,
        "alpha": config.adapter.alpha,
        "dropout": config.adapter.dropout,
        "modules": list(config.adapter.layers),
        "learning_rate": config.train.learning_rate,
        "max_grad_norm": config.train.max_grad_norm,
        "tokens": tokens,
        "seed": 0,
        "probe": probe,
    }
    (folder / "settings.json").write_text(json.dumps(asked), encoding="utf-8")


def start(training: TeacherTraining, reading: str, trainer: str, folder: Path, arguments: argparse.Namespace) -> Trl:
    """TRL's process of one variant, with all that it packed checked against ours.

    Raises:
        SystemExit: it reads, learns or runs something else.
    """
    teacher = training.teacher
    documents = documents_of(reading, training, arguments.tokens)
    longest = max(documents, key=lambda one: one.end - one.start)
    probe = list(expected(teacher.data, longest, teacher.prompts, 0)[0][:-1])
    write_task(folder, training, documents, probe, trainer, arguments.tokens)
    trl = Trl(arguments.trl, folder, arguments.threads)
    trl.rows = targets_of_rows(teacher.data, documents, teacher.prompts, trl.ready["end"], trl.packed)
    if once([target for row in trl.rows for target in row]) != once(targets_of_ours(training)):
        raise SystemExit("not the same targets")
    difference = float(np.abs(trl.hidden - hidden_states(teacher, probe)).max())
    if not difference <= SAME:
        raise SystemExit(f"the language models differ: hidden states by up to {difference:.2g}")
    own = sum(one.numel() for name, one in training.module.named_parameters() if "lora_" in name)
    if own != trl.ready["adapter_parameters"]:
        raise SystemExit(f"the adapters differ: {own} parameters of ours, {trl.ready['adapter_parameters']} of TRL's")
    trl.ready["hidden_apart"] = difference
    return trl


def told_of(name: str, trl: Trl) -> dict[str, Any]:
    """What was checked of one of TRL's variants, and how full its rows are."""
    lengths = np.add.reduceat(trl.packed["lengths"], trl.packed["documents"].cumsum() - trl.packed["documents"])
    counts = [len(row) for row in trl.rows]
    return {
        "checked": name,
        "targets": sum(counts),
        "rows": len(counts),
        "tokens_per_row": round(float(lengths.mean()), 1),
        "targets_per_row": round(float(np.mean(counts)), 1),
        "hidden_states_apart": float(f"{trl.ready['hidden_apart']:.1e}"),
        "packed_loss_apart": float(f"{trl.ready['packed_apart']:.1e}"),
        "attention": trl.ready["attention"],
    }


def measure(runners: dict[str, Ours | Trl], arguments: argparse.Namespace) -> dict[str, Variant]:
    """Train all in turn, another one first in each round; the first round warms up and counts nothing."""
    names, variants = list(runners), {name: Variant(name) for name in runners}
    for number in range(arguments.rounds + 1):
        for place in range(len(names)):
            name = names[(number + place) % len(names)]
            found = runners[name].turn(number, arguments.steps if number else arguments.warm_up)
            if number:
                variants[name].add(*found)
    return variants


def measure_blocks(layers: int, data: PreparedData, arguments: argparse.Namespace, tell: Lines) -> None:
    """Check and measure all variants with so many blocks."""
    config = settings(arguments, layers)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        student = folder / "student"
        student.mkdir()
        training = TeacherTraining(Teacher(config, data, random_student(config, data, student), "cpu"), seed=0)
        if training.teacher.prompts.cut_titles:
            raise SystemExit("our prompts cut titles off")
        runners: dict[str, Ours | Trl] = {}
        try:
            for reading in arguments.readings:
                for trainer in arguments.trainers:
                    one = f"{reading}, {trainer}"
                    (folder / one).mkdir()
                    trl = runners[one] = start(training, reading, trainer, folder / one, arguments)
                    tell({"layers": layers} | told_of(one, trl) | {"versions": trl.ready["versions"]})
            runners["ours"] = Ours(training)
            variants = measure(runners, arguments)
        finally:
            for runner in runners.values():
                if isinstance(runner, Trl):
                    runner.close()
    for variant in variants.values():
        tell({"layers": layers} | variant.line())
    ours = variants.pop("ours")
    ratios = {
        name: {clock: ratio(ours.each(clock), other.each(clock)) for clock in ("cpu_seconds", "seconds")}
        for name, other in variants.items()
    }
    tell({"layers": layers, "ours_against": ratios, "wanted": "at least 3"})


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder written by `prepare`")
    parser.add_argument("--trl", type=Path, required=True, help="python of the environment with TRL")
    parser.add_argument("--out", type=Path, help="file that gets the lines too")
    parser.add_argument("--llm", default="smollm2", help="as `teacher.llm`")
    parser.add_argument("--layers", type=int, nargs="+", default=[2, 0], help="first blocks kept; 0: all")
    parser.add_argument("--readings", nargs="+", choices=READINGS, default=READINGS, help="of TRL's variants")
    parser.add_argument("--trainers", nargs="+", choices=TRAINERS, default=TRAINERS, help="of TRL's variants")
    parser.add_argument("--modules", nargs="+", default=["q_proj", "v_proj"], help="layers with adapters")
    parser.add_argument("--history", type=int, default=10, help="latest items that a target is predicted from")
    parser.add_argument("--tokens", type=int, default=1024, help="tokens of one of TRL's rows at most")
    parser.add_argument("--users", type=int, default=60, help="users that are trained on, drawn at random")
    parser.add_argument("--steps", type=int, default=3, help="training steps of a variant in one round")
    parser.add_argument("--warm-up", type=int, default=1, help="training steps of a variant before the first round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    """Check, then train all variants in turn."""
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    tell = Lines(arguments.out)
    data = some_users(PreparedData.load(arguments.data), arguments.users)
    names = ("torch", "transformers", "peft")
    settled = {name: value for name, value in told(arguments).items() if name != "trl"}
    tell({"settings": settled, "data": data.fingerprint, "ours": {name: version(name) for name in names}})
    for layers in arguments.layers:
        measure_blocks(layers, data, arguments, tell)


if __name__ == "__main__":
    main()
