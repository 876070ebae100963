"""A server in a thread and a browser, for the tests of the page and for its pictures in docs/images."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recdistill.serving.examples import Example, NamedItem
from recdistill.web.application import Application
from recdistill.web.serve import address_of, listen
from recdistill.web.served import Served
from recdistill.web.server import GracefulServer
from recdistill.web.settings import ServeSettings
from web.fake import SOURCE, fake_served

CHROMIUM = Path("/usr/bin/chromium")
CONTRAST = Path(__file__).with_name("contrast.js")


def with_example() -> Served:
    """Both models, and a training user."""
    named = {one: NamedItem(one, fake_served().main.catalog.name(int(one))) for one in map(str, range(1, 11))}
    teacher = tuple(named[one] for one in ("8", "5", "4"))
    return fake_served(examples=[Example((named["1"], named["2"]), named["5"], teacher)])


@contextmanager
def serving(load: Callable[[], Served] = with_example, **settings: Any) -> Iterator[str]:
    """The address of a server that runs for the time of the block."""
    chosen = ServeSettings(SOURCE, port=0, quiet=True, **settings)
    listening, started = listen(chosen), threading.Event()
    server = GracefulServer(Application(chosen, load), chosen, on_started=started.set)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    assert started.wait(20)
    try:
        yield address_of(listening)
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
