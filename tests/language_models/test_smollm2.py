import errno
from pathlib import Path
from typing import Any

import pytest

from recdistill.errors import UserError
from recdistill.language_models import smollm2


def test_a_disk_that_fills_up_while_converting_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / smollm2.GGUF_NAME).touch()

    def convert(file: str, target: Any, end_token: Any) -> None:
        target.mkdir()
        (target / "half").touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(smollm2, "convert", convert)
    monkeypatch.setattr(smollm2, "check_fetched", lambda *_: None)
    with pytest.raises(UserError, match="no space left"):
        smollm2.smollm2_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [smollm2.GGUF_NAME]


def test_what_was_converted_before_is_taken(tmp_path: Path) -> None:
    (tmp_path / smollm2.CONVERTED).mkdir()
    (tmp_path / smollm2.CONVERTED / "config.json").touch()
    assert smollm2.smollm2_folder(tmp_path) == tmp_path / smollm2.CONVERTED


def test_what_was_fetched_and_what_was_converted_is_looked_at_each_time(tmp_path: Path) -> None:
    fetched = tmp_path / "smollm2"
    (fetched / smollm2.CONVERTED).mkdir(parents=True)
    (fetched / smollm2.GGUF_NAME).write_text("something else")
    with pytest.raises(UserError, match=r"LICENSE is not the file that was fetched; run `recdistill fetch smollm2`"):
        smollm2.smollm2_folder(fetched)
    config = fetched / smollm2.CONVERTED / "config.json"
    config.write_text("{}")
    assert smollm2.smollm2_folder(fetched) == smollm2.smollm2_folder(fetched)
    config.write_text("{} ")
    with pytest.raises(UserError, match=r"config\.json is not as it was converted; remove "):
        smollm2.smollm2_folder(fetched)
