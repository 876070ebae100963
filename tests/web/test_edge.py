"""What holds for every request: key, size, type, time, headers, metrics, log."""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from recdistill.errors import UserError
from recdistill.web.application import Application
from recdistill.web.logs import RequestLog
from recdistill.web.served import Served
from recdistill.web.settings import KEY_VARIABLE, ServeSettings, read_api_key
from web.fake import SOURCE, fake_served

KEY = "a-long-enough-key"


@contextmanager
def served(settings: ServeSettings | None = None, load: Any = fake_served) -> Iterator[TestClient]:
    with TestClient(
        Application(settings or ServeSettings(SOURCE, quiet=True), load), raise_server_exceptions=False
    ) as one:
        yield one


def test_the_key_is_asked_for_where_there_is_one() -> None:
    with served(ServeSettings(SOURCE, api_key=KEY, quiet=True)) as client:
        for headers in ({}, {"Authorization": KEY}, {"Authorization": f"Bearer {KEY}x"}, {"Authorization": "Bearer é"}):
            for method, path in (("POST", "/v1/recommend"), ("GET", "/v1/about"), ("GET", "/metrics")):
                sent: dict[bytes, bytes] = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
                answer = client.request(method, path, json={"history": []} if method == "POST" else None, headers=sent)
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
                assert KEY not in answer.text
        good = {"Authorization": f"Bearer {KEY}"}
        assert client.post("/v1/recommend", json={"history": []}, headers=good).status_code == 200
        assert client.get("/metrics", headers=good).status_code == 200
        for path in ("/health", "/ready", "/", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 200
        operation = client.get("/openapi.json").json()["paths"]["/v1/recommend"]["post"]
        assert operation["security"] == [{"key": []}]


def test_a_key_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert read_api_key("") == ""
    (tmp_path / "key").write_text(f"{KEY}\n")
    assert read_api_key(str(tmp_path / "key")) == KEY
    with pytest.raises(UserError, match="cannot read"):
        read_api_key(str(tmp_path / "none"))
    (tmp_path / "key").write_text("short")
    with pytest.raises(UserError, match="16 or more printable") as caught:
        read_api_key(str(tmp_path / "key"))
    assert "short" not in str(caught.value).replace(str(tmp_path), "")
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    assert read_api_key("") == KEY
    with pytest.raises(UserError, match="one of them"):
        read_api_key(str(tmp_path / "key"))
    assert KEY not in repr(ServeSettings(SOURCE, api_key=KEY))


@pytest.mark.parametrize(
    "kind", ["text/plain", "", "application/x-www-form-urlencoded", "application/json; charset=utf-16"]
)
def test_other_media_types_are_refused(client: TestClient, kind: str) -> None:
    answer = client.post("/v1/recommend", content=b'{"history": []}', headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert answer.headers["content-type"] == "application/problem+json"


def test_json_in_utf_8_may_say_so(client: TestClient) -> None:
    headers = {"Content-Type": 'Application/JSON; charset="UTF-8"'}
    assert client.post("/v1/recommend", content=b'{"history": []}', headers=headers).status_code == 200


def test_a_body_without_its_length_is_read_as_far_as_it_may_go(client: TestClient) -> None:
    headers = {"Content-Type": "application/json"}

    def parts(count: int) -> Iterator[bytes]:
        yield b'{"history": ["1"'
        for _ in range(count):
            yield b"," + b" " * 65_536
        yield b"]}"

    answer = client.post("/v1/recommend", content=parts(40), headers=headers)
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert client.post("/v1/recommend", content=iter([b'{"history":', b"[]}"]), headers=headers).status_code == 200


def test_a_slow_body_is_given_up() -> None:
    app = Application(ServeSettings(SOURCE, timeout=0.1, quiet=True), fake_served)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"100")]
    scope = {"type": "http", "method": "POST", "path": "/v1/recommend", "headers": headers}
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


def test_a_request_that_takes_too_long_is_given_up() -> None:
    def slow() -> Served:
        both = fake_served()
        both.main.similar = lambda *_, **__: time.sleep(0.5)  # type: ignore[method-assign, assignment]
        return both

    with served(ServeSettings(SOURCE, timeout=0.1, quiet=True), slow) as client:
        answer = client.get("/v1/similar", params={"item_id": "1"})
    assert (answer.status_code, answer.json()["type"]) == (504, "/docs#timeout")


def test_a_mistake_of_the_servers_is_told_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Served:
        both = fake_served()
        vars(both.main)["fails"] = True
        return both

    with served(load=broken) as client:
        for body in ({"history": ["1"]}, {"history": ["1"], "because": 1}):
            answer = client.post("/v1/recommend", json=body)
            assert (answer.status_code, answer.json()["type"]) == (500, "/docs#internal")
            assert "secret" not in answer.text
        answer = client.get("/v1/similar", params={"item_id": "1"})
        assert (answer.status_code, answer.json()["type"]) == (500, "/docs#internal")
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/v1/nothing", 404, None),
        ("GET", "/page/../settings.py", 404, None),
        ("GET", "/page/%2e%2e%2fsettings.py", 404, None),
        ("GET", "/v1/recommend", 405, "POST"),
        ("DELETE", "/v1/recommend", 405, "POST"),
        ("POST", "/v1/items", 405, "GET"),
        ("POST", "/v1/reload", 404, None),
    ],
)
def test_paths_and_methods_that_are_not_there_are_problems(
    client: TestClient, method: str, path: str, status: int, allowed: str | None
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.headers.get("allow") == allowed
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_every_answer_is_safe_and_has_an_id(client: TestClient) -> None:
    for path in ("/", "/docs", "/v1/about", "/v1/nothing", "/page/app.js", "/metrics"):
        headers = client.get(path, headers={"X-Request-ID": "mine-1"}).headers
        assert headers["x-request-id"] == "mine-1"
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
    forged = client.get("/health", headers={"X-Request-ID": 'a" b'}).headers["x-request-id"]
    assert forged != 'a" b'
    assert client.get("/health").headers["x-request-id"] != client.get("/health").headers["x-request-id"]


def test_requests_are_counted_by_documented_paths_alone(client: TestClient) -> None:
    client.get("/v1/nothing-" + "x" * 50)
    client.post("/v1/recommend", json={"history": ["1", "x"], "unknown": "skip"})
    text = client.get("/metrics").text
    assert 'recdistill_requests_total{path="other",status="404"}' in text
    assert "nothing-" not in text
    assert 'recdistill_bundle_workers{fingerprint="f1",name="demo"} 1.0' in text
    for name in ("request_seconds_count", "model_seconds_count", "model_batch_size_count", "answers_total"):
        assert f"recdistill_{name}" in text
    assert "recdistill_unknown_items_total 0.0" not in text


def test_a_line_is_logged_per_request_without_its_history() -> None:
    reading, writing = os.pipe()
    app = Application(ServeSettings(SOURCE, quiet=True), fake_served)
    app.edge.log = RequestLog(writing)
    with TestClient(app) as client:
        client.post("/v1/recommend", json={"history": ["7", "8"]})
        client.post("/v1/recommend", json={"history": ["secret"]})
        client.get("/v1/items", params={"query": "secret"})
    os.close(writing)
    with os.fdopen(reading) as file:
        lines = [json.loads(line) for line in file]
    assert [(line["path"], line["status"], line["histories"], line["bundle"]) for line in lines] == [
        ("/v1/recommend", 200, 1, "f1"),
        ("/v1/recommend", 422, 0, ""),
        ("/v1/items", 200, 0, ""),
    ]
    assert "secret" not in json.dumps(lines)
    assert all(0 < line["seconds"] < 5 and line["event"] == "request" for line in lines)


def test_what_is_not_ready_says_so(app: Application, client: TestClient) -> None:
    assert client.get("/ready").json() == {"status": "ready"}
    app.welcome = False
    try:
        assert client.get("/ready").status_code == 503
        assert client.get("/health").status_code == 200
    finally:
        app.welcome = True


def test_settings_out_of_range_are_named() -> None:
    for wrong in ({"port": -1}, {"workers": 0}, {"timeout": 0.0}, {"max_body": 10}, {"drain": -1.0}):
        with pytest.raises(UserError, match=r"out of range"):
            ServeSettings(SOURCE, **wrong)
