"""Who may ask the local Helicone for what."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from otel_helicone.local.log_api.api_keys import ApiKeys

__all__ = ["AccessRules", "WrongAccess", "is_loopback", "make_access_rules"]

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
        """Tell whether a request is meant for this server, by its ``Host``.

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
        """Tell whether a page may send requests.

        Args:
            origin: the header ``Origin`` of its request.
            host: the header ``Host`` of its request.
        """
        if origin in self.origins:
            return True
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


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
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}":
            raise WrongAccess(f"{origin!r} is no origin: give one such as http://localhost:3000")
        origins.add(origin)
    beyond = not is_loopback(listen_on)
    return AccessRules(frozenset(hosts), beyond, frozenset(origins), keys, login)


def is_loopback(name: str) -> bool:
    """Tell whether a host can only be this machine.

    Args:
        name: a name, or an address without brackets.
    """
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    return address is not None and address.is_loopback


def _name_of(host: str) -> str | None:
    """Give the lower-case name or address in ``Host``, without its port; None for nonsense."""
    try:
        parts = urlsplit(f"//{host}")
        name, _ = parts.hostname, parts.port
    except ValueError:
        return None
    if name is None or parts.username is not None or parts.path or parts.query or parts.fragment:
        return None
    return name.removesuffix(".")


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
