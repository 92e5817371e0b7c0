"""Who may ask the local Helicone for what."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from otel_helicone.local.log_api.api_keys import ApiKeys

__all__ = ["AccessRules", "WrongAccess", "is_loopback", "make_access_rules"]

_SCHEMES: Final = ("http", "https")
# As RFC 9110 has it, and nothing before, between or after: what a URL's parser leaves out, such as
# the rest of `[::1].evil`, may be a name of somebody else's.
_HOST: Final = re.compile(
    r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:/?#@\\\s]+))(?::(?P<port>[0-9]{0,5}))?"
)
_MAX_PORT: Final = 65535
_EVERY_ADDRESS: Final = ("0.0.0.0", "::")


class WrongAccess(ValueError):
    """A host or an origin is not one; the text says which, and how it is to be written."""


@dataclass(frozen=True, slots=True)
class AccessRules:
    """What is let in.

    Attributes:
        hosts: the names that the server goes by, besides those of loopback.
        literals: whether any IP address in ``Host`` will do. No name of somebody else's can lead
            to one, so this is safe where the server listens beyond loopback.
        origins: the sites whose pages may send requests, such as ``http://localhost:3000``.
        keys: the Helicone keys that are known.
        login: whether pages, gateway and API are for those who have a key.
    """

    hosts: frozenset[str]
    literals: bool
    origins: frozenset[str]
    keys: ApiKeys
    login: bool

    def knows_host(self, host: str) -> bool:
        """Return whether a request is meant for this server, by its ``Host``.

        A browser that was led here by a name of somebody else's (DNS rebinding) says that name.

        Args:
            host: the header's value, with or without a port.
        """
        name = _name_of(host)
        if name is None:
            return False
        if is_loopback(name) or name in self.hosts:
            return True
        return self.literals and _address(name) is not None

    def knows_origin(self, origin: str, host: str) -> bool:
        """Return whether a page may send requests.

        Args:
            origin: the header ``Origin`` of its request.
            host: the header ``Host`` of its request.
        """
        if origin in self.origins:
            return True
        scheme, _, place = origin.partition("://")
        return scheme in _SCHEMES and place.lower() == host.lower()


def make_access_rules(
    listen_on: str,
    *,
    allowed_hosts: Iterable[str] = (),
    allowed_origins: Iterable[str] = (),
    keys: ApiKeys,
    login: bool,
) -> AccessRules:
    """Make the rules of one server.

    Args:
        listen_on: the address that it listens on.
        allowed_hosts: names that it goes by, without ports.
        allowed_origins: sites whose pages may send requests, with scheme and port.
        keys: the Helicone keys that are known.
        login: whether a key is needed for everything.

    Raises:
        WrongAccess: for a name or an origin that is not one.
    """
    hosts = {listen_on.lower()} if listen_on not in _EVERY_ADDRESS else set()
    for host in allowed_hosts:
        if _name_of(host) != host.lower():
            raise WrongAccess(f"{host!r} is no host name: give one without its port")
        hosts.add(host.lower())
    origins = set()
    for origin in allowed_origins:
        scheme, _, place = origin.partition("://")
        if scheme not in _SCHEMES or _name_of(place) is None:
            raise WrongAccess(f"{origin!r} is no origin: give one such as http://localhost:3000")
        origins.add(origin)
    beyond = not is_loopback(listen_on)
    return AccessRules(frozenset(hosts), beyond, frozenset(origins), keys, login)


def is_loopback(name: str) -> bool:
    """Return whether a host can only be this machine.

    Args:
        name: a name, or an address without brackets.
    """
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    return address is not None and address.is_loopback


def _name_of(host: str) -> str | None:
    """Return the lower-case name or address in ``Host``, without its port; None for nonsense."""
    found = _HOST.fullmatch(host)
    if found is None or int(found["port"] or 0) > _MAX_PORT:
        return None
    address: str | None = found["address"]
    if address is None:
        return found["name"].lower().removesuffix(".") or None
    return address.lower() if isinstance(_address(address), ipaddress.IPv6Address) else None


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
