import torch

from recdistill.config import GateConfig
from recdistill.teacher.gate import Gate


def test_weights_are_a_distribution() -> None:
    gate = Gate(GateConfig(router="mlp"), state_dim=8, experts=4)
    weights = gate(torch.randn(5, 3, 8))
    assert weights.shape == (5, 3, 4)
    torch.testing.assert_close(weights.sum(-1), torch.ones(5, 3))


def test_causal_weights_of_a_step_come_from_the_state_before_it_ends() -> None:
    gate = Gate(GateConfig(kind="causal"), state_dim=8, experts=4)
    states = torch.randn(2, 3, 8)
    steps = gate.per_history_step(states, torch.tensor([3, 2]))
    assert steps.shape == (2, 4, 4)
    torch.testing.assert_close(steps[:, 0], gate(torch.zeros(2, 8)))
    torch.testing.assert_close(steps[:, 1:], gate(states))


def test_instance_weights_are_the_whole_historys_everywhere() -> None:
    gate = Gate(GateConfig(kind="instance"), state_dim=8, experts=4)
    states = torch.randn(2, 3, 8)
    steps = gate.per_history_step(states, torch.tensor([3, 2]))
    for entry in range(4):
        torch.testing.assert_close(steps[0, entry], gate(states[0, 2]))
        torch.testing.assert_close(steps[1, entry], gate(states[1, 1]))


def test_scale_of_the_student_does_not_matter() -> None:
    gate = Gate(GateConfig(), state_dim=8, experts=4)
    state = torch.randn(8)
    torch.testing.assert_close(gate(state), gate(state * 100), rtol=1e-3, atol=1e-4)
