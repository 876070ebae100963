import errno

import pytest

from recdistill.errors import UserError
from recdistill.language_models import smollm2


def test_a_disk_that_fills_up_while_converting_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / smollm2.GGUF_NAME).touch()

    def convert(file, target, end_token):
        target.mkdir()
        (target / "half").touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(smollm2, "convert", convert)
    with pytest.raises(UserError, match="no space left"):
        smollm2.smollm2_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [smollm2.GGUF_NAME]


def test_what_was_converted_before_is_taken(tmp_path):
    (tmp_path / smollm2.CONVERTED).mkdir()
    (tmp_path / smollm2.CONVERTED / "config.json").touch()
    assert smollm2.smollm2_folder(tmp_path) == tmp_path / smollm2.CONVERTED
