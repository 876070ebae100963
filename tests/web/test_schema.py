"""Requests made up from the schema, right and wrong: no 5xx, and every answer as documented."""

import importlib
from importlib.util import find_spec
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from recdistill.web.application import Application
from recdistill.web.settings import ServeSettings
from web.fake import SOURCE, fake_served

if find_spec("schemathesis") is None:
    pytest.skip("schemathesis is not installed", allow_module_level=True)

KEY = "a-long-enough-key"
checks = importlib.import_module("schemathesis.specs.openapi.checks")
schemathesis = importlib.import_module("schemathesis")
REFUSED = [
    checks.positive_data_acceptance,  # Ids made up from the schema are of the right form and unknown.
    checks.ignored_auth,  # It takes paths without a key for ones that should have it; `test_edge.py` tests the key.
]
app = Application(ServeSettings(SOURCE, api_key=KEY, quiet=True), load=fake_served)
config = schemathesis.Config()
rejection = config.projects.default.checks.negative_data_rejection
rejection.expected_statuses = [*rejection.expected_statuses, "413"]  # a body that is too large
schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=config)


OPERATIONS = [found.ok() for found in schema.get_all_operations()]
MODE = schemathesis.GenerationMode
CASES = [(operation, MODE.POSITIVE) for operation in OPERATIONS]
CASES += [(one, MODE.NEGATIVE) for one in OPERATIONS if {"parameters", "requestBody"} & set(one.definition.raw)]


@pytest.mark.parametrize(("operation", "mode"), CASES, ids=[f"{one.label}-{mode.value}" for one, mode in CASES])
def test_answers_are_as_documented(operation: Any, mode: Any) -> None:
    @given(operation.as_strategy(generation_mode=mode))
    @settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def check(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {KEY}"}, excluded_checks=REFUSED)

    check()


def test_no_path_of_the_schema_was_left_out() -> None:
    assert {operation.label for operation in OPERATIONS} == {
        f"{method.upper()} {path}" for path, methods in app.schema["paths"].items() for method in methods
    }
