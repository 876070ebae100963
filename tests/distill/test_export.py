import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from recdistill.config import ExportConfig
from recdistill.data.prepared import LongArray, PreparedData, Targets
from recdistill.data.windows import Windows, collate, history_windows, training_windows
from recdistill.distill import reading as reading_module
from recdistill.distill.batch_size import Trial
from recdistill.distill.export import export_outputs
from recdistill.distill.outputs import Fingerprints, OutputsReader
from recdistill.distill.reading import top_items
from recdistill.errors import UserError
from recdistill.interruption import Interrupted, handled_signals
from recdistill.measure.context import RunContext
from recdistill.measure.evidence import TokenCount
from recdistill.measure.profiler import Profiler
from recdistill.storage.files import read_json, write_json

PRINTS = Fingerprints("d1", "s1", "t1")
MakeData = Callable[..., PreparedData]


@dataclass
class FakeTeacher:
    """Scores and states that follow from the key alone."""

    data: PreparedData
    fail_at: int = 10**9
    signal_at: int = 0
    calls: list[LongArray] = field(default_factory=list)
    state_dim: int = 3
    every: bool = True
    inputs_per_prompt: int | None = None
    read: TokenCount = field(default_factory=TokenCount)
    scored: list[int] = field(default_factory=list)

    def export_windows(self) -> Windows:
        if self.every:
            train = training_windows(self.data, 4, "all")
        else:
            train = history_windows(self.data, self.data.targets("train"), 4)
        validation = history_windows(self.data, self.data.targets("validation"), 4)
        pairs = zip(vars(train).values(), vars(validation).values(), strict=True)
        return Windows(*(np.concatenate(pair) for pair in pairs))

    def prompt_lengths(self, windows: Windows) -> LongArray:
        return windows.lengths.astype(np.int64)

    def predict(
        self, windows: Windows, rows: LongArray, full_rows: int | None = None
    ) -> tuple["KeysOf", Tensor, Tensor]:
        if len(self.calls) == self.fail_at:
            raise KeyboardInterrupt
        self.calls.append(rows)
        if len(self.calls) == self.signal_at:
            signal.raise_signal(signal.SIGINT)
        batch = collate(self.data, windows, rows)
        real = batch.targets > 0
        users = batch.users.unsqueeze(1).expand_as(real)[real]
        positions = batch.positions[real] + 1
        lengths = windows.take(rows).lengths
        self.read.add(int(lengths.sum()), len(rows), int(lengths.max()), len(rows), len(users))
        return KeysOf(users, positions), states_of(users, positions), scores_of(users, positions, self.data.num_items)

    def trial(self, windows: Windows, rows: LongArray) -> None:
        """Takes no time to speak of, so which size is found is chance."""

    def readers(self, windows: Windows) -> LongArray:
        return np.zeros(len(windows), dtype=np.int64)

    @property
    def growing(self) -> "FakeGrowing":
        return FakeGrowing(self)


@dataclass
class FakeGrowing:
    teacher: FakeTeacher

    def fits(self, windows: Windows) -> NDArray[np.bool_]:
        fits: NDArray[np.bool_] = windows.starts == 0
        return fits

    def predict(self, windows: Windows, rows: LongArray) -> tuple["KeysOf", Tensor]:
        keys, states, _ = self.teacher.predict(windows, rows)
        return keys, states

    def scores(self, states: Tensor) -> Tensor:
        self.teacher.scored.append(len(states))
        return scores_of(states[:, 0].long(), states[:, 1].long(), self.teacher.data.num_items)


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
    few: dict[str, Any] = {"batch_size": 3, "top_k": 5, "shard_rows": 8, "exclude_seen": True}
    config = ExportConfig(**(few | settings))
    embeddings = torch.arange((teacher.data.num_items + 1) * 2).reshape(-1, 2)
    with Profiler() as profiler:
        export_outputs(teacher, teacher.data, embeddings, config, RunContext("cpu", profiler, folder), PRINTS)
    assert set(profiler.seconds) == {"batch size", "write"} | ({"export"} if teacher.calls else set())
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


def same_files(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files, byte by byte."""
    names = [sorted(path.relative_to(folder) for path in folder.rglob("*.*")) for folder in (one, other)]
    return names[0] == names[1] and all((one / name).read_bytes() == (other / name).read_bytes() for name in names[0])


@pytest.mark.parametrize("shard_rows", [1, 4, 8, 47])
@pytest.mark.parametrize("fail_at", [1, 2, 4, 5])
def test_an_interrupted_export_goes_on_and_gives_the_same_store(
    data: PreparedData, tmp_path: Path, fail_at: int, shard_rows: int
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    export(FakeTeacher(data), whole, shard_rows=shard_rows)
    with pytest.raises(KeyboardInterrupt):
        export(FakeTeacher(data, fail_at=fail_at), parts, shard_rows=shard_rows)
    again = FakeTeacher(data)
    export(again, parts, shard_rows=shard_rows)
    if (shard_rows, fail_at) == (8, 4):
        assert len(again.calls) < len(FakeTeacher(data).export_windows()) / 3
    assert same_files(whole, parts), "its evidence too, which counts both tries"
    assert read_json(whole / "evidence.json")["tokens"]["export"]["targets"] == 47


@pytest.mark.parametrize("shard_rows", [1, 4, 8, 1000])
@pytest.mark.parametrize("signal_at", [1, 3, 5])
def test_a_signal_keeps_all_that_was_read(data: PreparedData, tmp_path: Path, signal_at: int, shard_rows: int) -> None:
    """Whole shards and the rows of the last one; nothing is read twice."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    first, again, undisturbed = FakeTeacher(data, signal_at=signal_at), FakeTeacher(data), FakeTeacher(data)
    export(undisturbed, whole, shard_rows=shard_rows)
    with pytest.raises(Interrupted) as stopped, handled_signals(quiet=True):
        export(first, parts, shard_rows=shard_rows)
    assert len(first.calls) == signal_at, "the batch that was being read is finished"
    done = sum(len(np.load(path)) for path in parts.glob("*shard-*/users.npy"))
    assert stopped.value.saved == f"the teacher's outputs for {done} targets"
    export(again, parts, shard_rows=shard_rows)
    assert len(first.calls) + len(again.calls) == len(undisturbed.calls)
    assert same_files(whole, parts), "its evidence too, which counts both tries"


@pytest.mark.parametrize("name", ["evidence.json", "outputs.json"])
def test_a_finished_store_has_its_evidence(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Cut off before either of the two files is written."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    export(FakeTeacher(data), whole)

    def cut_off(path: Path, value: object) -> None:
        if path.name == name:
            raise KeyboardInterrupt
        write_json(path, value)

    with monkeypatch.context() as patch:
        patch.setattr("recdistill.distill.export.write_json", cut_off)
        patch.setattr("recdistill.distill.writer.write_json", cut_off)
        with pytest.raises(KeyboardInterrupt):
            export(FakeTeacher(data), parts)
    assert not (parts / "outputs.json").exists()
    assert (parts / "evidence.json").exists() is (name == "outputs.json")
    export(FakeTeacher(data), parts)
    assert same_files(whole, parts)


@pytest.mark.parametrize("sizes", [(2, 5), (5, 2)])
def test_an_export_goes_on_with_another_batch_size(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, int]
) -> None:
    """`auto` may find another size when it goes on: rows stand in the same order, whatever it is."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    export(FakeTeacher(data), whole)
    for size, fail_at in zip(sizes, (3, 10**9), strict=True):
        trials = [Trial(size, 1.0, "taken")]
        monkeypatch.setattr("recdistill.distill.export.find_batch_size", lambda *_, found=(size, trials): found)
        teacher = FakeTeacher(data, fail_at=fail_at)
        if fail_at == 3:
            with pytest.raises(KeyboardInterrupt):
                export(teacher, parts, batch_size="auto", shard_rows=4)
        else:
            reader = export(teacher, parts, batch_size="auto", shard_rows=4)
    evidence = read_json(parts / "evidence.json")
    assert evidence["batch_size"] == sizes[1]
    assert [trial["batch_size"] for trial in evidence["batch_size_trials"]] == [sizes[1]]
    assert max(len(rows) for rows in teacher.calls) == sizes[1]
    targets = data.targets("train")
    expected = OutputsReader(whole, PRINTS).lookup(targets.users, targets.positions)
    for one, other in zip(reader.require(targets.users, targets.positions), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(reader) == 47


@pytest.mark.parametrize("sizes", [(2, 5), (5, 2)])
def test_an_export_with_a_cache_goes_on_with_another_batch_size(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, int]
) -> None:
    """Rows of users who are read together stood in the order of their numbers, so the order changed with the size, and
    targets were exported twice.
    """
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    export(FakeTeacher(data, every=False), whole, use_cache=True)
    for size, fail_at in zip(sizes, (2, 10**9), strict=True):
        found: tuple[int, list[Trial]] = (size, [])
        monkeypatch.setattr("recdistill.distill.export.find_batch_size", lambda *_, found=found: found)
        teacher = FakeTeacher(data, every=False, fail_at=fail_at)
        if fail_at == 2:
            with pytest.raises(KeyboardInterrupt):
                export(teacher, parts, batch_size="auto", shard_rows=4, use_cache=True)
        else:
            reader = export(teacher, parts, batch_size="auto", shard_rows=4, use_cache=True)
    assert len(reader) == 47
    targets = data.targets("train")
    expected = OutputsReader(whole, PRINTS).lookup(targets.users, targets.positions)
    for one, other in zip(reader.require(targets.users, targets.positions), expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "damaged", ["read-00000.json", "export.json", "shard-00001/users.npy", "shard-00000/files.json"]
)
def test_a_damaged_beginning_of_an_export_is_read_again(
    data: PreparedData, tmp_path: Path, caplog: pytest.LogCaptureFixture, damaged: str
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    export(FakeTeacher(data), whole, shard_rows=4)
    with pytest.raises(KeyboardInterrupt):
        export(FakeTeacher(data, fail_at=4), parts, shard_rows=4)
    content = (parts / damaged).read_bytes()
    (parts / damaged).write_bytes(content[:-3])
    export(FakeTeacher(data), parts, shard_rows=4)
    assert same_files(whole, parts)
    assert "export: " in caplog.text


def test_damaged_rows_that_were_set_aside_are_read_again(data: PreparedData, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    export(FakeTeacher(data), whole, shard_rows=1000)
    with pytest.raises(Interrupted), handled_signals(quiet=True):
        export(FakeTeacher(data, signal_at=3), parts, shard_rows=1000)
    scores = parts / ".shard-00000.aside" / "top_scores.npy"
    content = scores.read_bytes()
    scores.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    export(FakeTeacher(data), parts, shard_rows=1000)
    assert same_files(whole, parts)


def test_shards_of_an_earlier_version_are_not_gone_on_from(data: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        export(FakeTeacher(data, fail_at=4), tmp_path)
    (tmp_path / "read-00000.json").unlink()
    with pytest.raises(UserError, match="the beginning of an earlier version's export; remove it"):
        export(FakeTeacher(data), tmp_path)


def test_histories_that_grow_are_scored_a_batch_at_a_time(data: PreparedData, tmp_path: Path) -> None:
    """A group's targets are all its users' events; their scores never stand side by side."""
    teacher = FakeTeacher(data, every=False)
    found = export(teacher, tmp_path / "grown", use_cache=True)
    targets = data.targets("validation")
    records = found.require(targets.users, targets.positions)
    expected = export(FakeTeacher(data), tmp_path / "plain").require(targets.users, targets.positions)
    for one, other in zip(records, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert teacher.scored
    assert max(teacher.scored) == 3 < max(len(rows) for rows in teacher.calls)


def test_the_number_of_prompts_in_a_batch_does_not_change_the_records(data: PreparedData, tmp_path: Path) -> None:
    targets = data.targets("train")
    one, many = (
        export(FakeTeacher(data), tmp_path / str(size), batch_size=size).lookup(targets.users, targets.positions)
        for size in (1, 50)
    )
    for first, second in zip(one, many, strict=True):
        np.testing.assert_array_equal(first, second)


def test_states_too_large_for_half_precision_stop_the_export_only_where_they_are_kept(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "states_of", lambda users, positions: torch.full((len(users), 3), 1e6))
    with pytest.raises(UserError, match=r"export: the teacher's scores or states are not numbers"):
        export(FakeTeacher(data), tmp_path / "kept")
    export(FakeTeacher(data), tmp_path / "lists", states=False)
    assert (tmp_path / "lists" / "outputs.json").exists()


def test_scores_that_are_not_numbers_stop_the_export(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "scores_of", lambda users, positions, n: torch.full((len(users), n + 1), np.nan))
    with pytest.raises(UserError, match=r"export: the teacher's scores or states are not numbers"):
        export(FakeTeacher(data), tmp_path)
    assert not (tmp_path / "outputs.json").exists()


@pytest.mark.parametrize("cached", [False, True])
def test_a_bound_on_the_scores_changes_batches_and_not_the_store(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    whole = export(FakeTeacher(data), tmp_path / "whole", batch_size=4, use_cache=cached)
    monkeypatch.setattr(reading_module, "rows_at_a_time", lambda items, memory: 2)
    teacher = FakeTeacher(data)
    parts = export(teacher, tmp_path / "parts", batch_size=4, use_cache=cached)
    assert max(teacher.scored if cached else map(len, teacher.calls)) <= 2
    for part in (data.targets("train"), data.targets("validation")):
        wanted = whole.require(part.users, part.positions)
        for found, expected in zip(parts.require(part.users, part.positions), wanted, strict=True):
            np.testing.assert_array_equal(found, expected)
