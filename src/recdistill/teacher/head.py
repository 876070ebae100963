"""From the language model's state to scores of items: never over its vocabulary, always over the catalog."""

import torch
from torch import Tensor, nn

from recdistill.teacher.whitening import have_titles


class ItemHead(nn.Module):
    """Scores as inner products: state · item vector over the whole catalog.

    With `residual`, the state is the student's state and a projection of the language model's side by side, and so is
    the item vector; the inner product is the student's score plus a correction. The projection starts at zero, so an
    untrained teacher ranks exactly as its student does. Without, the correction is all there is.

    An item's vector is made from its title and from a learned part, so an item that nobody has chosen has one too.

    Args:
        residual: keep the student's scores.
        item_vectors: fp32 (N + 1, D), the frozen student's.
        title_vectors: fp32 (N + 1, W), whitened title embeddings.
        hidden_dim: the language model's width H.
        head_dim: width of the correction.
        student_dropout: in training, the share of rows whose student part is zero. The student's scores on its own
            training targets are better than on anything else; a correction that always saw them would only sharpen what
            the student has memorised. Where they are hidden, it must rank by itself, and both add up at the end.
        id_dropout: in training, the share of items whose vector is made from the title alone, of those that have one.
        title_profile: with `residual`, a third part: the inner product of an item's title vector with the decayed mean
            of the history's (:func:`recdistill.students.title_similarity.decayed_mean`). Nothing of it is trained, so
            it cannot memorise; in training it is hidden. Its weight starts at zero and is chosen on validation.
    """

    student_vectors: Tensor
    title_vectors: Tensor

    def __init__(
        self,
        residual: bool,
        item_vectors: Tensor,
        title_vectors: Tensor,
        hidden_dim: int,
        head_dim: int,
        student_dropout: float = 0.0,
        id_dropout: float = 0.0,
        title_profile: bool = False,
    ) -> None:
        super().__init__()
        if title_profile and not residual:
            raise ValueError("a title profile is a part beside the student's scores, which a plain head does not have")
        self.residual, self.student_dropout, self.id_dropout = residual, student_dropout, id_dropout
        self.register_buffer("student_vectors", item_vectors.detach().clone(), persistent=False)
        self.register_buffer("title_vectors", title_vectors.clone(), persistent=False)
        self.normalise = nn.LayerNorm(hidden_dim)
        self.query = nn.Linear(hidden_dim, head_dim)
        self.title_projection = nn.Linear(title_vectors.shape[1], head_dim, bias=False)
        self.learned = nn.Parameter(torch.randn(item_vectors.shape[0], head_dim) * 0.02)
        nn.init.normal_(self.title_projection.weight, std=0.02)
        # Chosen on validation, not trained; a parameter all the same, so that it is kept with the weights it goes with.
        self.correction_weight = nn.Parameter(torch.ones(()))
        self.titles_weight = nn.Parameter(torch.zeros(())) if title_profile else None
        if residual:
            nn.init.zeros_(self.query.weight)
        nn.init.zeros_(self.query.bias)

    @property
    def state_dim(self) -> int:
        """Width S of the user states and item vectors."""
        titles = 0 if self.titles_weight is None else self.title_vectors.shape[1]
        return self.query.out_features + (self.student_vectors.shape[1] if self.residual else 0) + titles

    def weigh(self, states: Tensor, correction: float, titles: float) -> Tensor:
        """User states (M, S) that were made with weights of 1, with other weights of their parts."""
        student, weighed, similar = self.parts(states)
        return torch.cat([student, weighed * correction, similar * titles], dim=1)

    def parts(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The student's, the correction's and the titles' part of a residual head's states (M, S); (M, 0) without."""
        student, width = self.student_vectors.shape[1], self.query.out_features
        one, two, three = torch.split(states, [student, width, self.state_dim - student - width], dim=1)
        return one, two, three

    def states(self, student_states: Tensor, hidden: Tensor, title_profile: Tensor | None = None) -> Tensor:
        """Student states (M, D) and language-model states (M, H) to user states (M, S), fp32.

        Args:
            student_states: the student's.
            hidden: the language model's.
            title_profile: (M, W), the decayed mean of the title vectors; only for a head made for it.
        """
        if (title_profile is None) != (self.titles_weight is None):
            raise ValueError("a title profile goes with a head that was made for it, and with no other")
        correction: Tensor = self.query(self.normalise(hidden.float()))
        if not self.residual:
            return correction
        if not self.training:
            parts = [student_states, correction * self.correction_weight.detach()]
        else:
            shown = torch.rand(len(student_states), 1, device=student_states.device) >= self.student_dropout
            parts = [student_states * shown, correction]
        if title_profile is not None and self.titles_weight is not None:
            parts.append(title_profile * (0.0 if self.training else self.titles_weight.detach()))
        return torch.cat(parts, dim=-1)

    def item_vectors(self) -> Tensor:
        """Item vectors (N + 1, S), fp32; row 0 is zero."""
        learned: Tensor = self.learned
        if self.training and self.id_dropout > 0:
            shown = torch.rand(len(learned), 1, device=learned.device) >= self.id_dropout
            learned = learned * (shown | ~have_titles(self.title_vectors).unsqueeze(1))
        vectors: Tensor = self.title_projection(self.title_vectors) + learned
        if self.residual:
            titles = [] if self.titles_weight is None else [self.title_vectors]
            vectors = torch.cat([self.student_vectors, vectors, *titles], dim=-1)
        return vectors * (torch.arange(len(vectors), device=vectors.device) > 0).unsqueeze(1)
