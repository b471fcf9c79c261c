"""A host's packages come together: apt works once, whatever roles the host has."""

from __future__ import annotations

from shared.machine import Machine


def test_packages_of_all_roles_came_in_one_transaction(each_machine: Machine) -> None:
    history = each_machine.sh("cat /var/log/apt/history.log")
    transactions = [entry for entry in history.split("\n\n") if "Commandline:" in entry]
    assert len(transactions) == 1, history
    assert " nftables:" in transactions[0].partition("\nInstall: ")[2]
