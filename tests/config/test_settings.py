import re

import pytest

from recdistill.config import RunConfig
from recdistill.config.mistakes import settings_of
from recdistill.config.renamed import KEYS, VALUES
from recdistill.config.settings import flat, nested, run_config
from recdistill.config.unread import value_of
from recdistill.errors import UserError
from recdistill.plan.plan_config import PlanConfig


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


def test_settings_that_were_read_before_are_told_apart_and_kept_from_changes() -> None:
    asked: dict[str, object] = {"seed": 1, "teacher": {"precision": "bf16"}}
    before = run_config(asked)
    assert run_config({"seed": 1, "teacher": {"precision": "bf16"}}) is before
    asked["teacher"]["precision"] = "fp32"  # type: ignore[index]
    assert run_config(asked).teacher.precision == "fp32"
    assert run_config({"seed": 1, "teacher": {"precision": "bf16"}}).teacher.precision == "bf16"
    with pytest.raises(UserError, match="seed"):
        run_config({"seed": 1.5, "teacher": {"precision": "bf16"}})
    with pytest.raises(UserError, match="seed"):  # equal to 1 in Python, and no seed
        run_config({"seed": True, "teacher": {"precision": "bf16"}})


@pytest.mark.parametrize("settings", [{"teacher": {"precison": "bf16"}}, {"seed": "x"}, {"student": {"heads": 3}}])
def test_what_is_wrong_costs_one_line_that_names_the_key(settings: dict[str, object]) -> None:
    with pytest.raises(UserError) as error:
        run_config(settings)
    message = str(error.value)
    assert "\n" not in message
    assert any(name in message for name in ("precison", "seed", "student.num_heads"))


@pytest.mark.parametrize(("old", "new"), sorted(KEYS.items()))
def test_a_setting_that_was_called_otherwise_is_named_with_its_new_name(old: str, new: str) -> None:
    if "." not in old:  # `recdistill plan` has no sections; tests/plan/test_plan.py
        assert new in settings_of(PlanConfig)
        return
    assert new in settings_of(RunConfig)
    with pytest.raises(UserError, match=rf"^{re.escape(old)}: unknown; it is called {re.escape(new)} now$"):
        run_config(nested({old: 1}))


@pytest.mark.parametrize(
    ("key", "old", "new"), [(key, *pair) for key, values in VALUES.items() for pair in values.items()]
)
def test_a_value_that_was_called_otherwise_is_named_with_its_new_name(key: str, old: str, new: str) -> None:
    with pytest.raises(
        UserError, match=rf"^{re.escape(key)}: {old} is not (one|a list) of .*; it is called {new} now$"
    ):
        run_config(nested({key: old}))
    kept = (new,) if isinstance(value_of(RunConfig(), key), tuple) else new
    run_config(nested({key: kept, "teacher.title_decay": 0.0}))
