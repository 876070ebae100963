import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from recdistill import pipeline
from recdistill.config import RunConfig
from recdistill.config.settings import nested, run_config
from recdistill.config.unread import conditional_settings, unread_settings, value_of, whole_key
from recdistill.errors import UserError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))

READY = {"data.source": "csv", "data.path": "events.csv", "data.split": "files"}
CHANGES: dict[str, tuple[object, Mapping[str, object]]] = {  # a value that is not the default, what makes it be read
    "data.planted.users": (300, {"data.source": "planted"}),
    "strategy": ("fsdp", {"nodes": 2}),
    "data.path": ("folder", {}),
    "data.separator": (";", {"data.source": "csv", "data.path": "events.csv"}),
    "data.quote": ("none", {"data.source": "csv", "data.path": "events.csv"}),
    "data.escape": ("!", {"data.source": "csv", "data.path": "events.csv"}),
    "data.encoding": ("utf-16", {"data.source": "csv", "data.path": "events.csv"}),
    "data.decimal": (",", {"data.source": "csv", "data.path": "events.csv"}),
    "data.names": (("a",), {"data.source": "csv", "data.path": "events.csv"}),
    "data.items.separator": (";", {"data.source": "csv", "data.path": "events.csv"}),
    "data.validation_path": ("v.csv", READY | {"data.test_path": "t.csv"}),
    "data.test_path": ("t.csv", READY | {"data.validation_path": "v.csv"}),
    "data.items_path": ("items.csv", {"data.source": "parquet", "data.path": "events.parquet"}),
    "data.columns.title": ("name", {"data.source": "csv", "data.path": "events.csv"}),
    "data.columns.user": ("who", {"data.source": "recbole", "data.path": "events.inter"}),
    "data.columns.split": ("part", {"data.split": "column"}),
    "data.test_fraction": (0.2, {"data.split": "global_time"}),
    "data.validation_fraction": (0.2, {"data.split": "global_time"}),
    "evaluate.ease_items": (9, {}),
    "student.num_heads": (4, {}),
    "student.loss.negatives": (64, {"student.loss.name": "bce"}),
    "student.loss.gbce_t": (0.5, {"student.loss.name": "gbce"}),
    "student.train.batch_size": (32, {}),
    "teacher.instruction": ("Seen:", {"teacher.prompt": "text"}),
    "teacher.title_tokens": (8, {"teacher.prompt": "text"}),
    "teacher.windows": ("last", {}),
    "teacher.double_quantization": (False, {"teacher.quantization": "nf4"}),
    "teacher.compile_buckets": (2, {"teacher.compile": True}),
    "teacher.compile_seconds": (60.0, {"teacher.compile": True}),
    "teacher.student_dropout": (0.5, {}),
    "teacher.gate.router": ("mlp", {}),
    "teacher.gate.hidden_dim": (64, {"teacher.gate.router": "mlp"}),
    "teacher.adapter.experts": (2, {}),
    "teacher.folds": (2, {}),
    "teacher.train.batch_size": (8, {}),
    "distill.method": ("listwise", {}),
    "distill.top_k": (10, {}),
    "distill.drop_target": (not RunConfig().distill.drop_target, {}),
    "distill.dllm2rec.position_weight": (0.5, {"distill.method": "dllm2rec"}),
    "distill.dllm2rec.confidence_weight": (0.6, {"distill.method": "dllm2rec"}),
    "distill.dllm2rec.consistency_weight": (0.2, {"distill.method": "dllm2rec"}),
    "distill.dllm2rec.position_temperature": (2.0, {"distill.method": "dllm2rec"}),
    "teacher.title_encoder_weights": ("shuffled", {}),
    "teacher.title_tuning.pairs": (8, {"teacher.title_tuning.steps": 3}),
    "teacher.title_tuning.window": (2, {"teacher.title_tuning.steps": 3}),
    "teacher.title_tuning.temperature": (0.2, {"teacher.title_tuning.steps": 3}),
    "teacher.title_tuning.learning_rate": (0.1, {"teacher.title_tuning.steps": 3}),
    "teacher.title_tuning.rank": (4, {"teacher.title_tuning.steps": 3}),
    "distill.temperature": (4.0, {}),
    "teacher.stream_length": (500, {"teacher.windows": "sliding", "teacher.padding": "packed"}),
    "distill.id_dropout": (0.5, {}),
    "distill.title_decay": (0.9, {}),
    "distill.dro_temperature": (2.0, {"distill.dro_weight": 0.1}),
    "distill.kl_threshold": (0.2, {"distill.selection": "kl_above"}),
    "student.loss.popularity_power": (0.5, {"student.loss.name": "bce"}),
    "student.loss.log_q": (True, {"student.loss.name": "sampled_softmax"}),
    "student.loss.lazy_adam": (True, {"student.loss.name": "sampled_softmax"}),
    "distill.loss.negatives": (64, {"distill.loss.name": "sampled_softmax"}),
    "distill.loss.popularity_power": (0.5, {"distill.loss.name": "bce"}),
    "distill.loss.log_q": (True, {"distill.loss.name": "sampled_softmax"}),
    "distill.loss.lazy_adam": (True, {"distill.loss.name": "sampled_softmax"}),
    "distill.loss.gbce_t": (0.5, {"distill.loss.name": "gbce"}),
    "distill.train.batch_size": (32, {}),
}
UNREAD: dict[str, Mapping[str, object]] = {  # where the defaults read it: what keeps it from being read
    "data.path": {"data.source": "planted"},
    "evaluate.ease_items": {"evaluate.baselines": ("popularity",)},
    "student.num_heads": {"student.model": "gru4rec"},
    "student.train.batch_size": {"student.train.batch_tokens": 400},
    "teacher.title_encoder_weights": {"teacher.title_encoder": "llm"},
    "teacher.windows": {"teacher.targets": "last"},
    "teacher.student_dropout": {"teacher.head": "plain", "teacher.title_decay": 0.0},
    "teacher.gate.router": {"teacher.gate.kind": "none"},
    "teacher.adapter.experts": {"teacher.gate.kind": "none"},
    "teacher.folds": {"export.enabled": False},
    "teacher.train.batch_size": {"teacher.train.batch_tokens": 400},
    "distill.method": {"distill.weight": 0.0},
    "distill.top_k": {"distill.weight": 0.0},
    "distill.drop_target": {"distill.method": "full_catalog_ce"},
    "distill.temperature": {"distill.method": "listwise"},
    "distill.id_dropout": {"distill.embedding_weight": 0.0},
    "distill.title_decay": {"distill.embedding_weight": 0.0},
    "distill.train.batch_size": {"distill.train.batch_tokens": 400},
}


def configured(**dotted: object) -> RunConfig:
    return run_config(nested(dotted))


@pytest.mark.parametrize("key", CHANGES)
def test_a_changed_setting_is_told_where_nothing_reads_it_and_only_there(key: str) -> None:
    value, read = CHANGES[key]
    told = unread_settings(run_config(nested({key: value, **UNREAD.get(key, {})})))
    assert [line.partition(":")[0] for line in told] == [key]
    assert f"{key}: {value} is not read without " in told[0]
    assert unread_settings(run_config(nested({key: value, **read}))) == []


def test_there_is_a_change_for_every_setting_that_is_read_under_conditions() -> None:
    named = {one.key for one in conditional_settings(RunConfig()) if one.needs}
    alike = {key for key in named if key.startswith(("data.planted.", "data.items."))}
    alike |= {"data.columns.item", "data.columns.rating", "distill.selection"}
    assert len(named) > 45
    assert named - alike <= set(CHANGES)
    assert {"data.planted.users", "data.items.separator", "data.columns.user"} <= set(CHANGES)


@pytest.mark.parametrize("without", [{"teacher.kind": "none"}, {"export.enabled": False}])
def test_a_step_that_is_left_out_says_so_by_its_own_switch(without: dict[str, object]) -> None:
    assert unread_settings(configured(**{"distill.weight": 2.0, "export.states": False, **without})) == []


def test_a_compiled_teacher_reads_its_batch_size_beside_tokens() -> None:
    settings = {"teacher.train.batch_size": 8, "teacher.train.batch_tokens": 400, "teacher.compile": True}
    assert unread_settings(configured(**settings)) == []


def test_every_condition_speaks_of_a_setting_that_there_is() -> None:
    for one in conditional_settings(RunConfig()):
        for need in one.needs + one.taken:
            value_of(RunConfig(), whole_key(one.key, need.key))
            assert "{key}" in need.words


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_configurations_to_start_from_set_nothing_that_is_not_read(path: Path) -> None:
    assert unread_settings(run_config(yaml.safe_load(path.read_text(encoding="utf-8")))) == []


def test_a_run_tells_it_before_any_work(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = configured(**{"student.loss.negatives": 64, "data.source": "csv", "data.path": "nowhere.csv"})
    with caplog.at_level(logging.WARNING, "recdistill"), pytest.raises(UserError, match=r"nowhere\.csv"):
        pipeline.run(replace(config, run=str(tmp_path / "run"), threads=1), until="prepare")
    wanted = "student.loss.negatives: 64 is not read without student.loss.name: a sampled loss"
    assert [record.getMessage() for record in caplog.records] == [wanted]
