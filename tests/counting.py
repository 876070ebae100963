"""What autograd keeps of a real transformers model with experts, counted tensor by tensor, without memory for it.

The model stands on the `meta` device. Three things that a GPU does and `meta` does not are put in their places: dropout
keeps a mask of bytes, attention runs a flash kernel, and no mask is built where causality alone rules.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from recdistill.config import AdapterConfig
from recdistill.plan.llm_shapes import LlmShapes
from recdistill.plan.plan_config import PlanConfig
from recdistill.teacher.experts import BlockOptions, attach_experts, base_decoder, expert_layers
from recdistill.teacher.norms import use_lean_norms

BLOCKS = (1, 2)
"""Blocks of the two models whose difference, shared tensors gone, is that of one."""


class PerExpert(nn.Module):
    """A frozen layer with experts as other code has them: einsums over an expert axis, (B, T, E, out)."""

    def __init__(self, base: nn.Linear, config: PlanConfig) -> None:
        super().__init__()
        rank = config.rank // config.experts
        self.base = base
        self.down = nn.Parameter(torch.empty(config.experts, rank, base.in_features))
        self.up = nn.Parameter(torch.empty(config.experts, base.out_features, rank))
        self.gate: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Each expert's output, weighted, added up."""
        dropped = native_dropout(x.float())
        lowered = torch.einsum("bti,eri->bter", dropped, self.down)
        outputs = torch.einsum("bter,eor->bteo", lowered, self.up).to(x.dtype)
        assert self.gate is not None
        out: Tensor = self.base(x) + (outputs * self.gate[:, None, :, None].to(x.dtype)).sum(2)
        return out


def native_dropout(x: Tensor, p: float = 0.1, training: bool = True, inplace: bool = False) -> Tensor:
    """The kernel that CUDA runs."""
    return torch.native_dropout(x, p, True)[0] if training and p else x


def flash(query: Tensor, key: Tensor, value: Tensor, **_: object) -> Tensor:
    """A flash kernel: keeps q, k, v, its output and the log-sum-exp."""
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, 0.0, True)[0]  # type: ignore[no-any-return]


@contextmanager
def like_a_gpu(config: PlanConfig) -> Iterator[None]:
    """Dropout, attention and masks as on a GPU."""
    import transformers.models.llama.modeling_llama as llama
    import transformers.models.opt.modeling_opt as opt

    def mask(*_: object, **__: object) -> Tensor | None:
        return torch.zeros(1, 1, config.tokens, config.tokens, device="meta") if config.attention == "eager" else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.functional, "dropout", native_dropout)
        patch.setattr(nn.functional, "scaled_dot_product_attention", flash)
        patch.setattr(llama, "create_causal_mask", mask)
        patch.setattr(opt, "create_causal_mask", mask)
        yield


def kept_bytes(forward: Callable[[], object]) -> int:
    """Bytes of distinct storages kept by autograd, parameters left out."""
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        base = tensor if tensor._base is None else tensor._base
        if not isinstance(base, nn.Parameter):
            kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        forward()
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def make_model(shapes: LlmShapes, attention: str = "sdpa", device: str = "meta") -> Any:
    """The decoder of these shapes, without vocabulary head."""
    from transformers import LlamaConfig, LlamaModel, OPTConfig, OPTModel

    with torch.device(device):
        if shapes.mlp == "plain":
            return OPTModel(
                OPTConfig(
                    vocab_size=shapes.vocabulary,
                    hidden_size=shapes.hidden_dim,
                    num_hidden_layers=shapes.layers,
                    ffn_dim=shapes.intermediate_dim,
                    num_attention_heads=shapes.heads,
                    dropout=shapes.dropout,
                    max_position_embeddings=shapes.positions - 2,
                    word_embed_proj_dim=shapes.hidden_dim,
                    attn_implementation=attention,
                )
            )
        return LlamaModel(
            LlamaConfig(
                vocab_size=shapes.vocabulary,
                hidden_size=shapes.hidden_dim,
                num_hidden_layers=shapes.layers,
                intermediate_size=shapes.intermediate_dim,
                num_attention_heads=shapes.heads,
                num_key_value_heads=shapes.kv_heads,
                head_dim=shapes.head_dim,
                attn_implementation=attention,
            )
        )


def counted_block_bytes(shapes: LlmShapes, config: PlanConfig) -> float:
    """Bytes kept of one block: the difference of two models of other depths, so that what they share drops out."""
    small, large = (_counted(replace(shapes, layers=layers), config) for layers in BLOCKS)
    return (large - small) / (BLOCKS[1] - BLOCKS[0])


class Live(TorchDispatchMode):
    """Bytes of all tensors alive, and the most there ever were; `known` storages (parameters, inputs) are left out."""

    def __init__(self, known: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self.seen = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and (key := tensor.untyped_storage()._cdata) not in self.seen:
                size = tensor.untyped_storage().nbytes()
                self.seen.add(key)
                self.now += size
                self.peak = max(self.peak, self.now)
                weakref.finalize(tensor.untyped_storage(), self._free, key, size)
        return result

    def _free(self, key: int, size: int) -> None:
        self.seen.discard(key)
        self.now -= size


def peak_bytes(shapes: LlmShapes, config: PlanConfig) -> int:
    """The most bytes alive in one step, forward and backward, beside parameters and inputs; on the meta device."""
    decoder, inputs, options = _prepared(shapes, config)
    live = Live([*decoder.parameters(), inputs, *options.values()])
    with like_a_gpu(config), live:
        decoder(inputs_embeds=inputs, **options).last_hidden_state[:, -1].float().pow(2).sum().backward()
    return live.peak


def _prepared(shapes: LlmShapes, config: PlanConfig) -> tuple[Any, Tensor, dict[str, Tensor]]:
    """The model with its experts, and what it is given: on the meta device for CUDA's kernels, else on the CPU."""
    device = "meta" if config.device == "cuda" else "cpu"
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    model = make_model(shapes, config.attention, device).to(dtype).requires_grad_(requires_grad=False)
    model.config.use_cache = False
    options: dict[str, Tensor] = {}
    with torch.device(device):
        inputs = torch.zeros(config.batch_size, config.tokens, shapes.hidden_dim, dtype=dtype).requires_grad_()
        gate = torch.zeros(config.batch_size, config.tokens, config.rank).requires_grad_()
        if config.expert_form == "per_expert":
            decoder = _put_per_expert(model, config)
        elif config.lora_saves == "fp32_copy":
            decoder = _put_peft(model, config, gate if config.gate else None)
        else:
            adapter = AdapterConfig(config.rank, config.experts, dropout=config.dropout, layers=config.adapter_layers)
            blocks = BlockOptions(checkpointing=config.gradient_checkpointing)
            use_lean_norms(model)
            decoder = base_decoder(attach_experts(model, adapter, blocks))
            options = {"expert_gate": gate} if config.gate else {}
    return decoder.train(), inputs, options


def _put_per_expert(model: Any, config: PlanConfig) -> Any:
    """Experts as other code has them, on layers of the attention."""
    gate = torch.zeros(config.batch_size, config.experts).requires_grad_()
    for block in getattr(model, "decoder", model).layers:
        for name in config.adapter_layers:
            wrapped = PerExpert(getattr(block.self_attn, name), config)
            wrapped.gate = gate
            setattr(block.self_attn, name, wrapped)
    return model


def _put_peft(model: Any, config: PlanConfig, gate: Tensor | None) -> Any:
    """PEFT's own LoRA, as it is; a gate is multiplied behind A."""
    lora = LoraConfig(r=config.rank, lora_dropout=config.dropout, target_modules=list(config.adapter_layers))
    model = get_peft_model(model, lora)
    decoder: Any = base_decoder(model)
    if config.gradient_checkpointing:
        decoder.gradient_checkpointing_enable({"use_reentrant": False})
    if gate is not None:
        for _, layer in expert_layers(model):
            layer.lora_A["default"].register_forward_hook(lambda _module, _inputs, output: output * gate)
    return base_decoder(model)


def _counted(shapes: LlmShapes, config: PlanConfig) -> int:
    """Bytes that one forward pass keeps."""
    decoder, inputs, options = _prepared(shapes, config)
    if config.device == "cpu":
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=config.precision == "bf16-mixed"):
            return kept_bytes(lambda: decoder(inputs_embeds=inputs, **options))
    with like_a_gpu(config):
        return kept_bytes(lambda: decoder(inputs_embeds=inputs, **options))
