"""A recommender whose answers follow from its inputs by simple rules, for tests of what stands around it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recdistill.data.catalog import Catalog
from recdistill.serving.answers import About, Answer, Reason, Recommendation
from recdistill.web.served import Served

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
TITLES = ["Toy Story", "Heat", "Usual Suspects, The", HOSTILE, "七人の侍", "Alien", "Aliens", "Fargo", "", "Babe"]


class FakeRecommender:
    """Ranks the items behind the last one of the history; the more the history has, the higher their scores."""

    def __init__(self, name: str = "demo", fingerprint: str = "f1", shift: int = 0, num_items: int = 10) -> None:
        ids = [str(number) for number in range(1, num_items + 1)]
        titles = [*TITLES, *(f"Item {number}" for number in range(len(TITLES) + 1, num_items + 1))][:num_items]
        self.catalog = Catalog(["", *ids], ["", *titles])
        self.exclude_seen, self.shift = True, shift
        self.about = About(name, fingerprint, "0.1.0", "distilled", num_items, 50, True)
        self.calls: list[int] = []
        self.fails = False

    def recommend_ids(self, item_ids: Sequence[str], top_k: int = 10, **options: Any) -> Answer:
        return self.recommend_ids_batch([item_ids], top_k, **options)[0]

    def recommend_ids_batch(
        self,
        histories: Sequence[Sequence[str]],
        top_k: int = 10,
        exclude_seen: bool | None = None,
        candidates: Sequence[str] | None = None,
        unknown: str = "error",
        because: int = 0,
        **_: Any,
    ) -> list[Answer]:
        if self.fails:
            raise RuntimeError("a secret history")
        self.calls.append(len(histories))
        return [self._one(history, top_k, exclude_seen, candidates, because) for history in histories]

    def _one(
        self,
        history: Sequence[str],
        top_k: int,
        exclude_seen: bool | None,
        candidates: Sequence[str] | None,
        because: int,
    ) -> Answer:
        known = [one for one in history if one in self.catalog.item_ids[1:]]
        unknown = tuple(one for one in history if one not in known)
        left_out = known if exclude_seen in (None, True) else []
        if not known:
            return Answer(tuple(self.popular(top_k)), unknown, "popularity")
        total = len(self.catalog)
        order = [(int(known[-1]) + self.shift + step) % total + 1 for step in range(total)]
        wanted = [one for one in order if str(one) not in left_out and (candidates is None or str(one) in candidates)]
        reasons = tuple(Reason(one, self._name(one), 0.5 - place) for place, one in enumerate(known[::-1][:because]))
        items = [
            Recommendation(str(one), self._name(str(one)), len(known) - place / 8, reasons)
            for place, one in enumerate(wanted[:top_k])
        ]
        return Answer(tuple(items), unknown)

    def similar(self, item_id: str, top_k: int = 10) -> list[Recommendation]:
        if self.fails:
            raise RuntimeError("a secret history")
        others = [one for one in self.catalog.item_ids[1:] if one != item_id]
        return [Recommendation(one, self._name(one), 1 / (1 + abs(int(one) - int(item_id)))) for one in others][:top_k]

    def popular(self, top_k: int, exclude: Sequence[str] = ()) -> list[Recommendation]:
        left = [one for one in self.catalog.item_ids[1:] if one not in exclude]
        return [Recommendation(one, self._name(one), 100.0 - int(one)) for one in left[:top_k]]

    def _name(self, item_id: str) -> str:
        return self.catalog.name(int(item_id))


def fake_served(name: str = "demo", fingerprint: str = "f1", examples: Sequence[Any] = ()) -> Served:
    """Both models."""
    distilled, student = FakeRecommender(name, fingerprint), FakeRecommender(name, fingerprint, shift=2)
    return Served({"distilled": distilled, "student": student}, examples)  # type: ignore[dict-item]


SOURCE = Path("nowhere")
