"""Changing to another bundle while requests come in: it is loaded beside the old one, then takes its place at once."""

import asyncio
import gc
import logging
from collections.abc import Callable

from pydantic_core import to_json

from recdistill.errors import UserError
from recdistill.web.api import Api, Reply
from recdistill.web.problems import Problem
from recdistill.web.served import Served

logger = logging.getLogger("recdistill.serving")


class Reloader:
    """Loads the source again on request; one at a time.

    Args:
        api: whose bundle is replaced.
        load: loads the source.
        tell_others: makes the other workers do the same.
    """

    def __init__(self, api: Api, load: Callable[[], Served], tell_others: Callable[[], None]) -> None:
        self.api, self.load, self.tell_others = api, load, tell_others
        self._lock = asyncio.Lock()

    async def on_request(self) -> Reply:
        """Reload here and then in the other workers.

        Raises:
            Problem: the source is not usable; what was served before still is.
        """
        before, after = await self.reload()
        self.tell_others()
        return Reply(to_json({"bundle": after.bundle, "previous": before.bundle}), bundle=after.bundle["fingerprint"])

    async def on_signal(self) -> None:
        """Reload here; where that fails, the log says so."""
        try:
            await self.reload()
        except Problem as problem:
            logger.error("%s", problem.detail)

    async def reload(self) -> tuple[Served, Served]:
        """Load the source and serve it from the next request on.

        Returns:
            What was served before, and what is now.

        Raises:
            Problem: the source is not usable.
        """
        async with self._lock:
            before = self.api.served
            try:
                after = await asyncio.to_thread(self.load)
            except UserError as error:
                self.api.metrics.reloaded("refused")
                name = f"{before.bundle['name']} [{before.bundle['fingerprint']}]"
                raise Problem("refused", f"{error}; {name} is still served") from error
            self.api.served = after
            same = before.bundle == after.bundle
            self.api.metrics.reloaded("same" if same else "changed")
            self.api.metrics.serves(after.bundle, before.bundle)
            logger.info("serves %(name)s [%(fingerprint)s]", after.bundle)
            gc.collect()
            return before, after
