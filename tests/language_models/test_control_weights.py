"""Models without what they learned: shape and norms kept, knowledge gone, the same in every run."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from recdistill.config import RunConfig, TeacherConfig
from recdistill.config.unread import unread_settings
from recdistill.errors import UserError
from recdistill.language_models.backbone import check_llm, load_backbone
from recdistill.language_models.control_weights import set_weights
from recdistill.language_models.titles import title_embeddings, title_facts

TITLES = ["", "Heat", "Big", "Ran", "Big"]


def weights(llm: Path, cache: Path, layers: int | None = 2, **settings: str) -> dict[str, Tensor]:
    backbone = load_backbone(TeacherConfig(llm=str(llm), **settings), cache, "cpu", layers)  # type: ignore[arg-type]
    return {name: value.detach() for name, value in backbone.decoder.named_parameters()}


def test_shuffled_moves_values_within_each_matrix_and_leaves_vectors(tiny_llm: Path, tmp_path: Path) -> None:
    old, new = weights(tiny_llm, tmp_path), weights(tiny_llm, tmp_path, llm_weights="shuffled")
    assert old.keys() == new.keys()
    for name, value in old.items():
        if value.dim() > 1:
            assert torch.equal(value.flatten().sort().values, new[name].flatten().sort().values), name
            assert abs(float(torch.corrcoef(torch.stack([value.flatten(), new[name].flatten()]))[0, 1])) < 0.1, name
        else:
            assert torch.equal(value, new[name]), name


def test_a_block_is_shuffled_alike_in_every_run_and_whatever_is_kept(tiny_llm: Path, tmp_path: Path) -> None:
    few = weights(tiny_llm, tmp_path, 1, llm_weights="shuffled")
    torch.manual_seed(7)
    more = weights(tiny_llm, tmp_path, 2, llm_weights="shuffled")
    assert len(few) < len(more)
    assert all(torch.equal(value, more[name]) for name, value in few.items())
    first, second = (more[f"layers.{block}.self_attn.q_proj.weight"] for block in (0, 1))
    assert not torch.equal(first.argsort(), second.argsort())


def test_random_weights_are_a_new_models(tiny_llm: Path, tmp_path: Path) -> None:
    old, new = weights(tiny_llm, tmp_path), weights(tiny_llm, tmp_path, llm_weights="random")
    again = weights(tiny_llm, tmp_path, llm_weights="random")
    spread = json.loads((tiny_llm / "config.json").read_text())["initializer_range"]
    for name, value in new.items():
        assert torch.equal(value, again[name]), name
        if value.dim() > 1:
            assert not torch.equal(value, old[name]), name
            assert float(value.std()) == pytest.approx(spread, rel=0.1), name
        else:
            assert torch.equal(value, torch.ones_like(value)), name


@pytest.mark.parametrize("kind", ["shuffled", "random"])
def test_what_draws_numbers_elsewhere_draws_the_same(tiny_llm: Path, tmp_path: Path, kind: str) -> None:
    torch.manual_seed(3)
    weights(tiny_llm, tmp_path)
    plain = torch.rand(3)
    torch.manual_seed(3)
    weights(tiny_llm, tmp_path, llm_weights=kind)
    assert torch.equal(torch.rand(3), plain)


def test_what_was_changed_is_told(tiny_llm: Path, tmp_path: Path) -> None:
    def told(kind: str) -> dict[str, object]:
        config = TeacherConfig(llm=str(tiny_llm), llm_weights=kind)  # type: ignore[arg-type]
        return dict(load_backbone(config, tmp_path, "cpu", 2).choices["llm_weights"])

    assert told("pretrained") == {"kind": "pretrained", "matrices": 0, "values": 0, "correlation": None}
    found = told("shuffled")
    assert found["matrices"] == 15  # seven linear layers a block, and the words
    assert isinstance(found["correlation"], float)
    assert abs(found["correlation"]) < 0.02


@pytest.mark.parametrize("kind", ["shuffled", "random"])
def test_titles_are_embedded_by_the_control_too(tiny_llm: Path, tmp_path: Path, kind: str) -> None:
    plain = TeacherConfig(llm=str(tiny_llm), title_encoder="llm")
    control = TeacherConfig(llm=str(tiny_llm), title_encoder="llm", llm_weights=kind)  # type: ignore[arg-type]
    first, other = (title_embeddings(one, TITLES, tmp_path, "cpu") for one in (plain, control))
    assert (first - other)[1:].abs().amax(dim=1).min() > 1e-2
    assert torch.equal(title_embeddings(plain, TITLES, tmp_path, "cpu"), first)
    assert title_facts(control, TITLES, tmp_path, "cpu")["weights"]["kind"] == kind
    assert title_facts(plain, TITLES, tmp_path, "cpu")["weights"]["kind"] == "pretrained"


def test_quantised_weights_are_refused_before_anything_is_loaded(tiny_llm: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"teacher\.llm_weights: shuffled moves single values, .*quantization: none"):
        TeacherConfig(llm_weights="shuffled", quantization="nf4")
    folder = shutil.copytree(tiny_llm, tmp_path / "packed")
    about = json.loads((folder / "config.json").read_text())
    about["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (folder / "config.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match=r"teacher\.llm_weights: random moves .* are quantised in its files"):
        check_llm(TeacherConfig(llm=str(folder), llm_weights="random"), tmp_path)


def test_packed_values_are_refused_whatever_the_files_say() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(4, 4, dtype=torch.uint8), requires_grad=False)

    with pytest.raises(UserError, match="key: shuffled needs weights in full or half precision, and those of this"):
        set_weights(Packed(), "shuffled", "key", "this")


def test_a_matrix_that_stays_as_it_was_is_no_control() -> None:
    class Stubborn(nn.Linear):
        def initialize_weights(self) -> None:
            """Leave all as it is."""

    with pytest.raises(UserError, match="key: random: weight of this stays as it was"):
        set_weights(Stubborn(3, 3), "random", "key", "this")


def test_weights_of_an_encoder_that_is_not_there_are_told_as_unread() -> None:
    config = RunConfig(teacher=TeacherConfig(title_encoder="llm", title_encoder_weights="shuffled"))
    told = ["teacher.title_encoder_weights: shuffled is not read without another teacher.title_encoder"]
    assert unread_settings(config) == told
