"""The naive teacher's model: a causal language model with its vocabulary head, per-expert LoRA, an item head."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from naive.experts import ExpertWeights, PerExpertLinear
from naive.prompts import NaiveBatch
from recdistill.config import TeacherConfig
from recdistill.data.fetch import cache_folder
from recdistill.language_models.backbone import DTYPES
from recdistill.language_models.locations import llm_location
from recdistill.teacher.experts import base_decoder
from recdistill.teacher.ranker import Ranker


def load_causal_lm(config: TeacherConfig) -> Any:
    """The frozen language model with its vocabulary head, as transformers gives it, with the configured blocks."""
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    location = llm_location(config.llm, cache_folder())
    llm_config = AutoConfig.from_pretrained(location)
    if config.layers is not None:
        llm_config.num_hidden_layers = config.layers
    told, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # blocks left out are no news
    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(location, config=llm_config, dtype=DTYPES[config.precision])
    logging.set_verbosity(told)
    if shown:
        logging.enable_progress_bar()
    model.config.use_cache = False
    return model.requires_grad_(requires_grad=False).eval()


def adapted_layers(ranker: Ranker) -> dict[str, Any]:
    """PEFT's layers with adapters by their name in the decoder."""
    modules = base_decoder(ranker.llm).named_modules()
    return {name: module for name, module in modules if isinstance(getattr(module, "lora_A", None), nn.ModuleDict)}


class NaiveRanker(nn.Module):
    """History → user states, with weights of its own that start as those of a package's ranker.

    Args:
        ranker: whose experts, router, soft tokens and head are copied; its student is shared.
        causal: expert weights by item instead of by prompt.
    """

    def __init__(self, ranker: Ranker, causal: bool = False) -> None:
        super().__init__()
        self.config, self.causal = ranker.config, causal
        self.student = ranker.student
        if ranker.gate is None:
            raise ValueError("a teacher without a gate has no expert weights to copy")
        self.soft_tokens, self.gate = copy.deepcopy(ranker.soft_tokens), copy.deepcopy(ranker.gate)
        self.head = copy.deepcopy(ranker.head)
        self.llm = load_causal_lm(ranker.config)
        self.expert_weights = ExpertWeights()
        adapter = ranker.config.adapter
        decoder = self.llm.get_decoder()
        for name, layer in adapted_layers(ranker).items():
            parent, _, last = name.rpartition(".")
            down, up = (
                nn.Parameter(matrix["default"].weight.detach().clone()) for matrix in (layer.lora_A, layer.lora_B)
            )
            base = decoder.get_submodule(name)
            wrapped = PerExpertLinear(
                base, down, up, adapter.alpha, adapter.dropout, self.expert_weights, adapter.experts
            )
            setattr(decoder.get_submodule(parent), last, wrapped)

    def train(self, mode: bool = True) -> "NaiveRanker":
        """Switch to training or evaluation; the student stays in evaluation."""
        super().train(mode)
        self.student.eval()
        return self

    def forward(self, batch: NaiveBatch) -> Tensor:
        """User states (B, S)."""
        return self.read(batch)[0]

    def read(self, batch: NaiveBatch) -> tuple[Tensor, Tensor]:
        """User states (B, S) and the language model's state at each prompt's last token, (B, H)."""
        rows = torch.arange(len(batch.items))
        with torch.no_grad():
            student_states = self.student.states(batch.items)
        last_states = student_states[rows, batch.lengths - 1]
        if self.causal:
            start = student_states.new_zeros(len(rows), 1, student_states.shape[2])
            known = torch.cat([start, student_states], dim=1)
            self.expert_weights.value = self.gate(known)[rows.unsqueeze(1), batch.steps]
        else:
            self.expert_weights.value = self.gate(last_states).unsqueeze(1)
        words = self.llm.get_input_embeddings()(batch.token_ids)
        soft = batch.soft_items > 0
        inputs = words.clone()
        inputs[soft] = self.soft_tokens(batch.soft_items[soft]).to(words.dtype)
        output = self.llm(inputs_embeds=inputs, attention_mask=batch.mask.long(), output_hidden_states=True)
        hidden = output.hidden_states[-1][rows, batch.mask.sum(dim=1) - 1]
        return self.head.states(last_states, hidden), hidden

    def item_vectors(self) -> Tensor:
        """Item vectors (N + 1, S)."""
        return self.head.item_vectors()

    def scores(self, states: Tensor) -> Tensor:
        """Scores of all items, (B, S) → (B, N + 1); the padding's are -inf."""
        scores = states @ self.item_vectors().T
        scores[:, 0] = -torch.inf
        return scores
