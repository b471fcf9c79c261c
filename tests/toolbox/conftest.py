"""The commands' own modules are imported as on a host, where scripts/ is the top."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts"))

from original import Original


@pytest.fixture(scope="module")
def original() -> Iterator[Original]:
    """A cluster with an archive; short, since its name is in that of a socket."""
    made = Original(Path(tempfile.mkdtemp(prefix="clone-", dir="/tmp")))
    try:
        made.make()
        yield made
    finally:
        made.destroy()
