"""The command line: parses, calls the pipeline, prints. Nothing else happens here."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser, Namespace, set_parsing_settings  # type: ignore[attr-defined]

from recdistill import __version__
from recdistill.config import RunConfig
from recdistill.errors import UserError
from recdistill.profiling.plan_config import PlanConfig
from recdistill.progress import set_up_logging
from recdistill.tune.config import TuneConfig
from recdistill.yaml_files import read_yaml

STEPS = {
    "prepare": "Read, check, filter, number and split the interactions; write them once in binary form.",
    "student": "Train the small model (after `prepare`, which is done first where needed; so for all steps below).",
    "teacher": "Train the language model's experts and head.",
    "export": "Write the teacher's outputs for all training targets.",
    "distill": "Train a fresh student on the data and on the teacher's outputs.",
    "evaluate": "Rank the whole catalog with every model; metrics, intervals, tests.",
    "report": "Write the report (Markdown and HTML); all steps before it are done where needed.",
    "run": "The whole story: prepare, student, teacher, export, distill, evaluate, report.",
    "demo": "Fetch MovieLens-100K, SmolLM2-135M and MiniLM, then `run` with the defaults.",
}
BENCH = "Run a designed experiment over settings of the teacher, and write its report."
COMPARE = "Finished runs side by side, from the ranks they stored: seeds, intervals, paired tests."
STUDY = "Run arms × seeds from a YAML file, equal steps once; then `compare` the runs."
TUNE = "Try students on validation (needs the extra `tune`); write the best one's configuration."
FETCHABLE = ("ml-100k", "smollm2", "minilm")
PLAN = "Memory, FLOPs, largest batch and time of a teacher on a card that need not be there; no weights are read."


class ConfigFile(ActionConfigFile):
    """`--config`: a YAML file of settings; what is wrong with its form is told with its name and line."""

    def __call__(  # type: ignore[override]
        self, parser: ArgumentParser, cfg: Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Check the file's form, then let jsonargparse read it."""
        settings = read_yaml(Path(values), "config")
        if not isinstance(settings, dict):
            raise UserError(f"{values}: holds no settings (lines like `seed: 1`)")
        super().__call__(parser, cfg, values, option_string)  # type: ignore[no-untyped-call]


def build_parser(command: str) -> ArgumentParser:
    """The parser of all subcommands; every setting of `RunConfig` is an option of every step.

    Args:
        command: the subcommand that is parsed. The others are left without their options, which take a second to make.
    """
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(
        prog="recdistill",
        description="A large language model's judgement in a recommender, at the speed and price of a small model.",
        exit_on_error=False,
        version=__version__,
    )
    subcommands = parser.add_subcommands(dest="command", required=True, title="commands")
    fetch = ArgumentParser(description="Fetch data or a language model into the user's cache.", exit_on_error=False)
    fetch.add_argument("name", choices=[*FETCHABLE, "all"], help="What to fetch.")
    _add_quiet(fetch)
    subcommands.add_subcommand("fetch", fetch, help="Fetch data or a language model into the user's cache.")
    for name, meaning in STEPS.items():
        step = ArgumentParser(description=meaning, exit_on_error=False)
        if name == command:
            step.add_argument("--config", action=ConfigFile, help="YAML file with any of the settings below.")
            _add_quiet(step)
            step.add_class_arguments(RunConfig, None)
        subcommands.add_subcommand(name, step, help=meaning)
    tune = ArgumentParser(description=TUNE, exit_on_error=False)
    if command == "tune":
        tune.add_argument("--config", action=ConfigFile, help="YAML file with any of the run's settings below.")
        tune.add_argument("--space", type=str, default="", help="YAML file of what is tried. Empty: a built-in space.")
        _add_quiet(tune)
        tune.add_class_arguments(TuneConfig, None)
        tune.add_class_arguments(RunConfig, None)
    subcommands.add_subcommand("tune", tune, help=TUNE)
    bench = ArgumentParser(description=BENCH, exit_on_error=False)
    bench.add_argument("matrix", type=str, help="YAML file of the experiment, such as configs/bench/smoke.yaml.")
    bench.add_argument("--out", type=str, default="", help="Folder of the results. Empty: runs/bench/<its name>.")
    bench.add_argument("--language", choices=["en", "ja"], default="en", help="Language of the report.")
    bench.add_argument("--only", type=str, nargs="+", default=[], help="Run these cells alone.")
    bench.add_argument("--retry", action="store_true", help="Run cells again that ended badly.")
    bench.add_argument("--report_only", action="store_true", help="Run nothing; write the report of what is there.")
    _add_quiet(bench)
    subcommands.add_subcommand("bench", bench, help=BENCH)
    study = ArgumentParser(description=STUDY, exit_on_error=False)
    study.add_argument("study", type=str, help="YAML file of the study, such as configs/studies/planted.yaml.")
    study.add_argument("--out", type=str, default="", help="Folder of the runs. Empty: runs/studies/<its name>.")
    study.add_argument("--only", type=str, nargs="+", default=[], help="Run these arms alone.")
    study.add_argument("--until", choices=list(STEPS)[:7], default="evaluate", help="Last step of each run.")
    _add_quiet(study)
    subcommands.add_subcommand("study", study, help=STUDY)
    subcommands.add_subcommand("compare", _compare_parser(), help=COMPARE)
    recommend = ArgumentParser(
        description="What the distilled student recommends after a history.", exit_on_error=False
    )
    recommend.add_argument("run", type=str, help="Folder of a finished run.")
    recommend.add_argument(
        "history", type=str, nargs="+", help="Titles (parts of them will do) or item ids, oldest first."
    )
    recommend.add_argument("--top_k", type=int, default=10, help="Items to recommend.")
    recommend.add_argument("--model", choices=["distilled", "student"], default="distilled", help="Which model to ask.")
    _add_quiet(recommend)
    plan = ArgumentParser(description=PLAN, exit_on_error=False)
    if command == "plan":
        plan.add_argument("--json", action="store_true", help="One JSON object instead of a table.")
        plan.add_class_arguments(PlanConfig, None, skip={"adapter_layers"})
        names = PlanConfig.adapter_layers
        plan.add_argument("--adapter_layers", nargs="+", default=list(names), help="Linear layers with adapters.")
    _add_quiet(plan)
    subcommands.add_subcommand("plan", plan, help=PLAN)
    subcommands.add_subcommand("recommend", recommend, help="What the distilled student recommends after a history.")
    return parser


def _compare_parser() -> ArgumentParser:
    compare = ArgumentParser(description=COMPARE, exit_on_error=False)
    compare.add_argument("runs", type=str, nargs="+", help="Folders of finished runs; each is an arm.")
    compare.add_argument("--group", action="store_true", help="Runs that differ in their seed alone are one arm.")
    compare.add_argument("--models", type=str, default="", help="Such as student,distilled. Empty: all trained ones.")
    compare.add_argument("--baseline", type=str, default="", help="ARM:MODEL. Empty: the first arm's same model.")
    compare.add_argument("--metric", type=str, default="ndcg@10", help="What is compared: such as hit_rate@5, mrr@20.")
    compare.add_argument("--bootstrap_samples", type=int, default=2000, help="Redraws of seeds and users.")
    compare.add_argument("--permutations", type=int, default=10000, help="Sign flips of the paired tests.")
    compare.add_argument("--seed", type=int, default=42, help="Of redraws and sign flips.")
    compare.add_argument("--json", action="store_true", help="One JSON object instead of tables.")
    _add_quiet(compare)
    return compare


def _add_quiet(parser: ArgumentParser) -> None:
    parser.add_argument("--quiet", action="store_true", help="No progress, warnings only.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0; 2 after a mistake of the person's, which is told in one line on stderr; 130 when interrupted.
    """
    # Threads that wait for one another should sleep, not spin: on a machine that does anything else beside, spinning
    # makes each small operation wait for a whole time slice. It must be said before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        parser = build_parser(words[0] if words else "")
        parsed = parser.parse_args(words)
        instantiated = parser.instantiate(parsed)
        options = getattr(instantiated, instantiated.command)
        set_up_logging(options.quiet)
        _dispatch(instantiated.command, options)
    except (UserError, ArgumentError) as error:
        sys.stderr.write(f"recdistill: error: {one_line(str(error))}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("recdistill: interrupted; the same command goes on from the last checkpoint\n")
        return 130
    return 0


def one_line(message: str) -> str:
    """A message on one line, whatever a library put into it."""
    return " ".join(message.split())


def _dispatch(command: str, options: Namespace) -> None:
    if command == "fetch":
        _fetch(options.name)
    elif command == "recommend":
        _recommend(options)
    elif command == "plan":
        _plan(options)
    elif command == "bench":
        _bench(options)
    elif command == "study":
        _study(options)
    elif command == "tune":
        _tune(options)
    elif command == "compare":
        _compare(options)
    else:
        config = RunConfig(**{field.name: getattr(options, field.name) for field in fields(RunConfig)})
        # Imported here, since reading torch and its friends would make `--help` and the telling of mistakes slow.
        from recdistill import pipeline

        if command == "demo":
            for name in FETCHABLE:
                _fetch(name)
        step: pipeline.Step = "report" if command in ("run", "demo") else command  # type: ignore[assignment]
        pipeline.run(config, until=step)
        _summarise(config, step)


def _bench(options: Any) -> None:
    from recdistill.bench.reading import read_matrix
    from recdistill.bench.report import write_report
    from recdistill.bench.runner import run_bench

    matrix = read_matrix(Path(options.matrix))
    out = Path(options.out or f"runs/bench/{matrix.name}")
    if not options.report_only:
        run_bench(matrix, out, options.only, options.retry)
    write_report(matrix, out, options.language, options.matrix)
    sys.stdout.write(f"{out / 'report.html'}\n")


def _study(options: Any) -> None:
    from recdistill.study import read_study, run_study

    study = read_study(Path(options.study))
    out = Path(options.out or f"runs/studies/{study.name}")
    run_study(study, out, options.only, options.until)
    sys.stdout.write(f"{out}\n")


def _tune(options: Namespace) -> None:
    from recdistill.tune.space import DEFAULT_SPACE, read_space
    from recdistill.tune.tune import tune

    config = RunConfig(**{field.name: getattr(options, field.name) for field in fields(RunConfig)})
    settings = TuneConfig(**{field.name: getattr(options, field.name) for field in fields(TuneConfig)})
    space = read_space(Path(options.space)) if options.space else DEFAULT_SPACE
    sys.stdout.write(f"{tune(config, settings, space)}\n")


def _compare(options: Namespace) -> None:
    from recdistill.evaluation.compare import compare
    from recdistill.evaluation.stored import arms_of
    from recdistill.reporting.comparison import comparison_tables

    arms = arms_of([Path(run) for run in options.runs], options.group)
    models = [name.strip() for name in options.models.split(",") if name.strip()]
    names = ("baseline", "metric", "bootstrap_samples", "permutations", "seed")
    found = compare(arms, models, **{name: options[name] for name in names})
    sys.stdout.write((json.dumps(found) if options.json else comparison_tables(found)) + "\n")


def _fetch(name: str) -> None:
    from recdistill.data.fetch import fetch

    for each in FETCHABLE if name == "all" else [name]:
        sys.stdout.write(f"{each}: {fetch(each)}\n")


def _plan(options: Namespace) -> None:
    from recdistill.profiling.plan import make_plan
    from recdistill.profiling.plan_table import plan_table

    # Read by key: `items` is a method of the parser's namespace too.
    settings = {field.name: options[field.name] for field in fields(PlanConfig)}
    config = PlanConfig(**settings | {"adapter_layers": tuple(options["adapter_layers"])})
    plan = make_plan(config)
    shown = json.dumps({"settings": asdict(config), **asdict(plan)}) if options.json else plan_table(config, plan)
    sys.stdout.write(shown + "\n")


def _summarise(config: RunConfig, step: str) -> None:
    """Print where the step's results are and, where the run has been evaluated, its main table."""
    from recdistill.pipeline import FOLDERS
    from recdistill.reporting.terminal import results_table

    run = Path(config.run)
    if step == "report" and (run / "evaluation" / "metrics.json").is_file():
        sys.stdout.write(results_table(run) + "\n")
    folder = run / FOLDERS[step]
    sys.stdout.write(f"{folder / 'report.html' if step == 'report' else folder}\n")


def _recommend(options: Any) -> None:
    from recdistill.serving.recommender import Recommender

    recommender = Recommender.load(Path(options.run), model=options.model)
    understood = recommender.find(options.history)
    sys.stdout.write("After\n" + "".join(f"  {match.title}  [{match.item_id}]\n" for match in understood))
    sys.stdout.write("next\n")
    items = recommender.recommend_items([match.item for match in understood], top_k=options.top_k)
    for place, item in enumerate(items, start=1):
        sys.stdout.write(f"  {place:2d}. {item.title}  [{item.item_id}]  {item.score:.3f}\n")
