"""A version that is damaged, wrong or edited takes no traffic: the gate says which part, which value, what to do."""

import hashlib
import itertools
import json
import pickle
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from knowngood_sdk.serving.fingerprint import fingerprint
from tests.acceptance.pricing import GOLDEN, Pricing
from tests.acceptance.stage import Ended, until

NUMBERS = itertools.count(2)
FORGED = '{"name":"forged","start":3}'

pytestmark = [pytest.mark.requirement("N1"), pytest.mark.slow]


@contextmanager
def nothing_moves(pricing: Pricing) -> Iterator[None]:
    """What is served, the chain, the quarantine and every replica's place are the same afterwards."""

    def seen() -> dict[str, object]:
        status = pricing.status()
        places = [(replica["serves"], replica["step"]) for replica in status["replicas"]]
        return {key: status[key] for key in ("serving", "chain", "quarantined", "generation")} | {"places": places}

    before = seen()
    with pricing.load(threads=1) as load:
        yield
    assert seen() == before
    assert load.failed == []


def blocked(pricing: Pricing) -> str:
    """Deploy; it must be blocked because it is not ready. Return what was said."""
    with nothing_moves(pricing):
        done: Ended = pricing.stage.kg("deploy", "pricing", "--timeout", "20")
    assert (done.code, done.out) == (9, ""), done.err
    assert "Traceback" not in done.err
    assert pricing.ledger()[-1]["kind"] == "deployment-blocked"
    return done.err


def short_of(text: str) -> str:
    """The digest of a text, as people see it."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@pytest.fixture(autouse=True)
def golden_inputs_are_whole(pricing: Pricing) -> Iterator[None]:
    """A test may have broken them."""
    yield
    (pricing.stage.folder / "golden.jsonl").write_text(GOLDEN)


def object_of(pricing: Pricing, name: str) -> Path:
    """The kept bytes of a component's file."""
    digest = fingerprint(str(pricing.stage.folder / name)).removeprefix("sha256:")
    return pricing.stage.home / "objects" / "sha256" / digest[:2] / digest[2:]


def test_a_pickle_that_fails_to_load(pricing: Pricing) -> None:
    pricing.write(next(NUMBERS))
    (pricing.stage.folder / "model.json").write_bytes(b"\x80\x05garbage")
    said = blocked(pricing)
    assert "replica r1 cannot make" in said or "replica r2 cannot make" in said
    assert "the loader raised UnpicklingError" in said


def test_a_pickle_whose_class_is_gone(pricing: Pricing) -> None:
    pricing.write(next(NUMBERS))
    gone = pickle.dumps(Path("x")).replace(b"pathlib", b"pathlob")
    (pricing.stage.folder / "model.json").write_bytes(gone)
    assert "the loader raised ModuleNotFoundError: No module named 'pathlob'" in blocked(pricing)


def test_a_golden_output_that_differs(pricing: Pricing) -> None:
    pricing.write(next(NUMBERS), wrong=True)
    said = blocked(pricing)
    assert "golden line 1: the output should be 4.0 and is " in said


def test_golden_inputs_that_are_none(pricing: Pricing) -> None:
    pricing.write(next(NUMBERS))
    (pricing.stage.folder / "golden.jsonl").write_text(GOLDEN + '{"input": 3}\n')
    said = blocked(pricing)
    assert 'line 3 is no golden input: {"input": 3}' in said


def test_code_that_fails_when_it_is_loaded(pricing: Pricing) -> None:
    pricing.write(next(NUMBERS))
    (pricing.stage.folder / "features" / "features.py").write_text("import absent_library\n")
    pricing.git("commit", "-q", "-a", "-m", "broken")
    assert "the loader raised ModuleNotFoundError: No module named 'absent_library'" in blocked(pricing)


def test_bytes_that_were_changed_between_recording_and_loading(pricing: Pricing) -> None:
    pricing.write(next(NUMBERS))
    with nothing_moves(pricing):
        deploying = pricing.stage.start_kg("deploy", "pricing", env={"KNOWNGOOD_FAULT": "deploy.recorded:SIGSTOP"})
        kept = object_of(pricing, "model.json")
        until(kept.exists, "the model to be kept")
        until(lambda: deploying.stopped, "the deployment to stand still")
        kept.chmod(0o600)
        kept.write_text(FORGED)
        deploying.signal(signal.SIGCONT)
        assert deploying.wait() == 1
    assert f"component model: the content of {kept.parent.name}{kept.name[:10]} is damaged" in deploying.text
    assert f"its bytes have the digest {short_of(FORGED)}" in deploying.text
    assert "Capture it again from its source, or choose another version" in deploying.text


@pytest.mark.parametrize(
    ("edit", "found"), [pytest.param(None, "is gone", id="gone"), pytest.param(b"forged", "is damaged", id="damaged")]
)
def test_a_way_back_whose_bytes_cannot_be_had(pricing: Pricing, edit: bytes | None, found: str) -> None:
    pricing.deploy(next(NUMBERS))
    kept = object_of(pricing, "model.json")
    data, number = kept.read_bytes(), kept.stat().st_ino
    # The store, what workers load, and what a lease pins: all of them hold the same file.
    copies = [path for path in pricing.stage.home.rglob("*") if path.stat().st_ino == number]
    assert len(copies) >= 2
    for path in copies:
        path.parent.chmod(0o700)
        if edit is None:
            path.unlink()
        else:
            path.chmod(0o600)
            path.write_bytes(edit)
    pricing.write(next(NUMBERS))
    with nothing_moves(pricing):
        done = pricing.stage.kg("deploy", "pricing")
    assert done.code == 9
    assert "component model of the version that is served (" in done.err
    assert found in done.err
    assert "Restore it, then deploy: without it there is no way back" in done.err
    kept.write_bytes(data)
    pricing.kg("deploy", "pricing")


@pytest.mark.parametrize(
    ("component", "place", "forged", "said"),
    [
        pytest.param(
            "model",
            "digest",
            "sha256:" + "0" * 64,
            "It was edited after it was recorded; restore the file or deploy again",
            id="a digest",
        ),
        pytest.param(
            "config",
            "facets",
            {"form": "file", "name": "curve.json", "document": FORGED},
            f"the document of component config has the digest {short_of(FORGED)}, recorded is RECORDED. "
            "It was edited after it was recorded; restore the manifest, or deploy again",
            id="a document, which is a facet",
        ),
    ],
)
def test_a_manifest_that_was_edited_where_workers_read_it(
    pricing: Pricing, component: str, place: str, forged: Any, said: str
) -> None:
    pricing.write(next(NUMBERS))
    served = str(pricing.served()).removeprefix("sha256:")
    document = pricing.stage.home / "systems" / "pricing" / "manifests" / f"{served}.json"
    written = document.read_text()
    edited = json.loads(written)
    ref = edited["manifest"]["components"][component]["ref"]
    expected = said.replace("RECORDED", ref["digest"][7:19])
    ref[place] = forged
    document.write_text(json.dumps(edited))
    restarted = pricing.restart("r2", agent=False).server
    until(lambda: expected in notes_of(pricing, "r2"), "the new worker to refuse the edited manifest")
    assert pricing.ask("r2").status in {0, 503}, "it does not skip the version that it must serve"
    document.write_text(written)
    until(lambda: pricing.ask("r2").status == 200, "the worker to load what was restored")
    assert restarted.running


def test_a_manifest_that_was_edited_in_the_store(pricing: Pricing) -> None:
    pricing.write(next(NUMBERS))
    with closing(sqlite3.connect(pricing.stage.home / "store.db", isolation_level=None)) as store:
        (document,) = store.execute("SELECT document FROM manifests WHERE position = 1").fetchone()
        edited = json.loads(document)
        edited["intent"]["text"] = "nobody wrote this"
        store.execute("UPDATE manifests SET document = ? WHERE position = 1", [json.dumps(edited)])
        try:
            done = pricing.stage.kg("plan", "pricing")
            assert (done.code, done.out) == (1, "")
            assert "was edited: its digest is" in done.err
            assert "Restore the store from a copy" in done.err
        finally:
            store.execute("UPDATE manifests SET document = ? WHERE position = 1", [document])


def notes_of(pricing: Pricing, replica: str) -> str:
    """All that ``kg status`` has to note about a replica."""
    found = next(one for one in pricing.status()["replicas"] if one["replica"] == replica)
    return f"{found['failed']} {found['trouble']} {found['refusal']}"
