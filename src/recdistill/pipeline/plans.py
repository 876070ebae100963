"""What a step of a run reads and is configured by, and whether that is what its finished folder was made of."""

import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from recdistill.config import DataConfig, RunConfig, TeacherConfig
from recdistill.data.about import About
from recdistill.data.fetch import cache_folder
from recdistill.data.frames import Frames
from recdistill.data.mixed_histories import with_mixed_histories
from recdistill.data.prepare import source_fingerprint
from recdistill.data.prepared import PreparedData
from recdistill.distill.outputs import Fingerprints
from recdistill.errors import UserError
from recdistill.evaluation.protocol import deciding
from recdistill.language_models.fingerprints import changed_models, model_inputs, without_models
from recdistill.measure.environment import environment
from recdistill.parallel.processes import ALONE, Processes
from recdistill.parallel.ray_cluster import RayCluster
from recdistill.steps import RESULTS, SPECS, STEPS, Step, changed_results
from recdistill.storage.changes import changed_keys
from recdistill.storage.manifest import Environment, Inputs, Manifest
from recdistill.storage.run_folder import RunFolder, fingerprint
from recdistill.storage.typed import read_typed

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

logger = logging.getLogger("recdistill")


@dataclass(frozen=True)
class Plan:
    """A step's name, its part of the configuration and the fingerprints of what it reads."""

    step: Step
    section: "DataclassInstance"
    inputs: Inputs

    @property
    def fingerprint(self) -> str:
        """Names this work: the same step, configuration and inputs give the same name.

        How long a compiler may take decides whether there is a result, not which: its limit stands for its default.
        What the files hold is among the inputs, so where they lie does not count.
        """
        section = self.section
        if isinstance(section, DataConfig):
            section = section.without_paths()
        if isinstance(section, TeacherConfig):
            section = replace(section, compile_seconds=TeacherConfig.compile_seconds)
        return step_fingerprint(self.step, section, self.inputs)


def step_fingerprint(step: Step, section: object, inputs: Inputs) -> str:
    """Names a step's work, with the count of its results; the first count leaves no trace, as before there were any."""
    return fingerprint(step, section, inputs, *([RESULTS[step]] if RESULTS[step] > 1 else []))


@dataclass
class OpenRun:
    """A run that is being done: its configuration, its folder, and what the steps before have left there.

    Attributes:
        config: of the run.
        folder: where its steps are.
        device: `cpu` or `cuda`.
        frames: data frames that it was called with, in place of files.
        processes: that do it together.
        cluster: on which pieces of its exports and evaluations are done; None: all is done by these processes.
    """

    config: RunConfig
    folder: RunFolder
    device: str
    frames: Frames | None = None
    processes: Processes = ALONE
    cluster: RayCluster | None = None

    def step(self, step: Step) -> Path:
        """The folder of a finished step."""
        return self.folder.step(SPECS[step].folder)

    def manifest(self, step: Step) -> Manifest | None:
        """What a finished step recorded; None where it has not finished, or where its files are damaged."""
        return self.folder.manifest(SPECS[step].folder)

    def environment(self) -> Environment:
        """What a step runs with, for its manifest."""
        return environment(self.device)

    def data(self) -> PreparedData:
        """The prepared interactions."""
        return PreparedData.load(self.step("prepare"))

    def asked(self) -> PreparedData:
        """What the teacher is asked about and the distilled student learns from: the data, and mixed histories."""
        config = self.config
        length = config.student.max_length + 1  # So many inputs, and the target of the last one.
        return with_mixed_histories(self.data(), config.export.mixed_histories, length, config.seed)

    def output_fingerprints(self) -> Fingerprints:
        """What teacher outputs must have been made from to be read by this run."""
        data = self.asked()
        return Fingerprints(data=data.fingerprint, split=data.split_fingerprint, teacher=self.made("teacher"))

    def made(self, step: Step) -> str:
        """The fingerprint of a finished step.

        Raises:
            UserError: it has not finished.
        """
        manifest = self.manifest(step)
        if manifest is None:
            raise UserError(f"{self.step(step)}: not finished; run `recdistill {step}` first")
        return str(manifest["fingerprint"])

    def is_finished(self, step: Step) -> bool:
        """Whether the step's folder is there, made of the same inputs with the same settings."""
        return self.folder.is_finished(SPECS[step].folder, self.plan(step).fingerprint)

    def plan(self, step: Step) -> Plan:
        """What the step reads and is configured by; together they make its fingerprint."""
        return Plan(step, SPECS[step].settings(self.config), self._inputs(step))

    def _inputs(self, step: Step) -> Inputs:
        """Fingerprints of what the step reads, and settings of other sections that move its results."""
        config = self.config
        if step == "prepare":
            rule = config.data
            drawn = rule.limit_rows is not None or rule.train_user_fraction < 1 or rule.history_order == "shuffled"
            return {"source": self._source(), "seed": config.seed} if drawn else {"source": self._source()}
        read = [SPECS[other] for other in SPECS[step].reads]
        made: Inputs = {spec.as_input: self.made(spec.name) for spec in read if not spec.left_out(config)}
        if step == "report":
            return made | {"run": self.folder.path.name} | self._control()
        data = self.data()
        inputs: Inputs = {"data": data.fingerprint, "split": data.split_fingerprint, "seed": str(config.seed)}
        if SPECS[step].trains:
            inputs |= deciding(config.evaluate)
        inputs |= made
        if step == "teacher":
            inputs |= model_inputs(config.teacher, cache_folder())
        if step == "distill":
            inputs |= {"title_dim": config.teacher.title_dim}
        return inputs

    def _control(self) -> Inputs:
        """Names the evaluation of the control that the report tells of, if there is one.

        Raises:
            UserError: it was not evaluated.
        """
        if not self.config.report.control:
            return {}
        manifest = RunFolder(Path(self.config.report.control)).manifest(SPECS["evaluate"].folder)
        if manifest is None:
            raise UserError(f"report.control: {self.config.report.control} is not an evaluated run")
        return {"control": str(manifest["fingerprint"])}

    def _source(self) -> str:
        """Names what `prepare` reads; where its file is gone since, what was prepared from it stands for it."""
        done, data = self.manifest("prepare"), self.config.data
        paths = (data.path, data.validation_path, data.test_path, data.items_path)
        if done is not None and (gone := [path for path in paths if path and not Path(path).exists()]):
            logger.info("prepare: %s is not there any more; what was prepared from it is used", gone[0])
            return str(done["inputs"]["source"])
        if done is not None and data.source == "frames" and self.frames is None:
            return str(done["inputs"]["source"])
        return source_fingerprint(data, self.frames)

    def explain(self, plan: Plan) -> None:
        """Say why a finished step is done again.

        Raises:
            UserError: other data would be prepared into a run that holds some.
        """
        step, manifest = plan.step, self.manifest(plan.step)
        if manifest is None:
            return
        other_version = changed_results(step, manifest)
        if step == "prepare" and other_version:
            raise UserError(f"run: {self.folder.path}: {other_version}; choose another run folder or remove this one")
        changes = [other_version] if other_version else []
        changes += changed_keys(manifest["config"], asdict(plan.section), SPECS[step].section)
        changes += changed_models(manifest["inputs"], plan.inputs)
        changes += changed_keys(without_models(manifest["inputs"]), without_models(plan.inputs), "input")
        changes = changes or ["its files have another form in this version"]
        if step == "prepare":
            raise UserError(
                f"run: {self.folder.path} was made with other data ({'; '.join(changes[:3])}); "
                "choose another run folder or remove this one"
            )
        logger.info("%s: re-running, since %s", step, "; ".join(changes[:3]))

    def refuse_other_data(self, prepared: Path) -> None:
        """Refuse data that was prepared again where a folder was damaged or lost, if the run's other steps know others.

        Raises:
            UserError: names the step.
        """
        about = read_typed(prepared / "data.json", About)
        now = {"data": about["fingerprint"], "split": about["split_fingerprint"]}
        for spec in STEPS:
            manifest = self.manifest(spec.name) if spec.name != "prepare" else None
            before = manifest["inputs"] if manifest else {}
            if any(before.get(name, value) != value for name, value in now.items()):
                raise UserError(
                    f"run: {self.folder.path}: {spec.folder} was made with other data than is prepared now; choose "
                    "another run folder or remove this one"
                )
