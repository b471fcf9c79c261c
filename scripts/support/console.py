"""What a person sees: phases with elapsed time, and what goes on in the one that runs."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# How often the running phase shows its seconds: on a terminal, and where lines cannot be rewritten (a log).
TERMINAL_SECONDS = 1
LOG_SECONDS = 20
WIDTH = 100


class Failure(Exception):  # noqa: N818  (it is no error of this program)
    """A step that did not work: what, and what to do. The command line prints it and exits 1."""


class Console:
    """Writes phases to standard output: on a terminal the running one is a line that changes."""

    def __init__(self) -> None:
        self.started = self.phase_started = time.monotonic()
        self.tty = sys.stdout.isatty()
        self.title = self.last_note = ""

    def line(self, text: str = "") -> None:
        """Print one line, over the changing one."""
        print(("\r\033[K" if self.tty else "") + text, flush=True)

    @contextmanager
    def phase(self, title: str) -> Iterator[None]:
        """Show a phase: its title and seconds while it runs, a mark when it is over."""
        self.phase_started = time.monotonic()
        self.title, self.last_note = title, ""
        if not self.tty:
            self.line(f"  … {title}")
        over = threading.Event()
        clock = threading.Thread(target=self.tick, args=(over,), daemon=True)
        clock.start()
        mark = "✗"
        try:
            yield
            mark = "✓"
        finally:
            over.set()
            clock.join()
            self.line(f"  {mark} {title} ({self.phase_seconds():.1f} s)")

    def tick(self, over: threading.Event) -> None:
        """Show the running phase again and again until it is over."""
        while True:
            if self.tty:
                shown = f"  … {self.title} ({self.phase_seconds():.0f} s) {self.last_note}"
                print(f"\r\033[K{shown[:WIDTH]}", end="", flush=True)
            if over.wait(TERMINAL_SECONDS if self.tty else LOG_SECONDS):
                return
            if not self.tty:
                self.line(f"    {self.phase_seconds():.0f} s {self.last_note[:WIDTH]}")

    def note(self, text: str) -> None:
        """Say what the running phase is at; it is shown with the next seconds."""
        self.last_note = text

    def phase_seconds(self) -> float:
        """Seconds since the running phase began."""
        return time.monotonic() - self.phase_started

    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.started
