"""Settings of `report`."""

from dataclasses import dataclass

from recdistill.languages import Language


@dataclass(frozen=True)
class ReportConfig:
    """The report a person reads."""

    language: Language = "en"
    """The report's language, en (English) or ja (Japanese); each is one file of messages."""
    control: str = ""
    """Folder of an evaluated run that differs in `teacher.llm_weights` or `teacher.title_encoder_weights` alone: the
    report then says what pretrained knowledge is worth. Empty: none."""
