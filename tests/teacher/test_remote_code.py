"""Code that comes with a model is never run, whatever a person would answer."""

import io
import json
import shutil
from pathlib import Path

import pytest

from recdistill.config import TeacherConfig
from recdistill.errors import UserError
from recdistill.language_models.backbone import load_backbone
from recdistill.language_models.libraries import load_config
from recdistill.plan.named_shapes import llm_shapes

CODE = "from pathlib import Path\nPath({mark!r}).touch()\nfrom transformers import {base}\n\nclass Mine({base}): pass\n"


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the code would leave behind; a person at the terminal says yes to all."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))
    return tmp_path / "ran"


def with_code(model: Path, copy: Path, file: str, base: str, mark: Path) -> Path:
    """A model whose `file` asks for a class of its own."""
    shutil.copytree(model, copy)
    settings = json.loads((copy / file).read_text())
    settings |= {"auto_map": {f"Auto{'Config' if file == 'config.json' else 'Tokenizer'}": "mine.Mine"}}
    settings |= {"model_type": "unheard-of"} if file == "config.json" else {"tokenizer_class": "Mine"}
    (copy / file).write_text(json.dumps(settings))
    (copy / "mine.py").write_text(CODE.format(mark=str(mark), base=base))
    return copy


def test_code_of_a_configuration_is_not_run(tiny_llm: Path, tmp_path: Path, mark: Path) -> None:
    model = with_code(tiny_llm, tmp_path / "model", "config.json", "PretrainedConfig", mark)
    with pytest.raises(UserError, match=r"teacher\.llm: .*custom code"):
        load_config(str(model))
    with pytest.raises(UserError, match=r"plan\.llm: .*custom code"):
        llm_shapes(str(model))
    assert not mark.exists()


def test_code_of_a_tokenizer_is_not_run(tiny_llm: Path, tmp_path: Path, mark: Path) -> None:
    model = with_code(tiny_llm, tmp_path / "model", "tokenizer_config.json", "PreTrainedTokenizerFast", mark)
    with pytest.raises(UserError, match=r"teacher\.llm: .*custom code"):
        load_backbone(TeacherConfig(llm=str(model)), tmp_path, "cpu", layers=1).tokenizer  # noqa: B018 (loads it)
    assert not mark.exists()
