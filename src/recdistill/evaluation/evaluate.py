"""Rank the targets of a split with every model, write the ranks, and have them assessed."""

import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from recdistill.config import BASELINES, EvaluateConfig
from recdistill.data.prepared import IntArray, PreparedData
from recdistill.evaluation.assess import assess, fingerprints
from recdistill.evaluation.baselines import too_large
from recdistill.evaluation.candidates import FILE, DrawnFor, draw_candidates, stored_candidates
from recdistill.evaluation.kept import earlier_cost
from recdistill.evaluation.metrics import CUTOFFS
from recdistill.evaluation.ranking import Ranking, rank
from recdistill.evaluation.ranking_files import (
    note_ranked,
    ranked_before,
    read_ranking,
    save_keys,
    save_ranking,
    save_settings,
)
from recdistill.evaluation.results import Fit, Metrics
from recdistill.evaluation.scorer import Scorer
from recdistill.measure.context import RunContext
from recdistill.measure.profiler import Profiler
from recdistill.parallel.processes import ALONE, Processes
from recdistill.storage.files import write_array, write_json
from recdistill.storage.typed import read_typed

logger = logging.getLogger("recdistill")

Elsewhere = Callable[[str, IntArray | None], Ranking | None]
"""Ranks with a model of this name, beside these candidates; None for a model that it does not have."""


def evaluate(
    data: PreparedData,
    config: EvaluateConfig,
    scorers: Mapping[str, Callable[[], Scorer]],
    seed: int,
    context: RunContext,
    earlier: Path | None = None,
    unchanged: Collection[str] = (),
    going_on: bool = False,
    elsewhere: Elsewhere | None = None,
) -> Metrics:
    """Rank every target of the split with every model, compare, and write `metrics.json` and the rows' ranks.

    Each model's ranks are written when it has been ranked, so that an interruption costs the model of that moment.

    Args:
        data: the histories.
        config: the split, the filter, the sizes.
        scorers: what makes each model's scorer, by name; a model is made when its turn comes and let go after it, so
            that memory holds one at a time. The names are those of the result.
        seed: of the candidates, resamples and permutations.
        context: its folder is written to; its profiler counts the phases `candidates`, `load <model>`, `rank <model>`,
            `statistics` and `write`.
        earlier: folder of an evaluation before this one; its candidates are taken where data, split and seed are alike.
        unchanged: models whose ranks are read back from `earlier`, see :mod:`recdistill.evaluation.kept`.
        going_on: take what an interrupted try at this same evaluation left in the context's folder.
        elsewhere: has others rank with the models that it has; the rest is ranked here.

    Returns:
        What `metrics.json` holds: see :func:`recdistill.evaluation.assess.assess`; and `baselines`, what each was
        fitted with.

    Raises:
        UserError: the split has no rows, there are too few items to draw candidates from, or a model's scores are not
            numbers.
    """
    folder, profiler, processes = context.folder, context.profiler, context.processes
    rankings: dict[str, Ranking] = {}
    with profiler.phase("candidates"):
        candidates = _candidates(data, config, seed, earlier) if config.candidates else None
    stored_as = _shape(data, config), bool(config.candidates)
    for name, make_scorer in scorers.items():
        before = ranked_before(folder, name, *stored_as) if going_on and processes.is_first else None
        if before := processes.share(before):
            rankings[name] = before
            continue
        if earlier is not None and name in unchanged and (kept := _kept(earlier, name, *stored_as, profiler)):
            rankings[name] = kept
        elif elsewhere is not None and (found := _elsewhere(elsewhere, name, candidates, profiler)):
            rankings[name] = found
        else:
            with profiler.phase(f"load {name}"):
                scorer = make_scorer()
            save_settings(folder, name, scorer)
            with profiler.phase(f"rank {name}"):
                rankings[name] = rank_split(data, config, scorer, name, candidates, processes)
            del scorer
        with profiler.phase("write"):
            save_ranking(folder, name, rankings[name])
            note_ranked(folder, name)
    with profiler.phase("statistics"):
        result = assess(data, config, rankings, seed)
        result["baselines"] = _baselines(folder, data, config)
    with profiler.phase("write"):
        save_keys(folder, data.targets(config.split))
        if candidates is not None:
            write_array(folder / FILE, candidates)
        write_json(folder / "metrics.json", result)
    return result


def _elsewhere(elsewhere: Elsewhere, name: str, candidates: IntArray | None, profiler: Profiler) -> Ranking | None:
    """The model's ranking by others; that they load it is part of the phase `rank`."""
    with profiler.phase(f"rank {name}"):
        return elsewhere(name, candidates)


def _kept(earlier: Path, model: str, shape: tuple[int, int], candidates: bool, profiler: Profiler) -> Ranking | None:
    """The model's ranking in the earlier evaluation, with what it has cost, if that stored all of it."""
    kept = read_ranking(earlier, model, shape, candidates)
    if kept is not None:
        logger.info("evaluate: %s has not changed, its ranks are read back", model)
        profiler.restore(*earlier_cost(earlier, model))
    return kept


def _shape(data: PreparedData, config: EvaluateConfig) -> tuple[int, int]:
    """(rows, K): targets that are ranked, and items that are kept of each."""
    return len(data.targets(config.split)), min(max(CUTOFFS), data.num_items)


def _candidates(data: PreparedData, config: EvaluateConfig, seed: int, earlier: Path | None) -> IntArray:
    """Those of an earlier evaluation of the same rows with the same seed; else drawn."""
    targets = data.targets(config.split)
    if earlier is not None:
        expected = DrawnFor(config.split, seed, fingerprints(data))
        stored = stored_candidates(earlier, expected, (len(targets), config.candidates))
        if stored is not None:
            return stored
    return draw_candidates(data, targets, config.candidates, seed)


def rank_split(
    data: PreparedData,
    config: EvaluateConfig,
    scorer: Scorer,
    name: str,
    candidates: IntArray | None = None,
    processes: Processes = ALONE,
) -> Ranking:
    """Rank the split's targets with one scorer; `name` is for the progress bar."""
    targets, label = data.targets(config.split), f"ranking with {name}"
    size, filter_seen, memory = config.batch_size, config.filter_seen, config.max_score_memory
    return rank(data, targets, scorer, size, filter_seen, max(CUTOFFS), label, candidates, memory, processes)


def _baselines(folder: Path, data: PreparedData, config: EvaluateConfig) -> dict[str, Fit]:
    """The section `baselines`: what each was fitted with, or `left_out` with the reason."""
    files = ((name, folder / "baselines" / f"{name}.json") for name in BASELINES)
    fitted = {name: read_typed(path, Fit) for name, path in files if path.is_file()}
    left_out: dict[str, Fit] = {name: {"left_out": why} for name, why in too_large(data, config).items()}
    return fitted | left_out
