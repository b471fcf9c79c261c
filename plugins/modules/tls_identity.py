#!/usr/bin/python
"""Ansible module: a host has a key of its own and a certificate for it, which another host is to trust."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tls_identity
short_description: A host has a key of its own and a certificate for it, which another host is to trust
description:
  - The key is made on the host and never leaves it. The certificate signs itself, so who has it trusts this host alone
    and no authority. That is what an SSH host key is, in the form that TLS knows.
  - Both are made anew together, where one of them is missing, they do not belong to each other, the certificate is for
    another name, or it ends within O(renew_days).
options:
  key:
    description: File of the private key.
    type: path
    required: true
  certificate:
    description: File of the certificate.
    type: path
    required: true
  name:
    description: What the others call the host, a name or an address; it is the certificate's subject and its one name.
    type: str
    required: true
  group:
    description: Group that may read the key.
    type: str
    default: root
  days:
    description: For how long a new certificate is valid.
    type: int
    default: 3650
  renew_days:
    description: How long before its end a certificate is made anew.
    type: int
    default: 365
  trusted:
    description: File of the other host's certificate. It is only read.
    type: path
author: The bundle's maintainers
"""

EXAMPLES = r"""
- name: configure | Have a key and a certificate
  tls_identity:
    key: /etc/pgbackrest/tls/host.key
    certificate: /etc/pgbackrest/tls/host.crt
    name: 203.0.113.11
    group: postgres
"""

RETURN = r"""
certificate:
  description: The certificate as PEM text; empty in check mode where there is none yet.
  type: str
  returned: always
trusted:
  description: What the file O(trusted) says; empty where there is none.
  type: str
  returned: always
reason:
  description: Why key and certificate were made, or would be; empty where they stay.
  type: str
  returned: always
"""

import grp
import os
import subprocess
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

SECONDS_A_DAY = 86400


class IdentityError(Exception):
    """openssl refused; the message has what it said."""


def openssl(*words: str) -> str:
    """Run openssl and return what it prints; IdentityError when it fails."""
    done = subprocess.run(["openssl", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        raise IdentityError(f"openssl {words[0]} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def reason_to_make(key: Path, certificate: Path, name: str, renew_days: int) -> str:
    """Return why the files cannot stay; empty when they can."""
    for path in (key, certificate):
        if not path.is_file():
            return f"{path} is missing"
    try:
        if openssl("pkey", "-in", str(key), "-pubout") != openssl(
            "x509", "-in", str(certificate), "-noout", "-pubkey"
        ):
            return f"{certificate} does not belong to {key}"
        subject = openssl(
            "x509", "-in", str(certificate), "-noout", "-subject", "-nameopt", "multiline,-esc_msb"
        )
    except IdentityError as error:
        return str(error)
    if f"commonName                = {name}\n" not in subject:
        return f"{certificate} is not for {name}"
    seconds = str(renew_days * SECONDS_A_DAY)
    ends = subprocess.run(
        ["openssl", "x509", "-in", str(certificate), "-noout", "-checkend", seconds],
        check=False,
        capture_output=True,
    )
    return f"{certificate} ends within {renew_days} days" if ends.returncode else ""


def make(key: Path, certificate: Path, name: str, group: int, days: int) -> None:
    """Make both beside their places and rename them there, the certificate last: where it is, its key is."""
    key.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=key.parent, prefix=".new-") as directory:
        new_key, new_certificate = Path(directory, "key"), Path(directory, "certificate")
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            # As a DNS name an address is compared as the text that it is; pgBackRest knows no other kind.
            *("-days", str(days), "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"),
            *("-keyout", str(new_key), "-out", str(new_certificate)),
        )
        os.chown(new_key, -1, group)
        new_key.chmod(0o640)
        new_certificate.chmod(0o644)
        certificate.unlink(missing_ok=True)
        new_key.rename(key)
        new_certificate.rename(certificate)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "key": {"type": "path", "required": True},
            "certificate": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "group": {"type": "str", "default": "root"},
            "days": {"type": "int", "default": 3650},
            "renew_days": {"type": "int", "default": 365},
            "trusted": {"type": "path"},
        },
        supports_check_mode=True,
    )
    options = module.params
    key, certificate = Path(options["key"]), Path(options["certificate"])
    trusted = Path(options["trusted"]) if options["trusted"] else None
    os.umask(0o022)
    try:
        reason = reason_to_make(key, certificate, options["name"], options["renew_days"])
        if reason and not module.check_mode:
            make(key, certificate, options["name"], grp.getgrnam(options["group"]).gr_gid, options["days"])
        there = certificate.is_file() and not (reason and module.check_mode)
        module.exit_json(
            changed=bool(reason),
            reason=reason,
            certificate=certificate.read_text() if there else "",
            trusted=trusted.read_text() if trusted and trusted.is_file() else "",
        )
    except KeyError:
        module.fail_json(msg=f'group "{options["group"]}" is no group of this host. Make it first.')
    except (IdentityError, OSError) as error:
        module.fail_json(msg=f"{key}: {error}")


if __name__ == "__main__":
    main()
