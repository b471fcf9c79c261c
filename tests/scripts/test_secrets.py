"""scripts/secrets: what is missing is made, what is there is never changed."""

from __future__ import annotations

import base64
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scripts.support import vault

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    directory = tmp_path / "inventories" / "staging"
    directory.mkdir(parents=True)
    return directory


def test_an_empty_inventory_gets_every_secret(inventory: Path) -> None:
    path = vault.vault_file(str(inventory))
    assert vault.ensure(path, plain=True) == list(vault.NAMES)
    made = yaml.safe_load(path.read_text())
    assert list(made) == list(vault.NAMES)
    assert len(set(made.values())) == len(vault.NAMES)


def test_a_secret_needs_no_quoting_in_a_url() -> None:
    assert re.fullmatch(r"[A-Za-z0-9]{32,}", vault.new_secret("vault_app_password"))


def test_a_key_that_seals_tokens_is_one_of_fernet() -> None:
    assert len(base64.urlsafe_b64decode(vault.new_secret("vault_token_key"))) == 32


def test_the_plain_file_is_for_its_owner_only(inventory: Path) -> None:
    path = vault.vault_file(str(inventory))
    vault.ensure(path, plain=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_second_run_changes_not_one_byte(inventory: Path) -> None:
    path = vault.vault_file(str(inventory))
    vault.ensure(path, plain=True)
    before = path.read_bytes()
    assert vault.ensure(path, plain=True) == []
    assert path.read_bytes() == before


def test_what_a_person_wrote_stays_and_only_the_rest_is_added() -> None:
    written = "# ours\nvault_app_password: chosen-by-a-person  # keep\nother: 1"
    text, added = vault.completed(written)
    assert text.startswith(written + "\n")
    assert "vault_app_password" not in added
    assert set(added) == set(vault.NAMES) - {"vault_app_password"}
    assert yaml.safe_load(text)["vault_app_password"] == "chosen-by-a-person"


@pytest.mark.parametrize("empty", ["vault_app_password:", 'vault_app_password: ""', "vault_app_password: ''"])
def test_a_name_without_a_value_is_refused_by_name(empty: str) -> None:
    with pytest.raises(vault.VaultError, match="no value for vault_app_password: remove the line"):
        vault.completed(empty + "\n")


def test_an_unknown_inventory_is_refused_with_the_known_ones(inventory: Path) -> None:
    with pytest.raises(vault.VaultError, match=r"no inventory 'prod' .*inventories: staging"):
        vault.vault_file("prod", inventory.parents[1])


def test_a_committed_vault_is_not_written_in_plain_text(
    inventory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANSIBLE_VAULT_PASSWORD_FILE", raising=False)
    path = vault.vault_file(str(inventory))
    with pytest.raises(vault.VaultError, match="ANSIBLE_VAULT_PASSWORD_FILE"):
        vault.ensure(path, plain=False)
    assert not path.exists()


def test_an_encrypted_vault_is_completed_and_stays_encrypted(
    inventory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = tmp_path / "password"
    password.write_text("a password for this test\n")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(password))
    path = vault.vault_file(str(inventory))
    path.parent.mkdir(parents=True)
    path.write_text(vault.ansible_vault("encrypt", "vault_app_password: chosen-by-a-person\n"))
    added = vault.ensure(path, plain=False)
    assert set(added) == set(vault.NAMES) - {"vault_app_password"}
    assert path.read_text().startswith(vault.ENCRYPTED)
    opened = yaml.safe_load(vault.ansible_vault("decrypt", path.read_text()))
    assert opened["vault_app_password"] == "chosen-by-a-person"
    assert set(opened) == set(vault.NAMES)


def test_the_names_are_those_that_inventories_and_roles_use() -> None:
    used: set[str] = set()
    for folder in ("inventories", "roles", "playbooks"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.name != "vault.yml" and path.suffix in {".yml", ".j2"}:
                used |= set(
                    re.findall(r"\bvault_[a-z_]+(?:password|passphrase|secret|token|key)\b", path.read_text())
                )
    assert used == set(vault.NAMES)


def test_the_command_says_what_is_wrong_and_exits_1() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "secrets", "no-such-place"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("scripts/secrets: there is no inventory 'no-such-place'")
