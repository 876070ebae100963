"""The teacher, all of it: a batch of prompts in, user states out; scores are their inner products with item vectors."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from recdistill.config import TeacherConfig
from recdistill.errors import UserError
from recdistill.language_models.backbone import Backbone
from recdistill.language_models.blocks import decoder_blocks
from recdistill.language_models.packing import PACKED_SDPA, PACKING_KEYWORD, Packing
from recdistill.language_models.per_layer import own_inputs
from recdistill.language_models.sliding import Sliding
from recdistill.storage.files import atomic_path, read_tensors, require_finite, write_text
from recdistill.students.base import Student
from recdistill.students.title_similarity import decayed_last, decayed_mean
from recdistill.teacher.adapter_card import adapter_card, base_name
from recdistill.teacher.experts import (
    GATE_KEYWORD,
    BlockOptions,
    attach_experts,
    base_decoder,
    check_gate_arrived,
    expand_gate,
    load_experts,
    save_experts,
)
from recdistill.teacher.gate import Gate
from recdistill.teacher.head import ItemHead
from recdistill.teacher.last_items import LastItems
from recdistill.teacher.norms import use_lean_norms
from recdistill.teacher.picked import PICKED_KEYWORD, picked_tokens
from recdistill.teacher.prompts import PromptBatch, Side
from recdistill.teacher.soft_tokens import SoftTokens

WEIGHTS_FILE = "ranker.safetensors"
ADAPTER_FOLDER = "adapter"
FLEX_OPTIONS = {"FORCE_USE_FLEX_ATTENTION": True}
"""Below 128 tokens torch would take its kernel for decoding, which is for few queries, and has none for some shapes."""
AUTOCAST = {"bf16-mixed": torch.bfloat16, "fp16-mixed": torch.float16}


class Ranker(nn.Module):
    """History → item scores and user states, by a frozen language model with gated experts.

    Trained are the experts, the router, the soft tokens' projections and the head; the language model and the student
    are frozen, and the student always runs in evaluation mode.

    Args:
        config: the teacher's section of the configuration.
        backbone: the loaded language model; its linear layers are wrapped in place.
        student: the trained student whose states drive the gate and, with a residual head, the scores.
        title_vectors: fp32 (N + 1, W), whitened title embeddings.
    """

    def __init__(self, config: TeacherConfig, backbone: Backbone, student: Student, title_vectors: Tensor) -> None:
        super().__init__()
        self.config = config
        self.last_items: LastItems | None = None
        """Where histories are streams: what their windows hold."""
        self.student = student.requires_grad_(requires_grad=False).eval()
        item_vectors = student.item_vectors().detach()
        words = backbone.decoder.get_input_embeddings().weight  # type: ignore[operator]
        self.soft_tokens = SoftTokens(item_vectors, title_vectors, words, config.id_dropout)
        self.gate = (
            Gate(config.gate, item_vectors.shape[1], config.adapter.experts) if config.gate.kind != "none" else None
        )
        self.head = ItemHead(
            config.head == "residual",
            item_vectors,
            title_vectors,
            backbone.hidden_dim,
            config.head_dim,
            config.student_dropout,
            config.id_dropout,
            config.title_decay > 0,
        )
        options = BlockOptions(config.gradient_checkpointing, config.compile, config.cuda_graphs)
        self.lean_norms = use_lean_norms(backbone.decoder)
        self.llm = attach_experts(backbone.decoder, config.adapter, options)
        self.to(words.device)

    def train(self, mode: bool = True) -> "Ranker":
        """Switch to training or evaluation; the student stays in evaluation."""
        super().train(mode)
        self.student.eval()
        return self

    def forward(self, batch: PromptBatch) -> Tensor:
        """User states of the batch's M predictions: fp32 (M, S)."""
        student_states = self.student_states(batch)
        hidden = self._read(batch, student_states)
        asked = hidden[batch.target_rows, batch.target_columns]
        where = (batch.target_prompts, batch.target_steps - 1)
        return self.head.states(student_states[where], asked, self._target_profile(batch))

    def item_vectors(self) -> Tensor:
        """Item vectors (N + 1, S), fp32; a state's scores are its inner products with them, and row 0 is padding."""
        return self.head.item_vectors()

    def scores(self, states: Tensor) -> Tensor:
        """Scores of all items: (M, S) → (M, N + 1), column 0 is -inf."""
        scores = states @ self.item_vectors().T
        scores[:, 0] = -torch.inf
        return scores

    @torch.no_grad()
    def student_states(self, batch: PromptBatch) -> Tensor:
        """The frozen student's state after each item of the histories: (B, L, D)."""
        if self.last_items is not None and batch.events is not None:
            return self.last_items.states(batch.events)
        return self.student.states(batch.items)

    @torch.no_grad()
    def title_profile(self, items: Tensor) -> Tensor | None:
        """The decayed mean of title vectors after each item of the histories (B, L): (B, L, W); None where unused."""
        decay = self.config.title_decay
        return decayed_mean(self.head.title_vectors[items], decay) if decay > 0 else None

    @torch.no_grad()
    def _target_profile(self, batch: PromptBatch) -> Tensor | None:
        """:meth:`title_profile` where predictions are made: (M, W); None where unused."""
        where = (batch.target_prompts, batch.target_steps - 1)
        if self.last_items is None or batch.events is None:
            profile = self.title_profile(batch.items)
            return None if profile is None else profile[where]
        vectors, decay = self.head.title_vectors, self.config.title_decay
        if decay <= 0:
            return None
        if self.training:  # it is hidden then
            return vectors.new_zeros(len(where[0]), vectors.shape[1])
        return decayed_last(vectors, self.last_items.before(batch.events[where]), decay)

    def expert_weights(self, batch: PromptBatch, student_states: Tensor) -> Tensor | None:
        """Expert weights by step of the history, (B, L + 1, E); None without a gate."""
        return None if self.gate is None else self.gate.per_history_step(student_states, batch.lengths)

    def _read(self, batch: PromptBatch, student_states: Tensor) -> Tensor:
        """Run the language model over the prompts: (P, T, H) last hidden states."""
        decoder = base_decoder(self.llm)
        words = decoder.get_input_embeddings()(batch.token_ids)  # type: ignore[operator]
        where = (batch.soft_rows, batch.soft_columns)
        inputs = words.index_put(where, self.soft_tokens(batch.soft_items[where]).to(words.dtype))
        gate = self._token_gate(batch, student_states)
        options = self.layout_options(
            batch.padding,
            batch.prompt_tokens,
            batch.token_positions,
            batch.mask,
            inputs.dtype,
            batch.steps if self.config.streams else None,
        )
        picked = picked_tokens(batch, self.config, AUTOCAST.get(self.config.precision, inputs.dtype))
        return self.run(
            inputs, batch.token_ids, gate, options if picked is None else options | {PICKED_KEYWORD: picked}
        )

    def run(self, inputs: Tensor, token_ids: Tensor, gate: Tensor | None, options: dict[str, object]) -> Tensor:
        """Run the language model over embeddings (P, T, H) of these tokens (P, T): the last hidden states.

        Args:
            inputs: the embeddings.
            token_ids: the tokens, 0 where a soft token or padding stands.
            gate: each rank's factor (P, T or 1, R); None without a gate.
            options: of :meth:`layout_options`.

        Raises:
            UserError: the language model does not hand the gate on to its blocks.
        """
        decoder = base_decoder(self.llm)
        options = options | own_inputs(decoder, token_ids)
        if gate is not None:
            options[GATE_KEYWORD] = gate
        mixed = AUTOCAST.get(self.config.precision)
        if self.config.cuda_graphs:
            # Each block is a graph of its own, and torch would take each for a step after which the last one's output
            # may be overwritten; the step is the whole pass.
            torch.compiler.cudagraph_mark_step_begin()
        with torch.autocast(inputs.device.type, dtype=mixed, enabled=mixed is not None):
            hidden: Tensor = decoder(inputs_embeds=inputs, use_cache=False, **options).last_hidden_state
        if gate is not None:
            check_gate_arrived(self.llm)
        return hidden

    def _token_gate(self, batch: PromptBatch, student_states: Tensor) -> Tensor | None:
        """Each rank's factor at each token, (P, T, R); None without a gate."""
        weights = self.expert_weights(batch, student_states)
        if weights is None:
            return None
        return expand_gate(weights, self.config.adapter.rank)[batch.token_prompts, batch.steps]

    def layout_options(
        self,
        padding: Side,
        lengths: Tensor,
        positions: Tensor,
        mask: Tensor,
        dtype: torch.dtype,
        steps: Tensor | None = None,
        window: int | None = None,
    ) -> dict[str, object]:
        """What the decoder must be told of the layout.

        With padding to the right, causal attention already keeps real tokens from it, and no mask is built.

        Args:
            padding: where it stands.
            lengths: int64 (B,), tokens of each prompt, on the CPU.
            positions: int64 (P, T), each token's place in its own prompt.
            mask: bool (P, T), False at padding.
            dtype: of the embeddings.
            steps: int64 (P, T), the item of its history that each token of a packed row belongs to, where attention
                looks back over the last `window` items; None: over the whole prompt.
            window: None: `teacher.history_length`.
        """
        attention = base_decoder(self.llm).config._attn_implementation  # type: ignore[union-attr]
        own: dict[str, object] = {"kernel_options": FLEX_OPTIONS} if attention == "flex_attention" else {}
        if padding == "packed":
            packed: dict[str, object] = {"position_ids": positions} | own
            if attention == PACKED_SDPA:
                mixed = AUTOCAST.get(self.config.precision, dtype)
                packed[PACKING_KEYWORD] = (
                    Packing.of(lengths, positions.shape[1], mixed)
                    if steps is None
                    else Sliding.of(lengths, steps[0].cpu(), window or self.config.history_length, mixed)
                ).to(positions.device)
            return packed
        if padding == "left":
            if attention == PACKED_SDPA:
                raise ValueError("a teacher with padding: packed has no mask for padding to the left")
            return {"attention_mask": mask.long(), "position_ids": positions} | own
        return own

    def trained_state(self) -> dict[str, Tensor]:
        """All that is trained beside the experts."""
        own = {name: value for name, value in self.named_parameters() if value.requires_grad}
        return {name: value.detach() for name, value in own.items() if not name.startswith("llm.")}

    def save(self, folder: Path) -> None:
        """Write the experts (PEFT's format) and the rest of what was trained (safetensors)."""
        save_experts(self.llm, folder / ADAPTER_FOLDER, base_name(self.config.llm))
        types = getattr(base_decoder(self.llm).config, "layer_types", None)
        card = adapter_card(self.config, len(decoder_blocks(self.llm)), has_layer_types=bool(types))
        write_text(folder / ADAPTER_FOLDER / "README.md", card)
        with atomic_path(folder / WEIGHTS_FILE) as temporary:
            save_file({name: value.contiguous().cpu() for name, value in self.trained_state().items()}, temporary)

    def load(self, folder: Path) -> None:
        """Load what :meth:`save` wrote, strictly.

        Raises:
            UserError: a file is missing, or names or shapes differ from this teacher's.
        """
        load_experts(self.llm, folder / ADAPTER_FOLDER)
        path = folder / WEIGHTS_FILE
        saved, own = read_tensors(path), self.trained_state()
        wrong = sorted(set(saved) ^ set(own)) or [name for name in own if own[name].shape != saved[name].shape]
        if wrong:
            raise UserError(f"{path}: does not fit this teacher (first difference: {wrong[0]})")
        require_finite(saved, path)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name in saved:
                    parameter.copy_(saved[name])
