"""
Change the domain line by line and print which changes no test notices.

mutmut wants one source folder named ``src`` beside the tests, so the control plane and the tests of its domain are laid
out that way in ``mutants/`` at the root (ignored by Git), where the run's results stay: a second run tests only what
has changed. Arguments are passed on: names of mutants to run alone, as ``mutmut results`` prints them.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "mutants"
TREES = {
    ROOT / "packages" / "knowngood" / "src" / "knowngood": FOLDER / "src" / "knowngood",
    ROOT / "tests" / "domain": FOLDER / "tests" / "domain",
}
CONFIGURATION = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = ["src/knowngood/domain/*"]
also_copy = ["docs"]
pytest_add_cli_args_test_selection = ["tests/domain"]
pytest_add_cli_args = ["-p", "no:cacheprovider"]

[tool.pytest]
addopts = ["--import-mode=importlib"]
timeout = "120"
markers = ["requirement(*ids): ids", "slow: slow", "soak: soak"]
"""


def lay_out() -> None:
    """Bring the working folder up to date, keeping the times of the files, by which mutmut knows what has changed."""
    for source, target in TREES.items():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    (FOLDER / "docs").mkdir(exist_ok=True)
    # Python forgets a folder on PYTHONPATH that is not there when it starts, and would then test the unchanged code.
    (FOLDER / "mutants" / "src").mkdir(parents=True, exist_ok=True)
    shutil.copy2(ROOT / "docs" / "requirements.md", FOLDER / "docs")
    shutil.copy2(ROOT / "tests" / "conftest.py", FOLDER / "tests")
    (FOLDER / "pyproject.toml").write_text(CONFIGURATION, encoding="utf-8")


def mutmut(*arguments: str) -> int:
    """Run mutmut in the working folder and return its exit code."""
    command = [f"{sys.prefix}/bin/mutmut", *arguments]
    environment = os.environ | {"PYTHONPATH": str(FOLDER / "mutants" / "src")}
    return subprocess.run(command, cwd=FOLDER, env=environment, check=False).returncode


def main() -> int:
    """Run, print the survivors and the score, and keep the score in ``mutants/score.json``."""
    lay_out()
    if code := mutmut("run", *sys.argv[1:]):
        return code
    print("Changes that no test noticed:")
    mutmut("results")
    mutmut("export-cicd-stats")
    stats = json.loads((FOLDER / "mutants" / "mutmut-cicd-stats.json").read_text(encoding="utf-8"))
    noticed, tried = stats["killed"] + stats["timeout"], stats["total"] - stats["skipped"]
    score = {"noticed": noticed, "tried": tried, "percent": round(100 * noticed / tried, 1) if tried else None} | stats
    (FOLDER / "score.json").write_text(json.dumps(score, indent=2), encoding="utf-8")
    print(f"{noticed} of {tried} changes noticed ({score['percent']} %)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
