"""
Config: everything that a server can be told, in one file and in variables, as one value that never changes.

The file is YAML or TOML. A variable ``KNOWNGOOD_<KEY>`` goes before it, and an option of the command line before both.
A key or a variable that nobody reads fails at the start, for it is a mistyped one.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from knowngood.adapters.yaml import read_document
from knowngood.domain.spelling import did_you_mean
from knowngood_sdk.errors import InvalidError, NotFoundError, PermanentError

__all__ = ["ELSEWHERE", "FOR_TESTS", "Settings", "read_settings"]

_PREFIX = "KNOWNGOOD_"
_LARGEST = 64 * 1024
_HIGHEST_PORT = 65535
_LONGEST_SECONDS = 365 * 24 * 60 * 60
"""What is longer is taken for a mistake; nothing here can wait for ever."""
ELSEWHERE = frozenset(
    {
        "KNOWNGOOD_ACTOR",
        "KNOWNGOOD_CA",
        "KNOWNGOOD_CONFIG",
        "KNOWNGOOD_REPLICA",
        "KNOWNGOOD_TOKEN",
        "KNOWNGOOD_TOKEN_FILE",
        "KNOWNGOOD_TRUST",
        "KNOWNGOOD_URL",
    }
)
"""Variables that the command line and agents read."""
FOR_TESTS = frozenset(
    {
        "KNOWNGOOD_FAULT",
        "KNOWNGOOD_SIMULATION_RUNS",
        "KNOWNGOOD_SIMULATION_SEED",
        "KNOWNGOOD_TEST_POSTGRES",
    }
)
"""Variables that drills and tests read: let pass, and proposed to nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    What a server goes by.

    Attributes:
        dir: Working folder: objects, locks, and the replicas of this host.
        store: Where the record is kept: a path for SQLite, or an address ``postgresql://…``; empty for ``store.db`` in
            the working folder. Commands without a server work on that one alone, and refuse where the variable names
            another.
        host: Address to listen on.
        port: Port to listen on; 0 for any that is free.
        tls_cert: File with the certificate chain, PEM; empty for no TLS.
        tls_key: File with its key, PEM.
        insecure: Whether to listen beyond this host without TLS, because something in front of the server has it.
        component_roots: Folders below which components may be captured for those who ask over HTTP; none, unless set.
        environment: What this server is to its tokens, such as ``production``.
        watch_seconds: Seconds between two looks at each system.
        lease_seconds: Seconds after which other processes take over what this one does, when it is not heard of.
        hold_seconds: Seconds after which a clear canary takes all traffic; unset, a person decides.
        body_bytes: Largest body of a request.
        grace_seconds: How long a verb under way may take to end when the server stops.
        log: How log lines are written: ``json``, or ``text`` for people.
        traces: Whether to send OpenTelemetry traces, to where the variables ``OTEL_EXPORTER_OTLP_*`` say.
    """

    dir: Path = Path(".knowngood")
    store: str = ""
    host: str = "127.0.0.1"
    port: int = 8400
    tls_cert: str = ""
    tls_key: str = ""
    insecure: bool = False
    component_roots: tuple[Path, ...] = ()
    environment: str = "default"
    watch_seconds: float = 1.0
    lease_seconds: float = 15.0
    hold_seconds: float | None = None
    body_bytes: int = 4 * 1024 * 1024
    grace_seconds: float = 20.0
    log: str = "json"
    traces: bool = False
    source: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= _HIGHEST_PORT:
            raise InvalidError(f"port is {self.port}", hint=f"Give one from 1 to {_HIGHEST_PORT}, or 0 for a free one")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise InvalidError("TLS needs both a certificate and its key", hint="Set tls_cert and tls_key, or neither")
        if self.body_bytes <= 0:
            raise InvalidError(f"body_bytes is {self.body_bytes}", hint="Give a number above 0")
        for name in ("watch_seconds", "lease_seconds", "grace_seconds"):
            # Written so that nan, which compares with nothing, is refused too.
            if not 0 < getattr(self, name) <= _LONGEST_SECONDS:
                raise InvalidError(
                    f"{name} is {getattr(self, name)}", hint=f"Give a number above 0, up to {_LONGEST_SECONDS}: a year"
                )
        if self.hold_seconds is not None and not 0 <= self.hold_seconds <= _LONGEST_SECONDS:
            raise InvalidError(
                f"hold_seconds is {self.hold_seconds}", hint=f"Give a number from 0 to {_LONGEST_SECONDS}: a year"
            )
        if self.log not in {"json", "text"}:
            raise InvalidError(f"log is {self.log!r}", hint="Choose json or text")
        for root in self.component_roots:
            if not root.is_absolute():
                raise InvalidError(f"the component root {root} is not absolute", hint="Write it from / on")

    @property
    def folder(self) -> Path:
        """The working folder, absolute."""
        return self.dir.absolute()


def read_settings(path: Path | None, environment: Mapping[str, str], options: Mapping[str, Any]) -> Settings:
    """
    Put the settings together.

    Args:
        path: The file; None for none.
        environment: Variables of the process.
        options: What the command line was given; None counts as not given.

    Raises:
        NotFoundError: There is no such file.
        InvalidError: A key or variable is unknown, or a value is not as it must be.
        PermanentError: The file cannot be read.
    """
    given = {**(_of_file(path) if path else {}), **_of_variables(environment)}
    given |= {name: (name, value) for name, value in options.items() if value is not None}
    values = {name: _READERS[name](where, value) for name, (where, value) in given.items()}
    return Settings(**values, source=str(path or ""))


def _names() -> list[str]:
    return [one.name for one in fields(Settings) if one.name != "source"]


def _of_file(path: Path) -> dict[str, tuple[str, Any]]:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no configuration {path}", hint="Name it: --config FILE") from error
    except OSError as error:
        raise PermanentError(f"the configuration {path} cannot be read: {error.strerror}") from error
    document = _parsed(path, content)
    if document is None:
        return {}
    if not isinstance(document, Mapping):
        raise InvalidError(f"the configuration {path} is no mapping", hint="Write one key: value on each line")
    for key in document:
        if key not in _names():
            raise InvalidError(f"{path} has the unknown key {key!r}", hint=did_you_mean(str(key), _names()))
    return {key: (f"{key} in {path}", value) for key, value in document.items()}


def _parsed(path: Path, content: bytes) -> Any:
    if path.suffix != ".toml":
        return read_document(content, str(path), largest=_LARGEST).value
    try:
        return tomllib.loads(content.decode())
    except ValueError as error:
        raise InvalidError(f"{path} is no TOML: {error}", hint="Correct it there") from error


def _of_variables(environment: Mapping[str, str]) -> dict[str, tuple[str, Any]]:
    ours = {f"{_PREFIX}{name.upper()}": name for name in _names()}
    found = {}
    for variable, value in environment.items():
        if not variable.startswith(_PREFIX) or variable in ELSEWHERE | FOR_TESTS:
            continue
        if variable not in ours:
            raise InvalidError(
                f"the variable {variable} is unknown", hint=did_you_mean(variable, [*ours, *sorted(ELSEWHERE)])
            )
        found[ours[variable]] = (variable, value)
    return found


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidError(f"{where} is {value!r}, which is no text", hint="Put it in quotes")
    return value


def _whole(where: str, value: Any) -> int:
    try:
        return int(value) if isinstance(value, str) else _plain(where, value, int)
    except ValueError as error:
        raise InvalidError(f"{where} is {value!r}, which is no whole number") from error


def _number(where: str, value: Any) -> float:
    try:
        return float(value) if isinstance(value, str) else float(_plain(where, value, int, float))
    except ValueError as error:
        raise InvalidError(f"{where} is {value!r}, which is no number") from error


def _truth(where: str, value: Any) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}
    found = value if isinstance(value, bool) else words.get(str(value).lower()) if isinstance(value, str) else None
    if found is None:
        raise InvalidError(f"{where} is {value!r}, which is neither true nor false")
    return found


def _path(where: str, value: Any) -> Path:
    return value if isinstance(value, Path) else Path(_text(where, value))


def _paths(where: str, value: Any) -> tuple[Path, ...]:
    several = value.split(":") if isinstance(value, str) else value
    if not isinstance(several, list | tuple):
        raise InvalidError(f"{where} is {value!r}, which is no list of folders")
    return tuple(_path(where, one) for one in several if one != "")


def _plain(where: str, value: Any, *kinds: type) -> Any:
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise InvalidError(f"{where} is {value!r}, which is no number")
    return value


_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "dir": _path,
    "store": _text,
    "host": _text,
    "port": _whole,
    "tls_cert": _text,
    "tls_key": _text,
    "insecure": _truth,
    "component_roots": _paths,
    "environment": _text,
    "watch_seconds": _number,
    "lease_seconds": _number,
    "hold_seconds": _number,
    "body_bytes": _whole,
    "grace_seconds": _number,
    "log": _text,
    "traces": _truth,
}
