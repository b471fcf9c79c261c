"""What a host remembers of the first rows of its database."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.module_utils import first_rows
from ansible.module_utils.first_rows import Begun
from ansible.module_utils.schema_state import Content

BEGUN = Begun(
    "0123456789ab", "2026-01-06T12:00:00+00:00", {"public.articles": Content(("id", "name"), 3, "-17")}
)


def test_rows_that_are_due_have_a_file_that_says_nothing_more(tmp_path: Path) -> None:
    first_rows.write(tmp_path / "shop" / "due", None)
    assert first_rows.read(tmp_path / "shop" / "due") is None


def test_what_was_begun_is_read_as_it_was_written(tmp_path: Path) -> None:
    first_rows.write(tmp_path / "due", None)
    first_rows.write(tmp_path / "due", BEGUN)
    assert first_rows.read(tmp_path / "due") == BEGUN
    assert [path.name for path in tmp_path.iterdir()] == ["due"]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"before": {"public.articles": {}}}'])
def test_file_that_nobody_wrote_is_an_error_that_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "due").write_text(text)
    with pytest.raises(ValueError, match=r"due does not say what .* remove it; .* Then run site\.yml again"):
        first_rows.read(tmp_path / "due")
