"""A pgBouncer's console as psql reaches it: nobody there is told from a refusal. What it does is tested on hosts."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from ansible.module_utils.pgbouncer import Console, UnreachableError


def test_nobody_where_the_console_should_be_is_told_from_a_refusal() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    console = Console("127.0.0.1", port, "admin", "secret", "pgbouncer.service")
    with pytest.raises(UnreachableError, match=r"PAUSE on pgbouncer\.service failed: .*refused"):
        console.run("PAUSE")


def test_a_socket_that_is_not_there_is_nobody_too(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="No such file or directory"):
        Console(str(tmp_path), 6432, "admin", "secret", "pgbouncer.service").run("SHOW POOLS")
