"""What was seen of a teacher and of an export while they ran, as `evidence.json` holds it.

Facts come from several places, each of which gives some of them; one that is missing is no evidence.
"""

from typing import NotRequired, TypedDict

from recdistill.languages import Kept
from recdistill.storage.typed import JsonValue, typed


class TokenFacts(TypedDict):
    """A :class:`recdistill.measure.evidence.TokenCount` as plain values; `widths` is the number of different ones.

    `padding` is the share of processed tokens that is padding.
    """

    useful: int
    processed: int
    prompts: int
    targets: int
    micro_batches: int
    largest: int
    most_prompts: int
    packed: int
    widths: int
    reused: int
    padding: float


class TokensRead(TypedDict, total=False):
    """Tokens of the training and of the export."""

    train: TokenFacts
    export: TokenFacts


class WeightFacts(TypedDict):
    """Whether a model has the weights it was trained to have.

    Of a control: matrices that were changed, their values in all, and how these are correlated with the pretrained
    ones. Of a pretrained model nothing was changed, and there is no correlation.
    """

    kind: str
    matrices: int
    values: int
    correlation: float | None


class TuningFacts(TypedDict):
    """A training of the model that reads the titles: steps, pairs a step, distinct pairs that there were to draw from,
    parameters, and the mean loss of its first and last tenth, in nats.
    """

    steps: int
    pairs: int
    distinct: int
    parameters: int
    first_loss: float
    last_loss: float


class TitleFacts(TypedDict):
    """What was read of the titles: how they became vectors, tokens of a text at most, distinct texts, those cut.

    The whole language model has no `prompt`; `modules_file` says whether an encoder's files state all this.
    """

    pooling: str | Kept
    max_tokens: int | None
    texts: int
    cut: int
    prompt: NotRequired[str]
    modules_file: NotRequired[bool]
    weights: NotRequired[WeightFacts]
    tuning: NotRequired[TuningFacts]


class TrialFacts(TypedDict):
    """A batch size that was tried for the export; no speed where memory did not suffice."""

    batch_size: int
    rows_per_second: float | None
    why: str


class Judged(TypedDict):
    """A setting with what was seen of it; earlier versions kept a sentence or a value. None: nothing looks for it."""

    key: str
    asked: JsonValue
    seen: str | bool | float | list[Kept] | None
    in_effect: bool | None


class Checked(TypedDict):
    """A check that ran a language model: blocks that ran, and by check the largest relative difference of a state."""

    blocks: int
    apart: NotRequired[dict[str, float]]


class Choices(TypedDict, total=False):
    """What was chosen while a language model was loaded, and what was checked of it."""

    attention: str
    attention_reason: Kept | str
    device: str
    llm_weights: WeightFacts
    load_checks: Checked
    spread_over: int


class Watched(TypedDict, total=False):
    """Kernels and types of a watched training step, and how often the decoder blocks were called and ran."""

    products: dict[str, int]
    attention_kernels: dict[str, int]
    quantised_kernels: dict[str, int]
    attention_softmaxes: int
    block_calls: int
    block_executions: int


class ModuleFacts(Choices, total=False):
    """What a teacher is, read off its modules."""

    attention_in_use: str
    blocks: int
    gate: str
    lean_norms: int
    frozen_dtypes: list[str]
    trained_dtypes: list[str]
    quantised_layers: int
    quantised_share: float
    quantised_kinds: list[str]
    longest_history: int
    longest_sequence: int
    double_quantised_layers: int
    compute_dtypes: list[str]
    adapted_layers: int
    frozen_parameters: int
    trained_parameters: int


class TrainedFacts(TypedDict, total=False):
    """What a training did, over all tries, and the weights that validation chose.

    `processes` trained together, each with its share of each micro-batch; missing: one.
    """

    tokens: TokensRead
    processes: int
    batches_by_worker: dict[str, int]
    micro_batches_per_step: int
    correction_weight: float | None
    titles_weight: float | None
    compiled_graphs: int
    graphs_after_warm_up: int
    cuda_graphs: int | None


class BenchFacts(TypedDict, total=False):
    """What a bench reads off its teacher and its store beside that."""

    adapter_rank: int | None
    adapted: list[str]
    experts: int | None
    prompt: str
    head: str
    list_length: int
    stored_state_dim: int
    items: int
    export_batch_size: int
    export_batch_size_trials: list[TrialFacts]
    export_bytes: int


class GateExample(TypedDict):
    """A user's own id, and the experts' weights, (E,)."""

    user: str
    weights: list[float]


class GateExamples(TypedDict):
    """`gate_examples.json`: some users, and over all users the weights' entropy and spread; None without a gate."""

    users: list[GateExample]
    entropy: float | None
    between_user_std: float | None


class TitlesRead(TypedDict, total=False):
    """What was read of the titles, among other facts."""

    title_encoder: TitleFacts


class Facts(ModuleFacts, Watched, TrainedFacts, BenchFacts, TitlesRead, total=False):
    """All of them."""


class Seen(Facts, TokensRead, total=False):
    """Facts with the tokens at their side, as settings are judged by them.

    `together` is the most windows of the export that one teacher reads; missing: all.
    """

    together: int


class TeacherEvidence(Facts, total=False):
    """`evidence.json` of a teacher."""

    settings: list[Judged]


class ExportEvidence(TypedDict):
    """`evidence.json` of an export."""

    batch_size: int
    batch_size_trials: list[TrialFacts]
    tokens: TokensRead
    settings: list[Judged]


Part = ModuleFacts | Watched | TrainedFacts | BenchFacts | TitlesRead | Facts
"""What facts are put together from."""


def together(*parts: Part) -> Facts:
    """Facts of several places as one; the later ones win."""
    found: dict[str, object] = {}
    for part in parts:
        found |= part
    return typed(found, Facts, "facts")


def beside_tokens(facts: Facts, tokens: TokensRead) -> Seen:
    """Facts as settings are judged by them."""
    return typed({**facts, **tokens}, Seen, "facts")
