"""PEFT is imported without torch's compiler; what it has compiled is compiled at its first call."""

import pytest
import torch

from recdistill.teacher.peft_names import compiled_when_called


def test_what_is_compiled_in_the_block_is_compiled_once_and_when_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, object]] = []
    own = torch.compile

    def compile_now(function: object, **options: object) -> object:
        made.append(options)
        return function

    monkeypatch.setattr("recdistill.teacher.peft_names._compile", compile_now)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "compile", own)  # afterwards it is what it was before
        with compiled_when_called():

            @torch.compile(dynamic=False)
            def double(number: int) -> int:
                return 2 * number

            halve = torch.compile(lambda number: number // 2)
    assert torch.compile is own
    assert made == []
    assert double.__name__ == "double"
    assert [double(2), double(3)] == [4, 6]
    assert made == [{"dynamic": False}]
    assert halve(4) == 2
    assert made == [{"dynamic": False}, {}]
