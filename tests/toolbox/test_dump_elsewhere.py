"""Dumps are on the host that has the repository; where that is another one, its name and a command are in the error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from original import Original
from toolbox import sidedb
from toolbox.sidedb import DumpRestoreError


def test_dump_that_is_on_another_host_is_told_how_to_be_had(tmp_path: Path) -> None:
    here = Original(tmp_path).known
    known = replace(here, parts=["database"], repository_address="10.87.2.40")
    with pytest.raises(DumpRestoreError) as refused:
        sidedb.choose(known)
    said = str(refused.value)
    assert "Dumps are made and kept on 10.87.2.40" in said
    assert f"ssh root@10.87.2.40 tar -C {known.dump_directory} -c" in said


def test_dump_that_is_not_here_is_made_here(tmp_path: Path) -> None:
    with pytest.raises(DumpRestoreError, match="systemctl start backup@dump makes one"):
        sidedb.choose(Original(tmp_path).known)
