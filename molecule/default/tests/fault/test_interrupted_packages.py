"""A host that lost its power while packages were set up is finished by the next run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.machine import Machine
from shared.playbook import Playbook
from shared.product import Product

PACKAGE = "bundle-interrupted"
# Its first setting up kills dpkg, as a power cut does; the second one goes through.
BUILD = f"""
mkdir -p /tmp/{PACKAGE}/DEBIAN
cd /tmp/{PACKAGE}/DEBIAN
cat >control <<EOF
Package: {PACKAGE}
Version: 1
Architecture: all
Maintainer: Tests <tests@example.com>
Description: kills dpkg, once
EOF
cat >postinst <<'EOF'
#!/bin/sh
[ -e /tmp/{PACKAGE}.once ] && exit 0
touch /tmp/{PACKAGE}.once
kill -9 $PPID
EOF
chmod 0755 postinst
dpkg-deb --build --root-owner-group /tmp/{PACKAGE} /tmp/{PACKAGE}.deb
"""
FINISH = "base : install | Finish what a killed run of apt left"


@pytest.fixture
def interrupted(product: Product) -> Iterator[Machine]:
    """The host, with a package half set up and dpkg killed over it."""
    machine = product.machine
    machine.sh(BUILD)
    machine.sh(f"dpkg --install /tmp/{PACKAGE}.deb; [ $? = 137 ]")
    yield machine
    machine.sh(f"dpkg --purge {PACKAGE}; rm -rf /tmp/{PACKAGE} /tmp/{PACKAGE}.deb /tmp/{PACKAGE}.once")


def test_the_next_run_finishes_packages_that_a_power_cut_left_half_set_up(
    interrupted: Machine, playbook: Playbook
) -> None:
    assert PACKAGE in interrupted.sh("dpkg --audit")
    run = playbook.must("playbooks/provision.yml")
    assert run.changed == [FINISH]
    assert interrupted.sh("dpkg --audit") == ""
    assert interrupted.sh("ls /usr/sbin/policy-rc.d", ok=(2,)) == ""
