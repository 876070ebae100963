"""Decoders that cannot be right in the way a run asks for are refused at load, found out by running them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from recdistill.config import AdapterConfig, GateConfig, TeacherConfig
from recdistill.errors import UserError
from recdistill.language_models.backbone import load_backbone
from recdistill.language_models.blocks import few_blocks
from recdistill.measure.facts import Checked
from recdistill.students.base import Student
from recdistill.teacher.growing import GrowingHistories
from recdistill.teacher.load_checks import LoadChecks, load_checks
from recdistill.teacher.ranker import Ranker
from tiny_decoders import tiny_model

NO_GATE = GateConfig(kind="none")


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny model of a kind, made once."""
    folder = tmp_path_factory.mktemp("zoo")

    def of(kind: str, **more: Any) -> Path:
        name = folder / f"{kind}-{len(str(more))}"
        return name if name.is_dir() else tiny_model(kind, name, **more)

    return of


@pytest.fixture
def ranker_of(zoo: Any, data: Any, student_folder: Path, tmp_path: Path) -> Any:
    """A ranker around a tiny model; its cache is `tmp_path / "cache"`."""
    from recdistill.students.make import load_student

    def of(kind: str, layers: tuple[str, ...] = ("q_proj", "v_proj"), **settings: Any) -> Ranker:
        llm = zoo(kind)
        settings = {"layers": None, "gate": NO_GATE} | settings
        config = TeacherConfig(llm=str(llm), adapter=AdapterConfig(layers=layers, dropout=0.0), **settings)
        backbone = load_backbone(config, tmp_path / "cache", "cpu", config.layers)
        student: Student = load_student(student_folder)
        torch.manual_seed(0)
        return Ranker(config, backbone, student, torch.randn(data.num_items + 1, 6))

    return of


def run(ranker: Ranker, use_cache: bool = False, longest: int = 40) -> Checked:
    return LoadChecks(ranker, "tiny", use_cache, longest).run()


@pytest.mark.parametrize("kind", ["llama", "qwen3", "opt", "gemma3_text", "mixtral"])
def test_what_is_right_passes(ranker_of: Any, kind: str) -> None:
    found = run(ranker_of(kind, prompt="text"), use_cache=True)
    assert set(found["apart"]) == {"batch", "cache"}
    assert max(found["apart"].values()) < 1e-4


def test_packed_rows_that_come_out_right_pass(ranker_of: Any) -> None:
    assert run(ranker_of("llama", padding="packed", gate=GateConfig()))["apart"]["packed"] < 1e-4


@pytest.mark.parametrize("kind", ["stablelm", "jamba", "bloom"])
def test_packed_rows_that_mix_are_refused_and_what_works_is_named(ranker_of: Any, kind: str) -> None:
    layers = {"stablelm": ("q_proj",), "jamba": ("in_proj",), "bloom": ("query_key_value",)}[kind]
    with pytest.raises(UserError, match=r"^teacher\.padding: packed does not keep .* use padding: bucketed") as refused:
        run(ranker_of(kind, layers, padding="packed"))
    # eager is advised where it was tried and is right: StableLM hands its blocks no keyword, but a mask.
    assert ("attention: eager" in str(refused.value)) == (kind == "stablelm")
    assert "\n" not in str(refused.value)


def test_a_recurrent_state_is_no_cache_for_padded_prompts(ranker_of: Any) -> None:
    with pytest.raises(UserError, match=r"^export\.use_cache: .* set export\.use_cache: false"):
        run(ranker_of("jamba", ("in_proj",), prompt="text"), use_cache=True)


def test_a_window_counts_real_tokens_of_the_cache(make_teacher: Any, data: Any, zoo: Any) -> None:
    import numpy as np

    from recdistill.data.prepared import Targets
    from recdistill.data.windows import history_windows

    # Windows of 16 tokens in every block but one in six; titles of 14 tokens and more.
    llm = zoo("gemma3_text", layer_types=["sliding_attention", "full_attention"] * 2)
    teacher = make_teacher(data, llm=str(llm), layers=None, prompt="text", targets="last")
    users = np.flatnonzero(data.train_ends >= 4)[:3]
    histories = GrowingHistories(teacher.ranker, teacher.prompts, len(users), window=10)
    for step in range(4):
        grown = histories.extend(torch.from_numpy(data.items[data.offsets[users] + step].astype(np.int64)))
    anew = history_windows(data, Targets(users.astype(np.int32), np.full(len(users), 4, dtype=np.int32)), 10)
    for row in range(len(users)):
        torch.testing.assert_close(grown[row], teacher.predict(anew, np.array([row]))[1][0], rtol=1e-3, atol=1e-4)


def test_a_layer_that_is_never_computed_is_refused_by_name(ranker_of: Any) -> None:
    with pytest.raises(UserError, match=r"^teacher\.adapter\.layers: dt_proj: .*in_proj, out_proj, x_proj"):
        run(ranker_of("mamba", ("in_proj", "dt_proj")))


def test_a_block_that_adds_in_place_takes_adapters(ranker_of: Any) -> None:
    assert run(ranker_of("falcon", ("query_key_value", "dense_4h_to_h")))["blocks"] == 2


def test_a_model_that_takes_no_gate_is_refused(ranker_of: Any) -> None:
    with pytest.raises(UserError, match=r"use teacher\.gate\.kind: none"):
        run(ranker_of("bloom", ("query_key_value",), gate=GateConfig()))


def test_a_second_run_pays_nothing(ranker_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ranker = ranker_of("llama")
    first = load_checks(ranker, tmp_path / "cache", "cpu", use_cache=False, longest=20)
    monkeypatch.setattr(LoadChecks, "run", lambda self: pytest.fail("checked twice"))
    assert load_checks(ranker, tmp_path / "cache", "cpu", use_cache=False, longest=20) == first
    with pytest.raises(pytest.fail.Exception, match="checked twice"):
        load_checks(ranker, tmp_path / "cache", "cpu", use_cache=True, longest=20)


def test_as_many_blocks_run_as_show_every_kind(zoo: Any) -> None:
    from transformers import AutoModel

    for kind, blocks in (("llama", 2), ("jamba", 2), ("gemma3_text", 2), ("gemma2", 2)):
        model = AutoModel.from_pretrained(zoo(kind))
        with few_blocks(model) as count:
            assert (count, len(model.layers), model.config.num_hidden_layers) == (blocks, blocks, blocks)
        assert (len(model.layers), model.config.num_hidden_layers) == (4, 4)
