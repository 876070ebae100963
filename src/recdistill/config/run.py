"""All settings of a run, and what one section asks of another."""

from dataclasses import dataclass, field, replace
from typing import Literal

from recdistill.config.data import DataConfig
from recdistill.config.distill import DistillConfig
from recdistill.config.evaluate import EvaluateConfig
from recdistill.config.export import ExportConfig
from recdistill.config.report import ReportConfig
from recdistill.config.rules import (
    POSITIVE,
    Need,
    Range,
    at_least,
    check_ranges,
    given,
    require,
    section,
    setting,
    unless,
)
from recdistill.config.student import StudentConfig
from recdistill.config.teacher import TeacherConfig
from recdistill.config.teacher_kind import LanguageModel, NoTeacher
from recdistill.errors import UserError

SEVERAL = Need("devices", lambda count: count > 1, "{key} or nodes above 1", Need("nodes", lambda count: count > 1, ""))


@dataclass(frozen=True)
class RunConfig:
    """A whole run: prepare → student → teacher → export → distill → evaluate → report."""

    run: str = "runs/demo"
    """Folder of the run; each step has a folder in it."""
    seed: int = setting(42, Range(lambda seed: 0 <= seed < 2**32, "between 0 and 2**32 - 1"))
    """The one seed of everything random."""
    threads: int = setting(0, at_least(0))
    """CPU threads; 0: as many as there are cores."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run. auto takes a GPU where there is one, and records the choice."""
    devices: int = setting(1, POSITIVE)
    """Processes that share the work on each machine. They train, export and evaluate together, each on a core or a GPU
    of its own. Results are those of one process within rounding, so a run may resume with another number."""
    nodes: int = setting(1, POSITIVE)
    """Machines. More than one: start the same command on each by torchrun or Slurm (docs/processes.md)."""
    strategy: Literal["ddp", "fsdp"] = setting("ddp", read_with=(given("teacher.kind", "llm"), SEVERAL))
    """How processes hold the teacher. ddp: each has all of it. fsdp: each has a share of every block of the language
    model, for one that is larger than a GPU's memory."""
    data: DataConfig = field(default_factory=DataConfig)
    """Data, filters, split."""
    student: StudentConfig = field(default_factory=StudentConfig)
    """The small model."""
    teacher: TeacherConfig = section(TeacherConfig, taken_with=given("teacher.kind", "llm"))
    """The language model."""
    export: ExportConfig = field(default_factory=ExportConfig)
    """The teacher's outputs."""
    distill: DistillConfig = section(
        DistillConfig, taken_with=(unless("teacher.kind", "none"), given("export.enabled", True))
    )
    """The distillation."""
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    """The evaluation."""
    report: ReportConfig = field(default_factory=ReportConfig)
    """The report."""

    @property
    def decided_export(self) -> ExportConfig:
        """The `export` section, where lists leave out what the ranking leaves out unless the section says otherwise."""
        seen = self.export.exclude_seen
        return replace(self.export, exclude_seen=self.evaluate.filter_seen if seen is None else seen)

    def __post_init__(self) -> None:
        """Check ranges and what one section asks of another."""
        require(bool(self.run.strip()), "run", self.run, "the name of a folder")
        check_ranges(self, "")
        require(
            self.teacher.history_length <= self.student.max_length or isinstance(self.teacher.chosen, NoTeacher),
            "teacher.history_length",
            self.teacher.history_length,
            f"at most student.max_length ({self.student.max_length})",
        )
        kind, is_llm = self.teacher.kind, isinstance(self.teacher.chosen, LanguageModel)
        if self.teacher.compile and not is_llm:
            raise UserError(f"teacher.compile: compiles a language model's blocks; teacher.kind: {kind} has none")
        if self.teacher.compile and self.devices * self.nodes > 1:
            raise UserError(
                "teacher.compile: shapes are compiled for whole micro-batches, and several processes share each; "
                "set it to false, or devices and nodes to 1"
            )
        if self.strategy == "fsdp" and is_llm and self.devices * self.nodes > 1:
            self._check_spread()
        if self.teacher.folds and (not is_llm or self.teacher.compile):
            raise UserError("teacher.folds: goes with teacher.kind: llm and teacher.compile: false")
        if self.export.batch_size == "auto" and self.teacher.compile:
            raise UserError("export.batch_size: auto tries shapes that compiled blocks would be compiled for; name one")
        if self.export.batch_size == "auto" and self.teacher.streams and is_llm:
            raise UserError(
                "export.batch_size: auto times prompts, and streams (teacher.windows: sliding) are of very unlike "
                "lengths; name a number"
            )
        if self.export.use_cache:
            self._check_cache()
        if self.export.mixed_histories and self.teacher.folds:
            raise UserError("export.mixed_histories: cannot be combined with teacher.folds; set teacher.folds: 0")
        if self.export.mixed_histories and self.distill.selection != "all":
            raise UserError(
                "export.mixed_histories: mixed histories have no targets to select by; set distill.selection: all"
            )
        require(
            self.distill.top_k <= self.export.top_k,
            "distill.top_k",
            self.distill.top_k,
            f"at most export.top_k ({self.export.top_k})",
        )

    def _check_spread(self) -> None:
        """What a language model that is spread over processes cannot do."""
        teacher = self.teacher
        if teacher.quantization != "none":
            raise UserError(
                "strategy: fsdp shares weights in full precision, and quantised ones are a quarter or less of them "
                "already; set teacher.quantization: none, or strategy: ddp"
            )
        if teacher.precision.startswith("fp16"):
            raise UserError(
                f"strategy: fsdp checks the language model on the CPU before it is spread, and teacher.precision: "
                f"{teacher.precision} needs a GPU for that; use bf16, bf16-mixed or fp32"
            )
        if teacher.attention not in ("auto", "sdpa", "eager"):
            raise UserError(
                f"strategy: fsdp checks the language model on the CPU before it is spread, and teacher.attention: "
                f"{teacher.attention} needs a GPU for that; use auto, sdpa or eager"
            )
        if teacher.folds:
            raise UserError("strategy: fsdp cannot be combined with teacher.folds, which are several teachers")

    def _check_cache(self) -> None:
        """A cache pays where a prompt is read again with something behind it, and nowhere else."""
        teacher = self.teacher
        if not isinstance(teacher.chosen, LanguageModel):
            raise UserError(f"export.use_cache: with teacher.kind: {teacher.kind} there are no keys and values")
        if teacher.targets == "every":
            raise UserError(
                "export.use_cache: targets: every reads each history once for all its targets and decodes nothing, so "
                "there is nothing to reuse; it goes with teacher.targets: last"
            )
        if teacher.gate.kind == "instance":
            raise UserError(
                "export.use_cache: gate.kind: instance weighs all tokens by the whole history, so each new item "
                "changes every key and value; it goes with gate.kind: causal or none"
            )
        if teacher.compile:
            raise UserError(
                "export.use_cache: a history that grows is a new shape at each item, which compiled blocks would be "
                "compiled for; set teacher.compile: false"
            )
        if self.export.batch_size == "auto":
            raise UserError("export.use_cache: users are read in groups of export.batch_size, so it must be a number")
        if teacher.candidates:
            raise UserError("export.use_cache: a candidate list is between two items of a history; set it to 0")
