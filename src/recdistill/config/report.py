"""Settings of `report`."""

from dataclasses import dataclass

from recdistill.languages import Language


@dataclass(frozen=True)
class ReportConfig:
    """The report a person reads."""

    language: Language = "en"
    """The report's language, en (English) or ja (Japanese); each is one file of messages."""
