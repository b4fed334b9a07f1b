"""``kg token`` and ``kg key``: a secret is shown once, and what is on record says who did what."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from knowngood.domain.token import fingerprint
from tests.acceptance.stage import Ended, Stage

ON_CALL = ("token", "create", "--for", "anna", "--scope", "on-call", "--system", "pricing")


def told(ended: Ended) -> dict[str, Any]:
    assert ended.code == 0, ended.err
    document: dict[str, Any] = json.loads(ended.out)
    return document


def listed(stage: Stage, *arguments: str) -> list[tuple[str, str]]:
    tokens = told(stage.kg("token", "list", *arguments, "--output", "json"))["tokens"]
    return [(one["name"], one["state"]) for one in tokens]


def test_a_secret_is_all_that_stands_on_standard_output(applied: Stage) -> None:
    made = applied.kg(*ON_CALL, "--level", "2", "--expires", "90d")
    assert made.code == 0
    secret = made.out.strip()
    assert made.out.count("\n") == 1
    assert fingerprint(secret)[:12] in made.err
    assert secret not in made.err


def test_a_secret_is_shown_once_and_never_again(applied: Stage) -> None:
    secret = applied.kg(*ON_CALL).out.strip()
    for command in (("token", "list", "--all"), ("token", "history"), ("token", "list", "--all", "--output", "json")):
        shown = applied.kg(*command)
        assert shown.code == 0
        assert secret not in shown.out
        assert fingerprint(secret) not in shown.out
    for path in applied.home.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


def test_a_token_is_made_as_json_too(applied: Stage) -> None:
    document = told(applied.kg(*ON_CALL, "--level", "1", "--environment", "staging", "--output", "json"))
    token = document["token"]
    assert isinstance(token, dict)
    assert token["id"] == fingerprint(str(document["secret"]))[:12]
    assert token["scope"]["highest"] == 1
    assert token["scope"]["environment"] == "staging"
    assert "sha256" not in token


def test_a_secret_is_written_to_a_file_of_its_owner(applied: Stage) -> None:
    arguments = ("token", "create", "--for", "replicas", "--scope", "replica", "--every-system", "--to", "r.token")
    made = applied.kg(*arguments)
    assert made.code == 0, made.err
    file = applied.folder / "r.token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert fingerprint(file.read_text().strip())[:12] in made.err
    assert "kg_" not in made.out
    again = applied.kg(*arguments)
    assert again.code == 1
    assert "there is a file r.token already" in again.err
    assert listed(applied) == [("replicas", "active")]


def test_a_token_that_is_refused_leaves_no_file(applied: Stage) -> None:
    refused = applied.kg(*ON_CALL[:-2], "--system", "No Name", "--to", "r.token")
    assert refused.code == 1
    assert not (applied.folder / "r.token").exists()


def test_rotation_leaves_two_that_hold_and_revocation_ends_one(applied: Stage) -> None:
    applied.kg(*ON_CALL)
    assert applied.kg("token", "rotate", "anna", "--overlap", "1h").code == 0
    assert listed(applied) == [("anna", "active"), ("anna", "active")]
    tokens = told(applied.kg("token", "list", "--output", "json"))["tokens"]
    old, new = tokens
    assert new["follows"] == old["id"]
    ended = applied.kg("token", "revoke", new["id"], "--why", "lost laptop")
    assert ended.code == 0, ended.err
    assert listed(applied) == [("anna", "active")]
    assert listed(applied, "--all") == [("anna", "active"), ("anna", "revoked")]
    entries = told(applied.kg("token", "history", "--output", "json"))["entries"]
    assert [(one["kind"], one["actor"]) for one in entries] == [
        ("token-created", "ann"),
        ("token-rotated", "ann"),
        ("token-revoked", "ann"),
    ]


def test_rotation_without_overlap_ends_the_old_one_at_once(applied: Stage) -> None:
    applied.kg(*ON_CALL)
    assert applied.kg("token", "rotate", "anna", "--overlap", "0").code == 0
    assert listed(applied, "--all") == [("anna", "expired"), ("anna", "active")]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        pytest.param(("--scope", "oncall", "--system", "pricing"), "Did you mean 'on-call'?", id="a scope"),
        pytest.param(("--scope", "viewer"), "--system", id="no system"),
        pytest.param(("--scope", "viewer", "--scope", "replica", "--every-system"), "and nothing else", id="a mixture"),
        pytest.param(("--scope", "viewer", "--every-system", "--expires", "9999d"), "ten years", id="a long time"),
    ],
)
def test_what_cannot_be_made_is_told_with_what_to_do(applied: Stage, arguments: tuple[str, ...], why: str) -> None:
    refused = applied.kg("token", "create", "--for", "anna", *arguments)
    assert refused.code == 1
    assert why in refused.err


def test_a_level_that_there_is_not_is_a_matter_of_usage(applied: Stage) -> None:
    assert applied.kg(*ON_CALL, "--level", "5").code == 2


def test_a_time_without_a_unit_is_a_matter_of_usage(applied: Stage) -> None:
    refused = applied.kg(*ON_CALL, "--expires", "90")
    assert (refused.code, "its unit" in refused.err) == (2, True)


def test_tokens_are_made_where_the_store_is(applied: Stage) -> None:
    refused = applied.kg(*ON_CALL, env={"KNOWNGOOD_URL": "http://127.0.0.1:1"})
    assert refused.code == 1
    assert "tokens are made where the store is" in refused.err
    assert applied.kg(*ON_CALL, "--dir", str(applied.home), env={"KNOWNGOOD_URL": "http://127.0.0.1:1"}).code == 0


def test_no_folder_is_made_out_of_a_mistyped_path(stage: Stage) -> None:
    refused = stage.kg(*ON_CALL, "--dir", "nowhere")
    assert refused.code == 1
    assert "there is no working folder" in refused.err
    assert not (stage.folder / "nowhere").exists()


# ------------------------------------------------------------------------------------------------ keys


def keys(stage: Stage) -> list[tuple[bool, bool]]:
    listed_ = told(stage.kg("key", "list", "--output", "json"))["keys"]
    return sorted((one["here"], one["signs"]) for one in listed_)


def test_keys_are_begun_added_and_removed(applied: Stage) -> None:
    begun = told(applied.kg("key", "create", "--root-key", "root.key", "--output", "json"))
    (first,) = begun["keys"]
    assert keys(applied) == [(True, True)]
    assert applied.kg("key", "add", "--root-key", "root.key").code == 0
    assert keys(applied) == [(True, False), (True, True)]
    assert applied.kg("key", "remove", first["key"][:12], "--root-key", "root.key").code == 0
    assert keys(applied) == [(True, True)]
    listed_ = applied.kg("key", "list")
    assert listed_.out.startswith("root 3, ")
    assert first["key"][:12] not in listed_.out


def test_private_keys_are_their_owners_alone_and_the_root_is_for_everybody(applied: Stage) -> None:
    assert applied.kg("key", "create", "--root-key", "root.key").code == 0
    private = [applied.folder / "root.key", *(applied.home / "keys").glob("*.key")]
    assert len(private) == 2
    roots = (applied.home / "keys" / "roots.json").read_text()
    for path in private:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert json.loads(path.read_text())["private"] not in roots


def test_a_key_that_others_may_read_signs_nothing(applied: Stage) -> None:
    assert applied.kg("key", "create", "--root-key", "root.key").code == 0
    (key,) = (applied.home / "keys").glob("*.key")
    key.chmod(0o640)
    assert "may be read by others" in applied.kg("key", "list").out
    (applied.folder / "root.key").chmod(0o644)
    refused = applied.kg("key", "add", "--root-key", "root.key")
    assert refused.code == 1
    assert "kg key remove" in refused.err


def test_another_root_key_changes_nothing(applied: Stage) -> None:
    assert applied.kg("key", "create", "--root-key", "root.key").code == 0
    other = applied.folder / "elsewhere"
    other.mkdir()
    (other / "format").write_text("1\n")
    assert applied.kg("key", "create", "--root-key", "other.key", "--dir", str(other)).code == 0
    refused = applied.kg("key", "add", "--root-key", "other.key")
    assert refused.code == 5
    assert "is not known here" in refused.err
    assert keys(applied) == [(True, True)]


def test_the_keys_of_the_root_are_replaced(applied: Stage) -> None:
    assert applied.kg("key", "create", "--root-key", "root.key").code == 0
    new = ("--new-root-key", "a.key", "--new-root-key", "b.key", "--threshold", "2")
    assert applied.kg("key", "root", "--root-key", "root.key", *new).code == 0
    assert applied.kg("key", "add", "--root-key", "root.key").code == 5
    one = applied.kg("key", "add", "--root-key", "a.key")
    assert one.code == 5
    assert "1 of 2 signatures count" in one.err
    assert applied.kg("key", "add", "--root-key", "a.key", "--root-key", "b.key").code == 0
    assert "2 of 2 root key(s) change it" in applied.kg("key", "list").out


def test_keys_are_begun_once(applied: Stage) -> None:
    assert applied.kg("key", "create", "--root-key", "root.key").code == 0
    again = applied.kg("key", "create", "--root-key", "again.key")
    assert again.code == 1
    assert "there are keys here already" in again.err
    assert not (applied.folder / "again.key").exists()


@pytest.mark.parametrize("command", ["list", "add"])
def test_without_keys_the_way_to_begin_is_told(applied: Stage, command: str) -> None:
    Path(applied.folder, "root.key").write_text("{}")
    Path(applied.folder, "root.key").chmod(0o600)
    arguments = () if command == "list" else ("--root-key", "root.key")
    refused = applied.kg("key", command, *arguments)
    assert refused.code == 1
    assert "kg key create" in refused.err or "holds no key" in refused.err


def test_a_token_for_a_system_that_nobody_applied_yet_is_made_with_a_warning(applied: Stage) -> None:
    made = applied.kg("token", "create", "--for", "ann", "--scope", "viewer", "--system", "prcing")
    assert made.code == 0
    assert "⚠ no system 'prcing' was applied there yet. Did you mean 'pricing'?" in made.err
    known = applied.kg("token", "create", "--for", "bob", "--scope", "viewer", "--system", "pricing")
    assert "was applied" not in known.err
