"""`--engine ray`: steps whose pieces a cluster does."""

from contextlib import AbstractContextManager, nullcontext

from jsonargparse import ArgumentParser, Namespace

from recdistill.config import RunConfig
from recdistill.parallel.ray_cluster import RayCluster

ON_CLUSTER = ("export", "evaluate")
"""Steps that take it; steps before them are done here."""


def add_engine(step: ArgumentParser) -> None:
    """The options of such a step."""
    step.add_argument(
        "--engine",
        choices=["local", "ray"],
        default="local",
        help="ray: pieces are done by the workers of a Ray cluster (extra `ray`, docs/processes.md).",
    )
    step.add_argument(
        "--workers",
        type=int,
        default=0,
        help="Pieces done at a time with `--engine ray`. 0: one for each CPU.",
    )


def cluster_of(command: str, options: Namespace, config: RunConfig) -> AbstractContextManager[RayCluster | None]:
    """The cluster that was asked for; None where none was.

    Raises:
        UserError: Ray is not installed, or the number of workers is out of range.
    """
    if command not in ON_CLUSTER or options.engine == "local":
        return nullcontext()
    from recdistill.pipeline import choose_device  # takes seconds, as in `recdistill.cli.commands`

    return RayCluster(options.workers, config.threads or 1, int(choose_device(config.device) == "cuda"))
