import json
from typing import Any

import pytest
import torch

from recdistill.measure.evidence import KernelWatch, TokenCount


def counted(*batches: Any) -> TokenCount:
    count = TokenCount()
    for batch in batches:
        count.add(*batch)
    return count


def test_tokens_are_counted_by_hand() -> None:
    count = counted((10, 2, 8, 2, 2), (9, 1, 9, 3, 3))
    assert (count.useful, count.processed, count.prompts, count.targets) == (19, 25, 5, 5)
    assert (count.micro_batches, count.largest, count.most_prompts, count.packed) == (2, 16, 3, 1)
    assert count.padding == pytest.approx(6 / 25)
    assert count.plain()["widths"] == 2
    assert TokenCount().padding == 0


def test_a_count_goes_on_from_its_state() -> None:
    whole, first = counted((10, 2, 8, 2, 2), (9, 1, 9, 3, 3)), counted((10, 2, 8, 2, 2))
    rest = counted((1, 1, 1, 1, 1))  # what a new try counts before it finds its checkpoint is not of the run
    rest.restore(json.loads(json.dumps(first.state())))
    rest.add(9, 1, 9, 3, 3)
    assert rest == whole
    assert first == counted((10, 2, 8, 2, 2)), "a state is no part of the count it was taken of"


def test_products_and_attention_are_watched_forward_and_backward() -> None:
    weight, x = torch.randn(6, 6), torch.randn(2, 2, 5, 6, requires_grad=True)
    narrow = torch.randn(2, 6)
    with KernelWatch(narrow=2) as watch:
        hidden = x @ weight
        hidden.sum().backward()
        (x.detach().flatten(0, 2) @ narrow.T).sum()  # an adapter's, which is not what is asked about
        torch.nn.functional.scaled_dot_product_attention(hidden, hidden, hidden)
        with torch.no_grad():  # the student's
            torch.nn.functional.scaled_dot_product_attention(hidden, hidden, hidden)
        torch.softmax(hidden, dim=-1)
    seen = watch.seen()
    assert seen["products"] == {"float32": 2}
    assert sum(seen["attention_kernels"].values()) == 1
    assert seen["attention_softmaxes"] == 1
    with KernelWatch() as half, torch.autocast("cpu", dtype=torch.bfloat16):
        x @ weight
    assert half.seen()["products"] == {"bfloat16": 1}
