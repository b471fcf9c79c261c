"""A host on which Ansible's apt was killed in the middle, with what it had begun, is finished by the next run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from shared.machine import Machine
from shared.playbook import Playbook
from shared.product import Product

PACKAGE = "bundle-interrupted"
POLICY = "/usr/sbin/policy-rc.d"
# Its first setting up kills the module that runs dpkg, and dpkg, as a power cut does; the second one goes through.
BUILD = f"""
mkdir -p /tmp/{PACKAGE}/DEBIAN
cd /tmp/{PACKAGE}/DEBIAN
cat >control <<EOF
Package: {PACKAGE}
Version: 1
Architecture: all
Maintainer: Tests <tests@example.com>
Description: kills the apt that installs it, once
EOF
cat >postinst <<'EOF'
#!/bin/sh
[ -e /tmp/{PACKAGE}.once ] && exit 0
touch /tmp/{PACKAGE}.once
module=$(ps -o ppid= -p $PPID)
kill -9 $module $PPID
EOF
chmod 0755 postinst
dpkg-deb --build --root-owner-group /tmp/{PACKAGE} /tmp/{PACKAGE}.deb
"""
INSTALL = [
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [{"ansible.builtin.apt": {"deb": f"/tmp/{PACKAGE}.deb", "policy_rc_d": 101}}],
    }
]
FINISH = "base : install | Finish what a killed run of apt left"
OWN = "#!/bin/sh\n# An operator's own: everything may start.\nexit 0\n"


@pytest.fixture(params=["", OWN], ids=["no_policy", "policy_of_an_operator"])
def interrupted(
    request: pytest.FixtureRequest, product: Product, playbook: Playbook, tmp_path: Path
) -> Iterator[tuple[Machine, str]]:
    """The host after Ansible's own module was killed while it set a package up, and its policy of before."""
    machine, own = product.machine, request.param
    if own:
        machine.sh(f"printf %s {shlex.quote(own)} > {POLICY}; chmod 0755 {POLICY}")
    machine.sh(BUILD)
    install = tmp_path / "install.yml"
    install.write_text(yaml.safe_dump(INSTALL))
    killed = playbook.run(str(install))
    assert killed.status != 0, killed.output
    yield machine, own
    machine.sh(
        f"dpkg --purge {PACKAGE}; rm -rf /tmp/{PACKAGE} /tmp/{PACKAGE}.deb /tmp/{PACKAGE}.once {POLICY}"
    )


def test_the_next_run_finishes_packages_and_lets_services_start_as_before(
    interrupted: tuple[Machine, str], playbook: Playbook
) -> None:
    machine, own = interrupted
    assert PACKAGE in machine.sh("dpkg --audit")
    assert machine.sh(POLICY, ok=(101,)) == ""
    run = playbook.must("playbooks/provision.yml", "--tags", "base_install")
    assert run.changed == [FINISH]
    assert machine.sh("dpkg --audit") == ""
    assert machine.sh(f"cat {POLICY} 2>/dev/null", ok=(0, 1)) == own.rstrip("\n")


def test_policy_of_an_operator_stays_when_nothing_was_interrupted(
    product: Product, playbook: Playbook
) -> None:
    machine = product.machine
    machine.sh(f"printf %s {shlex.quote(OWN)} > {POLICY}; chmod 0755 {POLICY}")
    try:
        assert playbook.must("playbooks/provision.yml", "--tags", "base_install").changes == 0
        assert machine.sh(f"cat {POLICY}") == OWN.rstrip("\n")
    finally:
        machine.sh(f"rm -f {POLICY}")
