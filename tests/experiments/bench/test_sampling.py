import numpy as np

from recdistill.data.windows import history_windows, training_windows
from recdistill.experiments.bench.sampling import sample_data, sample_targets, sample_windows
from teacher.conftest import make_data


def test_a_sample_follows_the_seed_and_holds_what_was_asked_for() -> None:
    data = make_data(users=40)
    one, same, other = (sample_targets(data, "train", 30, seed) for seed in (1, 1, 2))
    assert len(one) == 30
    assert np.array_equal(one.positions, same.positions)
    assert not np.array_equal(one.users, other.users)
    assert len(sample_targets(data, "train", 10**6, 1)) == len(data.targets("train"))


def test_validation_users_are_sampled_and_the_rest_of_the_data_stays() -> None:
    data = make_data(users=40)
    sampled = sample_data(data, 15, seed=3)
    assert len(np.unique(sampled.targets("validation").users)) == 15
    for split in ("train", "test"):
        assert np.array_equal(sampled.targets(split).users, data.targets(split).users)


def test_windows_are_taken_until_they_hold_enough_targets() -> None:
    data = make_data(users=40)
    single = history_windows(data, data.targets("train"), 5)
    assert len(sample_windows(single, 32, seed=1)) == 32
    many = sample_windows(training_windows(data, 5, "all"), 32, seed=1)
    assert 32 <= many.num_targets.sum() < 32 + 5
    assert len(many) < 32
