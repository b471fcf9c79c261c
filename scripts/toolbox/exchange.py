"""The two renames by which a restored cluster takes the place of the live one. A power cut may follow each of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolbox.journal import sync


class ExchangeError(Exception):
    """The directories are not as either rename leaves them; nothing was touched."""


@dataclass(frozen=True)
class Exchange:
    """`restored` becomes `live`, and what is there becomes `kept`. Which of the names are there tells how far it is."""

    restored: Path
    live: Path
    kept: Path
    had_live: bool

    @property
    def is_done(self) -> bool:
        """Whether the restored cluster is in the place of the live one."""
        return self.live.is_dir() and not self.restored.exists() and self.kept.is_dir() == self.had_live

    def go_on(self) -> None:
        """Do what is left of it; nothing where all is done.

        Raises:
            ExchangeError: somebody else has changed what is there.
        """
        if self.is_done:
            return
        if self.restored.is_dir() and self.live.is_dir() and self.had_live and not self.kept.exists():
            self._rename(self.live, self.kept)
        if not (self.restored.is_dir() and not self.live.exists() and self.kept.is_dir() == self.had_live):
            raise ExchangeError(self._described())
        self._rename(self.restored, self.live)

    def go_back(self) -> None:
        """Undo what was done of it; nothing where nothing was.

        Raises:
            ExchangeError: somebody else has changed what is there.
        """
        if self.is_done:
            self._rename(self.live, self.restored)
        if self.kept.is_dir() and not self.live.exists():
            self._rename(self.kept, self.live)
        if not (self.restored.is_dir() and self.live.is_dir() == self.had_live and not self.kept.exists()):
            raise ExchangeError(self._described())

    def _rename(self, old: Path, new: Path) -> None:
        old.rename(new)
        sync(new.parent)

    def _described(self) -> str:
        there = ", ".join(
            f"{path} is {'there' if path.exists() else 'not there'}"
            for path in (self.restored, self.live, self.kept)
        )
        return f"the directories are not as a switch leaves them ({there}): see docs/runbooks/restore.md"
