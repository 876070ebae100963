"""Settings and their values that were called otherwise before, so that an old file is told the new name."""

from collections.abc import Mapping
from typing import Any

KEYS = (
    {
        "data.train_users": "data.train_user_fraction",
        "student.blocks": "student.num_layers",
        "student.heads": "student.num_heads",
        "student.mlp_factor": "student.ffn_multiplier",
        "teacher.activation_checkpointing": "teacher.gradient_checkpointing",
        "activation_checkpointing": "gradient_checkpointing",
        "export.made_up": "export.mixed_histories",
    }
    | {
        f"distill.{name}": f"distill.dllm2rec.{name}"
        for name in ("position_weight", "confidence_weight", "consistency_weight", "position_temperature")
    }
    | {
        f"{section}.train.gradient_clip": f"{section}.train.max_grad_norm"
        for section in ("student", "teacher", "distill")
    }
)
"""Dotted key before → now. The key without a section is `recdistill plan`'s."""
VALUES: Mapping[str, Mapping[str, str]] = {
    "teacher.kind": {"student": "second_student"},
    "distill.method": {"soft_labels": "topk_kl", "soft_targets": "full_catalog_ce"},
    "evaluate.baselines": {"neighbours": "cooccurrence"},
}
"""Dotted key → its values, or those in its list, before → now."""


def new_name(key: str) -> str:
    """`; it is called … now` where a setting, or a section's setting without its section, had another name."""
    found = KEYS.get(key) or _last_parts().get(key, "")
    return f"; it is called {found} now" if found else ""


def new_value(key: str, value: Any) -> str:
    """`; it is called … now` where a value of a setting had another name."""
    found = VALUES.get(key, {}).get(value, "") if isinstance(value, str) else ""
    return f"; it is called {found} now" if found else ""


def _last_parts() -> dict[str, str]:
    """Names before → now of settings without their sections, where the last part is what changed."""
    parts = {old.rpartition(".")[2]: new.rpartition(".")[2] for old, new in KEYS.items()}
    return {old: new for old, new in parts.items() if old != new}
