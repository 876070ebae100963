"""Search, titles, similar items, what is served, the schema and its page."""

from typing import Any

from starlette.testclient import TestClient

from recdistill.serving.examples import Example, NamedItem
from recdistill.web.application import Application
from recdistill.web.problems import PROBLEMS
from recdistill.web.schemas import About, ExamplesResponse, ItemsResponse, SimilarResponse
from recdistill.web.settings import ServeSettings
from web.fake import HOSTILE, SOURCE, fake_served


def items(client: TestClient, **query: Any) -> list[tuple[str, str]]:
    answer = client.get("/v1/items", params=query)
    assert answer.status_code == 200, answer.text
    ItemsResponse.model_validate_json(answer.content)
    return [(one["item_id"], one["match"]) for one in answer.json()["items"]]


def test_items_are_found_by_title_part_and_id_or_something_near_is_offered(client: TestClient) -> None:
    assert items(client, query="alien")[0] == ("6", "name")
    assert items(client, query="alie", limit=1) == [("6", "part")]
    assert items(client, query="5") == [("5", "id")]
    assert ("8", "similar") in items(client, query="Frago")
    assert items(client, query="   ") == []
    assert items(client, query="七人") == [("5", "part")]
    assert client.get("/v1/items", params={"query": "<img"}).json()["items"][0]["title"] == HOSTILE


def test_ids_are_named_and_unknown_ones_left_out(client: TestClient) -> None:
    assert items(client, item_id=["2", "x", "1", "9"]) == [("2", "id"), ("1", "id"), ("9", "id")]
    assert client.get("/v1/items", params={"item_id": "9"}).json()["items"][0]["title"] == "9"


def test_a_search_needs_a_text_or_ids_within_limits(client: TestClient) -> None:
    queries: list[dict[str, str | int]] = [
        {},
        {"query": "a", "item_id": "1"},
        {"query": ""},
        {"query": "a" * 257},
        {"query": "a", "limit": 0},
    ]
    for query in queries:
        answer = client.get("/v1/items", params=query)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert client.get("/v1/items", params={"query": "a", "limit": "x"}).json()["errors"][0]["pointer"] == "limit"
    assert client.get("/v1/items", params={"item_id": ["1"] * 201}).status_code == 422
    assert client.get("/v1/items?query=%ff%00%01").status_code == 200


def test_similar_items_are_listed_and_an_unknown_one_is_not_found(client: TestClient) -> None:
    answer = client.get("/v1/similar", params={"item_id": "4", "top_k": 2})
    SimilarResponse.model_validate_json(answer.content)
    assert [one["item_id"] for one in answer.json()["items"]] == ["1", "2"]
    assert client.get("/v1/similar", params={"item_id": "x"}).status_code == 404
    assert client.get("/v1/similar").status_code == 422


def test_what_is_served_is_described(client: TestClient) -> None:
    about = About.model_validate_json(client.get("/v1/about").content)
    assert (about.models, about.num_items, about.max_length) == (["distilled", "student", "popularity"], 10, 50)
    assert about.limits.batch == 1024
    assert about.examples == 0


def test_training_users_are_shown_where_there_are_some(client: TestClient) -> None:
    assert client.get("/v1/examples").json()["examples"] == []
    one = Example((NamedItem("1", "Toy Story"),), NamedItem("2", "Heat"), (NamedItem("3", "x"), NamedItem("2", "Heat")))
    app = Application(ServeSettings(SOURCE, quiet=True), lambda: fake_served(examples=[one]))
    with TestClient(app) as other:
        answer = ExamplesResponse.model_validate_json(other.get("/v1/examples").content)
    assert answer.examples[0].next.item_id == "2"
    assert [item.item_id for item in answer.examples[0].teacher] == ["3", "2"]


def test_the_schema_has_every_path_with_its_answers_and_examples(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert set(schema["paths"]) == {
        "/v1/recommend",
        "/v1/recommend/batch",
        "/v1/items",
        "/v1/similar",
        "/v1/about",
        "/v1/examples",
        "/health",
        "/ready",
        "/metrics",
    }
    parts = schema["components"]["schemas"]
    assert parts["RecommendRequest"]["examples"]
    assert parts["BatchRequest"]["examples"]
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            assert operation["responses"]["200"]["content"], path
            assert "ProblemDetails" in str(operation["responses"]["500"])


def test_the_page_of_the_schema_names_all_of_it_and_holds_no_script(client: TestClient) -> None:
    page = client.get("/docs").text
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in page
    for kind in PROBLEMS:
        assert f'id="{kind}"' in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://127.0.0.1", "")
    assert "https://" not in page


def test_files_of_the_page_are_fetched_again_only_where_they_changed(client: TestClient) -> None:
    first = client.get("/page/app.js")
    assert first.headers["content-type"].startswith("text/javascript")
    again = client.get("/page/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
