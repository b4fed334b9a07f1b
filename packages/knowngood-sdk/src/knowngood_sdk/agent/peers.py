"""
Peers: what an agent without a route asks the others of its system (rule 22).

Only where there is no state on disk and no control plane answers: route, trips and releases are joined from all that
answer; a latch and local trips are another replica's own. Where nobody answers, nothing is served but the declared
static fallback: an image cannot know of a trip.
"""

import functools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from knowngood_sdk.agent.link import Inbox, Letter
from knowngood_sdk.agent.server import Server
from knowngood_sdk.errors import InvalidError, KnownGoodError
from knowngood_sdk.model.joining import joined
from knowngood_sdk.model.route import Facts
from knowngood_sdk.model.trust import signed_version
from knowngood_sdk.model.wire import RouteDocument
from knowngood_sdk.serving.folder import ReplicaFolder

__all__ = ["Peers"]

_PATIENCE_SECONDS = 1.0
"""How long a control plane has to answer before the peers are asked, and how long until they are asked again."""
_ANSWER_SECONDS = 2.0
_MAX_ANSWER = 4 * 1024 * 1024


class Peers:
    """
    Asks the peers of a newcomer, in a thread of its own.

    Args:
        folder: The replica folder.
        servers: The peers.
        inbox: Where their documents go.
        answered: Whether a control plane has told what is published.

    Attributes:
        trouble: Why nothing is known yet; empty when something is.
    """

    def __init__(
        self, folder: ReplicaFolder, servers: Sequence[Server], inbox: Inbox, answered: Callable[[], bool]
    ) -> None:
        self._folder = folder
        self._servers = servers
        self._inbox = inbox
        self._answered = answered
        self._stopped = threading.Event()
        self.trouble = ""
        self._thread = threading.Thread(target=self._run, name="kg-peers", daemon=True)

    def start(self) -> None:
        """Start to ask, if this replica is a newcomer and has peers."""
        if self._servers and not self._knows():
            self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(_PATIENCE_SECONDS) and not self._answered() and not self._knows():
            with ThreadPoolExecutor(len(self._servers), thread_name_prefix="kg-peer") as pool:
                asked = list(pool.map(self._ask, self._servers))
            silent = [answer for answer in asked if isinstance(answer, str)]
            told = [answer for answer in asked if isinstance(answer, RouteDocument)]
            if told:
                # As one: a newcomer has left nothing, so that a trip which one peer tells of speaks against no
                # generation of another. Heard one after the other, it would.
                self._tell(told)
                break
            self.trouble = f"this replica knows no route, and no peer tells one: {'; '.join(silent)}"
        self.trouble = ""

    def _knows(self) -> bool:
        """Whether this replica has been somewhere before."""
        return any(path.exists() for path in (self._folder.state_file, self._folder.route_file))

    def _tell(self, told: list[RouteDocument]) -> None:
        """Hand over what peers said: as one, or where something is signed the newest first, each with all trips."""
        if not any(document.signed is not None for document in told):
            self._inbox.put(Letter(document=functools.reduce(joined, told)))
            return
        trips = functools.reduce(Facts.merge, [document.trips for document in told])
        # Not the newest alone: what it says of itself may be forged, and then the next one is taken.
        for document in sorted(told, key=signed_version, reverse=True):
            self._inbox.put(Letter(document=replace(document, facts=document.facts.merge(trips))))

    def _ask(self, server: Server) -> RouteDocument | str:
        connection = None
        try:
            connection = server.connect()
            answer = connection.call("GET", "/v1/facts", seconds=_ANSWER_SECONDS)
            document = RouteDocument.from_json(answer.json(_MAX_ANSWER))
            if document.system != self._folder.system_folder.name:
                raise InvalidError(f"{server.url} is of system {document.system!r}")
        except KnownGoodError as error:
            return str(error)
        finally:
            if connection is not None:
                connection.close()
        return document
