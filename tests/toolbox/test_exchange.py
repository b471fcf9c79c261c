"""The two renames of a switch, from every state in which a power cut may leave them."""

from __future__ import annotations

from pathlib import Path

import pytest
from toolbox.exchange import Exchange, ExchangeError

OLD, NEW = "the cluster before", "what was restored"


def place(root: Path, *, restored: str = "", live: str = "", kept: str = "") -> Exchange:
    """Directories with what is in them; `had_live` is what the journal says, from before the first rename."""
    for name, content in (("main.restored", restored), ("main", live), ("main.before", kept)):
        if content:
            (root / name).mkdir()
            (root / name / "whose").write_text(content)
    return Exchange(root / "main.restored", root / "main", root / "main.before", had_live=bool(live or kept))


def found(root: Path) -> dict[str, str]:
    """Which directories there are, and what is in them."""
    return {path.name: (path / "whose").read_text() for path in root.iterdir()}


BEGUN = {"restored": NEW, "live": OLD}
BETWEEN = {"restored": NEW, "kept": OLD}
DONE = {"live": NEW, "kept": OLD}


@pytest.mark.parametrize("state", [BEGUN, BETWEEN, DONE], ids=["begun", "between", "done"])
def test_it_goes_on_to_the_end_from_wherever_it_was_cut(tmp_path: Path, state: dict[str, str]) -> None:
    exchange = place(tmp_path, **state)
    exchange.go_on()
    assert found(tmp_path) == {"main": NEW, "main.before": OLD}
    assert exchange.is_done


@pytest.mark.parametrize("state", [BEGUN, BETWEEN, DONE], ids=["begun", "between", "done"])
def test_it_goes_back_to_the_beginning_from_wherever_it_was_cut(
    tmp_path: Path, state: dict[str, str]
) -> None:
    place(tmp_path, **state).go_back()
    assert found(tmp_path) == {"main.restored": NEW, "main": OLD}


def test_on_a_host_without_a_cluster_it_is_one_rename(tmp_path: Path) -> None:
    exchange = place(tmp_path, restored=NEW)
    exchange.go_on()
    assert found(tmp_path) == {"main": NEW}
    assert exchange.is_done


def test_without_a_cluster_before_it_goes_back_to_none(tmp_path: Path) -> None:
    exchange = Exchange(
        tmp_path / "main.restored", tmp_path / "main", tmp_path / "main.before", had_live=False
    )
    place(tmp_path, live=NEW)
    exchange.go_back()
    assert found(tmp_path) == {"main.restored": NEW}


def test_a_cluster_that_somebody_made_in_between_is_not_touched(tmp_path: Path) -> None:
    exchange = place(tmp_path, restored=NEW, live="a stranger's", kept=OLD)
    with pytest.raises(ExchangeError, match="main is there"):
        exchange.go_on()
    assert found(tmp_path) == {"main.restored": NEW, "main": "a stranger's", "main.before": OLD}
