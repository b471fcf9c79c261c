"""Reading version files and Alembic's configuration without running them."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from ansible.module_utils.revision_files import load, read_revision
from ansible.module_utils.revisions import RevisionError

TYPED = '''\
"""Add a thing

Revision ID: b2
"""
from typing import Sequence, Union
revision: str = "b2"
down_revision: Union[str, Sequence[str], None] = ("a1", "a2")
branch_labels: Union[str, Sequence[str], None] = "search"
depends_on: Union[str, Sequence[str], None] = None

def upgrade() -> None:
    """Makes it."""
    with op.get_context().autocommit_block():
        op.create_index("i", "t", ["c"], postgresql_concurrently=True)

def downgrade() -> None:
    """Nothing to do."""
    pass
'''


def version(folder: Path, id_: str, down: str = "None", body: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{id_}_x.py").write_text(
        f'"""make {id_}"""\nrevision = "{id_}"\ndown_revision = {down}\n{body}'
    )


def test_typed_file_of_alembic_is_read(tmp_path: Path) -> None:
    (tmp_path / "b2.py").write_text(TYPED)
    revision = read_revision(tmp_path / "b2.py")
    assert revision is not None
    assert (revision.id, revision.down, revision.labels, revision.message) == (
        "b2",
        ("a1", "a2"),
        ("search",),
        "Add a thing",
    )
    assert (revision.concurrently, revision.autocommit, revision.empty_downgrade) == (True, True, True)
    assert len(revision.hints) == 2


@pytest.mark.parametrize(
    ("body", "concurrently"),
    [
        ('op.execute("CREATE INDEX CONCURRENTLY i ON t (c)")', True),
        ('op.execute("REINDEX INDEX CONCURRENTLY i")', True),
        ('op.create_index("i", "t", ["c"], postgresql_concurrently=False)', False),
        ('print("built CONCURRENTLY elsewhere")', False),
    ],
)
def test_concurrent_build_is_noticed(tmp_path: Path, body: str, concurrently: bool) -> None:
    version(tmp_path, "a1", body=f"def upgrade():\n    {body}\n")
    revision = read_revision(tmp_path / "a1_x.py")
    assert revision is not None
    assert revision.concurrently is concurrently


@pytest.mark.parametrize(
    ("body", "empty", "irreversible"),
    [
        ("def downgrade():\n    pass\n", True, False),
        ("def downgrade():\n    return\n", True, False),
        ("def downgrade():\n    ...\n", True, False),
        ("", True, False),
        ("def downgrade():\n    op.drop_table('t')\n", False, False),
        ("def downgrade():\n    raise NotImplementedError\n", False, True),
    ],
)
def test_missing_way_back_is_noticed(tmp_path: Path, body: str, empty: bool, irreversible: bool) -> None:
    version(tmp_path, "a1", body=body)
    revision = read_revision(tmp_path / "a1_x.py")
    assert revision is not None
    assert (revision.empty_downgrade, revision.irreversible) == (empty, irreversible)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n", "does not assign revision and down_revision"),
        ('revision = "a1"\ndown_revision = previous()\n', "computes down_revision instead of naming it"),
        ('revision = "a1"\ndown_revision = 7\n', "down_revision"),
        ("def (:\n", "is not Python"),
    ],
)
def test_file_that_is_no_revision_is_refused(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "a1.py").write_text(source)
    with pytest.raises(RevisionError, match=message):
        read_revision(tmp_path / "a1.py")


CONFIGURATIONS = {
    "here": "script_location = %(here)s/migrations",
    "relative": "script_location = migrations\nfile_template = %%(rev)s_%%(slug)s",
    "package": "script_location = shop:migrations",
    "several": "script_location = migrations\npath_separator = os\n"
    "version_locations = %(here)s/migrations/versions:%(here)s/more",
    "spaces": "script_location = migrations\npath_separator = space\n"
    "version_locations = %(here)s/migrations/versions %(here)s/more",
    "recursive": "script_location = migrations\nrecursive_version_locations = true",
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configuration_leads_to_the_revisions_that_alembic_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    root = tmp_path / "shop" / "migrations" if name == "package" else tmp_path / "migrations"
    version(root / "versions", "a1")
    if name == "recursive":
        version(root / "versions" / "2026", "b2", '"a1"')
    else:
        version(tmp_path / "more" if name in ("several", "spaces") else root / "versions", "b2", '"a1"')
    if name == "package":
        (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "alembic.ini").write_text(f"[alembic]\n{CONFIGURATIONS[name]}\n")
    alembic = ScriptDirectory.from_config(Config("alembic.ini"))
    graph = load(tmp_path)
    assert list(graph.heads) == alembic.get_heads() == ["b2"]
    assert (
        {one.id for one in graph.in_order}
        == {one.revision for one in alembic.walk_revisions()}
        == {"a1", "b2"}
    )


def test_pyproject_is_a_configuration_too(tmp_path: Path) -> None:
    version(tmp_path / "migrations" / "versions", "a1")
    (tmp_path / "pyproject.toml").write_text('[tool.alembic]\nscript_location = "%(here)s/migrations"\n')
    assert load(tmp_path, "pyproject.toml").heads == ("a1",)


@pytest.mark.parametrize(
    ("ini", "message"),
    [
        (None, 'there is no "alembic.ini"'),
        ("[alembic]\n", "has no script_location"),
        ("[alembic]\nscript_location = nowhere\n", "names folders that do not exist"),
        ("no section\n", "cannot be read"),
    ],
)
def test_configuration_that_leads_nowhere_is_refused(tmp_path: Path, ini: str | None, message: str) -> None:
    if ini is not None:
        (tmp_path / "alembic.ini").write_text(ini)
    with pytest.raises(RevisionError, match=message):
        load(tmp_path)
