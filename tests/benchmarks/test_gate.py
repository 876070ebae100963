"""What the gate's benchmark can be asked about, and which parts of a score it ranks by."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gate import quality, refuse_several_targets
from naive.checks import excite
from recdistill.config import RunConfig
from recdistill.data.prepared import PreparedData
from recdistill.evaluation.metrics import ndcg
from recdistill.evaluation.ranking import rank
from recdistill.teacher.scorers import TeacherScorer
from recdistill.teacher.teacher import Teacher


def test_several_validation_targets_of_a_user_are_refused(data: PreparedData) -> None:
    refuse_several_targets(data)
    ends = data.train_ends.copy()
    ends[3] -= 1
    with pytest.raises(SystemExit, match="several validation targets") as refused:
        refuse_several_targets(replace(data, train_ends=ends))
    assert "\n" not in str(refused.value)


@pytest.fixture
def make_teacher(config: RunConfig, data: PreparedData, student_folder: Path) -> Callable[[float], Teacher]:
    """A teacher all of whose parts rank, each otherwise, with weights as validation may have chosen them."""

    def make(title_decay: float) -> Teacher:
        own = replace(config, teacher=replace(config.teacher, title_decay=title_decay))
        teacher = Teacher(own, data, student_folder, "cpu")
        excite(teacher.ranker)
        head = teacher.ranker.head
        with torch.no_grad():
            head.title_vectors.copy_(torch.randn(head.title_vectors.shape, generator=torch.Generator().manual_seed(2)))
            head.correction_weight.fill_(0.5)
            if head.titles_weight is not None:
                head.titles_weight.fill_(0.2)
        return teacher

    return make


@pytest.mark.parametrize("title_decay", [0.0, 0.5])
def test_the_whole_and_the_correction_alone_are_what_they_say(
    make_teacher: Callable[[float], Teacher], title_decay: float
) -> None:
    teacher = make_teacher(title_decay)
    head, targets = teacher.ranker.head, teacher.data.targets("validation")

    def expected() -> np.ndarray:
        ranking = rank(teacher.data, targets, TeacherScorer(teacher), 256, filter_seen=True, top_k=1)
        return ndcg(ranking.ranks, 10)

    whole, alone = quality(teacher, alone=False), quality(teacher, alone=True)
    np.testing.assert_array_equal(whole, expected())
    head.student_vectors.zero_()
    if head.titles_weight is not None:
        with_titles = expected()
        head.titles_weight.data.zero_()
        assert not np.array_equal(expected(), with_titles)
    np.testing.assert_array_equal(alone, expected())
    assert len(np.unique(alone)) > 1
    assert not np.array_equal(whole, alone)
