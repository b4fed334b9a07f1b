"""Nothing is open but health: who is not known gets nothing, who is known gets what their scope reaches."""

import json
import re
from typing import Any

import pytest

from tests.acceptance.control import Control, token_for
from tests.acceptance.stage import Stage, until

READS = [
    "",
    "/pricing",
    "/pricing/history",
    "/pricing/diff",
    "/pricing/plan",
    "/pricing/quarantine",
    "/pricing/ledger",
    "/pricing/ledger/verification",
]
CHANGES: list[tuple[str, Any]] = [
    ("/pricing/deployments", {}),
    ("/pricing/deployments/abandon", {}),
    ("/pricing/deployments/promote", {}),
    ("/pricing/rollbacks", {}),
    ("/pricing/break-glass", {}),
    ("/pricing/replicas/readmit", {"replica": "r1", "why": "mended"}),
    ("/pricing/reissue", {"why": "mended"}),
    ("/pricing/quarantine/release", {"version": "a", "reason": "b"}),
    ("", {"text": "system: pricing\nkind: realtime\n", "file": "pricing.yaml", "root": "/srv"}),
]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_open_to_everybody(control: Control, path: str) -> None:
    assert control.ask(path, token=None).status == 200


def test_readiness_names_everything_that_is_needed(control: Control) -> None:
    found = control.ask("/readyz", token=None).json
    assert found["ready"]
    assert found["checks"] == {"stopping": "", "store": "", "leases": "", "hub": ""}


@pytest.mark.parametrize("path", [*(f"/v1/systems{path}" for path in READS), "/metrics", "/v1/openapi.json"])
@pytest.mark.parametrize("token", [None, "kg_nonsense", "x" * 5000])
def test_who_is_not_known_reads_nothing(control: Control, path: str, token: str | None) -> None:
    refused = control.ask(path, token=token)
    assert (refused.status, refused.json["code"]) == (401, "not-authenticated")
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("path", "body"), CHANGES)
def test_who_is_not_known_changes_nothing(control: Control, path: str, body: Any) -> None:
    assert control.ask(f"/v1/systems{path}", body, token=None).status == 401


def test_a_token_with_a_typing_error_is_never_repeated_in_the_answer(control: Control) -> None:
    mistyped = control.token[:-1] + ("0" if control.token[-1] != "0" else "1")
    refused = control.ask("/v1/systems/pricing", token=mistyped)
    assert refused.status == 401
    assert mistyped not in refused.body.decode()
    until(lambda: "GET /v1/systems/pricing 401" in control.process.text, "the line in the log")
    assert mistyped[:-6] not in control.process.text


@pytest.mark.parametrize(("path", "body"), CHANGES)
def test_a_viewer_changes_nothing_and_is_told_what_it_takes(
    place: Stage, control: Control, path: str, body: Any
) -> None:
    viewer = token_for(place.home, "vera", "viewer")
    refused = control.ask(f"/v1/systems{path}", body, token=viewer)
    assert (refused.status, refused.json["code"]) == (403, "not-authorized")
    assert "vera may not " in refused.json["detail"]
    assert control.ask("/v1/systems/pricing", token=viewer).status == 200


def test_a_scope_of_another_system_reaches_neither_this_one_nor_the_list_of_all(place: Stage, control: Control) -> None:
    elsewhere = token_for(place.home, "eve", "owner", systems=("surge",))
    assert control.ask("/v1/systems/pricing", token=elsewhere).status == 403
    assert control.ask("/v1/systems", token=elsewhere).status == 404
    assert control.ask("/v1/systems/pricing/rollbacks", {}, token=elsewhere).status == 403


def test_a_replicas_token_is_of_no_use_to_people(place: Stage, control: Control) -> None:
    replica = token_for(place.home, "r1", "replica")
    assert {control.ask(f"/v1/systems{path}", token=replica).status for path in READS[1:]} == {403}
    assert control.ask("/v1/systems/pricing/rollbacks", {}, token=replica).status == 403


def test_breaking_the_glass_takes_a_whole_system_and_so_level_2(place: Stage, control: Control) -> None:
    lowest = token_for(place.home, "lou", "on-call", highest=1)
    assert control.ask("/v1/systems/pricing/break-glass", {}, token=lowest).status == 403


def test_letting_rollbacks_go_on_takes_the_verb_of_its_own_and_that_alone(place: Stage, control: Control) -> None:
    path = "/v1/systems/pricing/rollbacks/resume"
    assert control.ask(path, {}, token=token_for(place.home, "rob", "rollback")).status == 403
    none = control.ask(path, {}, token=token_for(place.home, "res", "resume"))
    assert (none.status, none.json["detail"]) == (404, "no rollback of pricing waits for a person")


@pytest.mark.parametrize(
    ("verb", "path", "body"),
    [
        ("readmit", "/replicas/readmit", {"replica": "r1", "why": "mended"}),
        ("reissue", "/reissue", {"why": "mended"}),
    ],
)
def test_who_looks_after_replicas_needs_that_verb_alone(
    place: Stage, control: Control, verb: str, path: str, body: Any
) -> None:
    allowed = control.ask(f"/v1/systems/pricing{path}", body, token=token_for(place.home, "cleo", verb))
    assert allowed.status in {404, 409}, "it is let in, and told that there is nothing of the kind"
    refused = control.ask(f"/v1/systems/pricing{path}", body, token=token_for(place.home, "dan", "deployer"))
    assert (refused.status, refused.json["code"]) == (403, "not-authorized")
    assert f"the verb {verb}" in refused.json["detail"]


def test_every_answer_has_the_id_of_its_request_and_the_log_line_too(control: Control) -> None:
    answered = control.ask("/v1/systems/nope", X_Request_Id="my-request.7")
    assert answered.headers["x-request-id"] == "my-request.7"
    assert answered.json["instance"] == "urn:knowngood:request:my-request.7"
    made = control.ask("/v1/systems/nope", X_Request_Id="two\twords; and more").headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", made)

    def line() -> dict[str, Any] | None:
        found = [json.loads(one) for one in control.process.text.splitlines() if "my-request.7" in one]
        return found[-1] if found else None

    logged = until(line, "the line in the log")
    assert (logged["status"], logged["caller"], logged["level"]) == (404, "ann", "INFO")
    assert logged["path"] == "/v1/systems/nope"


def test_what_a_replica_sends_each_second_is_a_line_of_the_log_where_it_is_refused_alone(
    place: Stage, control: Control
) -> None:
    path, body = "/v1/systems/pricing/replicas/loud/counts", {"at": "2026-01-01T00:00:00Z", "counts": []}
    fleet = token_for(place.home, "fleet", "replica")
    assert control.ask(path, body, token=fleet, X_Request_Id="taken-1").status == 204
    assert control.ask(path, {}, token=fleet, X_Request_Id="malformed-1").status == 422
    assert control.ask(path, body, X_Request_Id="refused-1").status == 403
    until(lambda: "refused-1" in control.process.text, "the line of the one that was refused")
    assert "malformed-1" in control.process.text
    assert "taken-1" not in control.process.text


def test_figures_are_in_base_units_and_name_no_versions(control: Control) -> None:
    control.ask("/v1/systems/pricing")
    control.ask("/v1/systems/nope/history")
    held = 'knowngood_quarantined_versions{system="pricing"} 1.0'
    until(lambda: held in control.ask("/metrics").body.decode(), "the server to publish what is on record")
    text = control.ask("/metrics").body.decode()
    assert 'knowngood_http_requests_total{method="GET",route="/v1/systems/{system}",status="200"}' in text
    assert 'knowngood_replicas{state="alive",system="pricing"} 0.0' in text
    assert 'knowngood_rollbacks{state="stuck",system="pricing"} 0.0' in text
    until(lambda: 'knowngood_looks_total{outcome="done",system="pricing"}' in control.ask("/metrics").body.decode(), "")
    assert "nope" not in text
    assert "sha256" not in text
    families = set(re.findall(r"^# TYPE (\S+) counter", text, flags=re.MULTILINE))
    assert {name for name in families if not name.endswith("_total")} == set()
