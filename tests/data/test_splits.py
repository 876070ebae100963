import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recdistill.data.splits import Ends, global_time, leave_one_out


def test_leave_one_out() -> None:
    ends = leave_one_out(np.array([0, 3, 8]))
    assert (ends.train.tolist(), ends.validation.tolist()) == ([1, 3], [2, 4])
    assert ends.train.dtype == ends.validation.dtype == "int32"


def test_global_time_by_hand() -> None:
    # Ten events; the moments are the times of the 7th and the 9th of them in time order: 7 and 9.
    times = np.array([1, 2, 8, 9, 3, 4, 5, 6, 7, 10])
    ends = global_time(np.array([0, 4, 6, 7, 9, 10]), times, 0.2, 0.2)
    assert ends.train.tolist() == [2, 2, 1, 1, 0]
    assert ends.validation.tolist() == [3, 2, 1, 2, 0]


def test_events_at_exactly_a_moment_go_to_the_later_part() -> None:
    times = np.array([1, 5, 5, 5, 1, 5, 5, 9])
    # The 5th event of 8 in time order is at 5, and so is the 7th: all events at 5 are test, validation is empty.
    ends = global_time(np.array([0, 4, 8]), times, 0.25, 0.25)
    assert (ends.train.tolist(), ends.validation.tolist()) == ([1, 1], [1, 1])


def test_fractions_that_do_not_add_up_in_binary() -> None:
    assert 100 * (1 - (0.25 + 0.3)) < 45
    ends = global_time(np.array([0, 100]), np.arange(100), 0.25, 0.3)
    assert (ends.train.tolist(), ends.validation.tolist()) == ([45], [70])


def test_fractions_of_a_second_count() -> None:
    ends = global_time(np.array([0, 4]), np.array([0.1, 0.2, 0.3, 0.4]), 0.25, 0.25)
    assert (ends.train.tolist(), ends.validation.tolist()) == ([2], [3])


@given(
    st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=8), min_size=1, max_size=8),
    st.floats(0.01, 0.49),
    st.floats(0.01, 0.49),
)
def test_nothing_in_an_earlier_part_is_later(histories: list[list[int]], validation: float, test: float) -> None:
    offsets = np.cumsum([0] + [len(history) for history in histories])
    times = np.concatenate([sorted(history) for history in histories])
    ends = global_time(offsets, times, validation, test)
    assert (ends.train >= 0).all()
    assert (ends.train <= ends.validation).all()
    assert (ends.validation <= np.diff(offsets)).all()
    assert (ends.validation < np.diff(offsets)).any()  # The last event of all is test.
    train: list[int] = []
    middle: list[int] = []
    late: list[int] = []
    for user in range(len(histories)):
        cut = np.split(times[offsets[user] : offsets[user + 1]], [ends.train[user], ends.validation[user]])
        for part, events in zip((train, middle, late), cut, strict=True):
            part.extend(events)
    assert max(train, default=-1) < min(middle + late)
    assert max(train + middle, default=-1) < min(late)


def test_take() -> None:
    ends = Ends(np.array([1, 2, 3], dtype=np.int32), np.array([4, 5, 6], dtype=np.int32)).take(np.array([2, 0]))
    assert (ends.train.tolist(), ends.validation.tolist()) == ([3, 1], [6, 4])
