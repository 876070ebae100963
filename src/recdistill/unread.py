"""Settings that were changed and that nothing reads, given the others: told before a run, since a person who changed
them expects something of them.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple

from recdistill.config import RunConfig
from recdistill.settings import flat


class Rule(NamedTuple):
    """What nothing reads, and where.

    Attributes:
        keys: dotted settings, or whole sections of them.
        unread: whether nothing reads them.
        unless: the setting that decides it and what it would have to be.
    """

    keys: tuple[str, ...]
    unread: Callable[[RunConfig], bool]
    unless: str


def _loss_rules(section: str, loss_of: Callable[[RunConfig], Any]) -> tuple[Rule, ...]:
    """Of a student's own loss."""
    return (
        Rule(
            (f"{section}.negatives",), lambda c: loss_of(c).name == "cross_entropy", f"{section}.name: a sampled loss"
        ),
        Rule((f"{section}.gbce_t",), lambda c: loss_of(c).name != "gbce", f"{section}.name: gbce"),
    )


def _of_teacher(condition: Callable[[RunConfig], bool]) -> Callable[[RunConfig], bool]:
    """Where there is a language model; where there is none, `teacher.kind` says it all."""
    return lambda config: config.teacher.kind == "llm" and condition(config)


def _of_distillation(condition: Callable[[RunConfig], bool]) -> Callable[[RunConfig], bool]:
    """Where something is distilled."""
    return lambda config: config.teacher.kind != "none" and config.export.enabled and condition(config)


DLLM2REC = ("position_weight", "confidence_weight", "consistency_weight", "position_temperature")
RULES = (
    Rule(("data.planted",), lambda c: c.data.source != "planted", "data.source: planted"),
    Rule(("data.separator",), lambda c: c.data.source not in ("csv", "parquet"), "data.source: csv or parquet"),
    Rule(("data.items_path",), lambda c: c.data.source not in ("csv", "parquet"), "data.source: csv or parquet"),
    Rule(
        ("data.validation_fraction", "data.test_fraction"),
        lambda c: c.data.split != "global_time", "data.split: global_time",
    ),
    Rule(("student.heads",), lambda c: c.student.model != "sasrec", "student.model: sasrec"),
    *_loss_rules("student.loss", lambda c: c.student.loss),
    Rule(("teacher.instruction",), _of_teacher(lambda c: c.teacher.prompt != "text"), "teacher.prompt: text"),
    Rule(("teacher.windows",), _of_teacher(lambda c: c.teacher.targets != "every"), "teacher.targets: every"),
    Rule(
        ("teacher.double_quantization",),
        _of_teacher(lambda c: c.teacher.quantization != "nf4"), "teacher.quantization: nf4",
    ),
    Rule(
        ("teacher.compile_buckets", "teacher.compile_seconds"),
        _of_teacher(lambda c: not c.teacher.compile), "teacher.compile: true",
    ),
    Rule(("teacher.student_dropout",), _of_teacher(lambda c: c.teacher.head != "residual"), "teacher.head: residual"),
    Rule(
        ("teacher.gate.router", "teacher.gate.hidden_dim"),
        _of_teacher(lambda c: c.teacher.gate.kind == "none"), "teacher.gate.kind: causal or instance",
    ),
    Rule(
        ("teacher.gate.hidden_dim",),
        _of_teacher(lambda c: c.teacher.gate.kind != "none" and c.teacher.gate.router != "mlp"),
        "teacher.gate.router: mlp",
    ),
    Rule(("export",), lambda c: c.teacher.kind == "none", "teacher.kind: llm or student"),
    Rule(("distill",), lambda c: c.teacher.kind == "none", "teacher.kind: llm or student"),
    Rule(("distill",), lambda c: c.teacher.kind != "none" and not c.export.enabled, "export.enabled: true"),
    Rule(
        tuple(f"distill.{name}" for name in DLLM2REC),
        _of_distillation(lambda c: c.distill.method != "dllm2rec"), "distill.method: dllm2rec",
    ),
    Rule(
        ("distill.temperature",),
        _of_distillation(lambda c: c.distill.method not in ("soft_labels", "soft_targets")),
        "distill.method: soft_labels or soft_targets",
    ),
    Rule(
        ("distill.dro_temperature",),
        _of_distillation(lambda c: not c.distill.dro_weight), "distill.dro_weight above 0",
    ),
    Rule(
        ("distill.kl_threshold",),
        _of_distillation(lambda c: c.distill.selection != "kl_above"), "distill.selection: kl_above",
    ),
    *(
        Rule(rule.keys, _of_distillation(rule.unread), rule.unless)
        for rule in _loss_rules("distill.loss", lambda c: c.distill.loss)
    ),
)  # fmt: skip


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
            sentences += [f"{key}: {found[key]} is not read without {rule.unless}" for key in changed]
    return sentences


def _within(key: str, sections: tuple[str, ...]) -> bool:
    """Whether a dotted key is one of `sections`, or stands in one."""
    return any(key == section or key.startswith(f"{section}.") for section in sections)
