import pytest

from recdistill.config import RunConfig
from recdistill.errors import UserError
from recdistill.settings import flat, nested, run_config


def test_dotted_and_nested_are_two_forms_of_one_thing() -> None:
    dotted = {"teacher.precision": "bf16", "teacher.train.batch_size": 8, "seed": 1}
    assert nested(dotted) == {"teacher": {"precision": "bf16", "train": {"batch_size": 8}}, "seed": 1}
    assert flat(nested(dotted)) == dotted
    with pytest.raises(UserError, match=r"seed\.more: seed is set to a value already"):
        nested({"seed": 1, "seed.more": 2})


def test_settings_become_a_configuration() -> None:
    made = run_config({"teacher": {"precision": "bf16", "adapter": {"layers": ["q_proj"]}}})
    assert (made.teacher.precision, made.teacher.adapter.layers) == ("bf16", ("q_proj",))
    assert run_config({}) == RunConfig()


@pytest.mark.parametrize("settings", [{"teacher": {"precison": "bf16"}}, {"seed": "x"}, {"student": {"heads": 3}}])
def test_what_is_wrong_costs_one_line_that_names_the_key(settings: dict[str, object]) -> None:
    with pytest.raises(UserError) as error:
        run_config(settings)
    message = str(error.value)
    assert "\n" not in message
    assert any(name in message for name in ("precison", "seed", "student.num_heads"))
