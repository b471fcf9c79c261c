"""Whether a file locks a product's packages: each in one version, with the hashes of what may be installed."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

WITH_HASHES = "uv pip compile --generate-hashes -o requirements.lock pyproject.toml"
# Files of other tools, and what makes a requirements file with hashes of them.
CONVERSIONS = {
    "pyproject.toml": WITH_HASHES,
    "setup.py": WITH_HASHES,
    "uv.lock": "uv export --frozen --no-dev --no-emit-project --format requirements-txt -o requirements.lock",
    "pylock.toml": "uv export --frozen --no-dev --no-emit-project --format requirements-txt -o requirements.lock",
    "poetry.lock": "poetry export --format requirements.txt --output requirements.lock",
    "pdm.lock": "pdm export --production --no-self --format requirements --output requirements.lock",
    "Pipfile.lock": "pipenv requirements --hash > requirements.lock",
}


def requirements(text: str) -> list[str]:
    """Each requirement of a requirements file, with its options on one line; no comments, no general options."""
    lines = re.sub(r"\\\r?\n", " ", text).splitlines()
    bare = (re.sub(r"(?:^|\s)#.*$", "", line).strip() for line in lines)
    return [line for line in bare if line and not line.startswith("-")]


def problem_of(name: str, text: str) -> tuple[str, str] | None:
    """What is wrong with a lock file, and what to do; None where nothing is."""
    if command := CONVERSIONS.get(PurePosixPath(name).name):
        return "a requirements file with hashes is needed", f"Make one of it and commit it: {command}"
    for line in requirements(text):
        # A reference to an archive (name @ https://…) needs its hash as well.
        if "--hash=" not in line or ("==" not in line and " @ " not in line):
            return (
                f'"{line[:80]}" in it names no one version with hashes, so the same release could be two things',
                f"Make one that does: {WITH_HASHES} (or requirements.in)",
            )
    return None
