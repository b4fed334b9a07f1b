"""What workers need to load comes over the network, checked, and stays for a start without control plane."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from knowngood.testing.contracts.traffic import SYSTEM
from knowngood.testing.memory_exchange import MemoryExchange
from knowngood.testing.replica import ReplicaUnderTest, until
from knowngood_sdk import fingerprint
from knowngood_sdk.model.canonical import canonical_bytes, digest_of
from knowngood_sdk.model.manifest import Component, Manifest, Ref, Role
from knowngood_sdk.model.route import FULL, FleetRoute, Generation
from knowngood_sdk.model.wire import ReleaseDocument, RouteDocument
from knowngood_sdk.serving.slot import Handles, Version, load_slot
from tests.adapters.hub.served import Control

CONFIG = {"surge": 1.5}
LONG = "a-folder-with-a-long-name/" * 8


@pytest.fixture
def control() -> Iterator[Control]:
    control = Control(MemoryExchange())
    control.start()
    yield control
    control.stop()


def written(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def release_of(place: Path, golden: str = '{"input": 1, "output": 3.0}\n') -> ReleaseDocument:
    """Keep a version in a folder of the control plane's host: a file, a folder, and a document in the manifest."""
    files = {"code.py": b"RATIO = 2", f"{LONG}data": b"x" * 1000, "empty": b"", "umlaut-\u00fc": b"1"}
    features = written(place / "features", files)
    (features / "code.py").chmod(0o755)
    written(features / "__pycache__", {"code.pyc": b"derived"})
    written(place, {"model.bin": b"m" * 700_000, "golden.jsonl": golden.encode()})
    document = canonical_bytes(CONFIG).decode()
    parts = {
        "model": (Role.MODEL, fingerprint(place / "model.bin"), {"form": "file", "name": "model.bin"}),
        "features": (Role.FEATURES, fingerprint(features), {"form": "folder"}),
        "config": (Role.CONFIG, digest_of(CONFIG), {"form": "file", "name": "config.json", "document": document}),
    }
    components = {
        name: Component(role=role, kind="files", ref=Ref(digest=digest, facets=facets))
        for name, (role, digest, facets) in parts.items()
    }
    paths = {"model": str(place / "model.bin"), "features": str(features), "config": "/not/there/config.json"}
    manifest = Manifest(system=SYSTEM, components=components)
    return ReleaseDocument(manifest=manifest, paths=paths, golden=str(place / "golden.jsonl"))


def publish(control: Control, release: ReleaseDocument) -> str:
    version = release.manifest.content_digest
    document = RouteDocument(
        system=SYSTEM, route=FleetRoute(1, 0, FULL), generations={1: Generation(number=1, chain=(version,))}
    )
    control.traffic.publish_rules(SYSTEM, {"system": SYSTEM, "rules": 1})
    control.traffic.publish_release(release)
    control.traffic.publish(SYSTEM, lambda _: document)
    return version


def read(version: Version) -> tuple[int, str, float]:
    model = Path(version["model"].path)
    code = Path(version["features"].path, "code.py").read_text()
    return len(model.read_bytes()), f"{model.name} {code}", version["config"].document["surge"]


def test_a_version_is_brought_whole_and_loads(control: Control, tmp_path: Path) -> None:
    release = release_of(tmp_path / "control")
    with ReplicaUnderTest.of(tmp_path / "host", SYSTEM, "a", [], ["--url", control.url]) as replica:
        version = publish(control, release)
        until(replica.folder.route_file.exists, "workers can read the route")
        brought = replica.folder.release(version)
        slot = load_slot(brought, read, lambda _, given: given * 3.0, Handles())
        assert slot.value == (700_000, "model.bin RATIO = 2", 1.5)
        assert replica.folder.settings() == {"system": SYSTEM, "rules": 1}
        assert str(tmp_path / "control") not in json.dumps(brought.to_json())
        features = Path(brought.paths["features"])
        assert fingerprint(features) == release.manifest.components["features"].ref.digest
        assert not (features / "__pycache__").exists()
        assert (features / "code.py").stat().st_mode & 0o777 == 0o555


def test_a_restart_without_control_plane_finds_all_that_was_brought(control: Control, tmp_path: Path) -> None:
    release = release_of(tmp_path / "control")
    with ReplicaUnderTest.of(tmp_path / "host", SYSTEM, "a", [], ["--url", control.url]) as replica:
        version = publish(control, release)
        until(replica.folder.route_file.exists, "workers can read the route")
        control.stop()
        replica.kill()
        replica.start()
        document = replica.folder.route()
        assert document is not None
        assert document.wanted == (version,)
        assert load_slot(replica.folder.release(version), read, lambda _, given: given * 3.0, Handles()).value[0] > 0
    control.start()


def test_bytes_that_are_not_those_of_the_manifest_are_not_taken(control: Control, tmp_path: Path) -> None:
    release = release_of(tmp_path / "control")
    (tmp_path / "control" / "model.bin").write_bytes(b"something else")
    with ReplicaUnderTest.of(tmp_path / "host", SYSTEM, "a", [], ["--url", control.url]) as replica:
        version = publish(control, release)

        def told() -> bool:
            seen = control.traffic.replicas(SYSTEM)
            return "a" in seen and any("has another digest" in text for text in seen["a"].report.warnings)

        until(told, "its report says so")
        assert not list(replica.folder.manifests.glob("*.json"))
        assert not [path for path in tmp_path.joinpath("host", "artifacts").rglob("*") if path.name == "model.bin"]
        # What is damaged there may be mended there.
        (tmp_path / "control" / "model.bin").write_bytes(b"m" * 700_000)
        until(lambda: bool(list(replica.folder.manifests.glob("*.json"))), "it is brought after all")
        assert replica.folder.release(version).manifest == release.manifest
        until(lambda: not control.traffic.replicas(SYSTEM)["a"].report.warnings, "the warning is over")


def test_bytes_that_were_damaged_here_are_brought_again_at_the_next_start(control: Control, tmp_path: Path) -> None:
    release = release_of(tmp_path / "control")
    with ReplicaUnderTest.of(tmp_path / "host", SYSTEM, "a", [], ["--url", control.url]) as replica:
        version = publish(control, release)
        until(replica.folder.route_file.exists, "workers can read the route")
        model = Path(replica.folder.release(version).paths["model"])
        replica.kill()
        model.chmod(0o600)
        model.write_bytes(b"damaged")
        replica.start()
        until(lambda: len(model.read_bytes()) == 700_000, "it is whole again")


def test_a_release_with_other_golden_inputs_replaces_the_one_before(control: Control, tmp_path: Path) -> None:
    release = release_of(tmp_path / "control")
    with ReplicaUnderTest.of(tmp_path / "host", SYSTEM, "a", [], ["--url", control.url]) as replica:
        version = publish(control, release)
        until(replica.folder.route_file.exists, "workers can read the route")
        (tmp_path / "control" / "golden.jsonl").write_text('{"input": 2, "output": 6.0}\n')
        replica.kill()
        replica.start()
        until(lambda: "2" in Path(str(replica.folder.release(version).golden)).read_text(), "the newer ones are here")
