"""recdistill's student, with its default settings where a variant has no others."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from other_libraries.arguments import EPOCHS, parse, settings_of
from other_libraries.curve import Curve, quality, write_result
from recdistill.config import EvaluateConfig
from recdistill.config.settings import nested, run_config
from recdistill.data.prepared import PreparedData
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.training.callbacks import Callback
from recdistill.training.fit import fit
from recdistill.training.student import StudentTraining, student_sequence_scorer, student_training
from recdistill.training.validations import Validation


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


class StopAt(Callback):
    """Ends the training at a validation with this NDCG@10 or a higher one."""

    def __init__(self, value: float) -> None:
        self.value = value

    def validated(self, history: Sequence[Validation]) -> bool:
        """Whether the last one has it."""
        return history[-1].watched >= self.value


def main() -> None:
    """Train, rank test once, write the line."""
    arguments = parse(str(__doc__), EPOCHS["ours"])
    _, settings = settings_of(arguments.variant)
    asked = run_config(nested({f"student.{key}": value for key, value in settings.items()})).student
    train = replace(asked.train, max_epochs=arguments.epochs, patience=arguments.patience)
    config = replace(asked, train=train)
    data = PreparedData.load(arguments.data)
    curve = Curve(data)
    training = WatchedTraining(student_training(config, data, arguments.seed, "cpu", EvaluateConfig()), curve)
    with tempfile.TemporaryDirectory() as folder, Profiler() as profiler:
        context, stop = RunContext("cpu", profiler, Path(folder)), StopAt(arguments.until)
        curve.start()
        fit(training, train, context, arguments.seed, "students", "ours", callbacks=[stop])  # type: ignore[arg-type]
    test = quality(data, "test", student_sequence_scorer(training.training.module, data, "cpu"))
    kept = asdict(config) | {"seed": arguments.seed, "until": arguments.until}
    write_result(arguments.out, arguments.variant, curve, test, kept, ("recdistill",))


if __name__ == "__main__":
    main()
