from pathlib import Path

import pytest
import torch

from recdistill.config import TeacherConfig
from recdistill.errors import UserError
from recdistill.language_models.titles import title_embeddings, title_facts
from recdistill.storage.checksums import write_record

TITLES = ["", "Heat", "Big", "Ran", "Big"]


def test_equal_titles_get_equal_embeddings_and_padding_none(tiny_llm: Path, tmp_path: Path) -> None:
    found = title_embeddings(TeacherConfig(llm=str(tiny_llm), title_encoder="llm"), TITLES, tmp_path, "cpu")
    assert found.shape == (5, 64)
    assert not found[0].any()
    assert torch.equal(found[2], found[4])
    assert (found[1] - found[3]).abs().max() > 1e-3


def test_embeddings_in_the_cache_are_those_of_the_same_precision(tiny_llm: Path, tmp_path: Path) -> None:
    exact, coarse = (
        TeacherConfig(llm=str(tiny_llm), title_encoder="llm"),
        TeacherConfig(llm=str(tiny_llm), title_encoder="llm", quantization="nf4"),
    )
    first = title_embeddings(coarse, TITLES, tmp_path, "cpu")
    second = title_embeddings(exact, TITLES, tmp_path, "cpu")
    assert (first - second).abs().max() > 1e-3
    assert torch.equal(title_embeddings(exact, TITLES, tmp_path, "cpu"), second)
    assert torch.equal(title_embeddings(coarse, TITLES, tmp_path, "cpu"), first)


def test_auto_attention_finds_what_the_kernel_it_takes_has_made(tiny_llm: Path, tmp_path: Path) -> None:
    for attention in ("auto", "sdpa"):
        config = TeacherConfig(llm=str(tiny_llm), title_encoder="llm", attention=attention)
        title_embeddings(config, TITLES, tmp_path, "cpu")
    assert len(list((tmp_path / "title_embeddings").glob("*.safetensors"))) == 1


def damaged(path: Path, how: str) -> None:
    """Damage a file of the cache or its record."""
    record, whole = path.with_suffix(".files.json"), path.read_bytes()
    match how:
        case "cut":
            path.write_bytes(whole[:-8])
        case "bit":
            path.write_bytes(whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:])
        case "missing":
            path.unlink()
        case "record":
            record.write_text(record.read_text().replace('"bytes": ', '"bytes": 1'))
        case "another's record":
            path.with_name("other.safetensors").write_bytes(b"other")
            write_record(path.parent, record.name, ["other.safetensors"])


@pytest.mark.parametrize("how", ["cut", "bit", "missing", "record", "another's record"])
def test_a_damaged_file_in_the_cache_is_told_and_made_again(
    tiny_llm: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    config = TeacherConfig(llm=str(tiny_llm), title_encoder="llm")
    whole = title_embeddings(config, TITLES, tmp_path, "cpu").clone()  # of a file that is mapped
    assert not caplog.records
    (path,) = (tmp_path / "title_embeddings").glob("*.safetensors")
    damaged(path, how)
    assert torch.equal(title_embeddings(config, TITLES, tmp_path, "cpu"), whole)
    (told,) = [record.getMessage() for record in caplog.records if "made again" in record.getMessage()]
    assert str(path.parent / path.stem) in told
    caplog.clear()
    assert torch.equal(title_embeddings(config, TITLES, tmp_path, "cpu"), whole)
    assert not caplog.records


def test_a_damaged_file_from_before_there_were_records_is_named(tiny_llm: Path, tmp_path: Path) -> None:
    config = TeacherConfig(llm=str(tiny_llm), title_encoder="llm")
    title_embeddings(config, TITLES, tmp_path, "cpu")
    (path,) = (tmp_path / "title_embeddings").glob("*.safetensors")
    path.with_suffix(".files.json").unlink()
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match=f"{path}: not a whole safetensors file"):
        title_embeddings(config, TITLES, tmp_path, "cpu")


def test_an_item_without_a_title_has_no_embedding_and_the_others_what_they_would_have(
    tiny_llm: Path, tmp_path: Path
) -> None:
    config = TeacherConfig(llm=str(tiny_llm), title_encoder="llm")
    found = title_embeddings(config, ["", "Heat", "", "Ran", ""], tmp_path, "cpu")
    assert found.shape == (5, 64)
    assert not found[[0, 2, 4]].any()
    torch.testing.assert_close(found[[1, 3]], title_embeddings(config, ["", "Heat", "Ran"], tmp_path, "cpu")[1:])


def test_where_no_item_has_a_title_nothing_is_embedded_and_no_model_is_asked_for(tmp_path: Path) -> None:
    found = title_embeddings(TeacherConfig(title_encoder="/nowhere"), ["", "", ""], tmp_path, "cpu")
    assert found.shape == (3, 1)
    assert not found.any()
    assert title_facts(TeacherConfig(title_encoder="/nowhere"), ["", "", ""], tmp_path, "cpu")["texts"] == 0
    assert list(tmp_path.iterdir()) == []


def test_a_title_longer_than_the_models_places_is_cut_and_counted(tiny_llm: Path, tmp_path: Path) -> None:
    config, titles = TeacherConfig(llm=str(tiny_llm), title_encoder="llm"), ["", "x" * 900, "x" * 600, "y"]
    found = title_embeddings(config, titles, tmp_path, "cpu")
    facts = title_facts(config, titles, tmp_path, "cpu")
    assert facts["max_tokens"] == 512 - len("Title:")
    assert (facts["cut"], facts["texts"]) == (2, 3)
    assert torch.equal(found[1], found[2])
    assert torch.isfinite(found).all()
