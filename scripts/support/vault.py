"""The vault file of an inventory: which secrets it has to have, and adding those that it lacks."""

from __future__ import annotations

import base64
import configparser
import os
import re
import secrets
import string
import subprocess
from collections.abc import Mapping
from pathlib import Path

from scripts.support.paths import ROOT, VENV, shown

NAMES = (
    "vault_migrator_password",
    "vault_app_password",
    "vault_readonly_password",
    "vault_monitor_password",
    "vault_backup_password",
    "vault_backup_passphrase",
    "vault_pgbouncer_auth_password",
    "vault_pgbouncer_admin_password",
    "vault_pgbouncer_stats_password",
    "vault_jwt_secret",
    "vault_token_key",
)
# 40 of 62 characters are 238 bits. Letters and digits only: a secret stands in URLs, YAML and shell words.
LENGTH = 40
# https://github.com/fernet/spec: 32 bytes, base64url.
FERNET_KEYS = frozenset({"vault_token_key"})
ALPHABET = string.ascii_letters + string.digits
HEADER = "# Made by scripts/secrets. To change a secret, put a new value here and run site.yml.\n"
LINE = re.compile(r"^(vault_\w+):[ \t]*(.*?)[ \t]*$", re.MULTILINE)
ENCRYPTED = "$ANSIBLE_VAULT;"


class VaultError(Exception):
    """Why the vault file cannot be made or completed, and what to do."""


def vault_file(inventory: str, root: Path = ROOT) -> Path:
    """The vault file of an inventory that is given by its name below inventories/ or by its directory."""
    directory = Path(inventory) if "/" in inventory else root / "inventories" / inventory
    if not directory.is_dir():
        names = ", ".join(sorted(path.name for path in (root / "inventories").glob("*") if path.is_dir()))
        raise VaultError(
            f"there is no inventory {inventory!r} at {directory}; inventories: {names or 'none'}"
        )
    return directory / "group_vars" / "all" / "vault.yml"


def new_secret(name: str) -> str:
    """A random secret: LENGTH characters from ALPHABET, for a key of Fernet's what such a key is."""
    if name in FERNET_KEYS:
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def completed(text: str) -> tuple[str, list[str]]:
    """Return the text with a line for each name that it lacks, and those names. What is there stays as it is.

    VaultError if a name is there without a value: whether it may be replaced is for a person to say.
    """
    there = dict(LINE.findall(text))
    empty = [name for name in NAMES if there.get(name, "-").strip("\"'") == ""]
    if empty:
        raise VaultError(f"no value for {', '.join(empty)}: remove the line and run this again to get one")
    missing = [name for name in NAMES if name not in there]
    if not missing:
        return text, []
    start = text if text.strip() else HEADER
    if not start.endswith("\n"):
        start += "\n"
    return start + "".join(f'{name}: "{new_secret(name)}"\n' for name in missing), missing


def password_file(root: Path, environment: Mapping[str, str]) -> str | None:
    """The vault password file that Ansible would use: from the environment, else from ansible.cfg."""
    if environment.get("ANSIBLE_VAULT_PASSWORD_FILE"):
        return environment["ANSIBLE_VAULT_PASSWORD_FILE"]
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(root / "ansible.cfg")
    named = settings.get("defaults", "vault_password_file", fallback="")
    return str(root / Path(named).expanduser()) if named else None


def ensure(path: Path, *, plain: bool, root: Path = ROOT) -> list[str]:
    """Add what the vault file lacks and return the added names.

    A `plain` file is for a throwaway host: not encrypted, mode 0600, ignored by git. Any other is encrypted
    with ansible-vault. VaultError says what is missing for that.
    """
    raw = path.read_text() if path.is_file() else ""
    encrypted = raw.startswith(ENCRYPTED)
    password = password_file(root, os.environ)
    if (encrypted or not plain) and password is None:
        raise VaultError(how_to_encrypt(path, encrypted=encrypted))
    text, added = completed(ansible_vault("decrypt", raw) if encrypted else raw)
    if not added:
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, text if plain and not encrypted else ansible_vault("encrypt", text))
    return added


def replace(path: Path, text: str) -> None:
    """Write the file in one step and for its owner only: a killed run leaves the old one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)


def ansible_vault(action: str, text: str) -> str:
    """Pass a text through `ansible-vault ACTION`; VaultError with its message if it refuses."""
    program = VENV / "bin" / "ansible-vault"
    if not program.is_file():
        raise VaultError(f"{shown(program)} is not there: scripts/test --only lint-yaml installs it")
    done = subprocess.run(
        [str(program), action, "--output", "-", "-"],
        input=text,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    if done.returncode != 0:
        raise VaultError(f"ansible-vault {action} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def how_to_encrypt(path: Path, *, encrypted: bool) -> str:
    """What to do before this can write an encrypted vault."""
    first = "is encrypted, and" if encrypted else "has to be encrypted, since it is committed, but"
    return (
        f"{shown(path)} {first} no vault password file is configured. Do this once:\n"
        "  python3 -c 'import secrets; print(secrets.token_urlsafe(32))' > ~/.vault-password\n"
        "  chmod 600 ~/.vault-password           # keep a copy where your team keeps such things\n"
        "  export ANSIBLE_VAULT_PASSWORD_FILE=~/.vault-password\n"
        "and run this again. Later: ansible-vault edit FILE shows and changes it."
    )
