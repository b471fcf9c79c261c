"""The commands' own modules are imported as on a host, where scripts/ is the top."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

# First: a command makes its own directory the first one when it is imported, as it is when it is run.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import archive_status
import drill  # noqa: F401  (a test file imports it)
import verify_backups
from original import Original
from toolbox import database, output
from verifying import Look


@pytest.fixture(scope="module")
def original() -> Iterator[Original]:
    """A cluster with an archive; short, since its name is in that of a socket."""
    made = Original(Path(tempfile.mkdtemp(prefix="clone-", dir="/tmp")))
    try:
        made.make()
        yield made
    finally:
        made.destroy()


@pytest.fixture
def intact(original: Original) -> Iterator[Original]:
    """The same, and its repository is afterwards as it was before."""
    with original.repository_kept():
        yield original


@pytest.fixture
def ask(intact: Original, monkeypatch: pytest.MonkeyPatch) -> Look:
    """Ask as bundle-archive-status does."""
    monkeypatch.setattr(database, "SOCKETS", str(intact.home / "socket"))

    def asked() -> output.Report:
        report = output.Report("Archiving")
        archive_status.look(intact.known, report)
        return report

    return asked


@pytest.fixture
def look(intact: Original, monkeypatch: pytest.MonkeyPatch) -> Look:
    """Verify its repository. A gap is not given time to settle: nothing is on its way here."""
    monkeypatch.setattr(verify_backups, "SETTLE", timedelta(0))

    def verified(*, quick: bool = False) -> output.Report:
        report = output.Report("Backups")
        verify_backups.verify(intact.known, report, quick=quick)
        return report

    return verified
