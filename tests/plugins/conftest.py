"""Fixtures of several test files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from real_haproxy import Proxy


@pytest.fixture
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A running HAProxy, blue and green behind it, blue live."""
    # Short, since the path of a Unix socket may have 107 bytes.
    running = Proxy(tmp_path_factory.mktemp("p"))
    yield running
    running.stop()
