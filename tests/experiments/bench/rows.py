"""Hand-made matrices and rows: what a bench leaves behind, without running one."""

from pathlib import Path
from typing import Any

from recdistill.experiments.bench.matrix import Matrix
from recdistill.experiments.bench.reading import read_matrix
from recdistill.experiments.bench.results import Results, Row, Status, results_of

MATRIX = """
name: made-up
title: {en: A made-up study, ja: 架空の実験}
rows: 64
validation_users: 8
test_rows: 8
export_rows: 64
threads: 1
cells:
  base: {}
  base-again: {}
  bf16: {teacher.precision: bf16}
  nf4: {teacher.quantization: nf4}
  saved: {teacher.gradient_checkpointing: true}
  nf4-saved: {teacher.quantization: nf4, teacher.gradient_checkpointing: true}
  compiled: {teacher.compile: true}
sections:
  - {name: precision, title: {en: Precision, ja: 精度}, question: {en: "Which?", ja: どれか。}, cells: [base, bf16]}
  - name: memory
    title: Memory
    cells: [nf4, saved, nf4-saved]
    factorial: [teacher.quantization, teacher.gradient_checkpointing]
  - {name: compile, cells: [compiled]}
"""
ENVIRONMENT = {
    "device": "cpu",
    "time": "2030-01-02T03:04:05+00:00",
    "system": "Linux x86_64",
    "cpu": {"model": "Some CPU", "cores": 2, "threads": 1},
    "memory_gib": 7.7,
    "gpu": None,
    "python": "3.12.1",
    "packages": {"torch": "2.9.0", "bitsandbytes": None},
    "git": {"commit": "0123abcd", "dirty": True},
}


def matrix(folder: Path, text: str = MATRIX) -> Matrix:
    """Write and read a matrix."""
    path = folder / "matrix.yaml"
    path.write_text(text, encoding="utf-8")
    return read_matrix(path)


def row(
    made: Matrix,
    cell: str,
    turn: int,
    train: float = 10.0,
    gib: float = 2.0,
    export: float = 4.0,
    compile_seconds: float | None = None,
    in_effect: bool | None = True,
    per_user: list[float] | None = None,
    **more: Any,
) -> Row:
    """One row that ended well."""
    phases = {"import": 3.0, "warm-up": 1.0, "data wait": 0.0, "train step": train, "validation": 2.0, "test": 1.0}
    phases |= {"export": export, "write": 0.0}
    if compile_seconds is not None:
        phases["compile"] = compile_seconds
    peaks = {"peak_allocated_gib": None, "peak_reserved_gib": None, "peak_device_gib": None}
    speed = {
        "prompts": 64,
        "useful": 640,
        "processed": 800,
        "targets": 64,
        "micro_batches": 8,
        "largest": 100,
        "most_prompts": 8,
        "packed": 0,
        "widths": 3,
        "reused": 0,
        "padding": 0.2,
        "steps": 8,
        "seconds": train,
        "rows_per_second": 64 / train,
        "targets_per_second": 64 / train,
        "useful_tokens_per_second": 640 / train,
        "padding_share": 0.2,
        "model_flops": 1e9,
        "model_flops_utilisation": 0.25,
    }
    settings: Any = made.cells[cell].settings
    whole: Any = {
        "cell": cell,
        "repeat": turn,
        "fingerprint": made.cells[cell].fingerprint(made.threads),
        "settings": settings,
        "sizes": {},
        "started": "2030-01-02T03:04:05+00:00",
        "seconds": 30.0,
        "status": "finished",
        "reason": "",
        "evidence": {
            "settings": [
                {"key": key, "asked": value, "seen": value if in_effect else None, "in_effect": in_effect}
                for key, value in settings.items()
            ],
            "model": {},
        },
        "phases": phases,
        "memory": {
            "import": {"peak_rss_gib": 0.5, **peaks},
            "train step": {"peak_rss_gib": gib, **peaks},
            "export": {"peak_rss_gib": gib / 2, **peaks},
        },
        "throughput": {
            "train": speed,
            "export": speed | {"seconds": export},
            "matmul_peak_flops": 1e11,
            "matmul_peak_dtype": "float32",
        },
        "quality": {
            "users": 8,
            "ndcg@10_before": 0.1,
            "ndcg@10_after": 0.11,
            "loss": 5.0,
            **({"per_user": per_user} if per_user is not None else {}),
        },
        "environment": ENVIRONMENT,
    }
    made_row: Row = whole | more
    return made_row


def ended(made: Matrix, cell: str, turn: int, status: Status, reason: str) -> Row:
    """One row that ended badly."""
    settings: Any = made.cells[cell].settings
    return {
        "cell": cell,
        "repeat": turn,
        "fingerprint": made.cells[cell].fingerprint(made.threads),
        "settings": settings,
        "sizes": {},
        "started": "2030-01-02T03:04:05+00:00",
        "seconds": 5.0,
        "status": status,
        "reason": reason,
    }


def results(made: Matrix, *rows: Row) -> Results:
    """The rows as the report sees them."""
    return results_of(made, rows)
