"""A history that is one stream: what is read at once is what is read step by step, and nothing sees ahead."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers.modeling_utils import AttentionInterface

from recdistill.config import ExportConfig, GateConfig, RunConfig, StudentConfig, TeacherConfig
from recdistill.data.prepared import PreparedData, Targets
from recdistill.errors import UserError
from recdistill.language_models import packing
from recdistill.language_models.sliding import Sliding
from recdistill.students.base import Student
from recdistill.teacher.growing import GrowingHistories
from recdistill.teacher.last_items import LastItems, newest
from recdistill.teacher.prompts import PromptBatch
from recdistill.teacher.teacher import Teacher
from recdistill.teacher.windows import Streams, check_prompt_lengths
from recdistill.training.teacher import TeacherTraining
from user_histories import with_lengths

WINDOW = 4
STREAMS: dict[str, Any] = {"windows": "sliding", "padding": "packed", "history_length": WINDOW, "stream_length": 1000}


@pytest.fixture
def histories(data: PreparedData) -> PreparedData:
    """Users with up to 30 interactions; longer than two blocks' windows."""
    return with_lengths(data, [3, 30, 17, 5, 24])


def reach_of(teacher: Teacher) -> int:
    """Inputs before its own on which a state can depend."""
    assert isinstance(teacher.windows, Streams)
    return teacher.windows.reach


def with_similarity(teacher: Teacher) -> Teacher:
    """Title similarity must count for something, or nothing of it is tested."""
    head = teacher.ranker.head
    if head.titles_weight is not None:
        head.title_vectors.copy_(torch.randn(head.title_vectors.shape, generator=torch.Generator().manual_seed(0)))
        head.titles_weight.data.fill_(1.0)
    return teacher


def by_key(batch: PromptBatch, states: Tensor) -> dict[tuple[int, int], Tensor]:
    found = zip(batch.users.tolist(), batch.positions.tolist(), states, strict=True)
    return {(user, position): state for user, position, state in found}


def all_states(teacher: Teacher) -> dict[tuple[int, int], Tensor]:
    windows = teacher.export_windows()
    batch, states, _ = teacher.predict(windows, np.arange(len(windows)))
    return by_key(batch, states)


KINDS: list[dict[str, Any]] = [
    {"prompt": "item", "title_decay": 0.7},
    {"prompt": "text"},
    {"prompt": "text", "gate": GateConfig(kind="none"), "layers": 1},
    {"prompt": "text", "stream_length": 9, "title_decay": 0.7},
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_equals_reading_step_by_step(
    make_teacher: Callable[..., Teacher], histories: PreparedData, kind: dict[str, Any]
) -> None:
    """With the keys and values of the last items kept, and of no others."""
    teacher = with_similarity(make_teacher(histories, **(STREAMS | kind)))
    at_once = all_states(teacher)
    length = int(teacher.config.stream_length)
    for user in range(histories.num_users):
        history, end = histories.history(user, 10**6), int(histories.validation_ends[user])
        for start in range(0, end, length - WINDOW):
            piece = history[start : min(start + length, end - 1)]
            earlier = torch.from_numpy(history[max(0, start - WINDOW) : start].astype(np.int64)).unsqueeze(0)
            growing = GrowingHistories(teacher.ranker, teacher.prompts, 1, window=length, earlier=earlier)
            for step, item in enumerate(piece.tolist(), start=1):
                state = growing.extend(torch.tensor([item]))[0]
                if start == 0 or step > WINDOW:
                    torch.testing.assert_close(at_once.pop((user, start + step)), state, rtol=1e-3, atol=1e-4)
            head = int(teacher.prompts.segment_lengths[0])
            longest = int(teacher.prompts.segment_lengths[1:-2].max())
            assert growing.cached.seen.shape[1] <= head + (WINDOW - 1) * longest
    assert not at_once  # each was predicted once, and compared


def test_rows_of_unlike_lengths_grow_together(make_teacher: Callable[..., Teacher], histories: PreparedData) -> None:
    teacher = make_teacher(histories, **STREAMS, prompt="text")
    at_once = all_states(teacher)
    users = np.array([1, 2, 4])
    lengths = histories.validation_ends[users] - 1
    growing = GrowingHistories(teacher.ranker, teacher.prompts, len(users), window=1000)
    for step in range(int(lengths.max())):
        new = np.where(step < lengths, histories.items[histories.offsets[users] + np.minimum(step, lengths - 1)], 0)
        states = growing.extend(torch.from_numpy(new.astype(np.int64)))
        for row, user in enumerate(users.tolist()):
            if step < lengths[row]:
                torch.testing.assert_close(states[row], at_once[user, step + 1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_alone_has_the_state_that_it_has_in_its_stream(
    make_teacher: Callable[..., Teacher], histories: PreparedData, kind: dict[str, Any]
) -> None:
    """What lies beyond the blocks' reach is not read, and nothing changes by it."""
    teacher = with_similarity(make_teacher(histories, **(STREAMS | kind)))
    at_once, targets = all_states(teacher), histories.targets("train")
    windows = teacher.target_windows(targets)
    assert (windows.starts > 0).any()
    for rows in teacher.reading_batches(windows, 3):
        batch, states, _ = teacher.predict(windows, rows)
        for key, state in by_key(batch, states).items():
            torch.testing.assert_close(state, at_once[key], rtol=1e-3, atol=1e-4)


def changed(data: PreparedData, user: int, position: int) -> PreparedData:
    items, place = data.items.copy(), int(data.offsets[user]) + position
    items[place] = items[place] % data.num_items + 1
    return replace(data, items=items)


@pytest.mark.parametrize("prompt", ["item", "text"])
def test_an_event_reaches_later_predictions_within_the_blocks_windows_alone(
    make_teacher: Callable[..., Teacher], histories: PreparedData, prompt: str
) -> None:
    user, position = 1, 8
    # Plain head: the student's part of a score sees a window, the language model's as many windows as it has blocks.
    settings = STREAMS | {"prompt": prompt, "head": "plain", "layers": 2}
    before = all_states(make_teacher(histories, **settings))
    teacher = make_teacher(changed(histories, user, position), **settings)
    after = all_states(teacher)
    # The gate adds what the student's window sees to what a block sees.
    reach = reach_of(teacher) + WINDOW - 1
    for key, state in before.items():
        same = torch.allclose(state, after[key], rtol=1e-4, atol=1e-5)
        if key[0] != user or key[1] <= position or key[1] > position + 1 + reach:
            assert same, key
        elif key[1] <= position + 1 + reach_of(teacher):
            assert not torch.equal(state, after[key]), key


def test_without_a_gate_the_reach_is_that_of_the_blocks(
    make_teacher: Callable[..., Teacher], histories: PreparedData
) -> None:
    settings = STREAMS | {"head": "plain", "layers": 2, "gate": GateConfig(kind="none")}
    before = all_states(make_teacher(histories, **settings))
    teacher = make_teacher(changed(histories, 1, 8), **settings)
    after = all_states(teacher)
    assert reach_of(teacher) == 2 * (WINDOW - 1)
    differing = [key for key, state in before.items() if not torch.allclose(state, after[key], rtol=1e-4, atol=1e-5)]
    assert differing == [(1, position) for position in range(9, 9 + 1 + reach_of(teacher))]


def dense(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, scaling: float, **kw: Any
) -> Any:
    """Attention over the whole row with one mask, written plainly; the mask is on the function."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = query @ key.transpose(2, 3) * scaling
    weights = scores.masked_fill(~dense.mask, -torch.inf).softmax(-1)  # type: ignore[attr-defined]
    return (weights @ value).transpose(1, 2), None


@pytest.mark.parametrize("prompt", ["item", "text"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_states_and_gradients_are_those_of_one_dense_mask(
    make_teacher: Callable[..., Teacher],
    histories: PreparedData,
    monkeypatch: pytest.MonkeyPatch,
    prompt: str,
    checkpointing: bool,
) -> None:
    settings = STREAMS | {"prompt": prompt, "gradient_checkpointing": checkpointing, "student_dropout": 0.0}
    teacher = make_teacher(histories, **settings)
    windows = teacher.training_windows()
    batch = teacher.batch(windows, np.arange(len(windows)))
    ours = states_and_gradients(teacher, batch)
    step, whose = batch.steps[0], batch.token_prompts[0]
    places = torch.arange(len(step))
    mask = (whose.unsqueeze(1) == whose) & (places.unsqueeze(1) >= places)
    dense.mask = mask & ((step == 0) | (step > step.unsqueeze(1) - WINDOW))  # type: ignore[attr-defined]
    monkeypatch.setitem(AttentionInterface._global_mapping, packing.PACKED_SDPA, dense)
    naive = states_and_gradients(teacher, batch)
    assert set(ours) == set(naive)
    assert len(ours) > 12
    for name, found in naive.items():
        scale = float(found.abs().max())
        torch.testing.assert_close(ours[name], found, rtol=1e-3, atol=1e-4 * scale + 1e-6, msg=name)


def states_and_gradients(teacher: Teacher, batch: PromptBatch) -> dict[str, Tensor]:
    teacher.ranker.train()
    teacher.ranker.zero_grad()
    states = teacher.ranker(batch)
    weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(0))
    (states * weights).sum().backward()
    named = teacher.ranker.named_parameters()
    found = {name: one.grad.clone() for name, one in named if one.requires_grad and one.grad is not None}
    return found | {"states": states.detach()}


@pytest.mark.parametrize("block", [1, 3, 64])
@pytest.mark.parametrize("window", [1, 2, 5, 40])
def test_blocks_see_what_one_dense_mask_shows(block: int, window: int) -> None:
    generator = torch.Generator().manual_seed(1)
    tokens = [[0, 0], [0, 0], [0, 0]]
    for stream, items in zip(tokens, (1, 9, 14), strict=True):
        counts = torch.randint(1, 4, (items,), generator=generator).tolist()
        stream += [step for step, count in enumerate(counts, start=1) for _ in range(count)]
    steps, lengths = (
        torch.tensor([step for stream in tokens for step in stream]),
        torch.tensor([len(stream) for stream in tokens]),
    )
    sliding = Sliding.of(lengths, steps, window, torch.float32, block)
    query, key, value = (torch.randn(1, heads, len(steps), 8, generator=generator) for heads in (4, 2, 2))
    whose, places = torch.repeat_interleave(torch.arange(3), lengths), torch.arange(len(steps))
    mask = (whose.unsqueeze(1) == whose) & (places.unsqueeze(1) >= places)
    dense.mask = mask & ((steps == 0) | (steps > steps.unsqueeze(1) - window))  # type: ignore[attr-defined]
    found = sliding.attend(query, key, value, 0.3, 0.0)
    torch.testing.assert_close(found, dense(None, query, key, value, None, 0.3)[0])
    backs = (places.unsqueeze(1) - places).masked_fill(~dense.mask, 0)  # type: ignore[attr-defined]
    assert sliding.span == int(backs.max()) + 1


def test_a_language_model_with_a_window_of_its_own_is_refused() -> None:
    sliding = Sliding.of(torch.tensor([3]), torch.tensor([1, 2, 3]), 3, torch.float32)
    one = torch.zeros(1, 1, 3, 4)
    with pytest.raises(UserError, match=r"cannot do this language model's sliding_window"):
        packing.packed_sdpa(torch.nn.Module(), one, one, one, None, 1.0, packing=sliding, sliding_window=2)
    packing.packed_sdpa(torch.nn.Module(), one, one, one, None, 1.0, packing=sliding, sliding_window=3)


def test_the_student_reads_each_window_alone(make_teacher: Callable[..., Teacher], histories: PreparedData) -> None:
    student = make_teacher(histories, **STREAMS).ranker.student
    last_items = LastItems(student, histories.items, histories.offsets, WINDOW)
    states = last_items.states(torch.arange(len(histories.items)).unsqueeze(0))[0]
    for user in range(histories.num_users):
        for position in range(int(histories.offsets[user + 1] - histories.offsets[user])):
            window = histories.history(user, position + 1)[-WINDOW:]
            alone = student.last_states(torch.from_numpy(window.astype(np.int64)).unsqueeze(0))[0]
            torch.testing.assert_close(states[histories.offsets[user] + position], alone, rtol=1e-4, atol=1e-5)


def test_the_states_are_the_same_to_the_bit_whatever_is_asked_first(
    make_teacher: Callable[..., Teacher], histories: PreparedData
) -> None:
    student: Student = make_teacher(histories, **STREAMS).ranker.student
    one, other = (LastItems(student, histories.items, histories.offsets, WINDOW) for _ in range(2))
    every = torch.arange(len(histories.items))
    whole = one.states(every.unsqueeze(0))[0]
    for event in every.flip(0):
        assert torch.equal(other.states(event.view(1, 1))[0, 0], whole[event])


def test_the_newest_items_of_padded_histories() -> None:
    items = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 0, 0, 0], [8, 9, 1, 2, 0]])
    assert newest(items, 3).tolist() == [[3, 4, 5], [6, 7, 0], [9, 1, 2]]
    assert newest(items, 9).tolist() == items.tolist()


def test_a_batch_has_as_many_items_as_whole_windows(
    make_teacher: Callable[..., Teacher], histories: PreparedData
) -> None:
    teacher = make_teacher(histories, **STREAMS, train=replace(TeacherConfig().train, batch_size=5))
    training = TeacherTraining(teacher, seed=1)
    plan = training.plan(0)
    assert sorted(np.concatenate(plan).tolist()) == list(range(len(training.windows)))
    for rows in plan:
        assert len(rows) == 1 or training.windows.lengths[rows].sum() <= 5 * WINDOW
    assert len(plan) > 1
    batch = training.collate(plan[0])
    assert batch.size()["useful"] == training.windows.lengths[plan[0]].sum()


def test_untrained_it_ranks_as_the_student_does(make_teacher: Callable[..., Teacher], histories: PreparedData) -> None:
    teacher = make_teacher(histories, **STREAMS)
    head, student = teacher.ranker.head, teacher.ranker.student
    head.query.weight.data.zero_()
    head.query.bias.data.zero_()
    targets = histories.targets("validation")
    windows = teacher.target_windows(targets)
    batch, _, scores = teacher.predict(windows, np.arange(len(windows)))
    for user, position, found in zip(batch.users, batch.positions, scores, strict=True):
        window = histories.history(int(user), int(position))[-WINDOW:].astype(np.int64)
        torch.testing.assert_close(found, student.last_scores(torch.from_numpy(window).unsqueeze(0))[0])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"padding": "bucketed"}, r"teacher\.windows: sliding .* set it to packed"),
        ({"attention": "eager"}, r"attention: eager cannot; use auto or sdpa"),
        ({"compile": True, "train": replace(TeacherConfig().train, batch_tokens=99)}, r"set teacher\.compile: false"),
        ({"stream_length": 7}, r"teacher\.stream_length: 7 .* at least twice teacher\.history_length \(4\)"),
    ],
)
def test_what_streams_cannot_do_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        TeacherConfig(**(STREAMS | settings))


def test_a_batch_size_is_not_searched_for_streams() -> None:
    with pytest.raises(UserError, match=r"export\.batch_size: auto times prompts, and streams"):
        RunConfig(
            student=StudentConfig(max_length=10),
            teacher=TeacherConfig(**STREAMS),
            export=ExportConfig(batch_size="auto"),
        )


def test_streams_longer_than_the_language_model_are_refused(
    make_teacher: Callable[..., Teacher], histories: PreparedData
) -> None:
    teacher = make_teacher(histories, **STREAMS)
    with pytest.raises(UserError, match=r"streams of up to 28 tokens do not fit .* 20; lower teacher\.stream_length"):
        check_prompt_lengths(teacher.windows, teacher.shapes.longest, 20)


def test_targets_that_stand_alone_are_streams_of_their_own(
    make_teacher: Callable[..., Teacher], histories: PreparedData
) -> None:
    teacher = make_teacher(histories, **STREAMS)
    users = np.array([1], dtype=np.int32)
    windows = teacher.target_windows(Targets(users, np.array([25], dtype=np.int32)))
    assert (windows.starts.tolist(), windows.ends.tolist()) == ([24 - reach_of(teacher)], [25])
