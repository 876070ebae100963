"""The student's states after each interaction, kept."""

import numpy as np
import torch

from recdistill.config import StudentConfig
from recdistill.students.make import make_student
from recdistill.teacher.last_items import GROUP, LastItems


def test_states_that_were_first_asked_for_while_reading_serve_training_too() -> None:
    users, length, window = GROUP + 4, 5, 3
    torch.manual_seed(0)
    student = make_student(StudentConfig(embedding_dim=8, max_length=window), 9).eval()
    items = np.random.default_rng(0).integers(1, 10, users * length).astype(np.int32)
    kept = LastItems(student, items, np.arange(users + 1, dtype=np.int64) * length, window)
    with torch.inference_mode():
        kept.states(torch.tensor([[0, 1]]))
    events = torch.tensor([[GROUP * length, GROUP * length + 4]])  # of a user in the second group
    states = kept.states(events)
    assert not states.is_inference()
    with torch.no_grad():
        for place, shown in (
            (0, items[GROUP * length : GROUP * length + 1]),
            (1, items[GROUP * length + 2 :][:window]),
        ):
            alone = student.last_states(torch.from_numpy(shown.astype(np.int64)).unsqueeze(0))
            torch.testing.assert_close(states[0, place], alone[0])
    (states * torch.ones(8, requires_grad=True)).sum().backward()
