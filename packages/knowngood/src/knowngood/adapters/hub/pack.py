"""
Pack: a file or a folder as a tar stream, piece by piece.

The other end is ``knowngood_sdk.agent.unpack``. Names, sizes and whether a file may be executed are told; owners and
times are nobody's business.
"""

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from knowngood_sdk.errors import NotFoundError, TransientError

__all__ = ["packed"]

_CHUNK = 256 * 1024


def packed(path: Path, name: str = "") -> Iterator[bytes]:
    """
    Give the bytes of a tar stream.

    Args:
        path: A file, or a folder of which all files are packed, but for what the interpreter derived.
        name: Name of a single file in the stream; its own when it is empty.

    Raises:
        NotFoundError: There is nothing at the path; at once, before the first piece.
    """
    if not path.exists():
        raise NotFoundError(f"the bytes at {path} are gone from this control plane", hint="Deploy the version again")
    files = [(path, name or path.name)] if path.is_file() else list(_files(path))
    return _stream(files)


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if each != "__pycache__")
        for name in sorted(names):
            path = Path(where, name)
            yield path, path.relative_to(folder).as_posix()


def _stream(files: list[tuple[Path, str]]) -> Iterator[bytes]:
    for path, name in files:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            member = tarfile.TarInfo(name)
            member.size = left = status.st_size
            member.mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
            yield member.tobuf(tarfile.PAX_FORMAT)
            while left:
                chunk = file.read(min(_CHUNK, left))
                if not chunk:
                    # The stream breaks off, so that nobody takes it for whole.
                    raise TransientError(f"{path} became shorter while it was read")
                left -= len(chunk)
                yield chunk
            yield bytes(-member.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)
