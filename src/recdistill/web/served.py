"""What is served: the models of one bundle or run, loaded together and never changed in place."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic_core import to_json

from recdistill.errors import UserError
from recdistill.serving.examples import Example, read_examples
from recdistill.web.answer_json import AnswerJson
from recdistill.web.problems import Problem
from recdistill.web.schemas import ModelName

if TYPE_CHECKING:
    from recdistill.serving.recommender import Recommender

logger = logging.getLogger("recdistill.serving")

Trained = Literal["distilled", "student"]
NAMED_UNKNOWN = 5
"""Unknown ids that a problem names in its text."""


@dataclass(frozen=True)
class Served:
    """One bundle's models. A reload makes a new one; requests that began with the old one end with it.

    Attributes:
        recommenders: by the model's name, the best one first: `distilled`, or `student` where there is no other.
        popularity: whether training interactions are known, so that items can be ranked by them.
        examples: training users with their teacher's lists; empty where the source is no run with stored lists.
    """

    recommenders: Mapping[Trained, "Recommender"]
    examples: Sequence[Example] = ()
    popularity: bool = True

    @property
    def main(self) -> "Recommender":
        """The best model, whose catalog and popularity are everybody's."""
        return self.recommenders[self.best]

    @property
    def best(self) -> Trained:
        """The name of the best model, which answers where none is asked for."""
        return next(iter(self.recommenders))

    @cached_property
    def bundle(self) -> dict[str, str]:
        """Which bundle it is, as each answer says it."""
        about = self.main.about
        return {"name": about.name, "fingerprint": about.fingerprint, "version": about.version}

    @cached_property
    def opening(self) -> bytes:
        """How the JSON of each answer begins."""
        return b'{"bundle":' + to_json(self.bundle)

    @cached_property
    def json(self) -> AnswerJson:
        """Writes this bundle's answers."""
        return AnswerJson()

    @cached_property
    def models(self) -> list[ModelName]:
        """What can be asked."""
        return [*self.recommenders, *(("popularity",) if self.popularity else ())]

    @cached_property
    def places(self) -> dict[str, int]:
        """Number of each item id of the catalog, 1..N."""
        return {item_id: item for item, item_id in enumerate(self.main.catalog.item_ids) if item}

    def recommender(self, model: Trained) -> "Recommender":
        """The model of this name.

        Raises:
            Problem: the bundle has none.
        """
        self.require_model(model)
        return self.recommenders[model]

    def require_model(self, model: ModelName) -> None:
        """Refuse a model that is not there.

        Raises:
            Problem: it is not.
        """
        if model not in self.models:
            told = f"{self.bundle['name']} has no model {model}; it has {', '.join(self.models)}"
            raise Problem("invalid", told, errors=[{"pointer": "#/model", "detail": told}])

    def require(self, item_ids: Sequence[str], pointer: str) -> None:
        """Refuse ids that the catalog does not have.

        Args:
            item_ids: of the request.
            pointer: where they stand in the body.

        Raises:
            Problem: some are unknown; each of the first ones is named with its place.
        """
        if all(map(self.places.__contains__, item_ids)):
            return
        wrong = [(place, one) for place, one in enumerate(item_ids) if one not in self.places]
        more = f" and {len(wrong) - NAMED_UNKNOWN} more" if len(wrong) > NAMED_UNKNOWN else ""
        named = ", ".join(repr(one) for _, one in wrong[:NAMED_UNKNOWN])
        errors = [{"pointer": f"{pointer}/{place}", "detail": "unknown item"} for place, _ in wrong[:NAMED_UNKNOWN]]
        raise Problem("unknown-item", f"the catalog has no {named}{more}", errors=errors)


def load_served(source: Path, approximate: bool = False) -> Served:
    """Load the models of a bundle or a run, and make the first search and the first answer quick.

    Args:
        source: the bundle or the run.
        approximate: lists come from an index; a plain student without one is not served.

    Raises:
        UserError: the source holds no usable model.
    """
    from recdistill.serving.loading import best_model
    from recdistill.serving.recommender import Recommender

    best = best_model(source)
    main = Recommender.load(source, model=best, approximate=approximate)
    recommenders: dict[Trained, Recommender] = {best: main}
    if best == "student":
        logger.info("%s: no distilled student is there; the plain one answers", source)
    else:
        try:
            recommenders["student"] = Recommender.load(source, model="student", approximate=approximate)
        except UserError as error:
            logger.info("the plain student is not served: %s", error)
    served = Served(recommenders, read_examples(source, main.catalog), _counts_items(main))
    _check_texts(served)
    _warm_up(served)
    return served


def _counts_items(recommender: "Recommender") -> bool:
    """Whether a recommender knows how popular its items are."""
    try:
        recommender.popular(1)
    except UserError as error:
        logger.info("popularity is not served: %s", error)
        return False
    return True


def _check_texts(served: Served) -> None:
    """Refuse ids and titles that are no Unicode text: JSON cannot carry them."""
    catalog = served.main.catalog
    for texts in (catalog.item_ids, catalog.titles):
        try:
            "".join(texts).encode()
        except UnicodeEncodeError as error:
            raise UserError(f"the catalog holds an id or a title that is no Unicode text ({error.reason})") from error


def _warm_up(served: Served) -> None:
    """Do once what every request needs: derived tables, the runtime's first allocation."""
    first = served.main.catalog.item_ids[1]
    for recommender in served.recommenders.values():
        recommender.recommend_ids([first], top_k=1)
    assert first in served.places  # which makes the table
    served.main.catalog.search(first)
