"""Bodies of requests and answers. Unknown fields and wrong types are refused, never converted."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from recdistill.web import limits

ModelName = Literal["distilled", "student", "popularity"]
ItemId = Annotated[str, StringConstraints(min_length=1, max_length=limits.ITEM_ID)]
TopK = Annotated[int, Field(ge=1, le=limits.TOP_K)]
History = Annotated[list[ItemId], Field(max_length=limits.HISTORY)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Options(_Request):
    """What can be asked for besides histories."""

    model: ModelName | None = Field(
        None,
        description="Which model ranks; `popularity` counts training interactions. null: the distilled student, or the "
        "plain one where there is no other.",
    )
    top_k: TopK = Field(10, description="Items in each answer; fewer where the catalog has no more.")
    exclude_seen: bool | None = Field(
        None, description="Leave the items of the history out. null: as the run's own evaluation does."
    )
    candidates: Annotated[list[ItemId], Field(max_length=limits.CANDIDATES)] | None = Field(
        None, description="Rank these items alone. null: the whole catalog."
    )
    unknown: Literal["error", "skip"] = Field(
        "error", description="Items of the history that the catalog does not have: refuse the request, or skip them."
    )
    because: Annotated[int, Field(ge=0, le=limits.BECAUSE)] = Field(
        0, description="How many history items to name as reasons for each item (costs one more row per history item)."
    )


class RecommendRequest(Options):
    """One history."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"history": ["1", "273", "12"], "top_k": 5},
                {"history": ["1", "no such item"], "unknown": "skip", "because": 2},
                {"history": []},
            ]
        }
    )
    history: History = Field(description="Item ids, oldest first. Empty: the most popular items.")


class BatchRequest(Options):
    """Several histories, each with its own answer: 102,400 items together at most, and reasons for 64 histories."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"histories": [["1", "273"], ["12"]], "top_k": 5}]})
    histories: Annotated[list[History], Field(min_length=1, max_length=limits.BATCH)] = Field(
        description="Histories, each of item ids, oldest first."
    )


class Bundle(_Answer):
    """Which model answered. Two bundles of one name differ in their fingerprint."""

    name: str = Field(examples=["demo"])
    fingerprint: str = Field(examples=["0f3a9c1e5b7d2468"])
    version: str = Field(description="Of recdistill, which wrote the bundle.", examples=["0.1.0"])


class ReasonItem(_Answer):
    """A history item that a recommendation follows from."""

    item_id: str
    title: str
    weight: float = Field(description="How far the score falls without this item; negative: it rises.")


class RecommendedItem(_Answer):
    """One recommended item."""

    item_id: str
    title: str = Field(description="The id where the item has no title. Plain text, never markup.")
    score: float = Field(description="Comparable within one answer only.")
    because: list[ReasonItem] = Field(description="Largest weight first; empty where none were asked for.")


class Ranked(_Answer):
    """The answer to one history."""

    source: Literal["model", "popularity"] = Field(
        description="`popularity` where the history is empty, or all of it was skipped."
    )
    items: list[RecommendedItem] = Field(description="Best first.")
    unknown: list[str] = Field(description="Ids of the history that were skipped.")


class RecommendResponse(Ranked):
    """The answer to one history, and who gave it."""

    bundle: Bundle
    model: ModelName


class BatchResponse(_Answer):
    """The answers, in the order of the histories."""

    bundle: Bundle
    model: ModelName
    answers: list[Ranked]


class FoundItem(_Answer):
    """An item of the catalog."""

    item_id: str
    title: str
    match: Literal["id", "id_case", "title", "name", "words", "part", "similar"] = Field(
        description="How it was found: by its id, its title, words or a part of it; `similar` is a suggestion."
    )


class ItemsResponse(_Answer):
    """What a search found, best first; suggestions alone where nothing matches."""

    bundle: Bundle
    items: list[FoundItem]


class SimilarResponse(_Answer):
    """The items nearest to one item, nearest first."""

    bundle: Bundle
    items: list[RecommendedItem]


class AboutLimits(_Answer):
    """What one request may ask for."""

    history: int
    top_k: int
    batch: int
    candidates: int
    because: int


class About(_Answer):
    """What is served."""

    bundle: Bundle
    models: list[ModelName]
    num_items: int = Field(description="Items in the catalog.")
    max_length: int = Field(description="Latest items of a history that the model reads.")
    exclude_seen: bool = Field(description="Whether items of the history are left out by default.")
    examples: int = Field(description="Training users to look at, see `/v1/examples`.")
    limits: AboutLimits


class NamedItem(_Answer):
    """An item by its id and title."""

    item_id: str
    title: str


class Example(_Answer):
    """A training user: what the teacher listed after the history, and what came next."""

    history: list[NamedItem]
    next: NamedItem
    teacher: list[NamedItem] = Field(description="The teacher's stored list, best first.")


class ExamplesResponse(_Answer):
    """Training users of the run; none where a bundle is served."""

    bundle: Bundle
    examples: list[Example]


class ReloadResponse(_Answer):
    """The bundle that is served from now on, and the one before."""

    bundle: Bundle
    previous: Bundle


class Status(_Answer):
    """Whether the server runs, or is ready."""

    status: Literal["ok", "ready"]


class FieldProblem(_Answer):
    """One wrong field."""

    pointer: str = Field(description="JSON pointer into the body, or the name of a parameter.")
    detail: str


class ProblemDetails(_Answer):
    """An error (RFC 9457)."""

    type: str = Field(description="Where the problem is described.", examples=["/docs#invalid"])
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldProblem] | None = None
