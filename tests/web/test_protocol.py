"""Connections that send too little, too much, or no HTTP; many requests on one; and the end of a server."""

import json
import socket
import time
from collections.abc import Iterator

import pytest

from recdistill.web import protocol
from recdistill.web.served import Served
from web.browser import serving
from web.fake import fake_served

REQUEST = b"POST /v1/recommend HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


def asked(body: bytes = b'{"history": ["1"], "top_k": 1}') -> bytes:
    return REQUEST % (len(body), body)


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    with serving(timeout=0.5) as url:
        host, _, port = url.removeprefix("http://").rstrip("/").rpartition(":")
        yield host, int(port)


def answers(connection: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def problem(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    told = json.loads(body)
    assert head.startswith(b"HTTP/1.1 %d " % told["status"])
    return told["status"], told["type"]


def test_what_never_becomes_a_request_is_closed(address: tuple[str, int]) -> None:
    for begun in (b"", b"POST /v1/recommend HTTP/1.1\r\nHost:"):
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(begun)
            assert problem(answers(connection)) == (408, "/docs#slow-client")


def test_a_body_that_never_ends_is_given_up(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(asked()[:-3])
        assert problem(answers(connection)) == (408, "/docs#slow-client")


def test_a_second_request_may_take_its_time_to_begin_and_not_to_end(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(asked())
        time.sleep(0.5)
        connection.sendall(asked() + b"GET")
        assert answers(connection).count(b"HTTP/1.1 200") == 2


def test_no_http_and_too_much_of_a_head_are_refused(address: tuple[str, int]) -> None:
    for sent in (b"\x16\x03\x01 what\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 40_000 + b"\r\n\r\n"):
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(sent)
            assert problem(answers(connection)) == (400, "/docs#malformed")
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n")
        assert problem(answers(connection)) == (400, "/docs#malformed")


def test_requests_on_one_connection_are_answered_in_order(address: tuple[str, int]) -> None:
    bodies = [b'{"history": ["%d"], "top_k": 1}' % item for item in range(1, 9)]
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"".join(map(asked, bodies)) + b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
        got = answers(connection)
    assert [int(part.split(b'"')[1]) for part in got.split(b'"items":[{"item_id":')[1:]] == list(range(2, 10))


def test_a_request_in_progress_is_answered_before_the_server_ends() -> None:
    def slow() -> Served:
        both = fake_served()
        answer = both.main.similar

        def similar(item_id: str, top_k: int = 10) -> list:  # type: ignore[type-arg]
            time.sleep(0.5)
            return answer(item_id, top_k)

        both.main.similar = similar  # type: ignore[method-assign]
        return both

    with serving(slow) as url:
        host, _, port = url.removeprefix("http://").rstrip("/").rpartition(":")
        connection = socket.create_connection((host, int(port)), timeout=10)
        connection.sendall(b"GET /v1/similar?item_id=1&top_k=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.1)
    with connection:
        assert b"HTTP/1.1 200" in answers(connection)
