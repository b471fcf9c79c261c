"""Where things are in this repository and on this machine."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
BACKEND = ROOT / "backend"
BACKEND_VENV = BACKEND / ".venv"
CACHE = ROOT / ".cache"
TESTBED = ROOT / "molecule" / "testbed"
STATE = Path("/var/lib/gitops-bundle")


def shown(path: Path) -> str:
    """A path as a person in the repository would type it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
