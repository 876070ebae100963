"""The command line: parses, calls the pipeline, prints. Nothing else happens here."""

import json
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from recdistill.cli import recommend
from recdistill.cli.bundles import add_items, bundle, index
from recdistill.cli.check import check
from recdistill.cli.early import check_finished, check_run
from recdistill.cli.engine import cluster_of
from recdistill.cli.experiments import bench, compare, study, study_processes, tune
from recdistill.cli.imports import first_import
from recdistill.cli.parser import FETCHABLE, KEPT, RESUMES, build_parser, complaint
from recdistill.cli.said import run_config_of, say
from recdistill.cli.serve import serve
from recdistill.config import DataConfig, RunConfig
from recdistill.errors import UserError, not_installed
from recdistill.interruption import Interrupted, be_quiet, handled_signals
from recdistill.parallel.started import (
    EndedError,
    LostProcessError,
    end_with_the_launcher,
    is_first,
    is_launched,
    last_line,
    started_by_torchrun_or_slurm,
)
from recdistill.plan.plan_config import PlanConfig
from recdistill.printable import one_line
from recdistill.progress import set_up_logging
from recdistill.steps import LAST, SPECS, Step, includes

TRAINING_LIBRARIES = (
    "torch",
    "polars",
    "transformers",
    "peft",
    "lightning_fabric",
    "psutil",
    "fluent",
    "matplotlib",
)
"""What an environment lacks that was made for serving alone (`recdistill[serve]`)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0; 2 after a mistake of the person's, which is told in one line on stderr; 130 after Ctrl-C (SIGINT) and 143
        after SIGTERM, with one line that says what was saved.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    return exit_status(words[0] if words else "", lambda: _run(words))


def exit_status(command: str, work: Callable[[], object]) -> int:
    """Do the work of a command, and tell what goes wrong as :func:`main` does.

    Args:
        command: its name; empty where there is none.
        work: what it does.

    Returns:
        See :func:`main`.
    """
    try:
        with handled_signals():
            work()
    except ArgumentError as error:
        last_line(f"recdistill: error: {one_line(complaint(command, str(error)))}", 2)
        return 2
    except LostProcessError as error:
        last_line(f"recdistill: error: {one_line(str(error))}", 1, lost=True)
        return 1
    except UserError as error:
        last_line(f"recdistill: error: {one_line(str(error))}", 2)
        return 2
    except ModuleNotFoundError as error:
        library = str(error.name).split(".")[0]
        if library not in TRAINING_LIBRARIES:
            raise
        last_line(f"recdistill: error: {not_installed(library, 'train')}", 2)
        return 2
    except MemoryError as error:  # of a step, a trial or a cell more is told: recdistill.pipeline.memory
        reason = one_line(str(error)) or "no memory left"
        line = f"recdistill: error: {command}: out of memory ({reason}); `recdistill plan` tells what fits here"
        last_line(line, 2)
        return 2
    except KeyboardInterrupt as error:
        stopped = error if isinstance(error, Interrupted) else Interrupted(signal.SIGINT)
        last_line(f"recdistill: {one_line(interruption_line(command, stopped))}", stopped.exit_status)
        return stopped.exit_status
    except EndedError as ended:
        last_line(ended.line, ended.status)
        return ended.status
    return 0


def _run(words: Sequence[str]) -> None:
    parser = build_parser(words[0] if words else "")
    parsed = parser.parse_args(words)
    instantiated = parser.instantiate(parsed)
    options = getattr(instantiated, instantiated.command)
    set_up_logging(options.quiet)
    if options.quiet:
        be_quiet()
    if is_launched():
        end_with_the_launcher()
    else:
        _look(instantiated.command, options, parser, words)
    if not _launched(instantiated.command, options, words):
        _dispatch(instantiated.command, options)


def _launched(command: str, options: Namespace, words: Sequence[str]) -> bool:
    """Start the processes that a command is to be done by, where these are several, and wait for them."""
    if started_by_torchrun_or_slurm():
        return False
    if command == "study":
        devices, nodes = study_processes(options)
    elif command in (*SPECS, "run", "demo"):
        config = run_config_of(options)
        devices, nodes = config.devices, config.nodes
    else:
        return False
    if devices * nodes == 1:
        return False
    if nodes > 1:
        start = "start this command on each machine by torchrun, or by Slurm's srun (docs/processes.md)"
        raise UserError(f"nodes: {nodes}: {start}")
    from recdistill.parallel.launch import launch

    launch(words, devices)
    return True


def _look(command: str, options: Namespace, parser: ArgumentParser, words: Sequence[str]) -> None:
    """Refuse what can be refused before torch is imported, which takes seconds."""
    if command in ("recommend", "bundle", "index", "add-items", "serve", "compare"):
        for run in [options["run"]] if command != "compare" else options.runs:
            check_finished(Path(run))
    elif command in (*SPECS, "run", "tune"):
        step = "prepare" if command == "tune" else _last_step(command)
        # Without the defaults, what is left is what was said.
        said = parser.parse_args(words, defaults=False)[command] if options.data == DataConfig() else {"data": True}
        check_run(run_config_of(options), step, data_named="data" in said)


def interruption_line(command: str, stopped: Interrupted) -> str:
    """What an interruption kept, and where the same command resumes: no more is promised than there is."""
    parts = ["interrupted" if stopped.signal == signal.SIGINT else "terminated"]
    if command in RESUMES:
        kept = f"saved: {stopped.saved}" if stopped.saved else KEPT[command]
        parts += [kept, f"the same command resumes {'from there' if stopped.saved else RESUMES[command]}"]
    return "; ".join(parts)


def _dispatch(command: str, options: Namespace) -> None:
    if command == "fetch":
        _fetch(options.name)
    elif command == "configs":
        _configs(Path(options.out))
    elif command == recommend.COMMAND:
        recommend.recommend(options)
    elif command == "check":
        check(options)
    elif command == "bundle":
        bundle(options)
    elif command == "index":
        index(options)
    elif command == "add-items":
        add_items(options)
    elif command == "serve":
        serve(options)
    elif command == "plan":
        _plan(options)
    elif command == "bench":
        bench(options)
    elif command == "study":
        study(options)
    elif command == "tune":
        tune(options)
    elif command == "compare":
        compare(options)
    else:
        config = run_config_of(options)
        # Imported here, since reading torch and its friends would make `--help` and the telling of mistakes slow.
        with first_import("recdistill.pipeline"):
            from recdistill import pipeline

        if command == "demo":
            for name in FETCHABLE:
                _fetch(name)
        step = _last_step(command)
        with cluster_of(command, options, config) as cluster:
            pipeline.run(config, until=step, cluster=cluster)
        if is_first():
            _summarise(config, step)


def _last_step(command: str) -> Step:
    """Where a command ends: at the step that it is called after, or, for the whole pipeline, at the last."""
    return next((step for step in SPECS if step == command), LAST)


def _fetch(name: str) -> None:
    from recdistill.data.fetch import fetch

    for each in FETCHABLE if name == "all" else [name]:
        say(f"{each}: {fetch(each)}\n")


def _configs(out: Path) -> None:
    from recdistill.cli.shipped import copy_configs

    say("".join(f"{path}\n" for path in copy_configs(out)))


def _plan(options: Namespace) -> None:
    from recdistill.plan.plan import make_plan
    from recdistill.plan.plan_table import plan_table

    # Read by key: `items` is a method of the parser's namespace too.
    settings = {field.name: options[field.name] for field in fields(PlanConfig)}
    config = PlanConfig(**settings | {"adapter_layers": tuple(options["adapter_layers"])})
    plan = make_plan(config)
    shown = json.dumps({"settings": asdict(config), **asdict(plan)}) if options.json else plan_table(config, plan)
    say(shown + "\n")


def _summarise(config: RunConfig, step: Step) -> None:
    """Print where the step's results are and, after an evaluation, its main table."""
    from recdistill.reporting.terminal import results_table

    run = Path(config.run)
    if includes(step, "evaluate"):
        say(results_table(run) + "\n")
    folder = run / SPECS[step].folder
    say(f"{folder / 'report.html' if step == 'report' else folder}\n")
