"""A smaller data set of the same kind: some users, each with the whole history."""

import numpy as np
from numpy.typing import NDArray

from recdistill.data.prepared import IntArray
from recdistill.errors import UserError


def sample_users(num_trained: IntArray, limit: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Users whose training targets together are at most `limit`, drawn in random order until the next is too many.

    Whole users, since the first rows of a file would be a handful of users with their neighbours cut off.

    Args:
        num_trained: int32 (users,), interactions of each that are trained on; all but the first of them are targets.
        limit: most training targets.
        generator: gives the order.

    Returns:
        Users in ascending order.

    Raises:
        UserError: the first user drawn is already too many.
    """
    order = generator.permutation(len(num_trained))
    targets = np.cumsum(np.maximum(num_trained[order] - 1, 0))
    users = order[: np.searchsorted(targets, limit, side="right")]
    if not len(users):
        raise UserError(f"data.limit_rows: {limit} is too few; the first user drawn has {targets[0]} training targets")
    return np.sort(users)
