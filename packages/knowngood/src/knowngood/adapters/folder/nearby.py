"""Nearby: working folders whose agents run on this host, found by the sockets that they listen on."""

import re
from pathlib import Path

from knowngood_sdk.model.manifest import check_name

__all__ = ["working_folders"]

_SOCKETS = Path("/proc/net/unix")
# An agent binds beside its place and renames; the kernel goes on to show the name that was bound. A long path was bound
# through a descriptor of its folder: then the number at the end says which process to look at.
_BOUND = re.compile(r"(?P<folder>/\S.*)/\.?agent\.sock(?:\.(?P<pid>[0-9]+))?$")
_REPLICA = re.compile(r"(?P<directory>/.*)/systems/(?P<system>[^/]+)/replicas/[^/]+$")


def working_folders(system: str) -> tuple[Path, ...]:
    """Return the working folders in which an agent of a system runs on this host; none where that cannot be seen."""
    check_name(system, "system")
    try:
        lines = _SOCKETS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    found = set()
    for line in lines:
        bound = _BOUND.search(line)
        if bound is None:
            continue
        folder = _held(bound["pid"]) if bound["folder"].startswith("/proc/") else bound["folder"]
        replica = _REPLICA.fullmatch(folder)
        if replica is not None and replica["system"] == system and (Path(folder) / "agent.sock").exists():
            found.add(Path(replica["directory"]))
    return tuple(sorted(found))


def _held(process: str | None) -> str:
    """Return the folder of the replica whose agent a process is, by the lock that it holds."""
    try:
        links = [str(link.readlink()) for link in Path(f"/proc/{process}/fd").iterdir()]
    except OSError:
        return ""
    return next((str(Path(link).parent) for link in links if link.endswith("/agent.lock")), "")
