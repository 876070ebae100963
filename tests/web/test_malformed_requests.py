"""Requests that cannot be meant: each is told in one problem, and the next request is answered."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from recdistill.web.application import Application
from recdistill.web.settings import ServeSettings
from web.fake import SOURCE, fake_served

RECOMMEND, BATCH = "/v1/recommend", "/v1/recommend/batch"
DEEP = 100_000
BODIES: dict[str, bytes] = {
    "empty": b"",
    "blank": b"  \n",
    "no JSON": b"history=1",
    "cut short": b'{"history": ["1"',
    "two values": b"{} {}",
    "a list": b"[]",
    "null": b"null",
    "a number": b"1",
    "a text": b'"history"',
    "no text": b"\xff\xfe",
    "UTF-16": '{"history": ["1"]}'.encode("utf-16"),
    "NULs": b"\0" * 64,
    "a pickle": b"\x80\x04\x95" + b"\0" * 40,
    "many levels": b"[" * DEEP,
    "many levels in a history": b'{"history": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "no history": b"{}",
    "a history of null": b'{"history": null}',
    "a history that is a text": b'{"history": "1"}',
    "a history that is an object": b'{"history": {"0": "1"}}',
    "numbers as ids": b'{"history": [1]}',
    "null as an id": b'{"history": [null]}',
    "a lone surrogate as an id": b'{"history": ["\\ud800"]}',
    "an id of a million letters": b'{"history": ["' + b"x" * 10**6 + b'"]}',
    "too long a history": json.dumps({"history": ["1"] * 10_001}).encode(),
    "an unknown key": b'{"history": ["1"], "nobody": 1}',
    "no items": b'{"history": ["1"], "top_k": 0}',
    "fewer than no items": b'{"history": ["1"], "top_k": -1}',
    "too many items": b'{"history": ["1"], "top_k": 1001}',
    "a number of 5,000 digits": b'{"history": ["1"], "top_k": ' + b"9" * 5000 + b"}",
    "half an item": b'{"history": ["1"], "top_k": 1.5}',
    "NaN items": b'{"history": ["1"], "top_k": NaN}',
    "infinitely many items": b'{"history": ["1"], "top_k": 1e999}',
    "truth as a number": b'{"history": ["1"], "top_k": true}',
    "a text as a number": b'{"history": ["1"], "top_k": "3"}',
    "an unknown id": b'{"history": ["nobody"]}',
    "an id with a NUL": b'{"history": ["1\\u0000"]}',
    "an escape sequence as an id": b'{"history": ["\\u001b[2J"]}',
    "a path as an id": b'{"history": ["../../etc/passwd"]}',
    "candidates that nobody knows": b'{"history": ["1"], "candidates": ["nobody"]}',
    "candidates in a text": b'{"history": ["1"], "candidates": "1"}',
    "too many reasons": b'{"history": ["1"], "because": 11}',
    "a body of 2 MB": b'{"history": ["' + b'1","' * 500_000 + b'1"]}',
}
NINES = "9" * 5000
QUERIES = [
    "/v1/items",
    "/v1/items?query=" + "x" * 300,
    "/v1/items?query=a&item_id=1",
    "/v1/items?query=a&limit=-1",
    "/v1/items?query=a&limit=1e9",
    f"/v1/items?query=a&limit={NINES}",
    "/v1/items?" + "&".join(["item_id=1"] * 201),
    "/v1/items?item_id=" + "x" * 2000,
    "/v1/similar",
    "/v1/similar?item_id=nobody",
    "/v1/similar?item_id=%00",
    "/v1/similar?item_id=%ed%a0%80",
    "/v1/similar?item_id=1&top_k=NaN",
    f"/v1/similar?item_id=1&top_k={NINES}",
    "/page/../../etc/passwd",
    "/page/..%2f..%2fetc%2fpasswd",
    "/page/%00",
    "/page/app.js%00.html",
    "//etc/passwd",
    "/v1/nobody",
]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    application = Application(ServeSettings(SOURCE, quiet=True), fake_served)
    with TestClient(application, raise_server_exceptions=False) as one:
        yield one


def check(client: TestClient, status: int, text: str, kind: str) -> None:
    assert 400 <= status < 500, text
    assert kind == "application/problem+json"
    assert set(json.loads(text)) >= {"type", "title", "status"}
    assert "Traceback" not in text
    assert str(Path(__file__).parents[2]) not in text
    assert len(text) < 3000
    assert client.post(RECOMMEND, json={"history": ["1"], "top_k": 1}).status_code == 200


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_cannot_be_meant(client: TestClient, name: str) -> None:
    answer = client.post(RECOMMEND, content=BODIES[name], headers={"Content-Type": "application/json"})
    check(client, answer.status_code, answer.text, answer.headers["content-type"])


@pytest.mark.parametrize("name", [name for name in BODIES if name not in ("a body of 2 MB",)])
def test_a_batch_that_cannot_be_meant(client: TestClient, name: str) -> None:
    answer = client.post(BATCH, content=BODIES[name], headers={"Content-Type": "application/json"})
    check(client, answer.status_code, answer.text, answer.headers["content-type"])


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[:40])
def test_an_address_that_cannot_be_meant(client: TestClient, query: str) -> None:
    answer = client.get(query)
    check(client, answer.status_code, answer.text, answer.headers["content-type"])
