"""Without a person: a version that fails is left by every replica at once, and by the fleet for good."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.pricing import Load, Pricing
from tests.acceptance.stage import until

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "folder.md"
# Seen only while something is under way, or by components that no embedded test switches.
SERVED = ("runs.db", "servers/", "keys/", "artifacts/", "server.db")
"""Only a server, or an agent over the network, makes these."""
RARE = {"trust.json", "departed.json", "outbox/<uid>.json", "store.db-wal", "store.db-shm", "pointers/<component>.json"}

pytestmark = [pytest.mark.requirement("C1", "D1", "G1", "J5"), pytest.mark.slow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Version 2 failed and was left: what was served before it, and what there was to see once that was over."""

    good: str | None
    broken: str
    load: Load
    status: dict[str, Any]
    tripped: dict[str, Any]


@pytest.fixture(scope="module")
def incident(pricing: Pricing) -> Incident:
    good = pricing.served()
    watch = pricing.stage.start_kg("watch", "pricing", "--every", "0.2")
    with pricing.load() as load:
        broken = pricing.deploy(2, broken=True)
        until(lambda: (pricing.rollback_of(broken) or {}).get("state") == "done", "the rollback to be over")
    watch.end()
    tripped = pricing.ledger("tripped")[-1]["body"]
    return Incident(good=good, broken=broken, load=load, status=pricing.status(), tripped=tripped)


def test_what_every_replica_left_on_its_own_evidence_the_fleet_leaves_too(incident: Incident) -> None:
    load, tripped = incident.load, incident.tripped
    assert load.mixed == []
    assert {one.status for one in load.failed} <= {500}
    # Each replica needs ten failures in a row or twenty requests; the riders send some two hundred a second.
    assert len(load.failed) <= 60
    assert tripped["version"] == incident.broken
    assert (tripped["source"], tripped["why"]) in [
        ("widening", "r1, r2 of 2 live replica(s) left it on their own evidence"),
        ("trigger", tripped["why"]),
    ]
    assert incident.status["serving"] == [incident.good]
    assert incident.status["quarantined"] == [incident.broken]


def test_a_version_that_was_left_is_no_way_back_of_the_next(pricing: Pricing, incident: Incident) -> None:
    fixed = pricing.deploy(3)
    assert pricing.status()["chain"] == [fixed, incident.good]


@pytest.mark.usefixtures("incident")
def test_the_bad_version_is_refused_whatever_its_intent_is_called(pricing: Pricing) -> None:
    before, recorded = pricing.stage.files(), len(pricing.ledger())
    pricing.write(2, broken=True)
    refused = pricing.stage.kg("deploy", "pricing", "--intent", "try it again")
    assert refused.code == 5
    assert "is in quarantine" in refused.err
    assert "kg quarantine release" in refused.err
    after = pricing.stage.files()
    assert {name for name in after if after[name] != before.get(name)} <= {"store.db", "systems/pricing/route.json"}
    assert [entry["kind"] for entry in pricing.ledger()[recorded:]] == ["deployment-blocked"]


@pytest.mark.usefixtures("incident")
def test_every_file_of_the_working_folder_stands_on_its_page_and_is_its_owners_alone(pricing: Pricing) -> None:
    documented = re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    patterns = {path: re.compile(re.sub(r"<\w+>", "[^/]+", path.replace(".", r"\."))) for path in documented}
    found = [path for path in pricing.stage.home.rglob("*") if not path.is_dir() and path.name[0] != "."]
    names = [str(path.relative_to(pricing.stage.home)) for path in found]
    assert [name for name in names if not any(pattern.fullmatch(name) for pattern in patterns.values())] == []
    unseen = [path for path, pattern in patterns.items() if not any(pattern.fullmatch(name) for name in names)]
    assert [path for path in unseen if not path.endswith(tuple(RARE)) and not path.startswith(SERVED)] == []
    # Kept bytes are read-only for everybody, in a folder that nobody else can enter.
    kept = {path for path in found if {"objects", "trees", "pins"} & set(path.parts)}
    assert [str(path) for path in kept if path.stat().st_mode & 0o022] == []
    assert [str(path) for path in set(found) - kept if path.stat().st_mode & 0o077 and not path.is_socket()] == []
    assert pricing.stage.home.stat().st_mode & 0o077 == 0
