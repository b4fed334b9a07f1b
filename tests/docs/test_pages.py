"""
Every command and every listing of the documentation is run, page by page, as a reader would type it.

Pages that go on after one another are run as one, in their order.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tools.doc_blocks import Command, commands, goes_on_after, mismatch, read_page, shell_script, wants_checkout

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for page in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("packages/*/*.md"),
    ]
    if page.exists() and read_page(page.read_text(encoding="utf-8"))
)
SECONDS = 600


def walk_to(page: Path) -> list[Path]:
    """Return the pages that a reader goes through to the end of one, in their order."""
    before = goes_on_after(page.read_text(encoding="utf-8"))
    return [*(walk_to((page.parent / before).resolve()) if before else []), page]


WALKS = [walk_to(page) for page in PAGES]
LONGEST = [walk for walk in WALKS if not any(walk != other and walk == other[: len(walk)] for other in WALKS)]


def checkout(folder: Path) -> None:
    """Lay a copy of the tracked files into the folder, with this environment as its .venv, marked as made."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.decode()
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    environment = folder / ".venv"
    environment.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if not entry.name.startswith("."):
            (environment / entry.name).symlink_to(entry)
    for stamp in (".made", ".run", ".dev", ".debian"):
        (environment / stamp).touch()


def run(script: str, *, folder: Path, home: Path) -> None:
    """Run a page's script in its folder, and end whatever it left in the background."""
    environment = {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
    }
    shell = subprocess.Popen(["bash", "-c", script], cwd=folder, env=environment, start_new_session=True)
    try:
        shell.wait(timeout=SECONDS)
    finally:
        if shell.poll() is None or _group_lives(shell.pid):
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize("walk", [pytest.param(walk, id=str(walk[-1].relative_to(ROOT))) for walk in LONGEST])
def test_page_does_what_it_says(walk: list[Path], tmp_path: Path) -> None:
    texts = {page: page.read_text(encoding="utf-8") for page in walk}
    steps: list[tuple[Path, Command]] = [
        (page, command) for page, text in texts.items() for command in commands(read_page(text))
    ]
    folder, home, results = tmp_path / "work", tmp_path / "home", tmp_path / "results"
    for path in (folder, home, results):
        path.mkdir()
    if wants_checkout(texts[walk[0]]):
        checkout(folder)

    run(shell_script([command for _, command in steps], results=results), folder=folder, home=home)

    for number, (page, command) in enumerate(steps):
        printed = (results / str(number)).read_text(encoding="utf-8") if (results / str(number)).exists() else ""
        exit_file = results / f"{number}.exit"
        code = exit_file.read_text(encoding="utf-8").strip() if exit_file.exists() else "none: it did not end"
        where = f"{page.relative_to(ROOT)}:{command.line}: {command.text}"
        assert code == str(command.exit_code), f"{where}\nexit code {code}\n{printed}"
        difference = mismatch(command.output, printed.splitlines())
        assert difference is None, f"{where}\n{difference}"
