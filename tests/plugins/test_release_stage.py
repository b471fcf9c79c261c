"""Module release_stage: of two runs at once, the later waits for the earlier."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ID = "0123456789ab"


def archive_of(directory: Path) -> Path:
    """A release's archive without packages."""
    path = directory / "release.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in (
            ("manifest.json", b"{}"),
            ("source/app.py", b""),
            ("site-packages/one.py", b""),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def options(directory: Path) -> dict[str, Any]:
    """What the role gives the module."""
    archive = archive_of(directory)
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    return {"id": ID, "archive": str(archive), "checksum": checksum, "directory": str(directory / "releases")}


def start(given: dict[str, Any], directory: Path) -> subprocess.Popen[str]:
    """Start the module as a process of its own."""
    arguments = directory / "arguments.json"
    arguments.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": given}))
    command = [sys.executable, str(ROOT / "plugins" / "modules" / "release_stage.py"), str(arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the module answered."""
    said = process.communicate(timeout=60)[0]
    found: dict[str, Any] = json.loads(said)
    assert "failed" not in found, said
    return found


def holds_open(process: subprocess.Popen[str], path: Path) -> bool:
    """Whether a process has a file open."""
    return path in {
        link.readlink() for link in Path(f"/proc/{process.pid}/fd").iterdir() if link.is_symlink()
    }


def test_a_release_is_whole_after_one_run_and_untouched_by_the_next(tmp_path: Path) -> None:
    given = options(tmp_path)
    assert answer(start(given, tmp_path))["changed"]
    release = tmp_path / "releases" / ID
    assert (release / "manifest.json").read_bytes() == b"{}"
    assert list((release / "venv").glob("lib/python*/site-packages/one.py"))
    assert not answer(start(given, tmp_path))["changed"]


def test_what_a_killed_run_left_is_made_anew(tmp_path: Path) -> None:
    half = tmp_path / "releases" / ID / "venv"
    half.mkdir(parents=True)
    (half / "half").touch()
    assert answer(start(options(tmp_path), tmp_path))["changed"]
    assert not (half / "half").exists()


def test_a_run_waits_for_one_that_is_still_staging_and_takes_what_it_made(tmp_path: Path) -> None:
    release = tmp_path / "releases" / ID
    release.mkdir(parents=True)
    with (release.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = start({**options(tmp_path), "checksum": "not looked at"}, tmp_path)
        deadline = time.monotonic() + 30
        while not holds_open(waiting, release.parent / ".lock"):
            assert waiting.poll() is None, answer(waiting)
            assert time.monotonic() < deadline, "the module does not come to the lock"
            time.sleep(0.01)
        # Whole now: a run that did not wait would have found the archive wrong.
        (release / "manifest.json").write_text("made by the other")
    assert not answer(waiting)["changed"]
    assert (release / "manifest.json").read_text() == "made by the other"
