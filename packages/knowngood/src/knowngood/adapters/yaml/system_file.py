"""Reading the system file from YAML."""

from collections.abc import Collection, Mapping
from pathlib import Path

from knowngood.adapters.yaml.document import read_document
from knowngood.domain.system import EMBEDDED_KINDS, SystemFile
from knowngood_sdk.errors import InvalidError, NotFoundError, PermanentError

__all__ = ["read_system_file"]

_LARGEST = 256 * 1024


def read_system_file(path: Path, *, kinds: Mapping[str, Collection[str]] = EMBEDDED_KINDS) -> SystemFile:
    """
    Read a system file.

    Args:
        path: It; UTF-8, 256 KiB at most.
        kinds: Component kinds that are installed -> names of their options.

    Raises:
        NotFoundError: There is no such file.
        InvalidError: It is no YAML as ``read_document`` reads it, or a key or value is not as it must be; the message
            names file, line, key and value.
        PermanentError: It cannot be opened.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise NotFoundError(
            f"there is no system file {path}", hint=f"Write one: kg init {path.stem} --file {path}"
        ) from error
    except OSError as error:
        raise PermanentError(f"{path} cannot be read: {error.strerror}", hint="Give this user access to it") from error
    document = read_document(content, str(path), largest=_LARGEST)
    try:
        return SystemFile.from_json(document.value, kinds=kinds)
    except InvalidError as error:
        line = document.line(tuple(error.details.get("path", ())))
        written = content.decode("utf-8").splitlines()[line - 1].strip() if content.strip() else ""
        raise InvalidError(
            f"{path}, line {line} ({written}): {error.message}", hint=error.hint, line=line, **error.details
        ) from error
