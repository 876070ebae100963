"""What each part of a trained teacher's scores is worth on validation; one line of JSON.

    python benchmarks/parts.py --run runs/studies/ml-latest-small/main/seed-1

The parts are the student's score, the language model's correction and, with `teacher.title_decay`, the likeness of an
item's title to those of the history. Each ranks alone (a part's weight is then no matter), then beside the student,
then all together. Weights are chosen as training chooses them: from the same lists, by NDCG@10 on the very validation
that is ranked here, so a combination with a weight looks a little better than it is. The teacher reads its prompts
once. `kept` holds the weights that the run itself has kept: those of all its parts together, if all is as it was.
"""

import json
import os
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch

from gate import config_of, parse
from recdistill.data.prepared import PreparedData
from recdistill.evaluation.protocol import validation_metrics
from recdistill.teacher.scorers import ReadOnce
from recdistill.teacher.teacher import Teacher, load_teacher
from recdistill.training.correction import CORRECTION_WEIGHTS, TITLE_WEIGHTS, choose_weight

METRIC = "ndcg@10"


class Parts:
    """A teacher's reading of validation, ranked with any weights of its parts."""

    def __init__(self, teacher: Teacher) -> None:
        head = teacher.ranker.head
        self.data, self.targets = teacher.data, teacher.data.targets("validation")
        self.evaluate = teacher.evaluate
        self.student_dim = head.student_vectors.shape[1]
        with torch.no_grad():  # the reading must hold each part as it is
            head.correction_weight.fill_(1.0)
            if head.titles_weight is not None:
                head.titles_weight.fill_(1.0)
        self.read = ReadOnce(teacher, self.targets)

    def rank(self, correction: float, titles: float) -> dict[str, float]:
        """Metrics with these weights beside the student."""
        self.read.correction_weight, self.read.titles_weight = correction, titles
        return validation_metrics(self.read, self.data, self.evaluate, self.targets)

    def without_student(self, correction: float, titles: float) -> dict[str, float]:
        """The same with the student's score hidden."""
        whole = self.read.states
        self.read.states = whole.clone()
        self.read.states[:, : self.student_dim] = 0
        try:
            return self.rank(correction, titles)
        finally:
            self.read.states = whole

    def choose_correction(self, titles: float) -> tuple[float, dict[str, float]]:
        """The correction's best weight beside titles of a given one."""
        return choose_weight(lambda weight: self.rank(weight, titles), CORRECTION_WEIGHTS)

    def choose_titles(self, correction: float) -> tuple[float, dict[str, float]]:
        """The titles' best weight beside a correction of a given one."""
        return choose_weight(lambda weight: self.rank(correction, weight), TITLE_WEIGHTS, "titles")


def measure(teacher: Teacher) -> dict[str, Any]:
    """NDCG@10 of each part and of what they make together, and the weights chosen for that.

    Raises:
        SystemExit: the teacher's head has no parts.
    """
    head = teacher.ranker.head
    if not head.residual:
        raise SystemExit("parts: this teacher has a plain head: its score is one part")
    kept = {"correction": head.correction_weight.item()}
    if head.titles_weight is not None:
        kept["titles"] = head.titles_weight.item()
    parts = Parts(teacher)
    found = {"student": parts.rank(0.0, 0.0), "correction": parts.without_student(1.0, 0.0)}
    correction, found["student + correction"] = parts.choose_correction(0.0)
    weights = {"student + correction": {"correction": correction}}
    if head.titles_weight is not None:
        found["titles"] = parts.without_student(0.0, 1.0)
        titles, found["student + titles"] = parts.choose_titles(0.0)
        weights["student + titles"] = {"titles": titles}
        titles, _ = parts.choose_titles(correction)  # in training's order: the correction's again at the end
        correction, found["student + correction + titles"] = parts.choose_correction(titles)
        weights["student + correction + titles"] = {"correction": correction, "titles": titles}
    quality = {name: round(metrics[METRIC], 5) for name, metrics in found.items()}
    return {METRIC: quality, "weights": weights, "kept": kept, "targets": len(parts.targets)}


def main() -> None:
    """Read a run's teacher, rank with its parts, print."""
    run = parse(str(__doc__)).run
    config = config_of(run)
    if config.teacher.kind != "llm":
        raise SystemExit(f"parts: this run's teacher.kind is {config.teacher.kind}; parts are those of kind llm")
    teacher = load_teacher(config, PreparedData.load(run / "prepare"), run / "student", run / "teacher", "cpu")
    print(json.dumps({"run": str(run)} | measure(teacher)))


if __name__ == "__main__":
    main()
