import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from recdistill.config import RunConfig
from recdistill.config.rules import evidence_of
from recdistill.config.settings import flat
from recdistill.languages import message
from recdistill.measure.evidence import TokenCount
from recdistill.measure.facts import Seen, TitleFacts, TuningFacts, WeightFacts
from recdistill.measure.settings_check import JUDGES, judge, judged_settings
from recdistill.reporting.language import Texts

FOUR_BITS = {"quantised_layers": 3, "quantised_kinds": ["Linear4bit"]}
ON = {
    "teacher.layers": 6,
    "teacher.history_length": 5,
    "teacher.windows": "sliding",
    "teacher.gate.kind": "causal",
    "teacher.targets": "every",
    "teacher.title_decay": 0.9,
    "teacher.llm_weights": "shuffled",
    "teacher.title_encoder": "minilm",
    "teacher.title_encoder_weights": "shuffled",
    "teacher.title_tuning.steps": 5,
    "teacher.precision": "bf16",
    "teacher.quantization": "nf4",
    "teacher.double_quantization": True,
    "teacher.compute_dtype": "auto",
    "teacher.attention": "sdpa",
    "teacher.padding": "packed",
    "teacher.compile": True,
    "teacher.cuda_graphs": True,
    "teacher.gradient_checkpointing": True,
    "teacher.train.batch_size": 8,
    "teacher.train.batch_tokens": 100,
    "teacher.train.accumulate_grad_batches": 2,
    "teacher.train.num_workers": 2,
    "export.batch_size": "auto",
    "export.use_cache": True,
    "teacher.adapter.rank": 8,
    "teacher.adapter.experts": 4,
    "teacher.adapter.layers": ("q_proj", "v_proj"),
    "teacher.prompt": "item",
    "teacher.head": "residual",
    "export.top_k": 50,
    "export.states": True,
}
"""Every setting that is judged, with a value that something must be seen of."""

QUALITY = "decides what is learned; no trace of it is collected"
SCHEDULE = "decides how training goes, told by training.csv a validation at a time; no trace of it is collected"
NOT_JUDGED = {
    "teacher.kind": "what is judged are the traces of a language model",
    "teacher.llm": "a name; no trace tells one model from another",
    "teacher.compile_buckets": "a bound; the widths that were read are told with teacher.padding",
    "teacher.compile_seconds": "a bound",
    "teacher.stream_length": "a bound",
    "teacher.candidates": QUALITY,
    "teacher.folds": "told with export.batch_size, by the largest fold's prompts",
    "teacher.gate.router": QUALITY,
    "teacher.gate.hidden_dim": QUALITY,
    "teacher.head_dim": QUALITY,
    "teacher.id_dropout": QUALITY,
    "teacher.instruction": QUALITY,
    "teacher.student": "the student with titles is evaluated too",
    "teacher.student_dropout": QUALITY,
    "teacher.title_dim": QUALITY,
    "teacher.title_tokens": "a bound; the log says of how many titles the rest was cut off",
    "teacher.title_tuning.pairs": QUALITY,
    "teacher.title_tuning.window": QUALITY,
    "teacher.title_tuning.temperature": QUALITY,
    "teacher.title_tuning.learning_rate": QUALITY,
    "teacher.title_tuning.rank": "the number of trained parameters is told with teacher.title_tuning.steps",
    "teacher.adapter.alpha": QUALITY,
    "teacher.adapter.dropout": QUALITY,
    "teacher.train.max_epochs": SCHEDULE,
    "teacher.train.learning_rate": SCHEDULE,
    "teacher.train.beta2": SCHEDULE,
    "teacher.train.weight_decay": SCHEDULE,
    "teacher.train.warmup_fraction": SCHEDULE,
    "teacher.train.final_fraction": SCHEDULE,
    "teacher.train.max_grad_norm": SCHEDULE,
    "teacher.train.patience": SCHEDULE,
    "teacher.train.validate_every": SCHEDULE,
    "teacher.train.shuffle_block": SCHEDULE,
    "teacher.train.checkpoint_seconds": "a bound",
}
"""Settings of a teacher of which no trace is looked for, and why."""


def test_each_setting_of_a_teacher_has_a_judge_or_a_reason_for_none() -> None:
    settings = {key for key in flat(asdict(RunConfig())) if key.startswith("teacher.")}
    assert {key for key in ON if key.startswith("teacher.")} | set(NOT_JUDGED) == settings
    assert not set(ON) & set(NOT_JUDGED)
    assert all(NOT_JUDGED.values())


def test_each_judge_is_that_of_one_setting() -> None:
    config = RunConfig()
    teacher = config.teacher
    parts = (teacher, teacher.gate, teacher.adapter, teacher.title_tuning, teacher.train, config.export)
    named = [evidence_of(one) for part in parts for one in fields(part)]
    assert sorted(name for name in named if name) == sorted(JUDGES)
    assert set(judged_settings()) == set(ON)


READ: TitleFacts = {"pooling": "mean", "max_tokens": None, "texts": 1, "cut": 0}


def effect(key: str, asked: object, seen: Seen, **others: Any) -> bool | None:
    found = {one.key: one for one in judge({**others, key: asked}, seen)}
    assert told(found[key], "en") != told(found[key], "ja")
    return found[key].in_effect


def told(judgement: Any, language: str = "en") -> str:
    """What was seen, as a report tells it after it was kept as JSON."""
    return Texts(language).told(json.loads(json.dumps(asdict(judgement)))["seen"])


def test_nothing_seen_is_not_in_effect() -> None:
    found = judge(ON, {})
    assert [one.key for one in found] == list(ON)
    assert [one.key for one in found if one.in_effect] == []
    assert all(told(one, "en") != told(one, "ja") for one in found)


OFF = {
    "teacher.quantization": "none",
    "teacher.compile": False,
    "teacher.cuda_graphs": False,
    "export.use_cache": False,
    "teacher.gradient_checkpointing": False,
    "teacher.train.num_workers": 0,
    "teacher.precision": "fp32",
}


def test_what_is_off_must_be_seen_to_be_off() -> None:
    found = judge(OFF, {})
    # Of workers none is what an empty count shows.
    assert [one.key for one in found if one.in_effect] == ["teacher.train.num_workers"]


def test_every_setting_of_the_studies_is_judged() -> None:
    folder = Path(__file__).parents[2] / "configs" / "bench"
    cells = [
        cell or {} for path in folder.glob("*.yaml") for cell in yaml.safe_load(path.read_text())["cells"].values()
    ]
    keys = {key for cell in cells for key in cell if key.startswith(("teacher.", "export."))}
    assert len(keys) > 10
    assert keys <= {one.key for one in judge(ON, {})}


def test_settings_that_are_not_known_are_left_out() -> None:
    assert judge({"teacher.head_dim": 3}, {}) == []


def test_the_reports_mistake_is_told() -> None:
    """FP32 was asked for and ran in 16 bits."""
    seen: Seen = {"products": {"bfloat16": 40, "float32": 3}, "frozen_dtypes": ["torch.float32"]}
    assert not effect("teacher.precision", "fp32", seen)
    assert effect("teacher.precision", "bf16-mixed", seen)
    assert not effect("teacher.precision", "bf16", seen)
    assert effect("teacher.precision", "fp32", {"products": {"float32": 9}, "frozen_dtypes": ["torch.float32"]})


@pytest.mark.parametrize(
    ("key", "asked", "seen", "expected"),
    [
        ("teacher.quantization", "none", {"quantised_layers": 3}, False),
        ("teacher.quantization", "nf4", {"quantised_layers": 3, "quantised_kernels": {}}, False),
        ("teacher.quantization", "nf4", {**FOUR_BITS, "quantised_kernels": {"k": 1}}, True),
        ("teacher.quantization", "int8", {**FOUR_BITS, "quantised_kernels": {"k": 1}}, False),
        ("teacher.history_length", 50, {"longest_history": 12}, False),
        ("teacher.windows", "sliding", {"longest_history": 50, "longest_sequence": 120}, True),
        ("teacher.windows", "sliding", {"longest_history": 12, "longest_sequence": 12}, False),
        ("teacher.train.batch_size", 64, {"train": {"most_prompts": 8, "prompts": 200}}, False),
        ("teacher.train.batch_size", 64, {"train": {"most_prompts": 8, "prompts": 8}}, True),
        ("teacher.attention", "eager", {"attention_softmaxes": 2, "attention_kernels": {}}, True),
        ("teacher.attention", "eager", {"attention_softmaxes": 2, "attention_kernels": {"sdpa": 1}}, False),
        ("teacher.attention", "flash_attention_2", {"attention_kernels": {"aten::_scaled_dot_product": 1}}, False),
        ("teacher.attention", "sdpa", {"attention_kernels": {"aten::_scaled_dot_product_x": 1}}, True),
        ("teacher.compile", False, {"compiled_graphs": 1}, False),
        ("teacher.compile", False, {"compiled_graphs": 0}, True),
        ("teacher.gradient_checkpointing", True, {"block_calls": 2, "block_executions": 2}, False),
        ("teacher.gradient_checkpointing", True, {"block_calls": 2, "block_executions": 4}, True),
        ("teacher.gradient_checkpointing", False, {"block_calls": 2, "block_executions": 4}, False),
        ("teacher.train.num_workers", 2, {"batches_by_worker": {"main": 9}}, False),
        ("teacher.train.num_workers", 2, {"batches_by_worker": {"worker 0": 5, "worker 1": 4}}, True),
        ("teacher.train.num_workers", 0, {"batches_by_worker": {"main": 9}}, True),
        ("teacher.train.accumulate_grad_batches", 4, {"micro_batches_per_step": 1}, False),
        ("teacher.layers", None, {"blocks": 30}, True),
        ("teacher.layers", 6, {"blocks": 30}, False),
        ("teacher.title_decay", 0.9, {"titles_weight": 0.1}, True),
        ("teacher.title_decay", 0.9, {"titles_weight": 0.0}, False),
        ("teacher.targets", "last", {"train": {"prompts": 4, "targets": 9}}, False),
        ("teacher.adapter.rank", 8, {"adapter_rank": 8}, True),
        ("teacher.adapter.rank", 8, {"adapter_rank": 4}, False),
        ("teacher.adapter.experts", 4, {"experts": None}, False),
        ("teacher.adapter.layers", ["v_proj", "q_proj"], {"adapted": ["q_proj", "v_proj"]}, True),
        ("teacher.adapter.layers", ["q_proj"], {"adapted": ["q_proj", "v_proj"]}, False),
        ("teacher.prompt", "text", {"prompt": "item"}, False),
        ("teacher.head", "plain", {"head": "plain"}, True),
        ("export.top_k", 50, {"list_length": 50, "items": 1000}, True),
        ("export.top_k", 50, {"list_length": 20, "items": 1000}, False),
        ("export.top_k", 50, {"list_length": 24, "items": 24}, True),
        ("export.states", False, {"stored_state_dim": 0}, True),
        ("export.states", False, {"stored_state_dim": 128}, False),
        # Half full or less, though there was more to fill it with.
        ("teacher.train.batch_tokens", 100, {"train": {"largest": 10, "processed": 900}}, False),
        ("teacher.train.batch_tokens", 100, {"train": {"largest": 51, "processed": 900}}, True),
        ("teacher.train.batch_tokens", 100, {"train": {"largest": 101, "processed": 900}}, False),
        # All there is fits in one.
        ("teacher.train.batch_tokens", 100, {"train": {"largest": 10, "processed": 10}}, True),
        ("teacher.train.batch_tokens", None, {"train": {"largest": 10, "processed": 900}}, True),
        ("export.batch_size", 64, {"export": {"most_prompts": 8, "prompts": 200}}, False),
        ("export.batch_size", 64, {"export": {"most_prompts": 64, "prompts": 200}}, True),
        ("export.batch_size", 64, {"export": {"most_prompts": 8, "prompts": 8}}, True),
        ("export.batch_size", 64, {"export": {"most_prompts": 8, "prompts": 200}, "together": 8}, True),
        ("export.batch_size", 64, {"export": {"most_prompts": 8, "prompts": 200}, "together": 64}, False),
        ("export.batch_size", "auto", {"export": {"most_prompts": 8, "prompts": 200}}, True),
    ],
)
def test_each_setting_by_what_was_seen(key: str, asked: object, seen: Seen, expected: bool | None) -> None:
    assert effect(key, asked, seen) is expected


def test_with_a_cache_batches_of_the_export_are_of_users() -> None:
    count = counted((5, 1, 5, 1, 1)).plain()
    seen: Seen = {"export": {**count, "most_prompts": 5, "prompts": 200}}
    assert effect("export.batch_size", 8, seen, **{"export.use_cache": True})
    assert not effect("export.batch_size", 8, seen, **{"export.use_cache": False})
    assert not effect("export.batch_size", 4, seen, **{"export.use_cache": True})


def test_how_titles_were_embedded_is_told_with_what_was_not_read() -> None:
    seen: TitleFacts = {
        "pooling": "mean, normalize",
        "max_tokens": 16,
        "texts": 9,
        "cut": 2,
        "prompt": "",
        "modules_file": True,
    }
    (found,) = judge({"teacher.title_encoder": "minilm"}, {"title_encoder": seen})
    assert (told(found), found.in_effect) == (
        "pooling: mean, normalize; at most 16 tokens per text, 2 of 9 texts truncated",
        True,
    )
    other: TitleFacts = {**seen, "max_tokens": None, "cut": 0, "prompt": "title: ", "modules_file": False}
    (found,) = judge({"teacher.title_encoder": "minilm"}, {"title_encoder": other})
    assert told(found) == (
        "pooling: mean, normalize; without a limit, 0 of 9 texts truncated; behind 'title: '; "
        "its files do not say how texts are embedded (no modules.json)"
    )


def test_the_whole_models_titles_are_told_in_the_reports_language() -> None:
    kept = asdict(message("pooling_title_tokens"))
    seen = {"pooling": kept, "max_tokens": 506, "texts": 24, "cut": 0}
    (found,) = judge({"teacher.title_encoder": "llm"}, {"title_encoder": json.loads(json.dumps(seen))})
    words = "プーリング: タイトルのトークンの平均、1 テキストあたり最大 506 トークン、24 件中 0 件を切り詰め"
    assert told(found, "ja") == words


def test_nothing_is_a_word_of_the_language() -> None:
    (found,) = judge({"teacher.attention": "sdpa"}, {})
    assert (told(found), told(found, "ja")) == ("kernels: none", "カーネル: なし")


def counted(*batches: Any) -> TokenCount:
    count = TokenCount()
    for batch in batches:
        count.add(*batch)
    return count


def test_padding_is_told_by_the_tokens() -> None:
    fixed, packed = counted((10, 2, 8, 2, 2), (9, 2, 8, 2, 2)), counted((9, 1, 9, 3, 3))
    assert effect("teacher.padding", "fixed", {"train": fixed.plain()})
    assert not effect("teacher.padding", "fixed", {"train": counted((3, 1, 3, 1, 1), (4, 1, 4, 1, 1)).plain()})
    for asked in ("bucketed", "longest"):
        assert not effect("teacher.padding", asked, {"train": fixed.plain()}), "one width, and padding in it"
        assert not effect("teacher.padding", asked, {"train": packed.plain()})
        assert effect("teacher.padding", asked, {"train": counted((10, 2, 8, 2, 2), (9, 2, 5, 2, 2)).plain()})
        assert effect("teacher.padding", asked, {"train": counted((10, 2, 8, 2, 2)).plain()}), "one batch has one width"
        assert effect("teacher.padding", asked, {"train": counted((8, 2, 4, 2, 2), (4, 1, 4, 1, 1)).plain()})
    assert effect("teacher.padding", "packed", {"train": packed.plain()})
    assert not effect("teacher.padding", "packed", {"train": fixed.plain()})
    assert not effect("teacher.train.batch_tokens", 8, {"train": packed.plain()})
    assert effect("teacher.train.batch_tokens", 9, {"train": packed.plain()})


@pytest.mark.parametrize("key", ["teacher.llm_weights", "teacher.title_encoder_weights"])
def test_weights_are_told_by_their_likeness_to_the_pretrained_ones(key: str) -> None:
    def seen(kind: str, correlation: float | None) -> Seen:
        weights: WeightFacts = {"kind": kind, "matrices": 14, "values": 900, "correlation": correlation}
        return {"llm_weights": weights, "title_encoder": {**READ, "weights": weights}}

    assert effect(key, "pretrained", seen("pretrained", None))
    assert effect(key, "shuffled", seen("shuffled", -0.002))
    assert effect(key, "random", seen("random", 0.01))
    assert not effect(key, "shuffled", seen("pretrained", None))
    assert not effect(key, "pretrained", seen("shuffled", 0.001))
    assert not effect(key, "random", seen("shuffled", 0.001))
    assert not effect(key, "shuffled", seen("shuffled", 0.4))
    assert not effect(key, "pretrained", {})


def test_a_tuned_title_encoder_is_told_by_its_steps() -> None:
    facts: TuningFacts = {"steps": 5, "pairs": 4, "distinct": 9, "parameters": 120, "first_loss": 2.0, "last_loss": 1.5}
    key = "teacher.title_tuning.steps"
    assert effect(key, 5, {"title_encoder": {**READ, "tuning": facts}})
    assert not effect(key, 6, {"title_encoder": {**READ, "tuning": facts}})
    assert not effect(key, 0, {"title_encoder": {**READ, "tuning": facts}})
    assert not effect(key, 5, {"title_encoder": READ})
    assert effect(key, 0, {"title_encoder": READ})
    assert not effect(key, 0, {})
