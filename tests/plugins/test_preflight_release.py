"""Whether a release exists, asked of real git repositories, by path and by URL."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible.module_utils.preflight_problem import Problem
from ansible.module_utils.preflight_release import Release, check_release, is_url
from ansible.module_utils.release_source import find_source

Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path) -> Git:
    folder = tmp_path / "product"
    folder.mkdir()
    clock = iter(range(1_700_000_000, 1_800_000_000, 60))

    def run(*arguments: str) -> str:
        who = [
            "-c",
            "user.name=Tester",
            "-c",
            "user.email=tester@example.org",
            "-c",
            "init.defaultBranch=main",
        ]
        when = f"{next(clock)} +0000"
        done = subprocess.run(
            ["git", *who, "-C", str(folder), *arguments],
            check=True, capture_output=True, text=True,
            env=os.environ | {"GIT_COMMITTER_DATE": when, "GIT_AUTHOR_DATE": when},
        )  # fmt: skip
        return done.stdout.strip()

    run("init", "-q")
    (folder / "README").write_text("product\n")
    run("add", ".")
    run("commit", "-qm", "Nothing but a README")
    run("tag", "v1.0")
    (folder / "backend").mkdir()
    (folder / "backend" / "requirements.lock").write_text("alembic==1.14 --hash=sha256:47\n")
    run("add", ".")
    run("commit", "-qm", "The application")
    for version in ("v1.2", "v1.10", "v1.3"):
        run("commit", "-q", "--allow-empty", "-m", version)
        run("tag", "-a", version, "-m", version)
    return run


@pytest.fixture(params=["path", "url"])
def repository(request: pytest.FixtureRequest, tmp_path: Path, git: Git) -> str:
    folder = tmp_path / "product"
    return f"file://{folder}" if request.param == "url" else str(folder)


def problems_of(release: Release, base: str = ".") -> list[Problem]:
    return list(check_release(release, base)[0])


@pytest.mark.parametrize("ref", ["v1.3", "main", "refs/tags/v1.10"])
def test_release_that_exists_is_accepted(repository: str, ref: str) -> None:
    assert problems_of(Release(repository, ref, "backend", "requirements.lock")) == []


def test_commit_is_accepted(repository: str, git: Git) -> None:
    assert problems_of(Release(repository, git("rev-parse", "HEAD"), "backend")) == []


def test_release_has_the_name_that_it_is_built_under(repository: str, git: Git, tmp_path: Path) -> None:
    built = find_source(repository, "v1.3", "backend", "requirements.lock", cache=tmp_path / "cache")
    _, found = check_release(Release(repository, "v1.3", "backend", "requirements.lock"))
    assert found
    kind = {"python": "3.11", "architecture": "x86_64"}
    assert found.identity(**kind) == built.identity(**kind)


@pytest.mark.parametrize("ref", ["v9", "-h", "--upload-pack=touch /tmp/owned", "v1.3:README", "0" * 40])
def test_unknown_ref_is_answered_with_the_newest_tags(repository: str, ref: str) -> None:
    [problem] = problems_of(Release(repository, ref, "backend", "requirements.lock"))
    assert problem.variable == "release_ref"
    newest = "v1.10, v1.3, v1.2" if "://" in repository else "v1.3, v1.10, v1.2"
    assert problem.allowed == f"not in {repository}; newest tags: {newest}."


def test_folder_that_the_ref_lacks_is_named_with_those_it_has(repository: str) -> None:
    [problem] = problems_of(Release(repository, "v1.3", "backedn", "requirements.lock"))
    assert problem.variable == "release_folder"
    assert problem.allowed == f"v1.3 of {repository} has no such folder; folders there: backend."


def test_old_ref_without_the_folder_is_refused(repository: str) -> None:
    [problem] = problems_of(Release(repository, "v1.0", "backend", "requirements.lock"))
    assert problem.variable == "release_folder"


def test_lock_file_that_the_ref_lacks_is_named(repository: str) -> None:
    [problem] = problems_of(Release(repository, "v1.3", "backend", "uv.lock"))
    assert problem.variable == "release_lock_file"
    assert "backend/uv.lock" in problem.allowed


def test_files_that_the_ref_lacks_are_told_together(repository: str) -> None:
    release = Release(repository, "v1.3", "backend", "requirements.lock", alembic="alembic.ini", project=True)
    found = {problem.variable: problem.allowed for problem in problems_of(release)}
    assert found == {
        "release_alembic_config": f"v1.3 of {repository} has no file backend/alembic.ini.",
        "release_project": f"v1.3 of {repository} has no file backend/pyproject.toml.",
    }


def lock(git: Git, tmp_path: Path, text: str) -> str:
    """Commit another lock file; the repository."""
    (tmp_path / "product/backend/requirements.lock").write_text(text)
    git("commit", "-qam", "Other packages")
    return str(tmp_path / "product")


def test_lock_file_without_hashes_is_refused_with_the_line(git: Git, tmp_path: Path) -> None:
    repository = lock(git, tmp_path, "alembic==1.14 --hash=sha256:47\nfastapi>=0.1\n")
    [problem] = problems_of(Release(repository, "main", "backend", "requirements.lock"))
    assert problem.variable == "release_lock_file"
    assert '"fastapi>=0.1" in it names no one version with hashes' in problem.allowed
    assert "uv pip compile --generate-hashes" in problem.fix


def test_driver_that_prepares_statements_is_refused_with_what_to_set(git: Git, tmp_path: Path) -> None:
    repository = lock(git, tmp_path, "asyncpg==0.30 --hash=sha256:47\n")
    release = Release(repository, "main", "backend", "requirements.lock", scheme="postgresql+asyncpg")
    [problem] = problems_of(release)
    assert problem.variable == "release_prepared_statements_acknowledged"
    assert "asyncpg is the driver of postgresql+asyncpg://" in problem.allowed
    for words in ("statement_cache_size=0", "bundle_pool_mode: session", "acknowledged: true"):
        assert words in problem.fix


def test_driver_is_not_looked_at_where_no_pool_is_shared(git: Git, tmp_path: Path) -> None:
    repository = lock(git, tmp_path, "asyncpg==0.30 --hash=sha256:47\n")
    assert problems_of(Release(repository, "main", "backend", "requirements.lock")) == []


@pytest.mark.parametrize("name", ["nowhere", "file:///nowhere/at/all"])
def test_repository_that_cannot_be_read_is_told_with_the_reason(tmp_path: Path, name: str) -> None:
    [problem] = problems_of(Release(name, "v1"), base=str(tmp_path))
    assert problem.variable == "release_repository"
    assert "cannot be read" in problem.allowed


def test_folder_that_is_no_repository_is_told(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    [problem] = problems_of(Release(str(tmp_path / "plain"), "v1"))
    assert "not a git repository" in problem.allowed


def test_relative_path_counts_from_the_playbook(tmp_path: Path, git: Git) -> None:
    assert problems_of(Release("product", "v1.3", "backend"), base=str(tmp_path)) == []


def test_repository_without_tags_says_so(tmp_path: Path, git: Git) -> None:
    git("tag", "-d", "v1.0", "v1.2", "v1.3", "v1.10")
    [problem] = problems_of(Release(str(tmp_path / "product"), "v9"))
    assert "it has no tags" in problem.allowed


def test_password_in_the_url_is_not_shown(tmp_path: Path) -> None:
    [problem] = problems_of(Release("file://deploy:hush-hush@localhost/nowhere", "v1"))
    assert "hush" not in "".join(problem.as_dict().values())


@pytest.mark.parametrize(
    ("repository", "answer"),
    [
        ("https://example.org/a.git", True),
        ("git@example.org:a/b.git", True),
        ("/srv/a.git", False),
        ("../a", False),
        ("product", False),
    ],
)
def test_url_is_told_from_a_path(repository: str, answer: bool) -> None:
    assert is_url(repository) is answer
