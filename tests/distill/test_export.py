from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from recdistill.config import ExportConfig
from recdistill.data.batches import Windows, collate, history_windows, training_windows
from recdistill.data.prepared import LongArray, PreparedData, Targets
from recdistill.distill.export import export_outputs, top_items
from recdistill.distill.outputs import Fingerprints, OutputsReader
from recdistill.errors import UserError
from recdistill.profiling.profiler import Profiler

PRINTS = Fingerprints("d1", "s1", "t1")
MakeData = Callable[..., PreparedData]


@dataclass
class FakeTeacher:
    """Scores and states that follow from the key alone."""

    data: PreparedData
    fail_at: int = 10**9
    calls: list[LongArray] = field(default_factory=list)
    state_dim: int = 3

    def export_windows(self) -> Windows:
        train = training_windows(self.data, 4, "all")
        validation = history_windows(self.data, self.data.targets("validation"), 4)
        pairs = zip(vars(train).values(), vars(validation).values(), strict=True)
        return Windows(*(np.concatenate(pair) for pair in pairs))

    def prompt_lengths(self, windows: Windows) -> LongArray:
        return windows.lengths.astype(np.int64)

    def predict(
        self, windows: Windows, rows: LongArray, full_rows: int | None = None
    ) -> tuple[Targets, Tensor, Tensor]:
        if len(self.calls) == self.fail_at:
            raise KeyboardInterrupt
        self.calls.append(rows)
        batch = collate(self.data, windows, rows)
        real = batch.targets > 0
        users = batch.users.unsqueeze(1).expand_as(real)[real]
        positions = batch.positions[real] + 1
        return KeysOf(users, positions), states_of(users, positions), scores_of(users, positions, self.data.num_items)


@dataclass
class KeysOf:
    users: Tensor
    positions: Tensor


def scores_of(users: Tensor, positions: Tensor, num_items: int) -> Tensor:
    """Distinct scores of all items, another order for each key."""
    items = torch.arange(num_items + 1)
    return ((items * 7 + users.unsqueeze(1) * 5 + positions.unsqueeze(1) * 3) % (num_items + 1)).float() / 8


def states_of(users: Tensor, positions: Tensor) -> Tensor:
    return torch.stack([users, positions, users * positions], dim=1).float()


def export(teacher: FakeTeacher, folder: Path, **settings: object) -> OutputsReader:
    config = ExportConfig(**({"batch_size": 3, "top_k": 5, "shard_rows": 8} | settings))  # type: ignore[arg-type]
    embeddings = torch.arange((teacher.data.num_items + 1) * 2).reshape(-1, 2)
    with Profiler() as profiler:
        export_outputs(teacher, teacher.data, embeddings, config, folder, PRINTS, profiler)
    assert set(profiler.seconds) == {"batch size", "export", "write"}
    return OutputsReader(folder, PRINTS)


@pytest.fixture
def data(make_data: MakeData) -> PreparedData:
    generator = np.random.default_rng(5)
    return make_data(*(generator.permutation(30)[:length] + 1 for length in (20, 4, 11, 7, 15)), num_items=30)


def test_every_training_and_validation_target_stands_in_the_store_once(data: PreparedData, tmp_path: Path) -> None:
    reader = export(FakeTeacher(data), tmp_path)
    parts = [data.targets("train"), data.targets("validation")]
    assert len(reader) == sum(len(part) for part in parts) == 47
    for part in parts:
        assert reader.lookup(part.users, part.positions).found.all()
    test = data.targets("test")
    assert not reader.lookup(test.users, test.positions).found.any()


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_lists_and_states_are_those_of_the_teacher(data: PreparedData, tmp_path: Path, exclude_seen: bool) -> None:
    reader = export(FakeTeacher(data), tmp_path, exclude_seen=exclude_seen)
    targets = data.targets("train")
    records = reader.lookup(targets.users, targets.positions)
    for row, (user, position) in enumerate(zip(targets.users.tolist(), targets.positions.tolist(), strict=True)):
        scores = scores_of(torch.tensor([user]), torch.tensor([position]), data.num_items)[0].tolist()
        seen = set(data.history(user, position).tolist()) if exclude_seen else set()
        wanted = sorted((item for item in range(1, 31) if item not in seen), key=lambda item: -scores[item])[:5]
        assert records.top_items[row].tolist() == wanted
        assert records.top_scores[row].tolist() == [scores[item] for item in wanted]
        assert records.states[row].tolist() == [user, position, user * position]


def test_states_may_be_left_out(data: PreparedData, tmp_path: Path) -> None:
    whole, lists = export(FakeTeacher(data), tmp_path / "a"), export(FakeTeacher(data), tmp_path / "b", states=False)
    targets = data.targets("train")
    one, other = (reader.lookup(targets.users, targets.positions) for reader in (whole, lists))
    np.testing.assert_array_equal(one.top_items, other.top_items)
    assert one.states.shape == (len(targets), 3)
    assert other.states.shape == (len(targets), 0)
    assert not list((tmp_path / "b").rglob("states.npy"))


def test_item_embeddings_are_kept(data: PreparedData, tmp_path: Path) -> None:
    embeddings = export(FakeTeacher(data), tmp_path).item_embeddings
    np.testing.assert_array_equal(embeddings, np.arange(62).reshape(31, 2))


def test_a_repeated_target_stays_in_its_list(make_data: MakeData) -> None:
    repeats = make_data([1, 2, 1, 3, 4], num_items=5)
    targets = Targets(np.array([0], np.int32), np.array([2], np.int32))
    scores = torch.tensor([[9.0, 5.0, 4.0, 3.0, 2.0, 1.0]])
    kept = top_items(scores.clone(), repeats, targets, 3, exclude_seen=True)
    assert kept.items.tolist() == [[1, 3, 4]]  # 2 has been seen; 1 too, but it is the target
    assert kept.scores.tolist() == [[5.0, 3.0, 2.0]]
    assert top_items(scores.clone(), repeats, targets, 3, exclude_seen=False).items.tolist() == [[1, 2, 3]]


def test_a_list_that_runs_out_of_items_ends_in_empty_places(make_data: MakeData) -> None:
    data = make_data([1, 2, 3, 4], num_items=4)
    targets = Targets(np.array([0], np.int32), np.array([2], np.int32))
    top = top_items(torch.tensor([[0.0, 4.0, 3.0, 2.0, 1.0]]), data, targets, 4, exclude_seen=True)
    assert top.items.tolist() == [[3, 4, 0, 0]]
    assert top.scores.tolist() == [[2.0, 1.0, -np.inf, -np.inf]]


def test_an_interrupted_export_goes_on_and_gives_the_same_store(data: PreparedData, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    export(FakeTeacher(data), whole)
    with pytest.raises(KeyboardInterrupt):
        export(FakeTeacher(data, fail_at=4), parts)
    again = FakeTeacher(data)
    export(again, parts)
    assert len(again.calls) < len(FakeTeacher(data).export_windows()) / 3
    for path in sorted(whole.rglob("*.*")):
        assert (parts / path.relative_to(whole)).read_bytes() == path.read_bytes()


def test_the_number_of_prompts_in_a_batch_does_not_change_the_records(data: PreparedData, tmp_path: Path) -> None:
    targets = data.targets("train")
    one, many = (
        export(FakeTeacher(data), tmp_path / str(size), batch_size=size).lookup(targets.users, targets.positions)
        for size in (1, 50)
    )
    for first, second in zip(one, many, strict=True):
        np.testing.assert_array_equal(first, second)


def test_scores_that_are_not_numbers_stop_the_export(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "scores_of", lambda users, positions, n: torch.full((len(users), n + 1), np.nan))
    with pytest.raises(UserError, match=r"export: the teacher's scores or states are not numbers"):
        export(FakeTeacher(data), tmp_path)
    assert not (tmp_path / "outputs.json").exists()
