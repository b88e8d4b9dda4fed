"""Where webhooks may be sent: to public addresses, and to what the operator allows besides."""

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from db.errors import InvalidFormat
from db.validation import text

LONGEST_URL = 2000
NAT64 = IPv6Network("64:ff9b::/96")
"""Translated to the IPv4 address in its last four bytes."""


def check_url(field: str, url: str, allowed: Collection[str]) -> str:
    """An address that may be sent to, as far as can be told without a look at its name.

    Raises `InvalidFormat`.
    """
    text(field, url, shortest=1, longest=LONGEST_URL)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise InvalidFormat(field, "Not a URL") from None
    if not re.fullmatch(r"[!-~]+", url) or "\\" in url:
        raise InvalidFormat(field, "Must be ASCII without spaces")
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidFormat(field, "Must begin with https:// or http:// and name a host")
    if "@" in parts.netloc:
        raise InvalidFormat(field, "Must not hold a user name or password")
    if _is_known_as_private(host) and host not in allowed:
        raise InvalidFormat(field, "Its address is not public")
    return url


def may_be_reached(host: str, address: str, allowed: Collection[str]) -> bool:
    """Whether we may connect to this address, to which the host's name led."""
    return host.lower() in allowed or address in allowed or is_public(address)


def is_public(address: str) -> bool:
    """Whether it belongs to the Internet, as does the IPv4 address that may be within it."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        within = _within(found)
        if within:
            return is_public(str(within))
        if found.is_site_local:
            return False
    return found.is_global and not (found.is_multicast or found.is_reserved)


def _within(address: IPv6Address) -> IPv4Address | None:
    if address in NAT64:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour


def _is_known_as_private(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return not is_public(host)
    except ValueError:
        return False
