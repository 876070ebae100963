"""What a cell's teacher and its store turned out to be, read off them and not off the configuration."""

from pathlib import Path

from recdistill.distill.outputs import DONE_FILE, About
from recdistill.measure.facts import BenchFacts
from recdistill.storage.typed import read_typed
from recdistill.teacher.experts import ADAPTER, expert_layers
from recdistill.teacher.teacher import Teacher


def teacher_facts(teacher: Teacher) -> BenchFacts:
    """Adapters, experts, prompts and head, as :func:`recdistill.measure.settings_check.judge` reads them."""
    ranker = teacher.ranker
    layers = expert_layers(ranker.llm)
    ranks = {layer.lora_A[ADAPTER].weight.shape[0] for _, layer in layers}
    item_tokens = teacher.prompts.tokens_per_item()[1:]
    return {
        "adapter_rank": ranks.pop() if len(ranks) == 1 else None,
        "adapted": sorted({name.rsplit(".", 1)[-1] for name, _ in layers}),
        "experts": None if ranker.gate is None else ranker.gate.experts,
        "prompt": "item" if (item_tokens == 1).all() else "text",
        "head": "plain" if ranker.head.state_dim == ranker.head.query.out_features else "residual",
    }


def store_facts(folder: Path, items: int) -> BenchFacts:
    """How long the lists of a finished store are, of how many items, and how wide its user states."""
    about = read_typed(folder / DONE_FILE, About)
    return {"list_length": about["top_k"], "stored_state_dim": about["state_dim"], "items": items}
