"""Checkpoints of a training run in one safetensors file: what is trained, the best of it so far, the optimiser, the
random state, the counts.

One file, written atomically, so that tensors and counts never disagree; no pickle is written or read. It holds the
sha256 of all that is in it.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from recdistill.errors import UserError
from recdistill.measure.evidence import TokenState
from recdistill.storage.checksums import CHECKSUM, DamagedError, is_whole, write_record
from recdistill.storage.files import atomic_path, read_errors, require_finite
from recdistill.training.validations import Validation

CHECKPOINT_FILE = "checkpoint.safetensors"
WRITTEN_FILE = "written.json"
"""Size and checksum of what one of a step's several trainings left."""
OF_THE_STEP = ("manifest.json", "timings.json", "memory.json", CHECKPOINT_FILE)
"""Files of a step's folder that change after its first training."""
METADATA = ("fingerprint", "counts", "scaler")


@dataclass
class Counts:
    """How far a run is: everything beside tensors that a checkpoint must hold.

    Attributes:
        epoch: epochs completed.
        group: optimiser steps completed in the epoch that runs.
        step: optimiser steps completed.
        targets: targets trained on, each as often as it was.
        epoch_loss: losses of this epoch's targets so far, summed.
        epoch_targets: number of these targets.
        stale: validations since the best.
        best: best validation NDCG@10.
        best_row: the entry of `history` that reached it.
        validation_due: the step before has not been validated yet, though it must be.
        finished: nothing is left to do.
        seconds: wall time so far, validation and checkpoints included.
        history: the validations.
        batches_by_worker: micro-batches trained on, by the process that made them.
        micro_batches_per_step: most micro-batches of one optimiser step.
        tokens: what was read of prompts, :meth:`recdistill.measure.evidence.TokenCount.state`; None for students.
    """

    epoch: int = 0
    group: int = 0
    step: int = 0
    targets: int = 0
    epoch_loss: float = 0.0
    epoch_targets: int = 0
    stale: int = 0
    best: float = -1.0
    best_row: int = 0
    validation_due: bool = False
    finished: bool = False
    seconds: float = 0.0
    history: list[Validation] = field(default_factory=list)
    batches_by_worker: dict[str, int] = field(default_factory=dict)
    micro_batches_per_step: int = 0
    tokens: TokenState | None = None

    def count_step(self, makers: Sequence[str]) -> None:
        """Count the micro-batches of one optimiser step, by the processes that made them."""
        for maker in makers:
            self.batches_by_worker[maker] = self.batches_by_worker.get(maker, 0) + 1
        self.micro_batches_per_step = max(self.micro_batches_per_step, len(makers))

    def as_json(self) -> str:
        """As text, for :meth:`of_json`."""
        return json.dumps(asdict(self) | {"history": [row.flat() for row in self.history]})

    @classmethod
    def of_json(cls, text: str) -> "Counts":
        """The reverse of :meth:`as_json`. Earlier versions wrote `{}` where no tokens were counted."""
        said = json.loads(text)
        counts = cls(**said | {"history": [Validation.of(row) for row in said["history"]]})
        counts.tokens = counts.tokens or None
        return counts

    @property
    def mean_loss(self) -> float:
        """Loss per target over the epoch so far; not a number before the first."""
        return self.epoch_loss / self.epoch_targets if self.epoch_targets else math.nan


Weights = dict[str, Tensor]


def trained_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by name."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def copy_weights(module: nn.Module) -> Weights:
    """Copies of the trained parameters, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in trained_parameters(module).items()}


def put_weights(module: nn.Module, weights: Weights, path: Path | str) -> None:
    """Set the trained parameters of `module`; strictly: the same names, the same shapes.

    Raises:
        UserError: names or shapes differ; it names `path` and the first of them.
    """
    own = trained_parameters(module)
    wrong = sorted(set(own) ^ set(weights)) or [name for name in own if own[name].shape != weights[name].shape]
    if wrong:
        raise UserError(f"{path}: does not fit this model (first difference: {wrong[0]})")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(weights[name])


def save_checkpoint(
    folder: Path,
    module: nn.Module,
    best: Weights,
    optimizer: torch.optim.Optimizer,
    scaler: dict[str, float],
    counts: Counts,
    fingerprint: str,
) -> None:
    """Write the whole state of the run to `checkpoint.safetensors`.

    Args:
        folder: where to.
        module: its trained parameters are kept, no others.
        best: the weights of the best validation.
        optimizer: with one state per trained parameter.
        scaler: the gradient scaler's state, plain numbers; empty where there is none.
        counts: how far the run is.
        fingerprint: of the model, the data and the settings.
    """
    parameters = trained_parameters(module)
    names = {id(parameter): name for name, parameter in parameters.items()}
    tensors = {f"model.{name}": parameter.detach() for name, parameter in parameters.items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for parameter, values in optimizer.state.items():
        tensors |= {f"optimizer.{names[id(parameter)]}.{key}": value.detach() for key, value in values.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    metadata = {"fingerprint": fingerprint, "counts": counts.as_json(), "scaler": json.dumps(scaler)}
    kept = {name: value.cpu().contiguous() for name, value in tensors.items()}
    metadata[CHECKSUM] = _checksum(metadata, kept)
    with atomic_path(folder / CHECKPOINT_FILE) as temporary:
        save_file(kept, temporary, metadata)


def load_checkpoint(
    folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer, fingerprint: str
) -> tuple[Counts, Weights, dict[str, float]] | None:
    """Put a run back to where its checkpoint was written: parameters, optimiser and random state.

    Returns:
        The counts, the best weights and the scaler's state; None where there is no checkpoint.

    Raises:
        DamagedError: the file is not as it was written; nothing of it is used.
        UserError: the file was made with other settings, or does not have this module's names and shapes.
    """
    path = folder / CHECKPOINT_FILE
    if not path.is_file():
        return None
    metadata, tensors = _read(path)
    if metadata["fingerprint"] != fingerprint:
        raise UserError(f"{path}: made with other settings or other data; remove it to start anew")
    try:
        counts, scaler = Counts.of_json(metadata["counts"]), json.loads(metadata["scaler"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: not a whole checkpoint (its counts); remove it to start anew") from error
    require_finite(_part(tensors, "model."), path)
    put_weights(module, _part(tensors, "model."), path)
    own = trained_parameters(module)
    states = {name: _part(tensors, f"optimizer.{name}.") for name in own}
    for name, state in states.items():
        if any(value.ndim and value.shape != own[name].shape for value in state.values()) or not _has_step(state):
            raise UserError(
                f"{path}: not a whole checkpoint (the optimiser's state of {name}); remove it to start anew"
            )
    _load_optimizer(optimizer, {id(own[name]): state for name, state in states.items()})
    _set_random_state(tensors, path)
    return counts, _part(tensors, "best."), scaler


def _has_step(state: Weights) -> bool:
    """Whether a parameter's state is one that an optimiser left; none is there before its first step."""
    return not state or "step" in state


def _set_random_state(tensors: Weights, path: Path) -> None:
    """Resume the random numbers where the checkpoint was written."""
    try:
        torch.set_rng_state(tensors["random.cpu"])
        if "random.cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["random.cuda"])
    except (KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"{path}: not a whole checkpoint (its random state); remove it to start anew") from error


def discard_checkpoint(folder: Path) -> None:
    """Remove the checkpoint, once the trained model has been saved in its own form."""
    (folder / CHECKPOINT_FILE).unlink(missing_ok=True)


def mark_written(folder: Path) -> None:
    """Write down what a training left in a folder, which is a part of a step's, for :func:`is_written`."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    left = [name for name in names if name.endswith((".safetensors", ".json", ".csv")) and name not in OF_THE_STEP]
    write_record(folder, WRITTEN_FILE, left)


def is_written(folder: Path) -> bool:
    """Whether a trained model is there and as it was written; its checkpoint may have outlived that."""
    whole = is_whole(folder, WRITTEN_FILE)
    if whole:
        discard_checkpoint(folder)
    return whole


def _read(path: Path) -> tuple[dict[str, str], Weights]:
    """What a checkpoint holds; one of an earlier version has no checksum, and is taken as it is.

    Raises:
        DamagedError: it is not as it was written.
    """
    with read_errors(path):
        path.open("rb").close()
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise DamagedError(path, f"not a whole checkpoint: {error}") from error
    expected = metadata.get(CHECKSUM)
    if set(metadata) - {CHECKSUM} != set(METADATA) or expected not in (None, _checksum(metadata, tensors)):
        raise DamagedError(path, "its checksum is another")
    return metadata, tensors


def _checksum(metadata: dict[str, str], tensors: Weights) -> str:
    """Of the names, types, shapes and bytes of all tensors, and of the texts beside them."""
    digest = hashlib.sha256(json.dumps([metadata[name] for name in METADATA]).encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _part(tensors: Weights, prefix: str) -> Weights:
    """The tensors whose names begin with `prefix`, without it."""
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def _load_optimizer(optimizer: torch.optim.Optimizer, states: dict[int, Weights]) -> None:
    """Give each parameter its state; by the optimiser's own loading, which knows where each tensor must live."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    found = {index: states[id(parameter)] for index, parameter in enumerate(parameters) if states[id(parameter)]}
    optimizer.load_state_dict({"state": found, "param_groups": optimizer.state_dict()["param_groups"]})
