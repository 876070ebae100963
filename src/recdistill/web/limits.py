"""How much one request may ask for. What depends on the machine (body, time) is a setting of `recdistill serve`."""

from typing import Final

HISTORY: Final = 10_000
"""Items in one history. The model reads the latest `max_length`; the others are only left out of the answer."""
TOP_K: Final = 1_000
"""Items in one answer."""
BATCH: Final = 1_024
"""Histories in one batch."""
ITEMS: Final = 102_400
"""Items in all answers of a batch together."""
EXPLAINED: Final = 64
"""Histories in a batch that asks for reasons: each costs as many rows of the model as its history has items."""
CANDIDATES: Final = 10_000
"""Items that an answer can be restricted to."""
BECAUSE: Final = 10
"""History items named as reasons for one recommendation."""
ITEM_ID: Final = 1_024
"""Characters of an item id."""
QUERY: Final = 256
"""Characters of a search."""
ITEM_IDS: Final = 200
"""Ids whose titles are asked for at once."""
FOUND: Final = 100
"""Items found by one search."""
EXAMPLES: Final = 20
"""Training users shown as examples."""

SMALL_BODY: Final = 1 << 20
"""Bytes of a body that is no batch."""
SLOW_WAITING: Final = 64
"""Slow requests (batches, searches, reasons) that may wait in one worker; the next one is told to come again."""
