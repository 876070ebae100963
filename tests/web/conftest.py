"""One application for the tests of this folder; what it serves follows simple rules, see `fake.py`."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from recdistill.web.application import Application
from recdistill.web.settings import ServeSettings
from web.fake import SOURCE, fake_served


@pytest.fixture(scope="session")
def app() -> Application:
    """Without a key."""
    return Application(ServeSettings(SOURCE, quiet=True), load=fake_served)


@pytest.fixture(scope="session")
def client(app: Application) -> Iterator[TestClient]:
    """A client of the application."""
    with TestClient(app, raise_server_exceptions=True) as client:
        yield client
