"""``kg status`` answers at once: it reads files, and imports neither a database layer nor a reader of YAML."""

import json
import subprocess
import sys
import time
from collections.abc import Callable

from tests.acceptance.stage import Stage

THIRD_PARTY = {"click", "xxhash"}
OURS = {"knowngood", "knowngood_sdk"}
RINGS = {
    "knowngood.adapters.folder",
    "knowngood.cli",
    "knowngood.ports.traffic",
    "knowngood.ports.verbs",
    "knowngood.verbs.embedded",
    "knowngood.verbs.status",
    "knowngood_sdk.agent",
    "knowngood_sdk.errors",
    "knowngood_sdk.model",
    "knowngood_sdk.serving",
}
"""What of ours a status may import: no control, no domain, no store."""
PACKAGES = {"knowngood", "knowngood.adapters", "knowngood.ports", "knowngood.verbs", "knowngood_sdk"}

PROBE = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
from knowngood.cli import main
main(["status", "--output", "json"])
"""


def test_status_imports_click_and_a_hash_and_of_ours_what_reads_files(shared: Stage) -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], cwd=shared.folder, capture_output=True, check=True)
    assert json.loads(done.stdout)["systems"][0]["system"] == "pricing"
    modules = set(json.loads(done.stderr.decode().splitlines()[-1]))
    loaded = {name.partition(".")[0] for name in modules}
    foreign = {name for name in loaded - sys.stdlib_module_names if not name.startswith("_")}
    # What the environment loads into every interpreter (editable installs, coverage) is not ours.
    at_start = subprocess.run(
        [sys.executable, "-c", "import sys; print(*{name.partition('.')[0] for name in sys.modules})"],
        capture_output=True,
        check=True,
    )
    before = set(at_start.stdout.decode().split())
    assert foreign - OURS - before == THIRD_PARTY
    ours = {name for name in modules if name.partition(".")[0] in OURS} - PACKAGES
    assert {name for name in ours if not any(name == ring or name.startswith(f"{ring}.") for ring in RINGS)} == set()
    assert "asyncio" not in modules


def test_status_answers_while_the_store_is_gone(stage: Stage, shared: Stage) -> None:
    target = stage.home / "systems"
    target.mkdir(parents=True)
    source = shared.home / "systems" / "pricing"
    (target / "pricing").mkdir()
    for name in ("route.json", "system.json"):
        (target / "pricing" / name).write_bytes((source / name).read_bytes())
    assert stage.kg("status").code == 0
    assert sorted(path.name for path in stage.home.iterdir()) == ["systems"]


def test_how_long_status_takes(shared: Stage, record_property: Callable[[str, object], None]) -> None:
    def once() -> float:
        began = time.perf_counter()
        assert shared.kg("status").code == 0
        return time.perf_counter() - began

    best = min(once() for _ in range(5))
    record_property("kg_status_best_seconds", round(best, 3))
    sys.stdout.write(f"kg status, the whole process, best of five: {best * 1000:.0f} ms\n")
    # Some 100 ms on an idle machine; the bound only catches a library that sneaks in on a busy one.
    assert best < 2.0
