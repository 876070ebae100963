from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from recdistill.config import TeacherConfig
from recdistill.data.prepared import PreparedData, Targets
from recdistill.data.windows import Batch, collate, history_windows, training_windows
from recdistill.teacher import prompts
from recdistill.teacher.prompts import PromptBuilder, draw_candidates

TITLES = ["", "Heat", "Big", "Ran"]


def batch_of(items: list[list[int]], targets: list[list[int]], users: list[int]) -> Batch:
    positions = np.tile(np.arange(len(items[0])), (len(items), 1))
    return Batch(*(torch.tensor(np.asarray(value), dtype=torch.int64) for value in (users, positions, items, targets)))


@pytest.fixture
def tokenizer(tiny_llm: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_llm)


def spelled(builder_tokenizer: Any, row_ids: Any, row_soft: Any) -> str:
    """A prompt as text, with soft tokens as <item>."""
    parts = [
        f"<{item}>" if item else builder_tokenizer.decode([token])
        for token, item in zip(row_ids, row_soft, strict=True)
    ]
    return "".join(parts)


def test_text_prompt_reads_as_meant(tokenizer: Any) -> None:
    builder = PromptBuilder(TeacherConfig(prompt="text", instruction="Seen:"), tokenizer, TITLES, seed=0)
    prompt = builder.build(batch_of([[1, 3], [2, 0]], [[3, 2], [1, 0]], users=[7, 8]))
    length = int(prompt.mask[1].sum())
    assert spelled(tokenizer, prompt.token_ids[0].tolist(), prompt.soft_items[0].tolist()) == "Seen:\nHeat<1>\nRan<3>"
    assert (
        spelled(tokenizer, prompt.token_ids[1, :length].tolist(), prompt.soft_items[1, :length].tolist())
        == "Seen:\nBig<2>"
    )
    assert not prompt.mask[1, length:].any()
    # Each prediction is made at the soft token that ends the item before its target.
    assert prompt.soft_items[prompt.target_rows, prompt.target_columns].tolist() == [1, 3, 2]
    assert prompt.target_items.tolist() == [3, 2, 1]
    assert list(zip(prompt.users.tolist(), prompt.positions.tolist(), strict=True)) == [(7, 1), (7, 2), (8, 1)]
    assert prompt.target_steps.tolist() == [1, 2, 1]


def test_steps_say_how_much_of_the_history_a_token_may_know(tokenizer: Any) -> None:
    builder = PromptBuilder(TeacherConfig(prompt="text", instruction="Seen:"), tokenizer, TITLES, seed=0)
    prompt = builder.build(batch_of([[1, 2]], [[0, 3]], users=[0]))
    assert prompt.steps[0].tolist() == [0] * 5 + [1] * 6 + [2] * 5  # "Seen:", "\nHeat" + soft, "\nBig" + soft


def test_item_prompt_is_one_token_an_item(tokenizer: Any) -> None:
    builder = PromptBuilder(TeacherConfig(prompt="item"), tokenizer, TITLES, seed=0)
    prompt = builder.build(batch_of([[1, 3, 2], [2, 0, 0]], [[0, 0, 1], [3, 0, 0]], users=[0, 1]))
    assert prompt.soft_items.tolist() == [[1, 3, 2], [2, 0, 0]]
    assert prompt.steps.tolist() == [[1, 2, 3], [1, 0, 0]]
    assert prompt.target_columns.tolist() == [2, 0]


def test_only_the_latest_items_are_shown_and_steps_still_count_all(tokenizer: Any) -> None:
    config = TeacherConfig(prompt="item", history_length=2, targets="last")
    prompt = PromptBuilder(config, tokenizer, TITLES, seed=0).build(batch_of([[1, 3, 2]], [[0, 0, 1]], users=[0]))
    assert prompt.soft_items.tolist() == [[3, 2]]
    assert prompt.steps.tolist() == [[2, 3]]
    assert prompt.target_steps.tolist() == [3]


def test_left_padding_moves_columns_only(tokenizer: Any) -> None:
    builder = PromptBuilder(TeacherConfig(prompt="text"), tokenizer, TITLES, seed=0)
    batch = batch_of([[1, 3], [2, 0]], [[3, 2], [1, 0]], users=[0, 1])
    right, left = builder.build(batch), builder.build(batch, padding="left")
    for name in ("token_ids", "soft_items", "steps"):
        for row in range(2):
            one, other = getattr(right, name)[row], getattr(left, name)[row]
            assert one[right.mask[row]].tolist() == other[left.mask[row]].tolist()
    assert left.mask[:, -1].all()
    soft = [(p.soft_items[p.target_rows, p.target_columns]).tolist() for p in (right, left)]
    assert soft[0] == soft[1]


def test_candidates_never_hold_history_or_target_and_do_not_change(tokenizer: Any, data: PreparedData) -> None:
    config = TeacherConfig(prompt="text", targets="last", candidates=8, history_length=5)
    builder = PromptBuilder(config, tokenizer, data.titles, seed=0)
    windows = history_windows(data, data.targets("train"), 10)
    batch = collate(data, windows, np.arange(len(windows)))
    prompt, again = builder.build(batch), builder.build(batch)
    assert torch.equal(prompt.soft_items, again.soft_items)
    for row in range(len(windows)):
        history = {int(item) for item in batch.items[row] if item}
        target = int(prompt.target_items[row])
        shown = [int(item) for item in prompt.soft_items[row] if item]
        listed = shown[min(5, len(history)) :]
        assert len(listed) == len(set(listed)) == 8
        assert target not in shown
        assert not set(listed) & history
        # The prediction is made at the prompt's last token, behind the list.
        assert int(prompt.target_columns[row]) == int(prompt.mask[row].sum()) - 1


def test_lists_in_prompts_are_drawn_apart_from_those_of_the_evaluation(
    tokenizer: Any, data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []

    def watched(*rest: Any) -> Any:
        seeds.append(rest[-1])
        return draw_candidates(*rest)

    monkeypatch.setattr(prompts, "draw_candidates", watched)
    config = TeacherConfig(prompt="text", targets="last", candidates=8, history_length=5)
    windows = history_windows(data, data.targets("test"), 10)
    prompt = PromptBuilder(config, tokenizer, data.titles, seed=0).build(
        collate(data, windows, np.arange(len(windows)))
    )
    evaluation = {
        (0, user, place) for user, place in zip(prompt.users.tolist(), prompt.positions.tolist(), strict=True)
    }
    assert len(set(seeds)) == len(windows)
    assert not set(seeds) & evaluation


def test_draw_gives_what_is_left_of_a_small_catalog() -> None:
    drawn = draw_candidates(5, 10, np.array([1, 2]), 3, (0, 0, 0))
    assert sorted(drawn.tolist()) == [4, 5]


def test_every_training_target_appears_once(tokenizer: Any, data: PreparedData) -> None:
    builder = PromptBuilder(TeacherConfig(history_length=4), tokenizer, data.titles, seed=0)
    windows = training_windows(data, 4, "all")
    prompt = builder.build(collate(data, windows, np.arange(len(windows))))
    wanted = data.targets("train")
    keys = sorted(zip(prompt.users.tolist(), prompt.positions.tolist(), strict=True))
    assert keys == sorted(zip(wanted.users.tolist(), wanted.positions.tolist(), strict=True))
    own = data.target_items(Targets(prompt.users.numpy().astype(np.int32), prompt.positions.numpy().astype(np.int32)))
    assert prompt.target_items.tolist() == own.tolist()


def test_a_long_title_is_cut_and_counted(tokenizer: Any) -> None:
    titles = ["", "a", "b" * 500, "c" * 7]
    builder = PromptBuilder(TeacherConfig(prompt="text", title_tokens=8), tokenizer, titles, seed=0)
    assert builder.cut_titles == 1
    # The line break before a title counts; a soft token follows each.
    assert [len(builder.segment(item)) for item in (1, 2, 3)] == [3, 9, 9]
    assert builder.tokens_beside_history() == len(builder.segment(builder.head))


def test_prompts_without_titles_cut_none(tokenizer: Any) -> None:
    assert PromptBuilder(TeacherConfig(), tokenizer, ["", "b" * 500], seed=0).cut_titles == 0
