import logging

import pytest

from recdistill.config import DistillConfig
from recdistill.distill.strength import STRENGTH_FILE, choose_strength, numbers, settled
from recdistill.files import read_json


def known(train: float | None, validation: float | None) -> dict[str, dict[str, float]]:
    found = {"train": train, "validation": validation}
    return {split: {"ndcg@10": value} for split, value in found.items() if value is not None}


CHOICES = {
    # weight, dropout, lists on training and validation targets → weight, dropout, memory
    "general": (("auto", "auto", 0.145, 0.133), (8.0, 0.1, 1.09)),
    "at the limit": (("auto", "auto", 0.3, 0.1), (8.0, 0.1, 3.0)),
    "above it": (("auto", "auto", 0.31, 0.1), (1.0, None, 3.1)),
    "blind teachers": (("auto", "auto", 0.045, 0.063), (8.0, 0.1, 0.71)),
    "no hit on validation": (("auto", "auto", 0.3, 0.0), (1.0, None, None)),
    "no validation targets": (("auto", "auto", 0.3, None), (1.0, None, None)),
    "no training targets": (("auto", "auto", None, 0.1), (1.0, None, None)),
    "weight given": ((3.0, "auto", 0.1, 0.1), (3.0, 0.1, 1.0)),
    "weight given, memory": ((3.0, "auto", 0.9, 0.1), (3.0, None, 9.0)),
    "a gentle weight given": ((1.0, "auto", 0.1, 0.1), (1.0, None, 1.0)),
    "titles alone": ((0.0, "auto", 0.1, 0.1), (0.0, None, 1.0)),
    "dropout given": (("auto", 0.2, 0.1, 0.1), (8.0, 0.2, 1.0)),
    "the student's dropout given": (("auto", None, 0.1, 0.1), (8.0, None, 1.0)),
}


@pytest.mark.parametrize("case", CHOICES)
def test_auto_is_decided_by_memory_and_what_is_given_is_obeyed(case):
    (weight, dropout, train, validation), (right_weight, right_dropout, memory) = CHOICES[case]
    config = DistillConfig(weight=weight, dropout=dropout)
    chosen = choose_strength(config, known(train, validation))
    assert (chosen.weight, chosen.dropout) == (right_weight, right_dropout)
    assert chosen.memory == (None if memory is None else pytest.approx(memory, abs=0.01))
    assert numbers(chosen.applied(config)) == (right_weight, right_dropout)


def test_the_choice_is_told_and_kept_for_a_training_that_goes_on(tmp_path, caplog):
    caplog.set_level(logging.INFO, "recdistill")
    config = DistillConfig()
    assert numbers(settled(config, tmp_path, lambda: known(0.42, 0.053))) == (1.0, None)
    assert "distill: weight 1, dropout the student's, since the lists' NDCG@10 is 0.420 on training" in caplog.text
    found = read_json(tmp_path / STRENGTH_FILE)
    assert (found["weight"], found["dropout"], found["train"], found["limit"]) == (1.0, None, 0.42, 3.0)

    def not_asked_again():
        raise AssertionError

    assert numbers(settled(config, tmp_path, not_asked_again)) == (1.0, None)


def test_nothing_is_asked_or_written_where_nothing_is_auto(tmp_path):
    config = DistillConfig(weight=2.0, dropout=None)
    assert settled(config, tmp_path, lambda: pytest.fail("asked")) is config
    assert not list(tmp_path.iterdir())


def test_what_is_still_auto_is_not_trained_with():
    for settings in ({"weight": 1.0}, {"dropout": None}):
        with pytest.raises(ValueError, match="must be chosen first"):
            numbers(DistillConfig(**settings))
