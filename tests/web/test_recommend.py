"""What /v1/recommend and its batch answer, and refuse."""

import asyncio
import json
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_json
from starlette.testclient import TestClient

from recdistill.serving.answers import Answer, Reason, Recommendation
from recdistill.web.answer_json import AnswerJson
from recdistill.web.application import Application
from recdistill.web.batching import Asked, MicroBatcher, Scored
from recdistill.web.problems import PROBLEMS
from recdistill.web.schemas import BatchResponse, ProblemDetails, RecommendResponse
from recdistill.web.settings import ServeSettings
from recdistill.web.slow_work import SlowWork
from web.fake import HOSTILE, SOURCE, FakeRecommender, fake_served


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def recommend(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/recommend", json=body)
    assert answer.status_code == 200, answer.text
    RecommendResponse.model_validate_json(answer.content)
    return dict(answer.json())


def refused(client: TestClient, status: int, path: str = "/v1/recommend", **request: Any) -> dict[str, Any]:
    """The problem that a request is answered with."""
    answer = client.post(path, **request)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = ProblemDetails.model_validate_json(answer.content)
    assert problem.status == status
    assert problem.type.removeprefix("/docs#") in PROBLEMS
    assert problem.request_id == answer.headers["x-request-id"]
    return dict(answer.json())


def test_a_history_is_answered_by_the_model_and_the_bundle_that_are_named(client: TestClient) -> None:
    answer = recommend(client, history=["1", "2"], top_k=3)
    assert ids(answer) == ["3", "4", "5"]
    assert answer["items"][1] == {"item_id": "4", "title": HOSTILE, "score": 1.875, "because": []}
    assert (answer["model"], answer["source"], answer["unknown"]) == ("distilled", "model", [])
    assert answer["bundle"] == {"name": "demo", "fingerprint": "f1", "version": "0.1.0"}
    assert ids(recommend(client, history=["1", "2"], top_k=3, model="student")) == ["5", "6", "7"]


def test_options_reach_the_recommender(client: TestClient) -> None:
    assert ids(recommend(client, history=["9", "8"], top_k=2, exclude_seen=False)) == ["9", "10"]
    assert ids(recommend(client, history=["9", "8"], top_k=2)) == ["10", "1"]
    assert ids(recommend(client, history=["1"], candidates=["7", "3"])) == ["3", "7"]
    because = recommend(client, history=["1", "2"], because=2)["items"][0]["because"]
    assert because == [
        {"item_id": "2", "title": "Heat", "weight": 0.5},
        {"item_id": "1", "title": "Toy Story", "weight": -0.5},
    ]


def test_an_empty_history_is_answered_by_popularity_which_says_so(client: TestClient) -> None:
    answer = recommend(client, history=[], top_k=2)
    assert (ids(answer), answer["source"], answer["model"]) == (["1", "2"], "popularity", "distilled")


def test_popularity_leaves_out_what_was_seen_and_what_is_no_candidate(client: TestClient) -> None:
    assert ids(recommend(client, model="popularity", history=["1", "3"], top_k=2)) == ["2", "4"]
    seen = recommend(client, model="popularity", history=["1"], exclude_seen=False, candidates=["5", "1"])
    assert ids(seen) == ["1", "5"]
    skipped = recommend(client, model="popularity", history=["1", "x"], unknown="skip", top_k=1)
    assert (ids(skipped), skipped["unknown"]) == (["2"], ["x"])


def test_unknown_items_are_refused_with_their_places_or_skipped(client: TestClient) -> None:
    problem = refused(client, 422, json={"history": ["1", "x", "2", "y\u0000"]})
    assert problem["type"] == "/docs#unknown-item"
    assert [one["pointer"] for one in problem["errors"]] == ["#/history/1", "#/history/3"]
    assert recommend(client, history=["1", "x"], unknown="skip")["unknown"] == ["x"]
    problem = refused(client, 422, "/v1/recommend/batch", json={"histories": [["1"], ["2", "x"]]})
    assert problem["errors"][0]["pointer"] == "#/histories/1/1"
    problem = refused(client, 422, json={"history": ["1"], "candidates": ["2", "x"]})
    assert problem["errors"][0]["pointer"] == "#/candidates/1"


def test_a_batch_is_answered_in_its_order(client: TestClient) -> None:
    histories = [["1"], [], ["5", "1"], ["x", "4"]]
    answer = client.post("/v1/recommend/batch", json={"histories": histories, "top_k": 2, "unknown": "skip"})
    BatchResponse.model_validate_json(answer.content)
    assert [ids(one) for one in answer.json()["answers"]] == [["2", "3"], ["1", "2"], ["2", "3"], ["5", "6"]]
    assert [one["source"] for one in answer.json()["answers"]] == ["model", "popularity", "model", "model"]
    assert answer.json()["answers"][3]["unknown"] == ["x"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"history": [1]}, "#/history/0"),
        ({"history": "1"}, "#/history"),
        ({"history": None}, "#/history"),
        ({}, "#/history"),
        ([], "#"),
        ("text", "#"),
        ({"history": [""]}, "#/history/0"),
        ({"history": ["a" * 1025]}, "#/history/0"),
        ({"history": ["1"] * 10_001}, "#/history"),
        ({"history": ["1"], "top_k": 0}, "#/top_k"),
        ({"history": ["1"], "top_k": 1001}, "#/top_k"),
        ({"history": ["1"], "top_k": 2.5}, "#/top_k"),
        ({"history": ["1"], "top_k": "3"}, "#/top_k"),
        ({"history": ["1"], "top_k": True}, "#/top_k"),
        ({"history": ["1"], "because": -1}, "#/because"),
        ({"history": ["1"], "because": 11}, "#/because"),
        ({"history": ["1"], "model": "teacher"}, "#/model"),
        ({"history": ["1"], "unknown": "guess"}, "#/unknown"),
        ({"history": ["1"], "exclude_seen": 1}, "#/exclude_seen"),
        ({"history": ["1"], "topk": 3}, "#/topk"),
    ],
)
def test_wrong_fields_are_named(client: TestClient, body: Any, pointer: str) -> None:
    problem = refused(client, 422, json=body)
    assert [one["pointer"] for one in problem["errors"]] == [pointer]


def test_a_million_items_are_too_many(client: TestClient) -> None:
    problem = refused(client, 413, json={"history": ["1"] * 1_000_000})
    assert "1048576 bytes" in problem["detail"]
    problem = refused(client, 422, "/v1/recommend/batch", json={"histories": [["1"] * 10_001] * 2})
    assert [one["pointer"] for one in problem["errors"]] == ["#/histories/0", "#/histories/1"]
    refused(client, 422, "/v1/recommend/batch", json={"histories": [["1"]] * 1025})
    refused(client, 422, "/v1/recommend/batch", json={"histories": []})
    for wrong in ({"top_k": 101}, {"because": 1}):
        problem = refused(client, 422, "/v1/recommend/batch", json={"histories": [["1"]] * 1024, **wrong})
        assert [one["pointer"] for one in problem["errors"]] == [f"#/{next(iter(wrong))}"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"history": ["1"], "top_k": 1e999999}',
        b"[" * 100_000,
        b'{"history": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"history": ["\xff"]}',
        b'{"history": ["\\ud800"]}',
        b'{"history": ["1"], "top_k": NaN}',
        b'{"history": ["1"], "top_k": -Infinity}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_no_json_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/v1/recommend", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    ProblemDetails.model_validate_json(answer.content)


def test_a_value_is_not_repeated_in_what_is_wrong_with_it(client: TestClient) -> None:
    problem = refused(client, 422, json={"history": [{"secret": 1}], "top_k": "secret"})
    assert {one["pointer"] for one in problem["errors"]} == {"#/history/0", "#/top_k"}
    assert "secret" not in json.dumps(problem)


def test_what_fits_no_number_of_the_model_is_refused(client: TestClient) -> None:
    app = Application(ServeSettings(SOURCE, quiet=True), load=lambda: fake_served_alone())
    with TestClient(app) as other:
        problem = refused(other, 422, json={"history": ["1"], "model": "student"})
        assert problem["detail"] == "demo has no model student; it has distilled, popularity"
        assert other.get("/v1/about").json()["models"] == ["distilled", "popularity"]


def fake_served_alone() -> Any:
    both = fake_served()
    return type(both)({"distilled": both.recommenders["distilled"]})


def test_requests_of_one_turn_are_scored_together_and_apart_where_they_ask_for_other_things() -> None:
    one, other = FakeRecommender(), FakeRecommender(shift=2)
    batches: list[int] = []

    async def ask() -> list[Scored]:
        batcher = MicroBatcher(lambda _seconds, histories: batches.append(histories), largest=3)
        plain = Asked(2, None, "error")
        waiting = [batcher.submit(one, [str(item)], plain) for item in range(1, 6)]  # type: ignore[arg-type]
        waiting.append(batcher.submit(one, ["1"], Asked(1, None, "error")))  # type: ignore[arg-type]
        waiting.append(batcher.submit(other, ["1"], plain))  # type: ignore[arg-type]
        waiting[1].cancel()
        return [await future for future in waiting if not future.cancelled()]

    scored = asyncio.run(ask())
    assert [[item.item_id for item in one.answer] for one in scored] == [
        ["2", "3"],
        ["4", "5"],
        ["5", "6"],
        ["6", "7"],
        ["2"],
        ["4", "5"],
    ]
    assert batches == [2, 1, 1, 2]
    assert (one.calls, other.calls) == ([2, 1, 2], [1])  # three were taken, of which one had been cancelled


def test_a_failed_batch_fails_each_of_its_requests() -> None:
    fails = FakeRecommender()
    fails.fails = True

    async def ask() -> list[Any]:
        batcher = MicroBatcher(lambda _seconds, _histories: None)
        waiting = [batcher.submit(fails, ["1"], Asked(2, None, "error")) for _ in range(2)]  # type: ignore[arg-type]
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(one) for one in asyncio.run(ask())] == [RuntimeError, RuntimeError]


def test_more_slow_work_than_can_wait_is_told_to_come_again(app: Application) -> None:
    before, app.api.slow = app.api.slow, SlowWork(waiting=0)
    try:
        with TestClient(app) as client:
            answer = client.get("/v1/items", params={"query": "Heat"})
            problem = refused(client, 503, "/v1/recommend/batch", json={"histories": [["1"]]})
    finally:
        app.api.slow = before
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert problem["type"] == "/docs#busy"


@given(
    st.lists(
        st.builds(
            Recommendation,
            st.text(min_size=1),
            st.text(),
            st.floats(allow_nan=False, allow_infinity=False, width=32),
            st.lists(st.builds(Reason, st.text(), st.text(), st.floats(-9, 9)), max_size=2).map(tuple),
        ),
        max_size=3,
        unique_by=lambda item: item.item_id,
    ),
    st.lists(st.text(), max_size=2),
)
@settings(max_examples=50, deadline=None)
def test_json_is_that_of_a_library(items: list[Recommendation], unknown: list[str]) -> None:
    answer = Answer(tuple(items), tuple(unknown))
    writer = AnswerJson()
    for _ in range(2):
        read = json.loads(b"{%b}" % writer.answer(answer))
        scores = [numpy.float32(item.pop("score")) for item in read["items"]]
        assert scores == [numpy.float32(item.score) for item in items]
        plain = json.loads(to_json({"source": "model", "items": [as_json(one) for one in items], "unknown": unknown}))
        assert read["items"] == [{key: item[key] for key in item if key != "score"} for item in plain.pop("items")]
        assert {key: read[key] for key in plain} == plain


def as_json(item: Recommendation) -> dict[str, Any]:
    return item._asdict() | {"because": [one._asdict() for one in item.because]}
