"""The README beside an adapter, by running the code that it shows."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from recdistill.config import GateConfig, TeacherConfig
from recdistill.data.prepared import PreparedData
from recdistill.teacher.adapter_card import adapter_card, base_name
from recdistill.teacher.experts import GATE_KEYWORD, base_decoder
from recdistill.teacher.teacher import Teacher


def loaded(card: str, llm: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str = "AutoModel") -> Any:
    """What the card's code loads, with the language model's true place and another class of transformers."""
    (code,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    monkeypatch.chdir(folder)
    scope: dict[str, Any] = {}
    code = re.sub(r"^base = .*$", f"base = {str(llm)!r}", code, flags=re.MULTILINE)
    exec(re.sub(r"\bAutoModel\b", kind, code), scope)
    return scope["experts"].eval()


@pytest.fixture
def teacher(make_teacher: Callable[..., Teacher], data: PreparedData) -> Teacher:
    return make_teacher(data)


def states(decoder: Any, **options: Any) -> torch.Tensor:
    with torch.inference_mode():
        output = decoder(input_ids=torch.arange(20, 40).unsqueeze(0), **options, output_hidden_states=True)
    found: torch.Tensor = output.hidden_states[-1]
    return found


def test_the_code_that_it_shows_gives_the_decoder_with_equal_weights_of_all_experts(
    teacher: Teacher, tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher.ranker.save(tmp_path / "teacher")
    card = (tmp_path / "teacher" / "adapter" / "README.md").read_text()
    found = states(loaded(card, tiny_llm, tmp_path / "teacher", monkeypatch))
    decoder, rank = base_decoder(teacher.ranker.llm), teacher.config.adapter.rank
    torch.testing.assert_close(found, states(decoder, **{GATE_KEYWORD: torch.ones(1, 1, rank)}), atol=1e-5, rtol=1e-5)
    one_expert = torch.zeros(1, 1, rank)
    one_expert[..., : rank // teacher.config.adapter.experts] = teacher.config.adapter.experts
    assert (found - states(decoder, **{GATE_KEYWORD: one_expert})).abs().max() > 1e-2


@pytest.mark.filterwarnings("ignore")
def test_the_other_class_leaves_the_experts_untrained_as_it_says(
    teacher: Teacher, tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher.ranker.save(tmp_path / "teacher")
    card = (tmp_path / "teacher" / "adapter" / "README.md").read_text()
    other = loaded(card, tiny_llm, tmp_path / "teacher", monkeypatch, "AutoModelForCausalLM")
    with other.disable_adapter():
        untrained = states(other)
    assert torch.equal(states(other), untrained)


def test_it_says_which_blocks_and_which_gate_and_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    cut = adapter_card(TeacherConfig(llm="/home/me/models/Qwen", layers=2), 2, has_layer_types=True)
    assert "`Qwen` (`teacher.llm`)" in cut
    assert "/home/me" not in cut
    assert "its first 2 decoder blocks (`teacher.layers`)" in cut
    assert "config.layer_types = config.layer_types[:2]" in cut
    assert "`teacher.gate.kind: causal`" in cut
    whole = adapter_card(replace(TeacherConfig(layers=None), gate=GateConfig(kind="none")), 30, has_layer_types=False)
    assert "all of its 30 blocks" in whole
    assert "num_hidden_layers" not in whole
    assert "There is no gate" in whole
    assert "router" not in whole


@pytest.mark.parametrize(
    ("llm", "name"),
    [
        ("smollm2", "smollm2"),
        ("someone/a-model", "someone/a-model"),
        ("/home/me/models/Qwen", "Qwen"),
        ("~/Qwen", "Qwen"),
        ("./Qwen/", "Qwen"),
        ("home/me/model.gguf", "model.gguf"),
    ],
)
def test_a_model_is_told_by_its_name(llm: str, name: str) -> None:
    assert base_name(llm) == name
