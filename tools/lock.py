"""
Write the locks in requirements/ from the pyproject files.

Every package is pinned with its hashes, for every platform and Python from 3.11 on, and no lock holds the address of an
index. Versions that are locked already stay where they still fit; with ``--upgrade`` the newest ones are taken.

    run.txt    what knowngood, its demo and the installation of both packages need
    server.txt what the control plane over HTTP needs on top of it, with every extra
    dev.txt    what tests and linters need on top of both
    bench.txt  what the benchmarks need on top of it, in an environment of their own
    peers.txt  the model servers that they measure beside us, in another one, which has nothing of ours
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = Path("requirements")
PACKAGES = ["packages/knowngood-sdk/pyproject.toml", "packages/knowngood/pyproject.toml"]
RUN = [*PACKAGES, "--extra=demo", "--group", "pyproject.toml:build"]
SERVER = [*PACKAGES, *(f"--extra={extra}" for extra in ("server", "postgres", "client", "telemetry", "signing"))]


def compile_lock(name: str, sources: list[str], *options: str) -> None:
    """Resolve the sources into requirements/``name``."""
    print(f"Locking requirements/{name}")
    command = [
        f"{sys.prefix}/bin/uv",
        "pip",
        "compile",
        *sources,
        "--universal",
        "--python-version=3.11",
        "--generate-hashes",
        "--no-header",
        "--no-emit-index-url",
        "--no-emit-find-links",
        "--no-emit-package=knowngood",
        "--no-emit-package=knowngood-sdk",
        # pip holds `coverage[toml]` for another requirement than `coverage`: unpinned, once a newer coverage is out.
        "--no-strip-extras",
        "--quiet",
        f"--output-file={LOCKS / name}",
        *options,
    ]
    subprocess.run(command, cwd=ROOT, check=True)


def main() -> None:
    """Write all locks, each agreeing with the first."""
    upgrade = ["--upgrade"] if "--upgrade" in sys.argv[1:] else []
    (ROOT / LOCKS).mkdir(exist_ok=True)
    compile_lock("run.txt", RUN, *upgrade)
    compile_lock("server.txt", SERVER, "--constraints=requirements/run.txt", *upgrade)
    both = ["--constraints=requirements/run.txt", "--constraints=requirements/server.txt"]
    compile_lock("dev.txt", ["--group", "pyproject.toml:dev"], *both, *upgrade)
    compile_lock("bench.txt", ["--group", "pyproject.toml:bench"], "--constraints=requirements/run.txt", *upgrade)
    compile_lock("peers.txt", ["--group", "pyproject.toml:peers"], *upgrade)


if __name__ == "__main__":
    main()
