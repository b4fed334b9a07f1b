"""
Uplink: everything that an agent has to do with other hosts.

It belongs to the agent's thread, which asks it to ``advance`` and is never made to wait: all that may take time is done
by threads that this one starts.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from knowngood_sdk.agent.facts_port import FactsPort
from knowngood_sdk.agent.keeper import Keeper
from knowngood_sdk.agent.link import Inbox, Letter, Link
from knowngood_sdk.agent.peers import Peers
from knowngood_sdk.agent.server import Server
from knowngood_sdk.agent.stock import Stock
from knowngood_sdk.errors import KnownGoodError
from knowngood_sdk.model.stream import Order
from knowngood_sdk.model.wire import ReplicaReport
from knowngood_sdk.serving.folder import ReplicaFolder

__all__ = ["Remote", "Uplink", "connected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """
    Where an agent finds others over the network.

    Attributes:
        urls: Control planes; a stream to each. Facts merge, and the newest route wins.
        token_file: File with the token that control planes are shown.
        ca_file: File with the certificates of who may vouch for them.
        peers: URLs of agents to ask where there is no route on disk and no control plane answers (rule 22).
        listen: ``host:port`` at which this agent answers such questions, or empty.
    """

    urls: Sequence[str] = ()
    token_file: Path | None = None
    ca_file: Path | None = None
    peers: Sequence[str] = ()
    listen: str = ""


class Uplink:
    """
    The links, the stock and the peers of one agent.

    Args:
        folder: The replica folder.
        remote: Where others are.
        wake: Called, from any thread, when there is something to ``advance`` with.

    Raises:
        InvalidError: A URL or an address is none.
        TransientError: It cannot listen at that address.
    """

    def __init__(self, folder: ReplicaFolder, remote: Remote, wake: Callable[[], None]) -> None:
        servers = [Server(url=url, token_file=remote.token_file, ca_file=remote.ca_file) for url in remote.urls]
        system = folder.system_folder.name
        self._inbox = Inbox(wake)
        self._links = [Link(server, folder, self._inbox) for server in servers]
        self._stock = Stock(folder, servers)
        peers = [Server(url=url, ca_file=remote.ca_file) for url in remote.peers]
        self._peers = Peers(folder, peers, self._inbox, lambda: any(link.heard for link in self._links))
        self._port = FactsPort(remote.listen, system) if remote.listen else None
        self._told: ReplicaReport | None = None

    def start(self) -> None:
        """Start the threads."""
        self._stock.start()
        self._peers.start()
        for link in self._links:
            link.start()
        if self._port is not None:
            self._port.start()

    def close(self) -> None:
        """Stop the threads; what they were doing is not waited for."""
        self._inbox.close()
        for link in self._links:
            link.close()
        self._peers.close()
        self._stock.close()
        if self._port is not None:
            self._port.close()

    def advance(self, keeper: Keeper) -> None:
        """Take what has come, and answer what asks for an answer."""
        while (letter := self._inbox.take()) is not None:
            if letter.order is not None:
                self._obey(keeper, letter, letter.order)
            elif letter.rules is not None:
                self._stock.keep_rules(letter.rules)
            elif letter.document is not None:
                self._take(keeper, letter)
        for number, link in enumerate(self._links):
            for topic, text in link.troubles.items():
                keeper.warn(f"link {number} {topic}", text)
        if self._port is not None:
            self._port.vouch(keeper.vouched)
        keeper.warn("stock", self._stock.trouble)
        keeper.warn("peers", self._peers.trouble)

    def tell(self, report: ReplicaReport, *, told: Link | None = None) -> None:
        """
        Take a report to every control plane: at once when it says something new, else with the next second.

        Args:
            report: It.
            told: The one that has been told already, for it asked.
        """
        said = replace(report, at="")
        news = said != self._told
        self._told = said
        for link in self._links:
            if link is not told:
                link.tell(report, now=news)
        if self._port is not None and news:
            self._port.show(report.state)

    def _take(self, keeper: Keeper, letter: Letter) -> None:
        document = letter.document
        if document is None:
            return
        try:
            # What nobody vouches for, where somebody must, is not for workers to read either.
            document = keeper.take(document)
        except KnownGoodError as error:
            keeper.warn("heard", str(error))
            if document.system != keeper.system:
                return
        else:
            keeper.warn("heard", "")
        self._stock.want(document)

    def _obey(self, keeper: Keeper, letter: Letter, order: Order) -> None:
        reason = ""
        try:
            if order.document is not None:
                keeper.take(order.document)
            elif order.trip is not None and order.fleet:
                keeper.leave(order.trip)
            elif order.trip is not None:
                keeper.leave_here(order.trip)
        except KnownGoodError as error:
            reason = str(error)
        # Before anything else but its file, for somebody counts the milliseconds.
        report = keeper.answer()
        if letter.link is not None:
            letter.link.tell(report, {order.ask: reason})
        self.tell(report, told=letter.link)


@contextmanager
def connected(keeper: Keeper, folder: ReplicaFolder, remote: Remote, wake: Callable[[], None]) -> Iterator[Uplink]:
    """Give the uplink of an agent while a block runs, and take its last report to the control planes."""
    uplink = Uplink(folder, remote, wake)
    uplink.start()
    try:
        yield uplink
    finally:
        uplink.tell(keeper.report(stopped=True))
        uplink.close()
