"""The best items of all by one rule for equal scores: the lower item number comes first, as in serving and bundles."""

import torch
from torch import Tensor


def best_items(scores: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """The K highest scores of each row, highest first, of equal scores the lower column.

    :func:`torch.topk` takes whichever of equal scores it finds. So what it lists is put in order, and a row whose last
    score is also that of a column left out is done again.

    Args:
        scores: (B, N), none of them NaN.
        top_k: K, at most N.

    Returns:
        Scores (B, K), and int64 columns (B, K); equal scores of -inf are in no fixed order.
    """
    found = torch.topk(scores, min(top_k + 1, scores.shape[1]), dim=1)
    columns = found.indices[:, :top_k].sort(dim=1).values
    values, order = torch.sort(scores.gather(1, columns), dim=1, descending=True, stable=True)
    columns = columns.gather(1, order)
    if found.values.shape[1] > top_k > 0:
        last = found.values[:, top_k - 1]
        for row in torch.nonzero((last == found.values[:, top_k]) & (last > -torch.inf)).flatten().tolist():
            enough = torch.nonzero(scores[row] >= last[row]).flatten()
            columns[row] = enough[torch.sort(scores[row, enough], descending=True, stable=True).indices[:top_k]]
    return values, columns
