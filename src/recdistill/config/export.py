"""Settings of `export`: the teacher's outputs."""

from dataclasses import dataclass
from typing import Literal

from recdistill.config.rules import NOT_NEGATIVE, POSITIVE, check_ranges, setting


@dataclass(frozen=True)
class ExportConfig:
    """The teacher's outputs on disk."""

    enabled: bool = True
    """Write them. false: stop after the teacher; distillation is then skipped too."""
    batch_size: int | Literal["auto"] = setting(32, POSITIVE, evidence="export_batch")
    """Prompts per batch. auto: doubled from 8 on as long as it fits and pays; what was chosen and why is recorded."""
    use_cache: bool = setting(False, evidence="use_cache")
    """Keep keys and values of a user's history and extend them by one item for the next target. Only where prompts are
    read again as they grow: targets last, gate causal or none. Elsewhere there is nothing to reuse: refused."""
    top_k: int = setting(50, POSITIVE, evidence="top_k")
    """Items kept per target, best first."""
    exclude_seen: bool | None = None
    """Leave the items of the history out of a target's list; the target itself stays, also where it is a repeat. Empty:
    as `evaluate.filter_seen` has it, so that lists hold what is ranked."""
    states: bool = setting(True, evidence="states")
    """Keep the user embedding of each target too (fp16). Distillation reads the lists alone; at the defaults states
    are two fifths of a row."""
    shard_rows: int = setting(16384, POSITIVE)
    """Rows in one shard; an interrupted export resumes after its last whole shard."""
    mixed_histories: int = setting(0, NOT_NEGATIVE)
    """Histories mixed from two people's, as long as a student's window, about which the teacher is asked too. The
    distilled student learns their lists; their items are never its targets. For data with few users."""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self, "export")
