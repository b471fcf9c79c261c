"""A cluster with a tablespace: it is backed up, and who wants to restore it is told before anything is made."""

from __future__ import annotations

import shutil

import pytest
from original import Original
from toolbox import drilling, pgbackrest, restoring
from toolbox.cluster import ClusterError
from toolbox.live import Live
from toolbox.output import Report
from toolbox.restoring import Place, RestoreError
from toolbox.targets import parse


@pytest.fixture(scope="module")
def elsewhere(original: Original) -> str:
    """The directory of a tablespace that is in the last backup."""
    directory = original.home / "elsewhere"
    directory.mkdir(mode=0o700)
    shutil.chown(directory, pgbackrest.USER, pgbackrest.USER)
    with original.connect() as session:
        session.execute(f"CREATE TABLESPACE elsewhere LOCATION '{directory}'")
    original.back_up("full")
    original.archive()
    return str(directory)


def test_restore_is_refused_with_the_tablespace_and_its_directory(original: Original, elsewhere: str) -> None:
    place = Place(original.known, Live(original.known, original.home / "socket"))
    with pytest.raises(RestoreError, match=rf"has tablespaces \(elsewhere in {elsewhere}\)"):
        restoring.plan(place, parse("latest", ""))
    assert not place.directory.exists()


def test_drill_is_refused_too(original: Original, elsewhere: str) -> None:
    course = drilling.choose(original.known, parse("latest", ""))
    with pytest.raises(ClusterError, match="has tablespaces"):
        drilling.run(original.known, course, Report(""), lambda _line: None)
    assert not original.known.drill_directory.exists()
