"""recdistill's student with its default settings."""

import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from other_libraries.arguments import EPOCHS, parse
from other_libraries.curve import Curve, quality, write_result
from recdistill.config import EvaluateConfig, StudentConfig
from recdistill.data.prepared import PreparedData
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.training.fit import fit
from recdistill.training.student import StudentTraining, student_sequence_scorer, student_training


class WatchedTraining:
    """A student's training whose validations go through the curve; all else is the training's own."""

    def __init__(self, training: StudentTraining, curve: Curve) -> None:
        self.training, self.curve = training, curve

    def __getattr__(self, name: str) -> object:
        return getattr(self.training, name)

    def validate(self) -> dict[str, float]:
        """Rank validation with the clock stopped."""
        training = self.training
        scorer = student_sequence_scorer(training.module, training.data, training.device)
        return self.curve.read(len(self.curve.rows), scorer)


def main() -> None:
    """Train, rank test once, write the line."""
    arguments = parse(str(__doc__), EPOCHS["ours"])
    default = StudentConfig()
    train = replace(default.train, max_epochs=arguments.epochs, patience=arguments.patience)
    config = replace(default, train=train)
    data = PreparedData.load(arguments.data)
    curve = Curve(data)
    training = WatchedTraining(student_training(config, data, arguments.seed, "cpu", EvaluateConfig()), curve)
    with tempfile.TemporaryDirectory() as folder, Profiler() as profiler:
        curve.start()
        fit(training, train, RunContext("cpu", profiler, Path(folder)), arguments.seed, "students", "ours")  # type: ignore[arg-type]
    test = quality(data, "test", student_sequence_scorer(training.training.module, data, "cpu"))
    write_result(arguments.out, "ours", curve, test, asdict(config) | {"seed": arguments.seed}, ("recdistill",))


if __name__ == "__main__":
    main()
