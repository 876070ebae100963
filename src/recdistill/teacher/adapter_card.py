"""What `adapter/README.md` says: what the adapter is, which blocks it belongs to, how PEFT loads it, what is missing.

PEFT writes a form with blanks in its place, which says none of this.
"""

from pathlib import Path

from recdistill.config import TeacherConfig
from recdistill.printable import inline_code, literal

CARD = """\
---
library_name: peft
---

# Gated LoRA experts of a recdistill teacher

What was trained inside the language model {llm} (`teacher.llm`) so that it ranks items: {experts} experts of rank
{each} in {layers} of {blocks}. The weights of the language model are not here, and the adapter fits this language model
alone.

The experts of a layer are one LoRA of rank {rank}: A ({rank} x in), B (out x {rank}), scaled by {alpha:g}/{rank}. Ranks
{each}·e to {each}·(e + 1) - 1 are those of expert e.

## Loading it with PEFT

`AutoModel` is the class, not `AutoModelForCausalLM`: the teacher has no vocabulary head, and under the other class
every tensor has another name, so that PEFT leaves the experts as they were before training (it warns, and goes on).

```python
from peft import PeftModel
from transformers import AutoConfig, AutoModel

base = {base}  # where the language model lies
config = AutoConfig.from_pretrained(base)
{cut}decoder = AutoModel.from_pretrained(base, config=config)
experts = PeftModel.from_pretrained(decoder, "adapter")
```

{gate}

The teacher is more than this: it reads soft tokens in place of words, its head makes scores of the states, and both lie
in `ranker.safetensors` beside this folder{router}. `recdistill export` and `recdistill evaluate` load all of it.
"""
UNGATED = "There is no gate (`teacher.gate.kind: none`): this is the trained decoder."
GATED = """\
**This is not yet the trained decoder.** In the teacher a gate (`teacher.gate.kind: {kind}`) weighs the experts for each
user: y = W x + ({alpha:g}/{rank}) B (g * A x), where g is {experts} times the expert's weight on its ranks. PEFT
knows no gate and gives g = 1: what a user gets for whom all experts weigh the same, 1/{experts} each."""


def adapter_card(config: TeacherConfig, blocks: int, has_layer_types: bool) -> str:
    """The README beside a teacher's adapter.

    Args:
        config: the teacher's.
        blocks: decoder blocks that were kept.
        has_layer_types: whether its configuration lists a type for each block, which is then cut too.
    """
    adapter, gated, is_cut = config.adapter, config.gate.kind != "none", config.layers is not None
    numbers = {
        "rank": adapter.rank,
        "experts": adapter.experts,
        "each": adapter.rank // adapter.experts,
        "alpha": adapter.alpha,
        "kind": config.gate.kind,
    }
    cut = f"config.num_hidden_layers = {blocks}  # the blocks that were kept, the first ones\n" if is_cut else ""
    if cut and has_layer_types:
        cut += f"config.layer_types = config.layer_types[:{blocks}]\n"
    base = base_name(config.llm)
    return CARD.format(
        **numbers,
        llm=inline_code(base),
        base=literal(base),
        cut=cut,
        layers=", ".join(map(inline_code, adapter.layers)),
        blocks=f"its first {blocks} decoder blocks (`teacher.layers`)" if is_cut else f"all of its {blocks} blocks",
        gate=GATED.format(**numbers) if gated else UNGATED,
        router=", with the router that makes the gate" if gated else "",
    )


def base_name(llm: str) -> str:
    """`teacher.llm` as others are told of it: a folder's place on this machine says nothing elsewhere."""
    is_path = llm.startswith((".", "/", "~")) or llm.count("/") > 1
    return Path(llm).name if is_path else llm
