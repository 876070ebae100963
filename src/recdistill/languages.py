"""The languages of the reports: one file of messages each, in the package's `locales`."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

LOCALES = Path(__file__).with_name("locales")
LANGUAGES = tuple(sorted(path.stem for path in LOCALES.glob("*.ftl")))

if TYPE_CHECKING:
    Language = str
else:  # what a setting may be is what there are files for
    Language = Literal[LANGUAGES]
