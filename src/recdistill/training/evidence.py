"""What a teacher really is and did, read off its modules and off a watched step, and what its gate does with users."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from recdistill.config import TeacherConfig
from recdistill.data.batches import sorted_batches
from recdistill.data.windows import collate, history_windows
from recdistill.language_models.blocks import decoder_blocks
from recdistill.language_models.weights import quantised_layers, quantised_share
from recdistill.measure.facts import Facts, GateExamples, Judged, ModuleFacts, TrainedFacts, Watched, beside_tokens
from recdistill.measure.settings_check import judge
from recdistill.storage.typed import typed
from recdistill.teacher.experts import base_decoder, expert_layers
from recdistill.teacher.teacher import Teacher
from recdistill.training.checkpoint import trained_parameters
from recdistill.training.result import FitResult

EXAMPLE_USERS = 12
"""Users whose expert weights are kept for the report."""
GATE_BATCH = 256


def module_facts(teacher: Teacher) -> ModuleFacts:
    """What the teacher is: kernels, types and counts, read off the modules rather than off the configuration."""
    ranker = teacher.ranker
    decoder = base_decoder(ranker.llm)
    quantised = quantised_layers(ranker.llm)
    frozen = [p for p in ranker.llm.parameters() if not p.requires_grad and p.is_floating_point()]
    longest = int(teacher.windows.shown(teacher.export_windows()).max())
    found: ModuleFacts = {
        "attention_in_use": str(decoder.config._attn_implementation),  # type: ignore[union-attr]
        "blocks": len(decoder_blocks(ranker.llm)),
        "gate": "none" if ranker.gate is None else ranker.gate.kind,
        "lean_norms": ranker.lean_norms,
        "frozen_dtypes": sorted({str(p.dtype) for p in frozen}),
        "trained_dtypes": sorted({str(p.dtype) for p in trained_parameters(ranker).values()}),
        "quantised_layers": len(quantised),
        "quantised_share": round(quantised_share(ranker.llm), 4),
        "quantised_kinds": sorted({type(module).__name__ for module in quantised}),
        "longest_history": int(np.minimum(longest, teacher.config.history_length)),
        "longest_sequence": longest,
        "double_quantised_layers": sum(_is_nested(module) for module in quantised),
        "compute_dtypes": sorted({str(m.compute_dtype) for m in quantised if getattr(m, "compute_dtype", None)}),
        "adapted_layers": len(expert_layers(ranker.llm)),
        "frozen_parameters": sum(p.numel() for p in ranker.parameters() if not p.requires_grad),
        "trained_parameters": sum(p.numel() for p in trained_parameters(ranker).values()),
    }
    return typed({**teacher.choices, **found}, ModuleFacts, "facts")


def _is_nested(layer: Any) -> bool:
    """Whether a 4-bit layer's constants are quantised too."""
    return bool(getattr(getattr(layer.weight, "quant_state", None), "nested", False))


def block_facts(teacher: Teacher) -> Watched:
    """How often the decoder blocks were called and how often their insides ran, so far."""
    forwards = [block.forward for block in decoder_blocks(teacher.ranker.llm)]
    return {
        "block_calls": sum(one.calls for one in forwards),  # type: ignore[attr-defined]
        "block_executions": sum(one.executions for one in forwards),  # type: ignore[attr-defined]
    }


def trained_facts(teacher: Teacher, result: FitResult, processes: int = 1) -> TrainedFacts:
    """What the training loop did, over all tries, and the weights that validation chose."""
    head = teacher.ranker.head
    together: TrainedFacts = {"processes": processes} if processes > 1 else {}
    return {
        **together,
        "tokens": {"train": teacher.trained.plain()},
        "batches_by_worker": result.batches_by_worker,
        "micro_batches_per_step": result.micro_batches_per_step,
        "correction_weight": float(head.correction_weight.detach()) if head.residual else None,
        "titles_weight": None if head.titles_weight is None else float(head.titles_weight.detach()),
    }


def training_judgements(config: TeacherConfig, facts: Facts) -> list[Judged]:
    """Each of the teacher's settings with what was seen of it; those that have nothing to act on are left out."""
    asked: dict[str, object] = {
        f"teacher.{name}": getattr(config, name)
        for name in (
            "layers",
            "targets",
            "llm_weights",
            "title_encoder",
            "precision",
            "quantization",
            "attention",
            "padding",
            "compile",
            "cuda_graphs",
            "gradient_checkpointing",
        )
    } | {"teacher.gate.kind": config.gate.kind, "teacher.title_tuning.steps": config.title_tuning.steps}
    if config.quantization == "nf4":
        asked |= {"teacher.double_quantization": config.double_quantization}
        asked |= {"teacher.compute_dtype": config.compute_dtype}
    if config.title_encoder != "llm":
        asked |= {"teacher.title_encoder_weights": config.title_encoder_weights}
    if config.title_decay > 0:
        asked |= {"teacher.title_decay": config.title_decay}
    if config.streams:
        asked |= {"teacher.windows": config.windows}
    names = ["accumulate_grad_batches", "num_workers"]
    if not config.streams or config.train.batch_tokens is not None:  # of streams, as many as fill as many windows
        names.append("batch_size" if config.train.batch_tokens is None else "batch_tokens")
    asked |= {f"teacher.train.{name}": getattr(config.train, name) for name in names}
    return [one.kept() for one in judge(asked, beside_tokens(facts, facts["tokens"]))]


@torch.inference_mode()
def gate_examples(teacher: Teacher, user_ids: Sequence[str]) -> GateExamples:
    """Expert weights after the whole train history: some users', their mean entropy (nats), their spread over users."""
    data, ranker = teacher.data, teacher.ranker
    if ranker.gate is None:
        return {"users": [], "entropy": None, "between_user_std": None}
    targets = data.targets("validation")
    windows = history_windows(data, targets, teacher.window_length)
    weights = torch.zeros(len(windows), teacher.config.adapter.experts)
    for rows in sorted_batches(windows.lengths, GATE_BATCH):
        items = collate(data, windows, rows).items.to(teacher.device)
        weights[torch.from_numpy(rows)] = ranker.gate(ranker.student.last_states(items)).cpu()
    chosen = np.linspace(0, len(windows) - 1, min(EXAMPLE_USERS, len(windows))).astype(int)
    return {
        "users": [
            {"user": user_ids[targets.users[row]], "weights": [round(float(w), 4) for w in weights[row]]}
            for row in chosen
        ],
        "entropy": float(-(weights * weights.clamp_min(1e-12).log()).sum(dim=1).mean()),
        "between_user_std": float(weights.std(dim=0, correction=0).mean()),
    }
