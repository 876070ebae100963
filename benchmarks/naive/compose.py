"""Variants between the naive teacher and the package's: the package's parts, with single options put back."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from naive.experts import ExpertWeights, PerExpertLinear
from naive.options import NaiveOptions, can_pack
from naive.prompts import FIXED_LENGTH
from naive.ranker import adapted_layers, load_causal_lm
from naive.training import NaiveTraining
from recdistill.config import RunConfig
from recdistill.data.prepared import PreparedData
from recdistill.data.windows import Batch
from recdistill.language_models.backbone import load_backbone
from recdistill.language_models.packing import PACKING_KEYWORD, Packing
from recdistill.language_models.title_tokens import title_tokens
from recdistill.teacher.experts import GATE_KEYWORD, base_decoder
from recdistill.teacher.prompts import PromptBatch, PromptBuilder
from recdistill.teacher.ranker import Ranker
from recdistill.teacher.teacher import Teacher
from recdistill.training.teacher import TeacherTraining


class LoopPrompts(PromptBuilder):
    """The package's prompts, of titles that are tokenised when the batch is made."""

    def __init__(self, builder: PromptBuilder, tokenizer: Any, titles: list[str]) -> None:
        super().__init__(builder.config, tokenizer, titles, builder.seed)
        self.tokenizer, self.titles = tokenizer, titles
        self.soft = self.tokens[self.segment_starts[1] + self.segment_lengths[1] - 1 :][:1]

    def build(self, batch: Batch, *arguments: Any, **options: Any) -> PromptBatch:
        """Tokenise instruction and titles of every prompt anew, then lay them out as the package does."""
        items = batch.items.numpy()
        places = (items > 0).sum(axis=1, keepdims=True) - np.arange(items.shape[1])
        shown = items[(items > 0) & (places <= self.config.history_length)].tolist()
        head = self.tokenizer([self.config.instruction] * len(items), add_special_tokens=False)["input_ids"][0]
        read = title_tokens(self.tokenizer, ["", *(self.titles[item] for item in shown)])[0][1:]
        empty = np.empty(0, dtype=np.int32)
        segments = [np.asarray(head, dtype=np.int32), *[empty] * (self.num_items + 2)]
        for item, tokens in zip(shown, read, strict=True):
            segments[item] = np.concatenate([tokens, self.soft])
        self.segment_lengths = np.array([len(segment) for segment in segments], dtype=np.int64)
        self.segment_starts = np.cumsum(self.segment_lengths) - self.segment_lengths
        self.tokens = np.concatenate(segments)
        return super().build(batch, *arguments, **options)


class FixedTeacherTraining(TeacherTraining):
    """The package's training on prompts that are all padded to one length."""

    fixed_length = FIXED_LENGTH

    def collate(self, rows: np.ndarray) -> PromptBatch:
        """One batch of prompts, widened."""
        return widen(super().collate(rows), self.fixed_length)


def widen(batch: PromptBatch, length: int) -> PromptBatch:
    """The same prompts, padded further to the right.

    Raises:
        ValueError: a prompt is longer already.
    """
    more = length - batch.token_ids.shape[1]
    if more < 0 or batch.padding != "right":
        raise ValueError(f"prompts of {batch.token_ids.shape[1]} tokens cannot be padded to the right to {length}")
    names = ("token_ids", "soft_items", "steps", "mask", "token_prompts", "token_positions")
    widened: dict[str, Any] = {name: pad(getattr(batch, name), (0, more)) for name in names}
    return replace(batch, **widened)


def with_options(config: RunConfig, options: NaiveOptions) -> RunConfig:
    """The settings of the package that a variant needs; a gate that leaks is set afterwards: the package refuses it."""
    kind = "causal" if options.leaks else options.gate
    teacher = replace(config.teacher, targets=options.targets, gate=replace(config.teacher.gate, kind=kind))
    if can_pack():
        # A fixed length is put on top: the package would choose its own.
        teacher = replace(teacher, padding="bucketed" if options.padding == "fixed" else options.padding)
    elif options.padding == "packed":
        raise ValueError("this version of the package has no teacher.padding, so it cannot pack")
    return replace(config, teacher=teacher)


def make_training(
    config: RunConfig,
    options: NaiveOptions,
    data: PreparedData,
    student: Path,
    excite: Callable[[nn.Module], None],
    length: int = FIXED_LENGTH,
) -> NaiveTraining | TeacherTraining:
    """The training of one variant.

    Args:
        config: everything that no option decides.
        options: the variant.
        data: the histories.
        student: folder of the finished student step.
        excite: called on the package's ranker before anything else, to give it weights.
        length: the fixed length, in tokens.
    """
    config = with_options(config, options)
    teacher = Teacher(config, data, student, "cpu")
    excite(teacher.ranker)
    tokenizer = load_tokenizer(config)
    everything = NaiveOptions(padding=options.padding, gate=options.gate)
    if options == everything and options.padding != "packed":
        return NaiveTraining(teacher, tokenizer, options, length)
    return compose(teacher, tokenizer, options, length)


def compose(teacher: Teacher, tokenizer: Any, options: NaiveOptions, length: int = FIXED_LENGTH) -> TeacherTraining:
    """A package's teacher with some options put back; without any, just the package's own training."""
    ranker = teacher.ranker
    if options.experts == "per_expert":
        use_per_expert(ranker)
    if options.vocabulary_head:
        run_vocabulary_head(ranker)
    if options.tokenise_in_loop:
        teacher.prompts = LoopPrompts(teacher.prompts, tokenizer, teacher.data.titles)
    if options.leaks and ranker.gate is not None:
        ranker.gate.kind = "instance"
    make = FixedTeacherTraining if options.padding == "fixed" else TeacherTraining
    training = make(teacher, seed=0)
    if isinstance(training, FixedTeacherTraining):
        training.fixed_length = length
    return training


def load_tokenizer(config: RunConfig) -> Any:
    """The language model's tokenizer."""
    from transformers import AutoTokenizer

    from recdistill.data.fetch import cache_folder
    from recdistill.language_models.locations import llm_location

    return AutoTokenizer.from_pretrained(llm_location(config.teacher.llm, cache_folder()))


def use_per_expert(ranker: Ranker) -> None:
    """Put the einsum over experts in the place of the package's experts, on the same parameters."""
    decoder, adapter, weights = base_decoder(ranker.llm), ranker.config.adapter, ExpertWeights()
    for name, layer in adapted_layers(ranker).items():
        parent, _, last = name.rpartition(".")
        down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        wrapped = PerExpertLinear(layer.base_layer, down, up, adapter.alpha, adapter.dropout, weights, adapter.experts)
        setattr(decoder.get_submodule(parent), last, wrapped)

    def catch(module: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        # The package hands on the factor of each rank, E · ω repeated R/E times.
        weights.value = options[GATE_KEYWORD][..., :: adapter.rank // adapter.experts] / adapter.experts

    decoder.register_forward_pre_hook(catch, with_kwargs=True)


def run_vocabulary_head(ranker: Ranker) -> None:
    """Compute logits over the vocabulary in every forward pass, for nobody."""
    head = load_causal_lm(ranker.config).get_output_embeddings()
    base_decoder(ranker.llm).register_forward_hook(lambda module, inputs, output: _discard(head, output))


def _discard(head: nn.Module, output: Any) -> None:
    head(output.last_hidden_state)


class PlainLora:
    """PEFT's own LoRA around the bare decoder, on the token batches of another variant: no gate, soft token or head."""

    def __init__(self, config: RunConfig, batches: TeacherTraining) -> None:
        from peft import LoraConfig, get_peft_model

        from recdistill.data.fetch import cache_folder

        adapter = config.teacher.adapter
        self.batches = batches
        backbone = load_backbone(config.teacher, cache_folder(), "cpu", config.teacher.layers)
        lora = LoraConfig(
            r=adapter.rank, lora_alpha=adapter.alpha, lora_dropout=adapter.dropout, target_modules=list(adapter.layers)
        )
        self.module = get_peft_model(backbone.decoder, lora)

    def collate(self, rows: np.ndarray) -> PromptBatch:
        """The other variant's batch."""
        return self.batches.collate(rows)

    def num_targets(self, batch: PromptBatch) -> int:
        """Predictions the other variant makes."""
        return self.batches.num_targets(batch)

    def loss(self, batch: PromptBatch) -> Tensor:
        """The mean square of the last hidden states, times the number of targets, since the caller divides by it."""
        options: dict[str, Any] = {}
        if batch.padding == "packed":
            # The package's packed attention, so that plain LoRA is not held back by a mask over the whole row.
            options["position_ids"] = batch.token_positions
            packing = Packing.of(batch.prompt_tokens, batch.token_ids.shape[1], torch.float32)
            options[PACKING_KEYWORD] = packing
        hidden: Tensor = base_decoder(self.module)(
            input_ids=batch.token_ids, use_cache=False, **options
        ).last_hidden_state
        return hidden.square().mean() * self.num_targets(batch)


def share_frozen(modules: list[nn.Module]) -> None:
    """Let frozen parameters that are equal be one piece of memory, so that every variant reads the same weights."""
    known: dict[tuple[Any, ...], Tensor] = {}
    for module in modules:
        for parameter in module.parameters():
            if parameter.requires_grad:
                continue
            first = known.setdefault((parameter.shape, float(parameter.double().sum())), parameter.data)
            if first.data_ptr() != parameter.data_ptr() and torch.equal(first, parameter):
                parameter.data = first
