"""Negatives of a batch: items that a sampled loss tells its targets from, and how often each was to be expected.

A draw by popularity meets some items more often than others. With the logQ correction, each item's score is lowered by
the log of how often the item was expected in the draw, and then the sum over the draw estimates the sum over the whole
catalog without bias (Bengio & Senécal 2008; Yi et al., RecSys 2019). The target's own score stays as it is: it is there
for certain (Khrylchenko et al., RecSys 2025, on what goes wrong where it is corrected too).
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from recdistill.config.loss import Sampling


@dataclass(frozen=True)
class Negatives:
    """Items to tell the M targets of a batch from; a target's own number among them takes no part in its row.

    Attributes:
        items: int64 (C,), for all targets alike, each item once; or (M, C), for each target its own, an item perhaps
            twice.
        rate: share of the other items of the catalog that is drawn for a target, at most 1.
        log_expected: fp32, of the shape of `items`, the log of how often each was expected; None: no correction.
    """

    items: Tensor
    rate: float
    log_expected: Tensor | None = None

    def of(self, start: int, count: int) -> "Negatives":
        """Those of `count` of the targets, from the `start`-th on."""
        if self.items.dim() == 1:
            return self
        here = slice(start, start + count)
        return replace(
            self, items=self.items[here], log_expected=None if self.log_expected is None else self.log_expected[here]
        )


def distinct(items: Tensor) -> Tensor:
    """Each item once, ascending: int64 of any shape → (U,)."""
    found: Tensor = torch.unique(items)
    return found


def sample_negatives(targets: Tensor, count: int, num_items: int, generator: torch.Generator) -> Tensor:
    """`count` uniform items for each target, never the target itself: int64 (M, count).

    Drawn on the generator's device, so that a seed gives the same items wherever the model runs.
    """
    draw = torch.randint(1, num_items, (len(targets), count), generator=generator).to(targets.device)
    # Drawn from N - 1 numbers; those from the target on move up by one, which skips it.
    return draw + (draw >= targets.unsqueeze(1)).long()


def shared_negatives(count: int, num_items: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """`count` different uniform items for a whole batch, all N where there are no more: int64 (count,)."""
    drawn = torch.randperm(num_items, generator=generator)[:count]
    return (drawn + 1).to(device)


class NegativeSampler:
    """Draws the negatives of batches.

    Args:
        sampling: how.
        counts: int64 (N + 1,), how often each item is a target in training; entry 0 is the padding's. An item that
            never was is drawn like one that was once.
    """

    def __init__(self, sampling: Sampling, counts: Tensor) -> None:
        self.sampling, self.num_items = sampling, len(counts) - 1
        met = counts[1:].double()
        self.target_shares = met / met.sum().clamp_min(1)
        weights = met.clamp_min(1) ** sampling.popularity_power
        self.shares = weights / weights.sum()
        self.bounds = self.shares.cumsum(0)

    def draw(self, targets: Tensor, generator: torch.Generator) -> Negatives:
        """The negatives of M targets, int64 (M,); the draw's size depends on nothing but their number."""
        if self.sampling.shared:
            return self._shared(targets, generator)
        count = self.sampling.negatives
        if self.sampling.popularity_power:
            items = self._by_popularity((len(targets), count), generator).to(targets.device)
        else:
            items = sample_negatives(targets, count, self.num_items, generator)
        if not self.sampling.log_q:
            return Negatives(items, self._rate(count))
        shares = self.shares.to(targets.device)
        # What a row's target would have been drawn for goes to the others.
        others = (1 - shares[targets - 1]).clamp_min(torch.finfo(torch.double).tiny).unsqueeze(1)
        scale = count if self.sampling.popularity_power else count / others
        return Negatives(items, self._rate(count), (shares[items - 1] * scale).log().float())

    def _shared(self, targets: Tensor, generator: torch.Generator) -> Negatives:
        """One draw for all: from the catalog, each item once, and where it is asked for the batch's targets too."""
        count, power = self.sampling.negatives, self.sampling.popularity_power
        if power:
            items = distinct(self._by_popularity((count,), generator)).to(targets.device)
        else:
            items = shared_negatives(count, self.num_items, generator, targets.device)
        if self.sampling.in_batch:
            items = distinct(torch.cat([items, targets]))
        if not self.sampling.log_q:
            return Negatives(items, self._rate(len(items)))
        chosen = (items - 1).cpu()
        if power:
            log_missed = count * torch.log1p(-self.shares[chosen])
        else:
            log_missed = torch.full(chosen.shape, 1 - min(1.0, count / self.num_items), dtype=torch.double).log()
        if self.sampling.in_batch:
            # Seen from one row, the others' targets are what may bring an item in.
            log_missed = log_missed + (len(targets) - 1) * torch.log1p(-self.target_shares[chosen])
        return Negatives(items, self._rate(len(items)), (-torch.expm1(log_missed)).log().float().to(targets.device))

    def _rate(self, count: int) -> float:
        return min(1.0, count / max(1, self.num_items - 1))

    def _by_popularity(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Items drawn with repetition by the power of their counts: int64, on the CPU."""
        places = torch.rand(shape, generator=generator, dtype=torch.double)
        return torch.searchsorted(self.bounds, places).clamp_max(self.num_items - 1) + 1
