"""What can be typed: the commands and their options; every setting of `RunConfig` is an option of every step."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace, set_parsing_settings  # type: ignore[attr-defined]

from recdistill.cli import recommend
from recdistill.cli.engine import ON_CLUSTER, add_engine
from recdistill.cli.help_pages import Help
from recdistill.cli.serve import SERVE, with_serve_options
from recdistill.config import RunConfig
from recdistill.config.mistakes import check_settings, settings_of, told
from recdistill.config.settings import flat
from recdistill.config.yaml_files import read_yaml
from recdistill.errors import UserError
from recdistill.experiments.tune.config import TuneConfig
from recdistill.languages import LANGUAGES
from recdistill.plan.plan_config import PlanConfig
from recdistill.serving.answers import Model
from recdistill.steps import SPECS, STEPS
from recdistill.version import __version__

WHOLE = {
    "run": f"The full pipeline: {', '.join(SPECS)}.",
    "demo": "Fetch MovieLens-100K, SmolLM2-135M and MiniLM, then `run` with the defaults.",
}
CHECK = "Say what of a run, a bundle, a study or a bench is whole, damaged, missing or unfinished."
FETCH = "Fetch data or a language model into the user's cache."
CONFIGS = "Copy the ready configurations that come with the package to a folder."
RECOMMEND = "Recommend the next items after a history, with the distilled student."
BUNDLE = "Write one self-contained folder that answers without torch, from a finished run."
INDEX = "Make an approximate index of a student's items, with its recall measured (needs the extra `index`)."
ADD_ITEMS = "Add new items to a distilled student by their text; nothing is trained."
BENCH = "Run a designed experiment over settings of the teacher, and write its report."
COMPARE = "Compare finished runs from their stored ranks: seeds, intervals, paired tests."
STUDY = "Run variants × seeds from a YAML file, sharing identical steps; then `compare` the runs."
TUNE = "Try students on validation (needs the extra `tune`); write the best one's configuration."
LONG = (*SPECS, *WHOLE, "study")
KEPT = dict.fromkeys(LONG, "finished steps are kept, and checkpoints of the one that ran") | {
    "tune": "finished trials are kept",
    "bench": "finished cells are kept",
}
"""What is there of a command that was interrupted where nothing new was saved."""
RESUMES = dict.fromkeys(LONG, "that step") | {
    "tune": "the trial that was interrupted",
    "bench": "the cell that was interrupted",
}
"""What a command that was interrupted resumes; others begin anew."""
FETCHABLE = ("ml-100k", "smollm2", "minilm")
PLAN = "Memory, FLOPs, largest batch and time of a teacher on a GPU you don't have; no weights are read."

SETTINGS = settings_of(RunConfig)
READ: dict[str, tuple[str, ...]] = {spec.name: (spec.section,) for spec in STEPS}
"""Sections that a step is about, and its help lists; it reads those of the steps before it where these are done too."""


class ConfigFile(ActionConfigFile):
    """`--config`: a YAML file of settings; what is wrong with its form is told with its name and line."""

    def __call__(  # type: ignore[override]
        self, parser: ArgumentParser, cfg: Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Read the file, then let jsonargparse check its names and types."""
        settings = read_yaml(Path(values), "config")
        if not isinstance(settings, dict):
            raise UserError(f"{values}: holds no settings (lines like `seed: 1`)")
        others = {action.dest for action in parser._actions} - {"config", *SETTINGS}
        check_settings(flat(settings), SETTINGS, others)
        # jsonargparse would read the file once more, by its own rules; it takes a text in a file's place.
        super().__call__(parser, cfg, yaml.safe_dump(settings), option_string)  # type: ignore[no-untyped-call]


@cache
def build_parser(command: str) -> ArgumentParser:
    """The parser of all subcommands; every setting of `RunConfig` is an option of every step.

    Args:
        command: the subcommand that is parsed. The others are left without their options, which take a second to make.
    """
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(
        prog="recdistill",
        description="Distil an LLM recommender into SASRec or GRU4Rec.",
        exit_on_error=False,
        version=__version__,
        allow_abbrev=False,
    )
    subcommands = parser.add_subcommands(dest="command", required=True, title="commands")
    for name, made in _subparsers(command).items():
        subcommands.add_subcommand(name, made, help=made.description)
    return parser


def complaint(command: str, message: str) -> str:
    """What a parser of :func:`build_parser` says of a command that it refuses, in one line and plain words."""
    kinds: dict[str, tuple[type, ...]] = {"plan": (PlanConfig,), "tune": (RunConfig, TuneConfig)}
    known: dict[str, object] = {}
    for kind in kinds.get(command, (RunConfig,)):
        known |= settings_of(kind)
    return told(" ".join(message.split()), known, _long_options(command))


@cache
def _long_options(command: str) -> tuple[str, ...]:
    """Names of a command's options, without their dashes; none of a command that there is not."""
    parsers = _subparsers(command)
    words = parsers[command]._option_string_actions if command in parsers else ()
    return tuple(word.removeprefix("--") for word in words if word.startswith("--"))


def _subparsers(command: str) -> dict[str, ArgumentParser]:
    """Parsers of all subcommands; see :func:`build_parser`."""
    parsers = {"fetch": _fetch_parser(), "configs": _configs_parser()}
    abouts: dict[str, str] = {spec.name: spec.about for spec in STEPS}
    for name, meaning in (abouts | WHOLE).items():
        parsers[name] = _step_parser(meaning, READ.get(name, ()), name == command)
        if name in ON_CLUSTER:
            add_engine(parsers[name])
    return parsers | {
        "tune": _tune_parser(command == "tune"),
        "bench": _bench_parser(),
        "study": _study_parser(),
        "compare": _compare_parser(),
        "check": _check_parser(),
        "plan": _plan_parser(command == "plan"),
        "recommend": _recommend_parser(),
        "bundle": _bundle_parser(),
        "index": _index_parser(),
        "add-items": _add_items_parser(),
        "serve": with_serve_options(_subparser(SERVE)),
    }


def _subparser(description: str) -> ArgumentParser:
    return _quiet(ArgumentParser(description=description, exit_on_error=False, allow_abbrev=False))


def _settings_subparser(description: str, sections: Sequence[str] = ()) -> ArgumentParser:
    """One that takes settings; its help lists those of `sections`, and others on request."""
    parser = ArgumentParser(description=description, exit_on_error=False, allow_abbrev=False, add_help=False)
    told = "This page, or that of a section, or the settings that mention a word."
    parser.add_argument("-h", "--help", action=Help, sections=sections, help=told)
    return _quiet(parser)


def _quiet(parser: ArgumentParser) -> ArgumentParser:
    parser.add_argument("--quiet", action="store_true", help="No progress, warnings only.")
    return parser


def _fetch_parser() -> ArgumentParser:
    fetch = _subparser(FETCH)
    fetch.add_argument("name", choices=[*FETCHABLE, "all"], help="What to fetch.")
    return fetch


def _configs_parser() -> ArgumentParser:
    configs = _subparser(CONFIGS)
    configs.add_argument("--out", type=str, default="configs", help="New folder to write.")
    return configs


def _step_parser(meaning: str, sections: Sequence[str], whole: bool) -> ArgumentParser:
    step = _settings_subparser(meaning, sections)
    if whole:
        step.add_argument("--config", action=ConfigFile, help="YAML file with any of the settings below.")
        step.add_class_arguments(RunConfig, None)
    return step


def _tune_parser(whole: bool) -> ArgumentParser:
    tune = _settings_subparser(TUNE, ["student"])
    if whole:
        tune.add_argument("--config", action=ConfigFile, help="YAML file with any of the run's settings below.")
        tune.add_argument("--space", type=str, default="", help="YAML file of what is tried. Empty: a built-in space.")
        tune.add_class_arguments(TuneConfig, None)
        tune.add_class_arguments(RunConfig, None)
    return tune


def _bench_parser() -> ArgumentParser:
    bench = _subparser(BENCH)
    bench.add_argument(
        "matrix",
        type=str,
        help="YAML file of the experiment, such as configs/bench/smoke.yaml (`recdistill configs` copies it here).",
    )
    bench.add_argument("--out", type=str, default="", help="Folder of the results. Empty: runs/bench/<its name>.")
    bench.add_argument("--language", choices=LANGUAGES, default="en", help="Language of the report.")
    bench.add_argument("--only", type=str, nargs="+", default=[], help="Run these cells alone.")
    bench.add_argument("--retry", action="store_true", help="Run cells again that ended badly.")
    bench.add_argument("--report_only", action="store_true", help="Run nothing; write the report of what is there.")
    return bench


def _study_parser() -> ArgumentParser:
    study = _subparser(STUDY)
    study.add_argument(
        "study",
        type=str,
        help="YAML file of the study, such as configs/studies/planted.yaml (`recdistill configs` copies it here).",
    )
    study.add_argument("--out", type=str, default="", help="Folder of the runs. Empty: runs/studies/<its name>.")
    study.add_argument("--only", type=str, nargs="+", default=[], help="Run these variants alone.")
    study.add_argument("--seeds", type=int, nargs="+", default=[], help="Run these of the study's seeds alone.")
    study.add_argument(
        "--set",
        type=str,
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="Settings of all variants, above the file's: evaluate.split=test for the test evaluation, data.path=...",
    )
    study.add_argument("--language", choices=LANGUAGES, default="en", help="Language of the table at the end.")
    study.add_argument("--until", choices=list(SPECS), default="evaluate", help="Last step of each run.")
    return study


def _check_parser() -> ArgumentParser:
    check = _subparser(CHECK)
    check.add_argument("folder", type=str, help="Folder of a run, a bundle, a study, a bench, or of added items.")
    check.add_argument("--json", action="store_true", help="One JSON object instead of a table.")
    return check


def _compare_parser() -> ArgumentParser:
    compare = _subparser(COMPARE)
    compare.add_argument(
        "runs", type=str, nargs="+", help="Folders of finished runs, each a variant; or one study's folder."
    )
    compare.add_argument("--group", action="store_true", help="Runs that differ in their seed alone are one variant.")
    compare.add_argument("--models", type=str, default="", help="Such as student,distilled. Empty: all trained ones.")
    compare.add_argument(
        "--baseline", type=str, default="", help="VARIANT:MODEL. Empty: same model of the first variant (study: main)."
    )
    compare.add_argument("--metric", type=str, default="ndcg@10", help="What is compared: such as hit_rate@5, mrr@20.")
    compare.add_argument("--bootstrap_samples", type=int, default=2000, help="Bootstrap resamples of seeds and users.")
    compare.add_argument("--permutations", type=int, default=10000, help="Sign flips of the paired tests.")
    compare.add_argument("--seed", type=int, default=42, help="Of resamples and sign flips.")
    compare.add_argument("--language", choices=LANGUAGES, default="en", help="Language of the tables.")
    compare.add_argument("--json", action="store_true", help="One JSON object instead of tables.")
    return compare


def _plan_parser(whole: bool) -> ArgumentParser:
    plan = _settings_subparser(PLAN)
    if whole:
        plan.add_argument("--json", action="store_true", help="One JSON object instead of a table.")
        plan.add_class_arguments(PlanConfig, None, skip={"adapter_layers"})
        names = PlanConfig.adapter_layers
        plan.add_argument("--adapter_layers", nargs="+", default=list(names), help="Linear layers with adapters.")
    return plan


def _recommend_parser() -> ArgumentParser:
    parser = _subparser(RECOMMEND)
    recommend.add_arguments(parser)
    return parser


def _bundle_parser() -> ArgumentParser:
    bundle = _subparser(BUNDLE)
    bundle.add_argument("run", type=str, help="Folder of a finished run.")
    bundle.add_argument("--out", type=str, default="", help="Folder to write. Empty: RUN/bundle, where `serve` looks.")
    bundle.add_argument("--name", type=str, default="", help="Its name in answers and on its card. Empty: the run's.")
    bundle.add_argument("--int8", action="store_true", help="Also in 8 bits, with what that costs on validation.")
    return bundle


def _index_parser() -> ArgumentParser:
    index = _subparser(INDEX)
    index.add_argument("run", type=str, help="Folder of a finished run; its bundle takes the index too.")
    index.add_argument("--model", choices=list(get_args(Model)), default="distilled", help="Whose item vectors.")
    index.add_argument("--recall", type=float, default=0.98, help="Share of the exact ten best to find.")
    index.add_argument("--out", type=str, default="", help="Folder to write, such as BUNDLE/index. Empty: RUN/index.")
    index.add_argument("--seed", type=int, default=42, help="Of k-means, which groups the items.")
    index.add_argument("--json", action="store_true", help="What index.json holds, instead of a line.")
    return index


def _add_items_parser() -> ArgumentParser:
    add_items = _subparser(ADD_ITEMS)
    add_items.add_argument("run", type=str, help="Folder of a finished run, a bundle, or what an earlier call wrote.")
    add_items.add_argument(
        "items",
        type=str,
        help="CSV or Parquet file of items, columns called as at training (docs/distillation.md); existing "
        "items are skipped.",
    )
    add_items.add_argument("--out", type=str, required=True, help="Folder to write: what `recommend` reads.")
    add_items.add_argument(
        "--encoder", type=str, default="", help="Folder of the model that embedded the titles, if it has moved."
    )
    add_items.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="Where that model runs.")
    return add_items
