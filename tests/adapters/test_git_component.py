"""Folders of a Git repository as components: the commit's own bytes, safe from a forced push, deaf to hostile names."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from knowngood.adapters.files import FilesComponent
from knowngood.adapters.git import GitComponent
from knowngood.domain.component import Availability, Depth, Lease
from knowngood.domain.system import ComponentSpec
from knowngood.ports.component import Component, ComponentFactory
from knowngood.testing.contracts.component import ComponentContract
from knowngood_sdk.errors import InvalidError, NotFoundError, PermanentError, RefusedError
from knowngood_sdk.model.manifest import Ref, Role

SOON = timedelta(seconds=30)
LEASE = Lease(id="cooldown", owner="test", until=datetime(2100, 1, 1, tzinfo=UTC))
FACTORY: ComponentFactory = GitComponent
IDENTITY = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}


def git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=repository,
        env={"PATH": os.environ["PATH"], "HOME": str(repository), **IDENTITY},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def component(tmp_path: Path, target: str = "repository/features") -> GitComponent:
    spec = ComponentSpec(name="features", role=Role.FEATURES, kind="git", target=target)
    return GitComponent(spec, system="pricing", root=tmp_path, folder=tmp_path / "folder")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    place = tmp_path / "repository"
    (place / "features").mkdir(parents=True)
    git(place, "init", "-q", "-b", "main")
    (place / "README").write_text("not part of the component")
    commit(place, "features/__init__.py", "")
    return place


def commit(repository: Path, path: str, text: str) -> str:
    (repository / path).parent.mkdir(parents=True, exist_ok=True)
    (repository / path).write_text(text)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "--allow-empty", "-m", f"change {path}")
    return git(repository, "rev-parse", "HEAD")


def drop_history(repository: Path) -> None:
    """Do what a forced push with an eager collection does: only the newest tree is left, as a commit of its own."""
    git(repository, "checkout", "-q", "--orphan", "rewritten")
    commit(repository, "README", "rewritten")
    git(repository, "branch", "-q", "-D", "main")
    git(repository, "branch", "-q", "-m", "main")
    collect(repository)


def collect(repository: Path) -> None:
    git(repository, "reflog", "expire", "--expire=now", "--all")
    git(repository, "gc", "-q", "--prune=now")


class GitHarness:
    def __init__(self, tmp_path: Path, repository: Path) -> None:
        self.tmp_path = tmp_path
        self.repository = repository
        self.written = 0

    def component(self) -> Component:
        return component(self.tmp_path)

    def write(self, number: int) -> None:
        """Commit without a parent, so that each version can be lost without the other."""
        self.written += 1
        git(self.repository, "checkout", "-q", "--orphan", f"version-{self.written}")
        commit(self.repository, "features/lags.py", f"LAGS = [{number}]\n")

    def lose(self, ref: Ref) -> Ref:
        self.forget(ref)
        return ref

    def damage(self, ref: Ref) -> Ref:
        name = git(self.repository, "rev-parse", f"{ref.native}:features/lags.py")
        stored = self.repository / ".git" / "objects" / name[:2] / name[2:]
        stored.chmod(0o600)
        stored.write_bytes(stored.read_bytes()[:-4])
        self._remove_prepared(ref)
        return ref

    def forget(self, ref: Ref) -> None:
        for branch in git(self.repository, "branch", "--format=%(refname:short)", "--contains", ref.native).split():
            git(self.repository, "branch", "-q", "-D", branch)
        collect(self.repository)
        self._remove_prepared(ref)

    def _remove_prepared(self, ref: Ref) -> None:
        shutil.rmtree(self.tmp_path / "folder" / "trees" / ref.digest.removeprefix("sha256:"), ignore_errors=True)


@pytest.mark.requirement("A1", "B3", "N1", "N2", "N4")
class TestGitFolder(ComponentContract):
    @pytest.fixture
    def harness(self, tmp_path: Path, repository: Path) -> GitHarness:
        return GitHarness(tmp_path, repository)


def test_a_version_is_the_commits_bytes_whatever_the_working_place_holds(tmp_path: Path, repository: Path) -> None:
    (repository / ".gitattributes").write_text("*.py export-ignore\n*.sh text eol=crlf export-subst\n")
    script = commit(repository, "features/run.sh", "$Format:%H$\n")
    (repository / "features" / "run.sh").chmod(0o755)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "executable")
    ref = component(tmp_path).capture(SOON)
    assert ref.native != script
    path = component(tmp_path).prepare(ref, SOON).path
    assert path is not None
    assert sorted(file.name for file in Path(path).iterdir()) == ["__init__.py", "run.sh"]
    assert (Path(path) / "run.sh").read_bytes() == b"$Format:%H$\n"
    assert os.access(Path(path) / "run.sh", os.X_OK)


@pytest.mark.requirement("A1")
def test_the_same_files_are_the_same_version_under_another_commit_and_out_of_a_folder(
    tmp_path: Path, repository: Path
) -> None:
    first = component(tmp_path).capture(SOON)
    commit(repository, "README", "changed")
    second = component(tmp_path).capture(SOON)
    assert first.native != second.native
    spec = ComponentSpec(name="features", role=Role.FEATURES, kind="files", target="repository/features")
    folder = FilesComponent(spec, system="pricing", root=tmp_path, folder=tmp_path / "folder").capture(SOON)
    assert first.digest == second.digest == folder.digest


def test_a_lease_takes_the_same_content_under_another_commit(tmp_path: Path, repository: Path) -> None:
    first = component(tmp_path).capture(SOON)
    commit(repository, "README", "changed")
    second = component(tmp_path).capture(SOON)
    for ref in (first, second):
        component(tmp_path).pin(ref, LEASE)
    shown = git(repository, "for-each-ref", "--format=%(objectname)", "refs/knowngood").split()
    assert sorted(shown) == sorted([first.native, second.native])
    component(tmp_path).unpin("cooldown")
    assert git(repository, "for-each-ref", "refs/knowngood") == ""


def test_a_lease_does_not_pass_to_another_version(tmp_path: Path, repository: Path) -> None:
    component(tmp_path).pin(component(tmp_path).capture(SOON), LEASE)
    commit(repository, "features/lags.py", "LAGS = [1]")
    with pytest.raises(InvalidError, match="lease cooldown stands for"):
        component(tmp_path).pin(component(tmp_path).capture(SOON), LEASE)


def test_without_a_pin_the_collection_takes_the_version(tmp_path: Path, repository: Path) -> None:
    commit(repository, "features/lags.py", "LAGS = [1]")
    ref = component(tmp_path).capture(SOON)
    commit(repository, "features/lags.py", "LAGS = [2]")
    drop_history(repository)
    probe = component(tmp_path).probe(ref, Depth.METADATA)
    assert probe.availability is Availability.GONE
    assert ref.native[:12] in probe.reason


@pytest.mark.requirement("N2")
def test_what_was_prepared_outlives_the_repository(tmp_path: Path, repository: Path) -> None:
    ref = component(tmp_path).capture(SOON)
    prepared = component(tmp_path).prepare(ref, SOON)
    shutil.rmtree(repository)
    for depth in Depth:
        assert component(tmp_path).probe(ref, depth).ok
    assert component(tmp_path).prepare(ref, SOON) == prepared


def test_a_later_commit_may_remove_the_folder(tmp_path: Path, repository: Path) -> None:
    ref = component(tmp_path).capture(SOON)
    git(repository, "rm", "-rq", "features")
    git(repository, "commit", "-q", "-m", "remove it")
    assert not (repository / "features").exists()
    assert component(tmp_path).probe(ref, Depth.LOAD).ok


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param("features/__init__.py", "features/__init__.py", id="a changed file"),
        pytest.param("features/forgotten.py", "features/forgotten.py", id="a file that nobody added"),
    ],
)
def test_changes_that_are_in_no_commit_are_refused_by_name(
    tmp_path: Path, repository: Path, change: str, named: str
) -> None:
    (repository / change).write_text("changed")
    with pytest.raises(RefusedError, match=rf"in no commit: {named}.*Commit them"):
        component(tmp_path).capture(SOON)


def test_a_staged_change_is_in_no_commit_either(tmp_path: Path, repository: Path) -> None:
    (repository / "features" / "__init__.py").write_text("changed")
    git(repository, "add", "-A")
    with pytest.raises(RefusedError):
        component(tmp_path).capture(SOON)


def test_changes_beside_the_folder_and_ignored_files_do_not_matter(tmp_path: Path, repository: Path) -> None:
    commit(repository, ".gitignore", "*.log\n")
    (repository / "README").write_text("changed")
    (repository / "features" / "x.log").write_text("")
    (repository / "features" / "__pycache__").mkdir()
    (repository / "features" / "__pycache__" / "x.pyc").write_text("")
    assert component(tmp_path).capture(SOON).native == git(repository, "rev-parse", "HEAD")


def test_the_whole_repository_can_be_a_component(tmp_path: Path, repository: Path) -> None:
    ref = component(tmp_path, "repository").capture(SOON)
    path = component(tmp_path, "repository").prepare(ref, SOON).path
    assert path is not None
    assert (Path(path) / "README").read_text() == "not part of the component"
    assert repository.is_dir()


@pytest.mark.requirement("N1")
def test_a_component_that_does_not_exist_is_named_with_its_path(tmp_path: Path, repository: Path) -> None:
    with pytest.raises(NotFoundError, match=r"features names the folder .*repository/nothing"):
        component(tmp_path, "repository/nothing").capture(SOON)
    assert repository.is_dir()


def test_a_folder_in_no_repository_and_a_repository_without_a_commit_are_named(tmp_path: Path) -> None:
    (tmp_path / "repository" / "features").mkdir(parents=True)
    with pytest.raises(NotFoundError, match="in no Git repository"):
        component(tmp_path).capture(SOON)
    git(tmp_path / "repository", "init", "-q")
    with pytest.raises(NotFoundError, match="has no commit yet"):
        component(tmp_path).capture(SOON)


def test_a_folder_that_is_ignored_as_a_whole_is_named(tmp_path: Path, repository: Path) -> None:
    commit(repository, ".gitignore", "ignored/\n")
    (repository / "ignored").mkdir()
    (repository / "ignored" / "x.py").write_text("")
    with pytest.raises(NotFoundError, match=r"look whether \.gitignore names it"):
        component(tmp_path, "repository/ignored").capture(SOON)


def test_links_and_submodules_are_refused(tmp_path: Path, repository: Path) -> None:
    (repository / "features" / "secrets").symlink_to("/etc/passwd")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "link")
    with pytest.raises(InvalidError, match="secrets is a symbolic link"):
        component(tmp_path).capture(SOON)


@pytest.mark.parametrize(
    "native", ["", "HEAD", "main", "--output=/tmp/x", "-h", "a" * 39, "A" * 40, "a" * 40 + "\n", "a" * 40 + "^{tree}"]
)
def test_only_a_full_commit_is_handed_to_git(tmp_path: Path, repository: Path, native: str) -> None:
    hostile = Ref(digest="sha256:" + "0" * 64, native=native, facets={"form": "folder", "path": "features"})
    for act in (
        lambda: component(tmp_path).probe(hostile, Depth.METADATA),
        lambda: component(tmp_path).prepare(hostile, SOON),
        lambda: component(tmp_path).pin(hostile, LEASE),
    ):
        with pytest.raises(InvalidError, match="no Git commit"):
            act()
    assert git(repository, "for-each-ref", "refs/knowngood") == ""


@pytest.mark.parametrize("path", ["../..", "/etc", "features/../..", ".git", "./features", "features/", "a\0b"])
def test_a_hostile_path_is_not_handed_to_git(tmp_path: Path, repository: Path, path: str) -> None:
    commit_ = git(repository, "rev-parse", "HEAD")
    hostile = Ref(digest="sha256:" + "0" * 64, native=commit_, facets={"form": "folder", "path": path})
    with pytest.raises(InvalidError, match="cannot be part of a version"):
        component(tmp_path).probe(hostile, Depth.METADATA)


@pytest.mark.parametrize("system", ["../x", "a b", "-x", "x.lock", "UPPER"])
def test_a_hostile_system_name_never_becomes_part_of_a_ref(tmp_path: Path, system: str) -> None:
    spec = ComponentSpec(name="features", role=Role.FEATURES, kind="git", target="repository/features")
    with pytest.raises(InvalidError):
        GitComponent(spec, system=system, root=tmp_path, folder=tmp_path / "folder")


@pytest.mark.parametrize("name", ["..", ".git"])
def test_a_tree_that_was_made_to_write_elsewhere_writes_nothing(tmp_path: Path, repository: Path, name: str) -> None:
    blob = git(repository, "hash-object", "-w", "README")
    inner = _raw_object(repository, "tree", b"100644 evil\0" + bytes.fromhex(blob))
    evil = _raw_object(repository, "tree", b"40000 " + name.encode() + b"\0" + bytes.fromhex(inner))
    outer = _raw_object(repository, "tree", b"40000 features\0" + bytes.fromhex(evil))
    hostile = git(repository, "commit-tree", "-m", "evil", outer)
    ref = Ref(digest="sha256:" + "0" * 64, native=hostile, facets={"form": "folder", "path": "features"})
    with pytest.raises(InvalidError, match="cannot be part of a version"):
        component(tmp_path).prepare(ref, SOON)
    assert not list(tmp_path.rglob("evil"))


def _raw_object(repository: Path, kind: str, content: bytes) -> str:
    done = subprocess.run(
        ["git", "hash-object", "-t", kind, "-w", "--literally", "--stdin"],
        cwd=repository,
        input=content,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()


def test_strange_file_names_are_kept_as_they_are(tmp_path: Path, repository: Path) -> None:
    names = ["a b.py", "ünï.py", "tab\tname.py", 'quote".py', "-rf", "new\nline.py"]
    for name in names:
        (repository / "features" / name).write_text(name)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "names")
    path = component(tmp_path).prepare(component(tmp_path).capture(SOON), SOON).path
    assert path is not None
    assert {file.name for file in Path(path).iterdir()} == {*names, "__init__.py"}


def test_a_content_that_the_commit_does_not_hold_is_damage(tmp_path: Path, repository: Path) -> None:
    native = git(repository, "rev-parse", "HEAD")
    ref = Ref(digest="sha256:" + "0" * 64, native=native, facets={"form": "folder", "path": "features"})
    assert component(tmp_path).probe(ref, Depth.METADATA).ok, "the commit is there; only its bytes tell"
    assert component(tmp_path).probe(ref, Depth.BYTES).availability is Availability.DAMAGED
    with pytest.raises(PermanentError, match="damaged"):
        component(tmp_path).prepare(ref, SOON)
    assert not list((tmp_path / "folder" / "trees").iterdir())


CAPTURE_PIN_PREPARE = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from knowngood.adapters.git import GitComponent
from knowngood.domain.component import Lease
from knowngood.domain.system import ComponentSpec

root, soon = Path(sys.argv[1]), timedelta(seconds=30)
spec = ComponentSpec(name="features", role="features", kind="git", target="repository/features")
component = GitComponent(spec, system="pricing", root=root, folder=root / "folder")
ref = component.capture(soon)
component.pin(ref, Lease(id="x", owner="y", until=datetime(2100, 1, 1, tzinfo=UTC)))
component.prepare(ref, soon)
print(ref.native)
"""


def test_neither_hooks_nor_the_users_settings_nor_the_callers_environment_reach_git(
    tmp_path: Path, repository: Path
) -> None:
    trap = tmp_path / "trap"
    for name in ("post-index-change", "reference-transaction"):
        hook = repository / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {trap}\nexit 1\n")
        hook.chmod(0o755)
    git(repository, "config", "core.fsmonitor", f"touch {trap}")
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(f'[core]\n\tpager = "touch {trap}"\n[alias]\n\tls-tree = "!touch {trap}"\nbroken')
    hostile = {"GIT_DIR": "/nonexistent", "GIT_WORK_TREE": "/", "GIT_EXTERNAL_DIFF": f"touch {trap}", "HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", CAPTURE_PIN_PREPARE, str(tmp_path)],
        env={**os.environ, **hostile},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == git(repository, "rev-parse", "refs/heads/main")
    assert not trap.exists()


def test_a_host_without_git_is_told_to_install_it(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = component(tmp_path).capture(SOON)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PermanentError, match=r"no git on this host\. Install git"):
        component(tmp_path).capture(SOON)
    assert component(tmp_path).probe(ref, Depth.METADATA).availability is Availability.UNKNOWN, "not gone: not known"
    assert repository.is_dir()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a repository to somebody else")
def test_a_repository_that_git_does_not_trust_is_unknown_and_not_gone(tmp_path: Path, repository: Path) -> None:
    ref = component(tmp_path).capture(SOON)
    for path in (repository, *repository.rglob("*")):
        os.chown(path, 65534, 65534)
    probe = component(tmp_path).probe(ref, Depth.BYTES)
    assert probe.availability is Availability.UNKNOWN
    assert "git refuses" in probe.reason
    for act in (lambda: component(tmp_path).capture(SOON), lambda: component(tmp_path).unpin("cooldown")):
        with pytest.raises(PermanentError, match="git refuses"):
            act()


def test_a_commit_whose_files_are_partly_lost_is_damaged(tmp_path: Path, repository: Path) -> None:
    commit(repository, "features/lags.py", "LAGS = [1]")
    ref = component(tmp_path).capture(SOON)
    name = git(repository, "rev-parse", "HEAD:features/lags.py")
    (repository / ".git" / "objects" / name[:2] / name[2:]).unlink()
    assert component(tmp_path).probe(ref, Depth.BYTES).availability is Availability.DAMAGED


def test_a_pin_in_a_repository_that_is_gone_is_refused_and_its_end_is_not(tmp_path: Path, repository: Path) -> None:
    ref = component(tmp_path).capture(SOON)
    shutil.rmtree(repository)
    assert component(tmp_path).probe(ref, Depth.METADATA).availability is Availability.GONE
    with pytest.raises(PermanentError, match="there is no Git repository"):
        component(tmp_path).pin(ref, LEASE)
    component(tmp_path).unpin("cooldown")
