"""Ports of this machine on which nobody listens."""

import socket

__all__ = ["free_port"]


def free_port() -> int:
    """One of them; it stays free unless somebody else takes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
