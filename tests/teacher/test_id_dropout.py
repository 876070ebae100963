"""Items that are known by their text alone at a training step."""

import torch

from recdistill.teacher.head import ItemHead
from recdistill.teacher.soft_tokens import SoftTokens

ITEMS = 400


def make_head(id_dropout: float) -> ItemHead:
    torch.manual_seed(0)
    vectors, titles = torch.randn(ITEMS + 1, 8), torch.randn(ITEMS + 1, 6)
    return ItemHead(True, vectors, titles, 16, 4, id_dropout=id_dropout)


def test_a_share_of_the_items_has_no_learned_part_in_training_alone() -> None:
    head = make_head(0.3)
    titles = head.title_projection(head.title_vectors)
    torch.manual_seed(1)
    own = head.train().item_vectors()[:, 8:]
    without = (own - titles).abs().amax(dim=1) < 1e-7
    without[0] = False
    assert 0.2 < without.float().mean() < 0.4
    known = ~without
    known[0] = False
    torch.testing.assert_close(own[known], (titles + head.learned)[known])
    torch.testing.assert_close(head.eval().item_vectors()[1:, 8:], (titles + head.learned)[1:])
    assert torch.equal(head.item_vectors()[1:, :8], head.student_vectors[1:])  # the student's scores stay


def test_soft_tokens_of_such_items_are_made_of_the_title_alone() -> None:
    torch.manual_seed(0)
    vectors, titles, words = torch.randn(ITEMS + 1, 8), torch.randn(ITEMS + 1, 6), torch.randn(50, 16)
    tokens, items = SoftTokens(vectors, titles, words, id_dropout=0.3), torch.arange(1, ITEMS + 1).reshape(4, -1)
    plain = tokens.eval()(items)
    alone = torch.nn.functional.rms_norm(tokens.title_projection(titles[items]), (16,)) * tokens.length
    torch.manual_seed(1)
    found = tokens.train()(items)
    of_title = torch.isclose(found, alone, atol=1e-5).all(dim=-1)
    as_ever = torch.isclose(found, plain, atol=1e-5).all(dim=-1)
    assert bool((of_title ^ as_ever).all())
    assert 0.2 < of_title.float().mean() < 0.4


def test_none_is_dropped_by_default() -> None:
    head = make_head(0.0)
    torch.testing.assert_close(head.train().item_vectors(), head.eval().item_vectors())


def test_an_item_without_a_title_keeps_its_learned_part() -> None:
    torch.manual_seed(0)
    vectors, titles, words = torch.randn(ITEMS + 1, 8), torch.randn(ITEMS + 1, 6), torch.randn(50, 16)
    titles[:100] = 0
    head = ItemHead(True, vectors, titles, 16, 4, id_dropout=0.9).train()
    torch.testing.assert_close(head.item_vectors()[1:100, 8:], head.learned[1:100])
    tokens, items = SoftTokens(vectors, titles, words, id_dropout=0.9), torch.arange(1, 100)
    torch.testing.assert_close(tokens.train()(items), tokens.eval()(items))
