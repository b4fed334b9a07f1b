"""
Workplace: the team's own folder in the demo, with its Git repository, its model file and its system file.

What is written here is what a team would have; knowngood only reads it.
"""

import json
import os
import subprocess
from pathlib import Path

import pandas as pd

from knowngood.adapters.yaml.document import read_document
from knowngood.demo.fallback import FALLBACK_PRICE
from knowngood.demo.stage import SYSTEM
from knowngood.demo.world.artifacts import golden_requests, write_version
from knowngood.demo.world.features import source_of
from knowngood.demo.world.pricing import Pricing
from knowngood.domain.system import SystemFile
from knowngood_sdk.errors import InvalidError, NotFoundError, PermanentError
from knowngood_sdk.serving.fingerprint import fingerprint

__all__ = ["SYSTEM_FILE", "Workplace", "change_text", "rules"]

SYSTEM_FILE = f"""\
system: {SYSTEM}
kind: realtime
sla: {{latency_p99: 200ms}}
components:
  model: {{files: model.joblib, contract: contract.json}}
  features: {{git: features}}
  config: {{inline: surge.json}}
golden: golden.jsonl
fallback: {{price: {FALLBACK_PRICE}}}
standby: {{keep: 72h}}
unproven: {{divergence: 15%, requests: 100}}
# Each rider makes two requests: for a price, and to say whether it was taken.
verify: {{requests: 300, within: 60s}}
# The demo grants rollback in the open; what is not granted only observes.
triggers:
  errors: {{over: 5%, do: rollback}}
  latency: {{over: 5x, do: rollback}}
  nonsense: {{low: 0, high: 2000, constant: false, do: rollback}}
  prediction_mean: {{shift: 15%, do: rollback}}
  conversion: {{drop: 10%, do: rollback}}
"""
_LARGEST = 64 * 1024


def rules() -> SystemFile:
    """Return the system file as the value that the product makes of it, for what is judged in process."""
    return SystemFile.from_json(read_document(SYSTEM_FILE.encode(), f"{SYSTEM}.yaml", largest=_LARGEST).value)


class Workplace:
    """
    The team's folder.

    Attributes:
        folder: It.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self) -> None:
        """Make the repository and the system file."""
        (self.folder / "features").mkdir(parents=True)
        (self.folder / f"{SYSTEM}.yaml").write_text(SYSTEM_FILE, encoding="utf-8")
        (self.folder / ".gitignore").write_text(".knowngood/\nlogs/\n*.joblib\n*.jsonl\n*.html\n", encoding="utf-8")
        self._git("init", "--quiet", "--initial-branch=main")
        self._git("config", "user.name", "demo")
        self._git("config", "user.email", "demo@localhost")
        self._git("config", "commit.gpgsign", "false")
        self._git("config", "core.hooksPath", os.devnull)

    def write(self, pricing: Pricing, hours: pd.DataFrame, message: str) -> None:
        """
        Put a version where the team works: features into Git, model and curve as files, the contract beside them.

        Args:
            pricing: The version; its model was trained on its features.
            hours: The year, for golden requests.
            message: Of the commit.
        """
        written = write_version(self.folder, pricing)
        written.features.replace(self._features)
        golden = "".join(one.line() for one in golden_requests(pricing, hours))
        (self.folder / "golden.jsonl").write_text(golden, encoding="utf-8")
        contract = {"requires": {"features": fingerprint(self._features.parent)}}
        (self.folder / "contract.json").write_text(json.dumps(contract) + "\n", encoding="utf-8")
        self._commit(message)

    def write_features(self, text: str, message: str) -> None:
        """Commit feature code alone; the model beside it, and what that was trained on, stay as they are."""
        self._features.write_text(text, encoding="utf-8")
        self._commit(message)

    @property
    def _features(self) -> Path:
        return self.folder / "features" / "features.py"

    def _commit(self, message: str) -> None:
        self._git("add", "features", f"{SYSTEM}.yaml", ".gitignore", "surge.json", "contract.json")
        self._git("commit", "--quiet", "--allow-empty", "-m", message)

    def _git(self, *arguments: str) -> None:
        try:
            done = subprocess.run(  # noqa: S603
                ["git", *arguments],  # noqa: S607 - the user's own git
                cwd=self.folder,
                env={name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError as error:
            raise NotFoundError("the demo needs git, which is not installed", hint="apt-get install git") from error
        if done.returncode:
            raise PermanentError(f"git {arguments[0]} failed: {done.stderr.strip()}", hint="Look at the message of git")


def change_text(change: str) -> str:
    """Return the feature code of a change, by its name or from a file of your own."""
    path = Path(change)
    if change.endswith(".py"):
        if not path.is_file():
            raise NotFoundError(f"there is no file {change}", hint="Give the path of a module with features(hours)")
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InvalidError(f"{change} is not UTF-8 text: {error}", hint="Give a Python file") from error
    return source_of(change)
