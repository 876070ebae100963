"""Work in pieces on a Ray cluster (extra `ray`): each piece by whichever worker is free, again where a worker is lost.

Pieces have places, and results are known by these: Ray gives them back in the order in which they are done. A piece is
a task, never an actor: an actor holds its CPU while it waits, and where actors hold all of them whoever feeds them
waits for ever.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from types import TracebackType
from typing import Any, TypeVar

from recdistill.errors import UserError, not_installed
from recdistill.interruption import requested
from recdistill.parallel.ray_joining import JoinedCluster

logger = logging.getLogger("recdistill")

TRIES = 3
"""How often a piece is begun before it is given up."""
LOOK_SECONDS = 1.0
"""Between two looks for a signal."""
PATIENCE_SECONDS = 60.0
"""How long a cluster may be without a CPU for a piece."""
QUIET_SECONDS = 600.0
"""After so long with nothing done, that is said."""
KEPT = "what was done is kept, and the same command resumes"

Piece = TypeVar("Piece")
Result = TypeVar("Result")


class RayCluster:
    """A cluster that pieces of a step are done on; joined at the first piece, left at the end of the block.

    Args:
        workers: pieces done at a time; 0: as many as there are CPUs for.
        cpus: CPUs that a piece takes.
        gpus: GPUs that a piece takes.

    Raises:
        UserError: Ray is not installed, or there is no worker.
    """

    def __init__(self, workers: int = 0, cpus: int = 1, gpus: int = 0) -> None:
        if workers < 0:
            raise UserError(f"workers: {workers} is out of range; it must be 0 or more")
        if find_spec("ray") is None:
            raise UserError(not_installed("ray", "ray"))
        self.workers, self.cpus, self.gpus = workers, cpus, gpus
        self._joined_cluster: JoinedCluster | None = None

    def __enter__(self) -> "RayCluster":
        """Nothing is joined yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the cluster; pieces that still run are stopped."""
        if self._joined_cluster is not None:
            self._joined_cluster.leave()
            self._joined_cluster = None

    def map(
        self, work: Callable[[Piece], Result], pieces: Sequence[Piece], name: Callable[[Piece], str]
    ) -> Iterator[tuple[int, Result]]:
        """Do each piece, and give its place with its result, in the order in which they are done.

        Ends early where a signal came; whoever asked saves what there is, and stops.

        Args:
            work: a function of a module, which a worker calls with a piece.
            pieces: what it is called with.
            name: what a piece is called in an error, such as `export: shard 3`.

        Raises:
            UserError: the cluster cannot be reached or has no CPU, a worker met a mistake that can be put right (a full
                disk, say), or a piece's worker was lost several times. Pieces that were done have been given.
            MemoryError: a piece did not have enough.
        """
        if not pieces:
            return
        ray = self._joined()
        most = self.workers or _places(ray, self.cpus, self.gpus)
        task = ray.remote(work).options(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=0)
        waiting, tries = list(range(len(pieces)))[::-1], [0] * len(pieces)
        running: dict[Any, int] = {}
        patience = _Patience(ray, self.cpus, self.gpus)
        while (waiting or running) and not requested():
            while waiting and len(running) < most:
                place = waiting.pop()
                tries[place] += 1
                running[task.remote(pieces[place])] = place
            done, _ = ray.wait(list(running), num_returns=1, timeout=LOOK_SECONDS)
            patience.look(bool(done))
            for one in done:
                place = running.pop(one)
                told = name(pieces[place])
                try:
                    result = ray.get(one)
                except ray.exceptions.RayTaskError as error:
                    raise _mistake(error, told) from error
                except ray.exceptions.RayError as error:
                    reason = _reason(ray, error)
                    if tries[place] >= TRIES:
                        raise UserError(f"{told}: {reason} {TRIES} times; {KEPT}") from error
                    logger.warning("%s: %s; it is done again", told, reason)
                    waiting.append(place)
                else:
                    yield place, result

    def _joined(self) -> Any:
        """Ray, with the cluster joined.

        Raises:
            UserError: it cannot be reached, or has no CPU for a piece.
        """
        if self._joined_cluster is None:
            workers = self.workers or max(1, (os.cpu_count() or 1) // self.cpus)
            self._joined_cluster = JoinedCluster(workers * self.cpus)
            _wait_for_room(self._joined_cluster.ray, self.cpus, self.gpus)
        return self._joined_cluster.ray


def _places(ray: Any, cpus: int, gpus: int) -> int:
    """Pieces that the machines of the cluster can do at a time."""
    counts = []
    for node in ray.nodes():
        has = node["Resources"] if node["Alive"] else {}
        counts.append(min(int(has.get("CPU", 0) // cpus), int(has.get("GPU", 0) // gpus) if gpus else 2**31))
    return sum(counts)


def _wait_for_room(ray: Any, cpus: int, gpus: int) -> None:
    """Until a piece can begin.

    Raises:
        UserError: none could for :data:`PATIENCE_SECONDS`.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while not (places := _places(ray, cpus, gpus)) or not _free(ray, cpus, gpus):
        if requested():
            return
        if time.monotonic() > end:
            wanted = f"{cpus} CPUs" + (f" and {gpus} GPUs" if gpus else "")
            told = "are taken by others" if places else "are on no machine of the cluster"
            raise UserError(f"ray: a piece takes {wanted}, which {told} (waited {PATIENCE_SECONDS:.0f} s)")
        time.sleep(min(LOOK_SECONDS, PATIENCE_SECONDS))


def _free(ray: Any, cpus: int, gpus: int) -> bool:
    free = ray.available_resources()
    return bool(free.get("CPU", 0) >= cpus and free.get("GPU", 0) >= gpus)


class _Patience:
    """Gives up a cluster that has lost all its machines, and says where nothing is done for long."""

    def __init__(self, ray: Any, cpus: int, gpus: int) -> None:
        self._ray, self._takes = ray, (cpus, gpus)
        self._done = self._able = self._said = time.monotonic()

    def look(self, done: bool) -> None:
        """Once a second, more or less.

        Raises:
            UserError: the cluster has had no machine for a piece for :data:`PATIENCE_SECONDS`.
        """
        now = time.monotonic()
        if done:
            self._done = self._able = self._said = now
            return
        if _places(self._ray, *self._takes):
            self._able = now
        elif now - self._able > PATIENCE_SECONDS:
            raise UserError(f"ray: the cluster has had no machine for a piece for {PATIENCE_SECONDS:.0f} s; {KEPT}")
        if now - self._said > QUIET_SECONDS:
            self._said = now
            free = self._ray.available_resources().get("CPU", 0)
            logger.warning("ray: nothing was done for %.0f s (%g CPUs are free)", now - self._done, free)


def _mistake(error: Any, told: str) -> BaseException:
    """What a worker's error is here."""
    if isinstance(error.cause, UserError):
        return UserError(f"{told}: {error.cause}; {KEPT}")
    if isinstance(error.cause, MemoryError):
        return MemoryError(f"{told}, in a worker: {error.cause}".rstrip(": "))
    return error.cause if isinstance(error.cause, Exception) else error


def _reason(ray: Any, error: Exception) -> str:
    """What became of a worker."""
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return "its worker was stopped by Ray, since the machine ran out of memory"
    if isinstance(error, ray.exceptions.WorkerCrashedError):
        return "its worker was lost (killed, or out of memory)"
    return f"its worker was lost ({(str(error).splitlines() or [''])[0][:120]})"
