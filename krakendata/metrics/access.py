"""Who may read the metrics: who knows the token, or asks from an allowed network."""

import secrets
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network

SCHEME = "bearer"


def may_read(authorization: str, address: str, token: str | None, networks: Sequence[Network]) -> bool:
    """Whether a request may that has these `Authorization` header and remote address; "" where it has none."""
    return knows_token(authorization, token) or is_within(address, networks)


def knows_token(authorization: str, token: str | None) -> bool:
    """Whether the header is `Bearer` and the token; how long the comparison takes tells nothing."""
    scheme, _, given = authorization.partition(" ")
    if token is None or scheme.lower() != SCHEME:
        return False
    return secrets.compare_digest(given.strip().encode(), token.encode())


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Whether an address belongs to one of the networks; none that is no address does."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in networks)
