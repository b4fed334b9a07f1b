"""The API does what its own OpenAPI says, whatever is asked: no 500, no answer of another shape."""

from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from knowngood.api.documents import ANSWERS
from tests.acceptance.control import Control

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
_SHORT_SECONDS = 0.02
BOUNDED = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def api(control: Control) -> Any:
    """The description that the server gives of itself."""
    return schemathesis.openapi.from_url(
        f"{control.url}/v1/openapi.json", headers={"Authorization": f"Bearer {control.token}"}
    )


def test_no_answer_is_another_than_it_says(api: Any, control: Control) -> None:
    headers = {"Authorization": f"Bearer {control.token}"}
    for operation in (found.ok() for found in api.get_all_operations()):

        @given(case=operation.as_strategy())
        @BOUNDED
        def asked(case: Any) -> None:
            if isinstance(case.body, dict) and case.path.endswith(("/deployments", "/rollbacks")):
                # Whoever waits for replicas that are not there waits as long as they ask for.
                given = case.body.get("timeout_seconds", 1)
                if isinstance(given, int | float) and given > 0:
                    case.body["timeout_seconds"] = _SHORT_SECONDS
            case.call_and_validate(headers=headers, checks=CHECKS)

        @given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
        @BOUNDED
        def asked_wrongly(case: Any) -> None:
            # A query that is wrong by an empty list or a missing token comes out right once it is sent with a token.
            checks = CHECKS if case.operation.body else [one for one in CHECKS if one is not negative_data_rejection]
            case.call_and_validate(headers=headers, checks=checks)

        asked()
        if operation.body or operation.query or operation.path_parameters:
            asked_wrongly()


def test_every_verb_has_a_summary_an_example_and_its_problems(control: Control) -> None:
    described = control.ask("/v1/openapi.json").json
    assert described["openapi"].startswith("3.1")
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["description"], where
            if path.startswith("/v1"):
                assert operation["security"], where
                answered = operation["responses"]["200"]["content"]["application/json"]
                jsonschema_rs.validate(answered["schema"], answered["example"])
                assert {"401", "403", "404", "409", "422", "503"} <= operation["responses"].keys(), where
    for name, body in described["components"]["schemas"].items():
        assert body["examples"], name
        assert all(field.get("description") for field in body["properties"].values()), name
        jsonschema_rs.validate({**body, "components": described["components"]}, body["examples"][0])


@pytest.mark.parametrize("name", ANSWERS)
def test_an_example_is_as_its_schema_says(name: str) -> None:
    shape, example = ANSWERS[name]
    jsonschema_rs.validate(shape, example)
