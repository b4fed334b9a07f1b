"""The verbs of a server. Each is one request; progress of the long ones comes over its response as it happens."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from knowngood.adapters.remote.events import events_of
from knowngood.adapters.remote.problem import error_of
from knowngood.ports.verbs import DeployWish, Document, RollbackWish, SystemText, Tell, silent
from knowngood_sdk.errors import (
    InvalidError,
    KnownGoodError,
    NotFoundError,
    OutcomeUnknownError,
    PermanentError,
    TransientError,
)
from knowngood_sdk.model.wording import readable

__all__ = ["Remote"]

_CONNECT_SECONDS = 3.0
_SILENCE_SECONDS = 20.0
"""A server that works on a verb says every five seconds that it lives."""
_PAGE = 1000


class Remote:
    """
    The verbs of one server.

    Attributes:
        url: Its address, without a slash at the end.
    """

    def __init__(self, url: str, token: str | None, ca: str | None = None) -> None:
        if not url.startswith(("http://", "https://")) or not _has_a_port_or_none(url):
            raise _no_address(url)
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            self._client = httpx.Client(
                base_url=self.url,
                headers=headers,
                timeout=httpx.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS),
                verify=_trusted(ca) if url.startswith("https://") else False,
                trust_env=False,  # an on-call person's proxy settings must not stand between them and a rollback
            )
        except httpx.InvalidURL as error:
            raise _no_address(url) from error

    @classmethod
    def of_environment(cls, url: str, environment: Mapping[str, str]) -> "Remote":
        """Return the verbs of a server, with the token and the authority that the environment names."""
        return cls(url, _token(environment), environment.get("KNOWNGOOD_CA") or None)

    def close(self) -> None:
        """Close its connections; whoever ends anyhow need not."""
        self._client.close()

    def apply(self, system: SystemText) -> Document:
        """See ``Verbs``."""
        return self._ask("POST", "/v1/systems", asdict(system))

    def deploy(self, system: str, wish: DeployWish, tell: Tell = silent) -> Document:
        """See ``Verbs``. Interrupted, it is given up there too, for the server sees that nobody listens any more."""
        expects = {metric: list(bounds) for metric, bounds in wish.expects.items()}
        return self._follow(system, "deployments", {**asdict(wish), "expects": expects}, tell)

    def abandon(self, system: str, tell: Tell = silent) -> Document:
        """See ``Verbs``."""
        return self._follow(system, "deployments/abandon", {}, tell)

    def promote(self, system: str, tell: Tell = silent) -> Document:
        """See ``Verbs``."""
        return self._follow(system, "deployments/promote", {}, tell)

    def status(self, system: str | None = None) -> Document:
        """See ``Verbs``."""
        return self._ask("GET", "/v1/systems" if system is None else _path(system))

    def history(self, system: str, limit: int) -> Document:
        """See ``Verbs``."""
        return self._ask("GET", _path(system, "history"), limit=limit)

    def diff(self, system: str, before: str | None, after: str | None) -> Document:
        """See ``Verbs``."""
        return self._ask("GET", _path(system, "diff"), before=before, after=after)

    def plan(self, system: str, suspect: str | None, level: int | None) -> Document:
        """See ``Verbs``."""
        return self._ask("GET", _path(system, "plan"), suspect=suspect, level=level)

    def rollback(self, system: str, wish: RollbackWish, tell: Tell = silent) -> Document:
        """
        See ``Verbs``. Where the server cannot be reached, the error says how to leave without it.

        Not once the version is left: breaking the glass then would leave the good one that serves instead.
        """
        left = False

        def heard(sign: str, line: str) -> None:
            nonlocal left
            left = left or sign == "good"
            tell(sign, line)

        try:
            return self._follow(system, "rollbacks", asdict(wish), heard)
        except (TransientError, OutcomeUnknownError) as error:
            if left or error.details.get("left"):
                error.hint = (
                    f"The version was left; its verification goes on when a server runs again: kg status {system}. "
                    f"{_without_a_server(system)}"
                )
            elif "--break-glass" not in error.hint:
                error.hint = (
                    f"{error.hint}. To leave at once without the server, on each host that has replicas: "
                    f"kg rollback {system} --break-glass"
                )
            raise

    def resume(
        self, system: str, version: str | None = None, wait_seconds: float | None = None, tell: Tell = silent
    ) -> Document:
        """See ``Verbs``."""
        return self._follow(system, "rollbacks/resume", {"version": version, "wait_seconds": wait_seconds}, tell)

    def break_glass(self, system: str, why: str, replica: str | None) -> Document:
        """See ``Verbs``; asks every replica that the server reaches."""
        return self._ask("POST", _path(system, "break-glass"), {"why": why, "replica": replica})

    def quarantined(self, system: str) -> Document:
        """See ``Verbs``."""
        return self._ask("GET", _path(system, "quarantine"))

    def bar(self, system: str, version: str, reason: str) -> Document:
        """See ``Verbs``."""
        return self._ask("POST", _path(system, "quarantine"), {"version": version, "reason": reason})

    def release(self, system: str, version: str, reason: str, shown: str | None = None) -> Document:
        """See ``Verbs``."""
        asked = {"version": version, "reason": reason, "shown": shown}
        return self._ask("POST", _path(system, "quarantine/release"), asked)

    def readmit(self, system: str, replica: str, why: str) -> Document:
        """See ``Verbs``."""
        return self._ask("POST", _path(system, "replicas/readmit"), {"replica": replica, "why": why})

    def reissue(self, system: str, why: str) -> Document:
        """See ``Verbs``."""
        return self._ask("POST", _path(system, "reissue"), {"why": why})

    def ledger(self, system: str) -> Document:
        """See ``Verbs``; read page by page, so that no answer grows with the ledger."""
        entries: list[Any] = []
        while True:
            page = self._ask("GET", _path(system, "ledger"), after=len(entries), limit=_PAGE)
            entries += page["entries"]
            if len(page["entries"]) < _PAGE:
                return {**page, "entries": entries}

    def verify(self, system: str) -> Document:
        """See ``Verbs``."""
        return self._ask("GET", _path(system, "ledger/verification"))

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: Any) -> Document:
        given = {name: value for name, value in query.items() if value is not None}
        with self._translated(reads=method == "GET"):
            answer = self._client.request(method, path, json=body, params=given)
            return self._document(answer)

    def _follow(self, system: str, verb: str, body: Mapping[str, Any], tell: Tell) -> Document:
        """Ask for a long verb, and tell its progress as it comes."""
        headers = {"Accept": "text/event-stream"}
        with (
            self._translated(reads=False, system=system),
            self._client.stream("POST", _path(system, verb), json=body, headers=headers) as answer,
        ):
            if answer.headers.get("content-type", "").startswith("text/event-stream"):
                for name, data in events_of(answer.iter_lines()):
                    if name == "progress":
                        tell(str(data["sign"]), str(data["line"]))
                    elif name == "result":
                        return dict(data)
                    elif name == "problem":
                        raise error_of(int(data["status"]), httpx.Response(200, json=data).content, self.url)
                raise httpx.RemoteProtocolError("the answer ended before the result")
            answer.read()
            return self._document(answer)

    def _document(self, answer: httpx.Response) -> Document:
        if answer.is_success:
            document: Document = answer.json()
            return document
        raise error_of(answer.status_code, answer.content, self.url)

    @contextmanager
    def _translated(self, *, reads: bool, system: str = "SYSTEM") -> Iterator[None]:
        """Turn the library's errors into ours: unreachable is one thing, sent and not answered another."""
        try:
            yield
        except KnownGoodError:
            raise
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise TransientError(
                f"the server {self.url} cannot be reached: {error}",
                hint="Check KNOWNGOOD_URL and that the server runs",
            ) from error
        except (httpx.HTTPError, ValueError) as error:
            what = f"the server {self.url} did not answer to the end: {str(error) or type(error).__name__}"
            if reads:
                raise TransientError(what, hint="Ask again") from error
            look = f"Look before you ask again: kg status {system}. {_without_a_server(system)}"
            raise OutcomeUnknownError(what, hint=look) from error


def _path(system: str, below: str = "") -> str:
    return f"/v1/systems/{quote(system, safe='')}" + (f"/{below}" if below else "")


def _without_a_server(system: str) -> str:
    """Say how to look where no server answers."""
    return f"Without one, on a host that has replicas: env -u KNOWNGOOD_URL kg status {system}"


def _no_address(url: str) -> InvalidError:
    return InvalidError(f"{readable(url)} is no address of a server", hint="Write it like https://control:8400")


def _has_a_port_or_none(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _trusted(ca: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise PermanentError(
            f"the certificates in {ca} cannot be read: {error}", hint="Name a file of PEM certificates: KNOWNGOOD_CA"
        ) from error


def _token(environment: Mapping[str, str]) -> str | None:
    token, path = environment.get("KNOWNGOOD_TOKEN"), environment.get("KNOWNGOOD_TOKEN_FILE")
    if token and path:
        raise InvalidError("both KNOWNGOOD_TOKEN and KNOWNGOOD_TOKEN_FILE are set", hint="Set one of them")
    if token:
        return _checked(token, "KNOWNGOOD_TOKEN")
    if not path:
        return None
    try:
        return _checked(Path(path).read_text(encoding="ascii"), path)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no token file {path}", hint="Name another: KNOWNGOOD_TOKEN_FILE") from error
    except (OSError, ValueError) as error:
        raise PermanentError(
            f"the token file {path} cannot be read: {error}", hint="It holds one token, and this user may read it"
        ) from error


def _checked(text: str, where: str) -> str:
    token = text.strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidError(f"{where} holds no token: it has blanks or letters that none has", hint="Copy it again")
    return token
