"""With which settings the release that serves is started on a clone."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from release_smoke import SmokeError, settings

PARAMS: dict[str, Any] = {
    "url_variable": "DATABASE_URL",
    "environment": {"MAIL": 'to "nobody"'},
    "clone_host": "192.0.2.7",
    "clone_port": 5439,
}
LIVE = """\
# unit 0123
DATABASE_URL="postgresql+psycopg://app:p%40ss@192.0.2.1:6432/shop?sslmode=require"
MAIL="smtp.example.com"
SECRET="keep"
WORKERS="4"
"""


def read(text: str) -> dict[str, str]:
    """Variables of an environment file, as systemd understands them."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: "".join(shlex.split(value)) for name, _, value in (line.partition("=") for line in lines)}


def test_release_on_a_clone_has_its_own_settings_but_for_the_database(tmp_path: Path) -> None:
    (tmp_path / "blue.env").write_text(LIVE)
    assert read(settings(tmp_path / "blue.env", PARAMS, 4711)) == {
        "DATABASE_URL": "postgresql+psycopg://app:p%40ss@192.0.2.7:5439/shop?sslmode=require",
        "MAIL": 'to "nobody"',
        "SECRET": "keep",
        "WORKERS": "1",
        "PORT": "4711",
    }


def test_settings_without_the_database_s_url_are_an_error_that_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "blue.env").write_text('SECRET="keep"\n')
    with pytest.raises(SmokeError, match=r"DATABASE_URL in .*blue\.env"):
        settings(tmp_path / "blue.env", PARAMS, 4711)
