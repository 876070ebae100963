"""A split that is there already: each event's own part, by a column or by its file."""

import logging

from recdistill.config import DataConfig
from recdistill.data.interactions import Interactions
from recdistill.data.prepared import LongArray
from recdistill.data.splits import Ends, by_event, users_out_of_order
from recdistill.errors import UserError

logger = logging.getLogger("recdistill")


def split_by_event(offsets: LongArray, interactions: Interactions, config: DataConfig) -> Ends:
    """Cut each history where its interactions' parts change: train, then validation, then test.

    Users whose own future is among what is trained on or validated (an interaction of an earlier part is later than one
    of a later part) are counted in a warning: the files are taken as they are, since others have been measured on them.

    Args:
        offsets: int64 (users + 1,), bounds of the histories.
        interactions: interactions by user, part and time, with parts.
        config: for the messages.

    Raises:
        UserError: all interactions of each user belong to one part, so that whole users are split.
    """
    parts = interactions.parts
    assert parts is not None
    # Parts ascend within a history, so the first and the last differ where there are several.
    if (parts[offsets[:-1]] == parts[offsets[1:] - 1]).all():
        raise UserError(
            f"data.split: with {config.split} each user's interactions are in several parts, but here whole users are "
            "train, validation or test; put them into one file with a column that says so, and set data.split column"
        )
    late = users_out_of_order(offsets, interactions.times)
    if late:
        logger.warning(
            "data.split %s: of %d of %d users an interaction of an earlier part (train, validation, test) is later "
            "than one of a later part, so models are trained on interactions later than their targets",
            config.split,
            late,
            len(offsets) - 1,
        )
    return by_event(offsets, parts)
