"""Settings that were changed and that nothing reads, given the others: told before a run, since a person who changed
them expects something of them.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import NamedTuple

from recdistill.config import LossConfig, RunConfig, TrainConfig
from recdistill.settings import flat


class Rule(NamedTuple):
    """What nothing reads, and where.

    Attributes:
        keys: dotted settings, or whole sections of them.
        unread: whether nothing reads them.
        read_with: the setting that decides it and what it would have to be.
    """

    keys: tuple[str, ...]
    unread: Callable[[RunConfig], bool]
    read_with: str


def _of_loss(section: str, loss_of: Callable[[RunConfig], LossConfig]) -> tuple[Rule, ...]:
    """Of a student's own loss."""
    return (
        Rule(
            (f"{section}.negatives",), lambda c: loss_of(c).name == "cross_entropy", f"{section}.name: a sampled loss"
        ),
        Rule((f"{section}.gbce_t",), lambda c: loss_of(c).name != "gbce", f"{section}.name: gbce"),
    )


def _of_training(section: str, train_of: Callable[[RunConfig], TrainConfig]) -> Rule:
    """Of a training run."""
    return Rule(
        (f"{section}.batch_size",), lambda c: train_of(c).batch_tokens is not None, f"{section}.batch_tokens: null"
    )


def _all(rules: Iterable[Rule], condition: Callable[[RunConfig], bool]) -> tuple[Rule, ...]:
    """These rules where the step is taken that they are about; a step that is left out says so by its own switch."""
    return tuple(_and(rule, condition) for rule in rules)


def _and(rule: Rule, condition: Callable[[RunConfig], bool]) -> Rule:
    """The rule where the condition holds too."""
    return rule._replace(unread=lambda config: condition(config) and rule.unread(config))


LISTS = (
    "method",
    "top_k",
    "drop_target",
    "temperature",
    "position_weight",
    "confidence_weight",
    "consistency_weight",
    "position_temperature",
    "selection",
    "kl_threshold",
)
"""Settings of the distillation that are about the teacher's lists."""
DLLM2REC = ("position_weight", "confidence_weight", "consistency_weight", "position_temperature")
WITH_COLUMNS = ("csv", "parquet")
FORM = ("separator", "quote", "escape", "encoding", "decimal")
DATA = (
    Rule(("data.planted",), lambda c: c.data.source != "planted", "data.source: planted"),
    Rule(("data.path",), lambda c: c.data.source in ("planted", "frames"), "another data.source"),
    Rule(
        tuple(f"data.{name}" for name in (*FORM, "names", "items", "items_path", "validation_path", "test_path")),
        lambda c: c.data.source not in WITH_COLUMNS,
        "data.source: csv or parquet",
    ),
    Rule(
        tuple(f"data.columns.{name}" for name in ("user", "item", "rating", "title")),
        lambda c: c.data.source not in (*WITH_COLUMNS, "recbole", "frames"),
        "data.source: csv, parquet, recbole or frames",
    ),
    Rule(
        ("data.columns.split",),
        lambda c: c.data.split not in ("column", "column_events"),
        "data.split: column or column_events",
    ),
    Rule(
        ("data.validation_fraction", "data.test_fraction"),
        lambda c: c.data.split != "global_time",
        "data.split: global_time",
    ),
)
STUDENT = (
    Rule(("student.num_heads",), lambda c: c.student.model != "sasrec", "student.model: sasrec"),
    *_of_loss("student.loss", lambda c: c.student.loss),
    _of_training("student.train", lambda c: c.student.train),
)
TEACHER = (
    Rule(("teacher.instruction", "teacher.title_tokens"), lambda c: c.teacher.prompt != "text", "teacher.prompt: text"),
    Rule(("teacher.windows",), lambda c: c.teacher.targets != "every", "teacher.targets: every"),
    Rule(("teacher.double_quantization",), lambda c: c.teacher.quantization != "nf4", "teacher.quantization: nf4"),
    Rule(
        ("teacher.compile_buckets", "teacher.compile_seconds"),
        lambda c: not c.teacher.compile,
        "teacher.compile: true",
    ),
    Rule(("teacher.student_dropout",), lambda c: c.teacher.head != "residual", "teacher.head: residual"),
    Rule(
        ("teacher.gate.router", "teacher.gate.hidden_dim", "teacher.adapter.experts"),
        lambda c: c.teacher.gate.kind == "none",
        "teacher.gate.kind: causal or instance",
    ),
    Rule(
        ("teacher.gate.hidden_dim",),
        lambda c: c.teacher.gate.kind != "none" and c.teacher.gate.router != "mlp",
        "teacher.gate.router: mlp",
    ),
    Rule(("teacher.folds",), lambda c: not c.export.enabled, "export.enabled: true"),
    _and(_of_training("teacher.train", lambda c: c.teacher.train), lambda c: not c.teacher.compile),
)
DISTILLATION = (
    Rule(tuple(f"distill.{name}" for name in LISTS), lambda c: not c.distill.weight, "distill.weight above 0"),
    Rule(
        tuple(f"distill.{name}" for name in DLLM2REC),
        lambda c: bool(c.distill.weight) and c.distill.method != "dllm2rec",
        "distill.method: dllm2rec",
    ),
    Rule(
        ("distill.drop_target",),
        lambda c: bool(c.distill.weight) and c.distill.method == "full_catalog_ce",
        "another distill.method",
    ),
    Rule(
        ("distill.temperature",),
        lambda c: bool(c.distill.weight) and c.distill.method not in ("topk_kl", "full_catalog_ce"),
        "distill.method: topk_kl or full_catalog_ce",
    ),
    Rule(
        ("distill.kl_threshold",),
        lambda c: bool(c.distill.weight) and c.distill.selection != "kl_above",
        "distill.selection: kl_above",
    ),
    Rule(("distill.dro_temperature",), lambda c: not c.distill.dro_weight, "distill.dro_weight above 0"),
    *_of_loss("distill.loss", lambda c: c.distill.loss),
    _of_training("distill.train", lambda c: c.distill.train),
)
EVALUATION = (
    Rule(("evaluate.ease_items",), lambda c: "ease" not in c.evaluate.baselines, "ease among evaluate.baselines"),
)
RULES = (
    *DATA,
    *STUDENT,
    *_all(TEACHER, lambda c: c.teacher.kind == "llm"),
    *_all(DISTILLATION, lambda c: c.teacher.kind != "none" and c.export.enabled),
    *EVALUATION,
)


def unread_settings(config: RunConfig) -> list[str]:
    """A sentence for each setting that is not what it is by default and that nothing reads.

    Returns:
        Sentences such as `student.loss.negatives: 64 is not read without student.loss.name: a sampled loss`.
    """
    found, default = flat(asdict(config)), flat(asdict(RunConfig()))
    sentences = []
    for rule in RULES:
        if rule.unread(config):
            changed = [key for key in found if _within(key, rule.keys) and found[key] != default[key]]
            sentences += [f"{key}: {found[key]} is not read without {rule.read_with}" for key in changed]
    return sentences


def _within(key: str, sections: tuple[str, ...]) -> bool:
    """Whether a dotted key is one of `sections`, or stands in one."""
    return any(key == section or key.startswith(f"{section}.") for section in sections)
