"""Inside: which callers are believed when they name the version that a request is pinned to."""

import ipaddress
from collections.abc import Collection, Mapping
from typing import Any

from knowngood_sdk.errors import InvalidError

__all__ = ["UNIX", "Inside"]

UNIX = "unix"
"""Stands for callers over a unix socket, who have no address."""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Inside:
    """
    Callers that are believed.

    Args:
        declared: True for all (nobody else can reach the service), False for none (the edge), or networks such as
            ``10.0.0.0/8``, single addresses, and ``unix``.

    Raises:
        InvalidError: One of them is no network.
    """

    def __init__(self, declared: bool | Collection[str]) -> None:  # noqa: FBT001 - true and false are two of its values
        if isinstance(declared, str):
            raise InvalidError(f"inside is {declared!r}", hint="Give a list of networks, or True or False")
        self._all = declared is True
        names = [] if isinstance(declared, bool) else [*declared]
        self._unix = UNIX in names
        self._networks: list[_Network] = [_network(name) for name in names if name != UNIX]

    def holds(self, scope: Mapping[str, Any]) -> bool:
        """
        Whether the caller of an ASGI connection is inside.

        The address is the one that the server names. Behind a proxy that is the proxy's, unless the server was told to
        believe its headers: then it must not believe anybody else's.
        """
        if self._all or not (self._unix or self._networks):
            return self._all
        client = scope.get("client")
        if client is None:
            return self._unix
        try:
            address: Any = ipaddress.ip_address(client[0].partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)


def _network(name: str) -> _Network:
    try:
        return ipaddress.ip_network(name)
    except ValueError as error:
        raise InvalidError(f"{name!r} is no network: {error}", hint="Give one like 10.0.0.0/8, or unix") from error
