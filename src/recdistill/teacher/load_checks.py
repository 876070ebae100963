"""Checks that run the language model once it is loaded: whether it is right in the way this run will use it.

No list of names says which decoders keep the prompts of a packed row apart, which can be read from a cache between
whose tokens padding lies, or which layers never compute what an adapter adds. Two prompts of random words do:

    batch       each prompt beside a longer one, padding to its right, has the states that it has alone
    packed      the same end to end in one row                             (`teacher.padding: packed`)
    cache       the same read in three pieces, padding between them        (`export.use_cache`)
    stream      the same in blocks, whatever their first position          (`teacher.windows: sliding`)
    gradients   one pass forward and back: every adapter gets a gradient

They run as many blocks as show every kind of block, and the prompts are longer than the model's windows where the
run's own prompts are. What passed is remembered in the cache.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from recdistill.errors import UserError
from recdistill.language_models.blocks import few_blocks
from recdistill.language_models.fingerprints import llm_digests
from recdistill.language_models.libraries import MODEL_ERRORS, first_line
from recdistill.language_models.packing import PACKED_SDPA
from recdistill.language_models.per_layer import own_inputs
from recdistill.language_models.remembered_checks import device_name, remembered
from recdistill.measure.facts import Checked
from recdistill.teacher.adapter_check import check_adapters
from recdistill.teacher.experts import GATE_KEYWORD, base_decoder
from recdistill.teacher.ranker import AUTOCAST, Ranker
from recdistill.teacher.trial_prompts import TrialPrompts, long_length

ROUNDING = {"fp32": 1e-3, "half": 0.04}
"""Largest difference of a token's state, relative to its length, that rounding explains."""
PIECES = ((5, 11), (1, 6), (3, 7))
"""Tokens of each prompt in the pieces that are read through a cache; the last piece takes the rest of the longer."""

CHECKED_SETTINGS = (
    "llm_weights",
    "layers",
    "precision",
    "quantization",
    "double_quantization",
    "compute_dtype",
    "attention",
    "gradient_checkpointing",
    "padding",
    "prompt",
    "adapter",
)
"""Settings of the teacher that decide how its language model is run, and so what was checked of it."""


def load_checks(ranker: Ranker, cache: Path, device: str, use_cache: bool, longest: int) -> Checked:
    """What the checks found, or had found before.

    Args:
        ranker: the teacher's, with its experts.
        cache: the user's cache.
        device: `cpu` or `cuda`.
        use_cache: whether the export will read through a cache.
        longest: tokens of the longest prompt of this run.

    Raises:
        UserError: the language model is not right in the way this run would use it.
    """
    config = ranker.config
    about = {
        "llm": llm_digests(config.llm, cache),
        "settings": {name: asdict(config)[name] for name in CHECKED_SETTINGS},
        "gate": config.gate.kind,
        "use_cache": use_cache,
        "tokens": long_length(base_decoder(ranker.llm).config, longest),
        "device": device_name(device),
    }
    if config.streams:
        about["streams"] = True
    return remembered(cache, about, LoadChecks(ranker, config.llm, use_cache, longest).run)


class LoadChecks:
    """The checks of one teacher.

    Args:
        ranker: the teacher's, with its experts.
        llm: what `teacher.llm` says, for messages.
        use_cache: whether the export will read through a cache.
        longest: tokens of the longest prompt of this run.
    """

    def __init__(self, ranker: Ranker, llm: str, use_cache: bool, longest: int) -> None:
        self.ranker, self.llm, self.use_cache = ranker, llm, use_cache
        self.decoder = base_decoder(ranker.llm)
        self.prompts = TrialPrompts.of(ranker, longest)
        half = ranker.config.precision != "fp32" or ranker.config.quantization == "int8"
        self.rounding = ROUNDING["half" if half else "fp32"]

    def run(self) -> Checked:
        """Run them all.

        Returns:
            `blocks` that were run and `apart`: by check, the largest relative difference of a state.

        Raises:
            UserError: the first that does not hold, and what works instead.
        """
        with torch.random.fork_rng(), torch.compiler.set_stance("force_eager"), few_blocks(self.decoder) as blocks:
            self.ranker.eval()
            apart = {}
            with torch.no_grad():
                with self._kernel("sdpa" if self._attention() == "sdpa" else None):
                    # Packed rows' own kernel makes no masks for prompts that stand alone, and knows no windows there.
                    alone = self._alone()
                    apart["batch"] = self._check_batch(alone)
                if self.ranker.config.padding == "packed":
                    apart["packed"] = self._check_packed(alone)
                if self.ranker.config.streams:
                    apart["stream"] = self._check_stream(alone)
                if self.use_cache:
                    apart["cache"] = self._check_cache(alone)
            check_adapters(self.ranker, self.prompts)
        return {"blocks": blocks, "apart": {name: float(f"{value:.2g}") for name, value in apart.items()}}

    def _alone(self) -> list[Tensor]:
        """The states of each prompt alone, (T, H)."""
        try:
            return [self.prompts.alone(self.ranker, number) for number in range(2)]
        except MODEL_ERRORS as error:
            raise self._cannot_run(error) from error

    def _cannot_run(self, error: Exception) -> UserError:
        """What to say of a language model that ran at load and fails with the teacher's parts inside."""
        reason = first_line(error)
        if GATE_KEYWORD in reason:
            return UserError(
                f"teacher.llm: {self.llm} does not hand keywords on to its blocks, so no gate can reach the experts; "
                "use teacher.gate.kind: none, or another language model"
            )
        layers = ", ".join(self.ranker.config.adapter.layers)
        return UserError(
            f"teacher.adapter.layers: {self.llm} does not run with adapters on {layers} ({reason}); name other layers"
        )

    def _check_batch(self, alone: list[Tensor]) -> float:
        apart, reason = self._try(lambda: self.prompts.padded(self.ranker), alone)
        if reason is None:
            return apart
        raise UserError(
            f"teacher.llm: {self.llm}: a prompt's states depend on the prompts that it is read with ({reason}), and so "
            "would its scores; choose another language model"
        )

    def _check_packed(self, alone: list[Tensor]) -> float:
        apart, reason = self._try(lambda: self.prompts.packed(self.ranker), alone)
        if reason is None:
            return apart
        others = "".join(f", or padding: packed with attention: {name}" for name in self._kernels_that_pack(alone))
        raise UserError(
            f"teacher.padding: packed does not keep prompts apart in {self.llm} with attention "
            f"{self._attention()} ({reason}); use padding: bucketed{others}"
        )

    def _check_stream(self, alone: list[Tensor]) -> float:
        """Streams cost what they cost because what is far back is not read; only differences of positions may count."""
        apart, reason = self._try(lambda: self.prompts.streams(self.ranker, first=7), alone)
        if reason is None:
            return apart
        raise UserError(
            f"teacher.windows: sliding needs a language model whose positions are relative, and {self.llm} does not "
            f"read a history alike wherever it begins ({reason}); use windows: all"
        )

    def _check_cache(self, alone: list[Tensor]) -> float:
        apart, reason = self._try(self._read_in_pieces, alone)
        if reason is None:
            return apart
        raise UserError(
            f"export.use_cache: {self.llm} cannot be read through a cache in which prompts have different lengths "
            f"({reason}); set export.use_cache: false"
        )

    def _try(self, read: Callable[[], list[Tensor]], alone: list[Tensor]) -> tuple[float, str | None]:
        """How far the states are from those alone, and why that is no rounding; None where it is."""
        try:
            found = read()
        except MODEL_ERRORS as error:
            return float("inf"), first_line(error)
        except UserError as error:  # packed_sdpa's own
            return float("inf"), str(error).removeprefix("teacher.padding: packed with attention sdpa ").split(";")[0]
        apart = max(map(difference, found, alone))
        return apart, None if apart <= self.rounding else f"states differ by {apart:.2g} of their length"

    def _attention(self) -> str:
        name: str = self.decoder.config._attn_implementation  # type: ignore[union-attr, assignment]
        return "sdpa" if name == PACKED_SDPA else name

    def _kernels_that_pack(self, alone: list[Tensor]) -> list[str]:
        """Other attention kernels with which packed rows came out right when they were tried just now."""
        own, right = self.decoder.config._attn_implementation, []  # type: ignore[union-attr]
        for name in (PACKED_SDPA, "eager"):
            if name == own:
                continue
            try:
                with self._kernel(name):
                    if self._try(lambda: self.prompts.packed(self.ranker), alone)[1] is None:
                        right.append("sdpa" if name == PACKED_SDPA else name)
            except MODEL_ERRORS:
                continue
        return right

    @contextmanager
    def _kernel(self, name: str | None) -> Iterator[None]:
        """Run with another attention kernel; None: with the same."""
        own = self.decoder.config._attn_implementation  # type: ignore[union-attr]
        if name is None or name == own:
            yield
            return
        self.decoder.set_attn_implementation(name)  # type: ignore[operator]
        try:
            yield
        finally:
            self.decoder.set_attn_implementation(own)  # type: ignore[operator]

    def _read_in_pieces(self) -> list[Tensor]:
        """The states of both prompts, read through a cache in three pieces."""
        from recdistill.teacher.cached_reading import CachedReading

        cached, prompts = CachedReading(self.decoder, 2), self.prompts
        mixed = AUTOCAST.get(self.ranker.config.precision)
        found: list[list[Tensor]] = [[], []]
        starts = [0, 0]
        for place, piece in enumerate(PIECES):
            counts = [piece[0], piece[1] if place < len(PIECES) - 1 else prompts.lengths[1] - starts[1]]
            if self.ranker.config.prompt == "item":  # the same number of tokens at each item
                counts = [min(counts), min(counts)]
            tokens, inputs, real, gate = prompts.piece(starts, counts)
            options = own_inputs(self.decoder, tokens) | ({} if gate is None else {GATE_KEYWORD: gate})
            with torch.autocast(inputs.device.type, dtype=mixed, enabled=mixed is not None):
                hidden = cached.read(inputs, real, **options)
            for row, count in enumerate(counts):
                found[row].append(hidden[row, :count])
                starts[row] += count
        return [torch.cat(one) for one in found]


def difference(one: Tensor, other: Tensor) -> float:
    """The largest difference of two tokens' states (T, H), relative to the second's length; over the first's tokens."""
    one, other = one.float(), other[: len(one)].float()
    apart = (one - other).norm(dim=1) / other.norm(dim=1).clamp_min(torch.finfo(torch.float32).tiny)
    return float(apart.nan_to_num(nan=torch.inf).max())
