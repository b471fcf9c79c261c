"""The operator's commands, in this process: a new one takes longer than most tests."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple
from unittest.mock import patch

from app.cli import main
from harness.cluster import Database
from harness.server import JWT_SECRET


class Done(NamedTuple):
    """What a command returned and said."""

    returncode: int
    stdout: str
    stderr: str


def command(database: Database, *words: str, url: str = "") -> Done:
    """Run `python -m app.cli WORDS` as the app, directly unless `url` says how to reach the database."""
    said, complained = io.StringIO(), io.StringIO()
    settings = {"DATABASE_URL": url or database.url("app"), "JWT_SECRET": JWT_SECRET}
    with (
        patch.dict(os.environ, settings, clear=True),
        redirect_stdout(said),
        redirect_stderr(complained),
    ):
        status = main([*words])
    return Done(status, said.getvalue(), complained.getvalue())
