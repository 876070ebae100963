"""A stand-in for Ray that does pieces in this process, last come first done: for what must hold without the extra."""

from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any


class RayError(Exception):
    pass


class WorkerCrashedError(RayError):
    pass


class OutOfMemoryError(RayError):
    pass


class RayTaskError(RayError):
    def __init__(self, cause: Exception) -> None:
        super().__init__("ray::work()\nmany lines")
        self.cause = cause


class StandIn(ModuleType):
    """What the package uses of Ray.

    Attributes:
        machines: CPUs of each machine; what `nodes` says.
        free: CPUs that nobody has taken.
        lost: errors that the next tasks end with, in the order in which they are begun.
        asked: what `init` was called with.
        refuses: what `init` fails with; empty: it does not.
        options_asked: what tasks were asked for with.
        stopped: how often `shutdown` was called.
        most: tasks that were begun and not done, at most.
    """

    def __init__(self) -> None:
        super().__init__("ray")
        self.__spec__ = ModuleSpec("ray", None)
        self.exceptions = SimpleNamespace(
            RayError=RayError,
            WorkerCrashedError=WorkerCrashedError,
            OutOfMemoryError=OutOfMemoryError,
            RayTaskError=RayTaskError,
        )
        self.machines, self.free = [2.0], 2.0
        self.lost: list[Exception | None] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.options_asked: list[dict[str, Any]] = []
        self.stopped = self.most = 0
        self.refuses = ""
        self._begun: list[Callable[[], object]] = []

    def init(self, address: str, **named: Any) -> None:
        if self.refuses:
            raise RuntimeError(self.refuses)
        self.asked.append((address, named))

    def shutdown(self) -> None:
        self.stopped += 1

    def nodes(self) -> list[dict[str, Any]]:
        dead = {"Alive": False, "Resources": {"CPU": 64.0}}
        return [dead, *({"Alive": True, "Resources": {"CPU": count}} for count in self.machines)]

    def available_resources(self) -> dict[str, float]:
        return {"CPU": self.free}

    def remote(self, work: Callable[[Any], object]) -> SimpleNamespace:
        def begin(piece: Any) -> Callable[[], object]:
            error = self.lost.pop(0) if self.lost else None

            def task() -> object:
                if error is not None:
                    raise error
                try:
                    return work(piece)
                except Exception as mistake:
                    raise RayTaskError(mistake) from mistake

            self._begun.append(task)
            self.most = max(self.most, len(self._begun))
            return task

        def options(**named: Any) -> SimpleNamespace:
            self.options_asked.append(named)
            return SimpleNamespace(remote=begin)

        return SimpleNamespace(options=options)

    def wait(self, tasks: list[Any], num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        assert num_returns == 1
        assert tasks == self._begun
        return [self._begun.pop()], tasks[:-1]

    def get(self, task: Callable[[], object]) -> object:
        return task()
