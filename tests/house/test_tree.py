"""What no linter checks about the files of the repository: sizes, names, addresses, purity of calls, dependencies."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
SDK = ROOT / "packages" / "knowngood-sdk"
CONTROL_PLANE = ROOT / "packages" / "knowngood"
LONGEST_MODULE = 500
LONGEST_TESTS = 600  # a list of sentences about one noun reads on where code does not
LONGEST_FUNCTION = 60
# Put together from pieces, so that this file does not find itself.
ADDRESSES = [
    "pypi" + r"\.org",
    "python" + "hosted",
    "npm" + r"js\.(org|com)",
    "deb" + r"\.debian",
]
MACHINE_PATHS = [rf"(?<![\w.]){folder}/[a-z]" for folder in ("/ro" + "ot", "/wo" + "rk", "/ho" + "me/[a-z]+")]
PURE = [
    SDK / "src" / "knowngood_sdk" / "errors.py",
    *(SDK / "src" / "knowngood_sdk" / "model").rglob("*.py"),
    *(CONTROL_PLANE / "src" / "knowngood" / "domain").rglob("*.py"),
]
IMPURE_CALLS = {"now", "utcnow", "today", "fromtimestamp", "open", "print", "input", "exec", "eval", "__import__"}
VAGUE = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}


def tracked(*patterns: str) -> list[Path]:
    command = ["git", "ls-files", "-z", "--", *patterns]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).exists()]


def text_of(path: Path) -> str | None:
    """Return what a file holds, or None where it is no text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_no_module_is_longer_than_people_read() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in tracked("*.py")}
    bounds = {path: LONGEST_TESTS if "tests" in path.parts else LONGEST_MODULE for path in lengths}
    assert [where(path, length) for path, length in lengths.items() if length > bounds[path]] == []


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{where(path, function.lineno)} {function.name}"
        for path in tracked("*.py")
        for function in functions(path)
        if (function.end_lineno or function.lineno) - function.lineno >= LONGEST_FUNCTION
    ]
    assert long == []


def test_no_module_has_a_vague_name() -> None:
    assert [where(path, 1) for path in tracked("*.py") if VAGUE & {path.stem, *path.relative_to(ROOT).parts}] == []


@pytest.mark.parametrize("pattern", [*ADDRESSES, *MACHINE_PATHS])
def test_no_file_names_a_registry_or_a_path_of_one_machine(pattern: str) -> None:
    found = [
        where(path, number)
        for path in tracked()
        for number, line in enumerate((text_of(path) or "").splitlines(), start=1)
        if re.search(pattern, line)
    ]
    assert found == []


def test_no_lock_of_another_tool_is_tracked() -> None:
    assert tracked("uv.lock", "*/uv.lock", "poetry.lock", "Pipfile.lock") == []


def test_pure_modules_call_no_clock_and_touch_no_file() -> None:
    calls = [
        f"{where(path, node.lineno)} {name}"
        for path in PURE
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and (name := node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", ""))
        in IMPURE_CALLS
    ]
    assert calls == []


def test_no_test_patches_what_it_tests() -> None:
    patched = [
        where(path, number)
        for path in tracked("tests/*.py", "packages/knowngood/src/knowngood/testing/*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(r"monkeypatch\.(setattr|setitem|delattr)\(|\bmocker\b", line)
    ]
    assert patched == []


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for path in tracked("tests/*.py") if path.name != "conftest.py"]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


def imported_distributions(source: Path) -> set[str]:
    """Return the distributions that the modules below a folder import, by their normalised names."""
    modules: set[str] = set()
    for path in source.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.split(".")[0])
    owners = packages_distributions()
    outside = modules - sys.stdlib_module_names
    return {owner.lower().replace("_", "-") for module in outside for owner in owners.get(module, [module])}


def declared(package: Path) -> tuple[set[str], set[str]]:
    """Return the names a package depends on, and those that its extras add."""
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project.get("optional-dependencies", {}).values() for line in lines]
    return names(project["dependencies"]), names(extras)


def names(requirements: list[str]) -> set[str]:
    return {Requirement(requirement).name.lower() for requirement in requirements}


@pytest.mark.parametrize("package", [SDK, CONTROL_PLANE], ids=lambda package: package.name)
def test_what_a_package_imports_it_declares_and_nothing_else(package: Path) -> None:
    required, extras = declared(package)
    imported = imported_distributions(package / "src") - {package.name}
    assert sorted(imported - required - extras) == [], "imported, and not declared"
    assert sorted(required - imported) == [], "declared, and never imported"
