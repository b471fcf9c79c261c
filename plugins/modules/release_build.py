#!/usr/bin/python
"""Ansible module, for the controller: a release of the application, by content, built once and kept."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_build
short_description: Name a release by its content, and build it once
description:
  - Runs on the controller. The release's name is a hash of the application's folder, its lock file, the hosts' Python
    and the build recipe, so the same code is the same release.
  - What is built is one archive of the source, the locked packages for the hosts' Python and a manifest. It is kept by
    name, so it is built once, and hosts need no package index.
options:
  repository:
    description: Git repository with the application, a path or a URL.
    type: str
    required: true
  ref:
    description: Tag, branch or commit.
    type: str
    required: true
  folder:
    description: Folder of the application inside the repository; empty for its root.
    type: str
    default: ""
  lock_file:
    description: Lock file with hashes, inside the folder.
    type: str
    default: requirements.lock
  project:
    description:
      - Whether the folder's pyproject.toml is a project, which is installed into the release without its packages.
    type: bool
    default: false
  alembic_config:
    description: Alembic's configuration, inside the folder.
    type: str
    default: alembic.ini
  python:
    description: The hosts' Python, major and minor version.
    type: str
    default: "3.11"
  architecture:
    description: The hosts' architecture.
    type: str
    choices: [x86_64, aarch64]
    default: x86_64
  cache:
    description: Directory on the controller where releases are kept.
    type: path
    required: true
  build:
    description: Whether to build the release, or only to name it and read its revisions.
    type: bool
    default: true
  rendering:
    description: Whether to make a Python with the release's packages on the controller, to render migrations with.
    type: bool
    default: false
author: The bundle's maintainers
"""

import base64
import compileall
import csv
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.release_source import RECIPE, ReleaseError, Source, find_source
from ansible.module_utils.revision_files import load as load_revisions
from ansible.module_utils.revisions import RevisionError

# Newest first: Debian 12 has glibc 2.36.
GLIBC_MINORS = (36, 35, 34, 31, 28, 27, 24, 17, 12, 5)


def platforms(architecture: str) -> list[str]:
    """Return the wheel platforms that run on Debian 12, most specific first (PEP 600 and its legacy names)."""
    legacy = [f"manylinux2014_{architecture}"] + (
        ["manylinux2010_x86_64", "manylinux1_x86_64"] * (architecture == "x86_64")
    )
    return (
        [f"manylinux_2_{minor}_{architecture}" for minor in GLIBC_MINORS] + legacy + [f"linux_{architecture}"]
    )


def run_pip(*arguments: str, complaint: str) -> None:
    """Run the controller's pip, or raise ReleaseError with the complaint and what pip said."""
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        # With the lines that follow the first error: they name the packages.
        lines = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")]
        errors = lines[next((n for n, line in enumerate(lines) if line.startswith("ERROR")), -5) :]
        raise ReleaseError("\n".join([complaint, *errors]))


def install_packages(lock_file: Path, directory: Path, *, python: str, architecture: str) -> None:
    """Unpack exactly the wheels that the lock file names, each checked against its hash, for the hosts' Python.

    On the controller and once, so that a host only unpacks an archive: installing them there took 5 s a host.
    """
    for_hosts = [f"--python-version={python}", "--implementation=cp", f"--abi=cp{python.replace('.', '')}"]
    for_hosts += ["--abi=abi3", "--abi=none", *(f"--platform={name}" for name in platforms(architecture))]
    run_pip(
        "install",
        f"--target={directory}",
        f"--requirement={lock_file}",
        "--require-hashes",
        "--no-deps",
        "--only-binary=:all:",
        "--no-compile",
        *for_hosts,
        complaint=f"The packages of {lock_file.name} cannot be had for Python {python} on {architecture}. Each needs a "
        "hash in the lock file and a wheel for the hosts' Python.",
    )


def install_project(source: Source, directory: Path) -> None:
    """Install the application's folder itself, as a project with a pyproject.toml, into a directory of packages.

    From a copy, since some builds leave files beside the source. What it takes to build it comes from the index.
    """
    with tempfile.TemporaryDirectory() as work:
        copy, wheels, installed = Path(work, "copy"), Path(work, "wheels"), Path(work, "installed")
        copy.mkdir()
        source.unpack(copy)
        run_pip(
            "wheel",
            "--no-deps",
            f"--wheel-dir={wheels}",
            str(copy),
            complaint="release_project is true, and no package can be made of the folder's pyproject.toml.",
        )
        [wheel] = wheels.iterdir()
        if not wheel.name.endswith("-none-any.whl"):
            raise ReleaseError(
                f"release_project is true, and the project is not of Python alone: {wheel.name} is made for the "
                "machine that builds it. Put what is compiled into a package of its own, with wheels, and that "
                "into the lock file."
            )
        run_pip(
            "install",
            f"--target={installed}",
            "--no-deps",
            "--no-index",
            "--no-compile",
            str(wheel),
            complaint=f"{wheel.name} cannot be installed.",
        )
        # By itself: pip leaves out the programs where the directory has some already.
        shutil.copytree(installed, directory, dirs_exist_ok=True)


def packages_key(lock_file: Path, *, python: str, architecture: str) -> str:
    """Return what tells these packages from all others."""
    parts = b"\n".join([RECIPE.encode(), python.encode(), architecture.encode(), lock_file.read_bytes()])
    return hashlib.sha256(parts).hexdigest()


def as_installed(packages: Path) -> bool:
    """Return whether each file is still what its wheel brought, by the checksums that wheels have (PEP 376)."""
    for record in packages.glob("*.dist-info/RECORD"):
        for name, checksum, _size in csv.reader(record.read_text().splitlines()):
            # Programs are beside, and what pip wrote itself has no checksum.
            if name.startswith("..") or not checksum.startswith("sha256="):
                continue
            try:
                digest = hashlib.sha256((packages / name).read_bytes()).digest()
            except OSError:
                return False
            if base64.urlsafe_b64encode(digest).decode().rstrip("=") != checksum.removeprefix("sha256="):
                return False
    return True


def link_packages(key: str, releases: Path, directory: Path) -> bool:
    """Fill the directory with the packages of another release here that has the same ones; False when there is none.

    Most releases change none: unpacking them anew is most of the time that a build takes.
    """
    for other in releases.glob("*/packages.key"):
        packages = other.with_name("site-packages")
        if other.read_text() == key and packages.is_dir() and as_installed(packages):
            shutil.copytree(packages, directory, copy_function=os.link, dirs_exist_ok=True, symlinks=True)
            return True
    return False


def compile_for(python: str, *directories: Path) -> None:
    """Compile the sources where this Python's bytecode is the hosts'; otherwise each host does it when it stages."""
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        for directory in directories:
            compileall.compile_dir(directory, quiet=2, workers=0, stripdir=str(directory.parent))


@contextmanager
def one_at_a_time(kept: Path) -> Iterator[None]:
    """Wait for another build of the same release: it is ours when that one ends. A killed one holds nothing."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.with_name(f".{kept.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def readable(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Let everybody read a file of the archive and nobody but root write it, whatever the umask here is."""
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


def build(source: Source, manifest: dict[str, Any], kept: Path, *, lock_file: str, project: bool) -> None:
    """Build the release's archive in a directory beside `kept`, and put it there whole.

    A build that is killed leaves nothing under the release's name, and the next build of it clears away the rest. The
    caller holds the release's lock.
    """
    beside = f".building-{kept.name}-"
    for left in kept.parent.glob(f"{beside}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=beside) as work:
        whole = Path(work, "release")
        source_directory, packages = whole / "source", whole / "site-packages"
        source_directory.mkdir(parents=True)
        packages.mkdir()
        source.unpack(source_directory)
        hosts = {"python": manifest["python"], "architecture": manifest["architecture"]}
        key = packages_key(source_directory / lock_file, **hosts)
        # What a project brings is copied over them, so those are to be no other release's.
        if project or not link_packages(key, kept.parent, packages):
            install_packages(source_directory / lock_file, packages, **hosts)
        if project:
            install_project(source, packages)
        compile_for(manifest["python"], source_directory, packages)
        (whole / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
        if not project:  # whose packages are its own
            (whole / "packages.key").write_text(key)
        archive = whole / "release.tar.gz"
        # The lightest compression: a third of the bytes to send, for a second of work.
        with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
            for name in ("manifest.json", "source", "site-packages"):
                tar.add(whole / name, arcname=name, filter=readable)
        (whole / "release.sha256").write_text(hashlib.sha256(archive.read_bytes()).hexdigest())
        shutil.rmtree(
            kept, ignore_errors=True
        )  # what an older recipe or a person left there is not this release
        whole.rename(kept)


def is_whole(kept: Path) -> bool:
    """Return whether the archive is what was built. A disk that failed, or a person, may have changed it since."""
    archive, checksum = kept / "release.tar.gz", kept / "release.sha256"
    if not (archive.exists() and checksum.exists()):
        return False
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == checksum.read_text()


def rendering_python(source: Source, kept: Path, lock_file: str, *, python: str, project: bool) -> str:
    """Return a Python on the controller that has the release's packages, made once for each release."""
    environment = kept / "venv"
    if not (environment / "complete").exists():
        shutil.rmtree(environment, ignore_errors=True)
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", environment], check=True, capture_output=True
        )
        own = next(environment.glob("lib/python*/site-packages"))
        if python == f"{sys.version_info.major}.{sys.version_info.minor}":
            (own / "release.pth").write_text(f"{kept / 'site-packages'}\n")
        else:
            run_pip(
                "install",
                f"--target={own}",
                f"--requirement={kept / 'source' / lock_file}",
                "--require-hashes",
                complaint="The release's packages cannot be had for this controller's Python, which would render its "
                "migrations.",
            )
            if project:
                install_project(source, own)
        (environment / "complete").touch()
    return str(environment / "bin" / "python")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "repository": {"type": "str", "required": True},
            "ref": {"type": "str", "required": True},
            "folder": {"type": "str", "default": ""},
            "lock_file": {"type": "str", "default": "requirements.lock"},
            "project": {"type": "bool", "default": False},
            "alembic_config": {"type": "str", "default": "alembic.ini"},
            "python": {"type": "str", "default": "3.11"},
            "architecture": {"type": "str", "choices": ["x86_64", "aarch64"], "default": "x86_64"},
            "cache": {"type": "path", "required": True},
            "build": {"type": "bool", "default": True},
            "rendering": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    wanted = module.params
    cache = Path(wanted["cache"])
    built = False
    try:
        source = find_source(
            wanted["repository"], wanted["ref"], wanted["folder"], wanted["lock_file"], cache=cache
        )
        identity = source.identity(
            python=wanted["python"], architecture=wanted["architecture"], project=wanted["project"]
        )
        kept = cache / "releases" / identity
        with tempfile.TemporaryDirectory() as work:
            if not (kept / "release.tar.gz").exists():
                source.unpack(Path(work))
            graph = load_revisions(
                kept / "source" if (kept / "source").exists() else Path(work), wanted["alembic_config"]
            )
            heads = sorted(graph.heads)
        manifest = {
            "id": identity,
            "ref": wanted["ref"],
            "commit": source.commit,
            "tree": source.tree,
            "alembic_heads": heads,
            "python": wanted["python"],
            "architecture": wanted["architecture"],
            "recipe": RECIPE,
            "builder": platform.node(),
            "built_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        # In check mode too: the cache is the controller's own, and the SQL to come is rendered from it.
        if wanted["build"]:
            with one_at_a_time(kept):
                if not is_whole(kept):
                    if (kept / "release.tar.gz").exists():
                        module.warn(f"{kept / 'release.tar.gz'} is not what was built, so it is built anew.")
                    build(source, manifest, kept, lock_file=wanted["lock_file"], project=wanted["project"])
                    built = True
        if (kept / "manifest.json").exists():
            manifest = json.loads((kept / "manifest.json").read_text())
            os.utime(kept)  # what is used is not old
        python = None
        if wanted["rendering"]:
            with one_at_a_time(kept):
                python = rendering_python(
                    source, kept, wanted["lock_file"], python=wanted["python"], project=wanted["project"]
                )
    except (ReleaseError, RevisionError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False,
        built=built,
        kept=(kept / "release.tar.gz").exists(),
        id=identity,
        manifest=manifest,
        commit=source.commit,
        archive=str(kept / "release.tar.gz"),
        checksum=(kept / "release.sha256").read_text() if (kept / "release.sha256").exists() else None,
        source_directory=str(kept / "source"),
        rendering_python=python,
    )


if __name__ == "__main__":
    main()
