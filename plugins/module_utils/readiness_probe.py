"""Requests to a service that does not serve yet, many at once, so that it uses its database as it will.

A driver that prepares statements works with one connection and one request after the other. It fails when its
connections meet sessions of the server that have met others before.
"""

from __future__ import annotations

import http.client
import itertools
import threading
from dataclasses import dataclass, field
from urllib.parse import urlsplit

TIMEOUT = 10
# Some of a connection, then a new one: so each worker of the service is met.
PER_CONNECTION = 10
TOLD = 300


@dataclass
class Probe:
    """What came of it: how many were asked, and what was said instead of 200."""

    asked: int = 0
    failures: list[str] = field(default_factory=list)


def probe(urls: list[str], requests: int, clients: int) -> Probe:
    """Ask `requests` times, the URLs in turn, from `clients` at once."""
    found, lock = Probe(), threading.Lock()
    turns = itertools.islice(itertools.cycle(urls), requests)

    def ask() -> None:
        while True:
            with lock:
                mine = list(itertools.islice(turns, PER_CONNECTION))
                found.asked += len(mine)
            if not mine:
                return
            failures = _ask(mine)
            with lock:
                found.failures += failures

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _ask(urls: list[str]) -> list[str]:
    """Ask one after the other over one connection, which is made again where it was closed."""
    failures, connection = [], None
    for url in urls:
        parts = urlsplit(url)
        connection = connection or http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT)
        path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != http.client.OK:
                failures.append(f"{path}: status {answer.status}: {body[:TOLD].decode(errors='replace')}")
        except (OSError, http.client.HTTPException) as error:
            failures.append(f"{path}: {error!r}")
            connection.close()
            connection = None
    if connection:
        connection.close()
    return failures
