"""What is too large, too deep, malformed or out of range is refused in words, and never with a 500."""

import http.client
import json
import socket
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from knowngood.api.limits import DEEPEST, check_depth
from knowngood_sdk.errors import InvalidError
from tests.acceptance.control import Control
from tests.acceptance.stage import Stage

DEPLOY = "/v1/systems/pricing/deployments"


@pytest.mark.parametrize("length", ["declared", "unknown"])
def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(control: Control, length: str) -> None:
    where = urlsplit(control.url)
    with closing(http.client.HTTPConnection(str(where.hostname), where.port, timeout=10)) as connection:
        headers = {"Authorization": f"Bearer {control.token}", "Content-Type": "application/json"}
        body = json.dumps({"intent": "x" * 200_000}).encode()
        if length == "declared":
            connection.request("POST", DEPLOY, body, headers)
        else:
            pieces = (body[at : at + 10_000] for at in range(0, len(body), 10_000))
            connection.request("POST", DEPLOY, pieces, headers, encode_chunked=True)
        answer = connection.getresponse()
        assert answer.status == 413
        assert "more than 100,000 bytes" in json.loads(answer.read())["detail"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * 50_000, id="lists that never end"),
        pytest.param(b'{"a":' * 10_000 + b"1" + b"}" * 10_000, id="mappings"),
        pytest.param(b'{"intent": ' + b"[" * 33 + b"]" * 33 + b"}", id="just too deep"),
    ],
)
def test_json_that_is_too_deep_is_refused_before_it_is_read(control: Control, body: bytes) -> None:
    refused = control.ask(DEPLOY, body)
    assert refused.status == 422
    assert f"more than {DEEPEST} deep" in refused.json["detail"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="no JSON"),
        pytest.param(b"\xff\xfe", id="no UTF-8"),
        pytest.param(b"\xb5\x00*\x80/S", id="no letters"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"splt": 5}', id="a key that nobody reads"),
        pytest.param(b'{"split": 0}', id="no share"),
        pytest.param(b'{"split": 10001}', id="more than all"),
        pytest.param(b'{"split": "100"}', id="a text for a number"),
        pytest.param(b'{"split": true}', id="a truth value for a number"),
        pytest.param(b'{"timeout_seconds": NaN}', id="no number"),
        pytest.param(b'{"timeout_seconds": 1e999}', id="no end"),
        pytest.param(b'{"version": ""}', id="an empty name"),
        pytest.param(b'{"expects": {"mean": [1]}}', id="half a range"),
        pytest.param(b'{"expects": {"mean": [0.2, 0.1]}}', id="a range upside down"),
        pytest.param(b'{"intent": "\\ud800"}', id="half a letter"),
    ],
)
def test_a_body_that_is_not_as_it_must_be(control: Control, body: bytes) -> None:
    refused = control.ask(DEPLOY, body)
    assert refused.status == 422, refused.body
    assert refused.json["code"] == "invalid"


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        pytest.param("/pricing/rollbacks", b'{"why": "half \\ud800"}', "why", id="why something is left"),
        pytest.param("/pricing/rollbacks", b'{"to": "\\udfff\\ud800"}', "to", id="where to"),
        pytest.param("/pricing/break-glass", b'{"why": "half \\ud800"}', "why", id="why the glass is broken"),
        pytest.param("/pricing/break-glass", b'{"why": "\xed\xa0\x80"}', "why", id="not even escaped"),
        pytest.param("/pricing/deployments", b'{"expects": {"\\ud800": [0, 1]}}', "expects", id="further in"),
        pytest.param("/pricing/deployments", b'{"\\ud800": 1}', "\ufffd", id="a key"),
        pytest.param("/pricing/reissue", b'{"why": "\\uDC80"}', "why", id="why something is minted again"),
        pytest.param("", b'{"text": "a: \\ud800", "file": "a", "root": "/a"}', "text", id="a system file"),
    ],
)
def test_half_a_character_is_refused_wherever_it_stands(control: Control, path: str, body: bytes, where: str) -> None:
    refused = control.ask(f"/v1/systems{path}", body)
    assert (refused.status, refused.json["code"]) == (422, "invalid"), refused.body
    assert "half a character" in refused.json["detail"]
    assert refused.json["details"]["fields"] == [f"body.{where}"]


def test_a_whole_character_that_was_escaped_in_halves_is_one(control: Control) -> None:
    refused = control.ask("/v1/systems/pricing/reissue", b'{"why": "\\ud83d\\ude95"}')
    assert refused.status != 422, refused.body


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/v1/systems/Pricing", 422, id="no name of a system"),
        pytest.param("/v1/systems/pricng", 404, id="no system"),
        pytest.param("/v1/systems/pricing/history?limit=0", 422, id="no entries"),
        pytest.param("/v1/systems/pricing/ledger?after=-1", 422, id="before the first"),
        pytest.param("/v1/systems/pricing/ledger?after=99999999999999999999", 422, id="beyond every number"),
        pytest.param("/v1/systems/pricing/plan?level=9", 422, id="no level"),
        pytest.param("/v1/systems/pricing/history?limt=9", 422, id="a parameter that nobody reads"),
        pytest.param("/v1/systems/pricing/diff?before=zzzz", 404, id="no version"),
        pytest.param("/v1/nowhere", 404, id="no path"),
        pytest.param("/v1/systems/pricing/", 404, id="a slash too many"),
    ],
)
def test_what_there_is_not(control: Control, path: str, status: int) -> None:
    refused = control.ask(path)
    assert refused.status == status
    assert set(refused.json) == {"type", "title", "status", "detail", "instance", "code", "hint", "details"}


def test_a_method_that_a_path_does_not_take(control: Control) -> None:
    refused = control.ask("/v1/systems/pricing/history", {})
    assert refused.status == 405
    assert refused.headers["allow"] == "GET"


def test_the_same_act_again_is_a_conflict_and_not_done_twice(control: Control) -> None:
    assert control.ask("/v1/systems/pricing/deployments/abandon", {}).status == 409
    assert control.ask("/v1/systems/pricing/quarantine/release", {"version": "feed", "reason": "x"}).status == 404


class TestWhereComponentsMayBe:
    def apply(self, control: Control, root: str, more: str = "") -> tuple[int, dict[str, Any]]:
        text = (
            f"system: shop\nkind: realtime\ncomponents:\n  config: {{inline: curve.yaml}}\nfallback: {{a: 1}}\n{more}"
        )
        done = control.ask("/v1/systems", {"text": text, "file": "shop.yaml", "root": root})
        return done.status, done.json

    def test_below_an_allowed_root(self, control: Control, place: Stage) -> None:
        status, document = self.apply(control, str(place.folder))
        assert (status, document["system"], document["file"]) == (200, "shop", "shop.yaml")

    @pytest.mark.parametrize(
        ("root", "more"),
        [
            pytest.param("/etc", "", id="elsewhere"),
            pytest.param("{folder}/..", "", id="above"),
            pytest.param("{folder}-beside", "", id="beside, with the same beginning"),
            pytest.param("{folder}", "golden: ../../golden.jsonl\n", id="golden inputs elsewhere"),
            pytest.param("{folder}/link", "", id="through a link"),
        ],
    )
    def test_nowhere_else(self, control: Control, place: Stage, root: str, more: str) -> None:
        link = place.folder / "link"
        if not link.is_symlink():
            link.symlink_to("/etc")
        status, document = self.apply(control, root.format(folder=place.folder), more)
        assert (status, document["code"]) == (403, "refused")
        assert "component_roots" in document["hint"]

    def test_a_relative_folder_says_nothing_to_a_server(self, control: Control) -> None:
        assert self.apply(control, "work")[0] == 422


def test_depth_is_counted_outside_of_strings_and_in_one_pass() -> None:
    deep = b"[" * DEEPEST + b"]" * DEEPEST
    check_depth(deep, b"application/json")
    check_depth(b'["' + b"[" * 10_000 + b'", "\\"' + b"[" * 10_000 + b'"]', b"application/json")
    check_depth(b"[" * 10_000, b"application/octet-stream")
    with pytest.raises(InvalidError):
        check_depth(b"[" + deep + b"]", b"application/problem+json; charset=utf-8")
    # A string that never ends must not be looked at again from each quote in it.
    check_depth(b"[" * 40 + b"]" * 20, b"text/plain")
    check_depth(b"[" * 20 + b'"' + b'[\\"' * 500_000, b"application/json")


def test_a_client_that_speaks_no_http_harms_nobody(control: Control) -> None:
    where = urlsplit(control.url)
    with socket.create_connection((str(where.hostname), where.port or 0), timeout=5) as connection:
        connection.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        connection.recv(100)
    assert control.ask("/healthz").status == 200
    assert Path(control.process.log).exists()
