"""Commands of a folder where KNOWNGOOD_STORE names another record, and where a server has another one."""

import pytest

from knowngood.domain.store_address import without_password
from tests.acceptance.stage import Stage, until
from tests.cli.conftest import SMALL

ELSEWHERE = {"KNOWNGOOD_STORE": "postgresql://kg:hush@127.0.0.1:1/none?password=hush"}


@pytest.mark.parametrize(
    "words",
    [
        ("apply", "pricing.yaml"),
        ("deploy", "pricing"),
        ("rollback", "pricing"),
        ("history", "pricing"),
        ("plan", "pricing"),
        ("quarantine", "list", "pricing"),
        ("ledger", "verify", "pricing"),
        ("resume", "pricing"),
        ("watch", "pricing", "--ticks", "1"),
    ],
    ids=lambda words: words[0],
)
def test_a_command_that_works_on_the_folders_record_refuses_where_another_store_is_named(
    shared: Stage, words: tuple[str, ...]
) -> None:
    before = shared.files()
    refused = shared.kg(*words, env=ELSEWHERE)
    assert refused.code == 1, refused.out
    assert "the record is in postgresql://kg@127.0.0.1:1/none, as KNOWNGOOD_STORE says" in refused.err
    assert "export KNOWNGOOD_URL=" in refused.err
    assert "hush" not in refused.err
    assert ("kg rollback pricing --break-glass" in refused.err) == (words[0] == "rollback")
    assert shared.files() == before


def test_what_needs_no_record_goes_on_where_another_store_is_named(shared: Stage) -> None:
    assert "as KNOWNGOOD_STORE says" not in shared.kg("status", env=ELSEWHERE).err
    broken = shared.kg("rollback", "pricing", "--break-glass", env=ELSEWHERE)
    assert "as KNOWNGOOD_STORE says" not in broken.err
    assert "no replica" in broken.err


def test_the_folders_own_store_may_be_named(applied: Stage) -> None:
    for own in (".knowngood/store.db", f"sqlite:///{applied.home / 'store.db'}"):
        done = applied.kg("history", "pricing", env={"KNOWNGOOD_STORE": own})
        assert done.code == 0, done.err


def test_the_running_server_of_the_folder_is_named_where_another_store_or_record_counts(applied: Stage) -> None:
    server = applied.start_kg("serve", "--port", "0", "--store", "other.db")
    until(lambda: "listening at" in server.text or not server.running, "the server listens")
    url = server.text.partition("listening at ")[2].partition(";")[0]
    assert f"export KNOWNGOOD_URL={url}" in applied.kg("history", "pricing", env=ELSEWHERE).err
    nothing = applied.kg("rollback", "pricing")
    assert nothing.code == 1
    assert "serves no version" in nothing.err
    assert f"export KNOWNGOOD_URL={url}" in nothing.err
    assert "kg rollback pricing --break-glass" in nothing.err
    assert "Deploy one" not in nothing.err


def test_a_rollback_that_finds_nothing_and_no_server_says_to_deploy(applied: Stage) -> None:
    assert "Deploy one: kg deploy pricing" in applied.kg("rollback", "pricing").err


def test_the_first_apply_into_a_shared_store_asks_its_server_with_a_token_made_there(
    stage: Stage, postgres_url: str
) -> None:
    (stage.folder / "pricing.yaml").write_text(SMALL)
    (stage.folder / "model.json").write_text('{"factor": 2}')
    (stage.folder / "curve.yaml").write_text("base: 3\n")
    (stage.folder / "knowngood.yaml").write_text(f"component_roots: [{stage.folder}]\nport: 0\n")
    there = {"KNOWNGOOD_STORE": postgres_url}
    server = stage.start_kg("serve", "--config", "knowngood.yaml", env=there)
    until(lambda: "listening at" in server.text or not server.running, "the server listens")
    assert f"their record: {without_password(postgres_url)}" in until(
        lambda: "to get a token" in server.text and server.text, "it says where"
    )
    url = server.text.partition("listening at ")[2].partition(";")[0]

    refused = stage.kg("apply", "pricing.yaml", env=there)
    assert refused.code == 1
    assert f"export KNOWNGOOD_URL={url}" in refused.err
    order = ("--for", "maya", "--scope", "owner", "--system", "pricing", "--to", "owner.token")
    made = stage.kg("token", "create", "--config", "knowngood.yaml", *order, env=there)
    assert made.code == 0, made.err
    asking = {**there, "KNOWNGOOD_URL": url, "KNOWNGOOD_TOKEN_FILE": "owner.token"}
    applied = stage.kg("apply", "pricing.yaml", env=asking)
    assert applied.code == 0, applied.err
    assert "maya" in stage.kg("history", "pricing", env=asking).out
    assert not (stage.home / "store.db").exists()
