"""What a role asks of a host (meta/preflight.yml, templated) against what the host has (module host_probe).

Every function takes plain data and returns problems, so that all of it is tested without a host.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.preflight_problem import Problem, show

KEYS = ("os", "architecture", "python", "systemd", "cpus", "memory_mb", "ports", "space", "rules", "release")
_WILDCARDS = {"", "*", "0.0.0.0", "::", "any"}  # noqa: S104 - compared with, never listened on
_COMM_LENGTH = 15  # the kernel keeps this many characters of a program's name


class RequirementError(Exception):
    """A role's meta/preflight.yml that cannot be used: a mistake of the role's author, not of its user."""


@dataclass(frozen=True)
class Port:
    """A TCP port that a role will listen on; `owners`: programs and units that may have it already."""

    role: str
    variable: str
    port: int
    address: str = "any"
    owners: tuple[str, ...] = ()


@dataclass(frozen=True)
class Space:
    """Free space that a role needs below `path`, in MB, not asked for once `unless` exists."""

    role: str
    path: str
    free_mb: int
    variable: str
    unless: str = ""


@dataclass(frozen=True)
class Memory:
    """The fewest MB that a role needs, of the host's memory or, where it is given, of `available_mb`."""

    role: str
    minimum_mb: int
    variable: str = "memory"
    available_mb: int = 0


def entries(role: str, key: str, value: Any) -> list[dict[str, Any]]:
    """The list of mappings under `key`; RequirementError when it is something else."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise RequirementError(
            f"{role}/meta/preflight.yml: {key} must be a list of mappings, not {show(value)}."
        )
    return value


def check_keys(role: str, requirements: Mapping[str, Any]) -> None:
    """RequirementError for a key that means nothing here."""
    unknown = sorted(set(requirements) - set(KEYS))
    if unknown:
        raise RequirementError(
            f"{role}/meta/preflight.yml: {', '.join(unknown)} is not known; allowed are {', '.join(KEYS)}."
        )


def number(value: Any) -> int | None:
    """The whole number that `value` is or spells; None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        return int(str(value).strip())
    except ValueError:
        return None


def names(value: Any) -> tuple[str, ...]:
    """A string or a list of them as a tuple; empty for None."""
    if value is None:
        return ()
    return tuple(str(item) for item in value) if isinstance(value, list | tuple) else (str(value),)


def check_os(role: str, wanted: Mapping[str, Any], probe: Mapping[str, Any]) -> list[Problem]:
    """`wanted`: distribution (as in /etc/os-release, any case) and major (one number or a list)."""
    distribution = str(wanted.get("distribution", "Debian"))
    majors = names(wanted.get("major"))
    found = probe["os"]
    if found["id"].casefold() == distribution.casefold() and (not majors or str(found["major"]) in majors):
        return []
    asked = f"{distribution} {' or '.join(majors)}".strip()
    return [
        Problem(
            role,
            "operating system",
            found["pretty_name"] or found["id"] or "unknown",
            f"must be {asked}.",
            f"Install {asked} on the host, or take it out of the inventory.",
        )
    ]


def check_simple(role: str, wanted: Mapping[str, Any], probe: Mapping[str, Any]) -> list[Problem]:
    """architecture (list), python (minor version, such as 3.11), systemd (true) and cpus (fewest)."""
    problems = []
    machines = names(wanted.get("architecture"))
    if machines and probe["architecture"] not in machines:
        problems.append(
            Problem(
                role,
                "architecture",
                probe["architecture"],
                f"must be {' or '.join(machines)}.",
                "Use another host.",
            )
        )
    pythons = names(wanted.get("python"))
    if pythons and ".".join(probe["python"].split(".")[:2]) not in pythons:
        problems.append(
            Problem(
                role,
                "python",
                probe["python"],
                f"must be {' or '.join(pythons)}.",
                "Use the Python that the distribution ships (ansible_python_interpreter: /usr/bin/python3).",
            )
        )
    if wanted.get("systemd") and not probe["systemd"]:
        problems.append(
            Problem(
                role,
                "init system",
                probe["init"],
                "must be systemd.",
                "Boot the host with systemd as its first process; a plain container does not do.",
            )
        )
    cpus = number(wanted.get("cpus"))
    if cpus is not None and probe["cpus"] < cpus:
        problems.append(
            Problem(role, "CPUs", str(probe["cpus"]), f"must be at least {cpus}.", "Give the host more CPUs.")
        )
    return problems


def read_memory(role: str, wanted: Any) -> tuple[list[Memory], list[Problem]]:
    """The memory of `wanted`: the fewest MB, or a mapping of minimum, available and variable; None asks for nothing."""
    if wanted is None:
        return [], []
    asked = wanted if isinstance(wanted, dict) else {"minimum": wanted}
    minimum = number(asked.get("minimum"))
    if minimum is None:
        return [], [_not_a_number(role, "memory_mb", asked.get("minimum"), "a whole number of MB")]
    variable = str(asked.get("variable") or "memory")
    return [Memory(role, minimum, variable, number(asked.get("available")) or 0)], []


def check_memory(asked: Iterable[Memory], memory_mb: int) -> list[Problem]:
    """What roles ask of the host's memory together, and what one asks of the share that it is given."""
    problems = []
    of_the_host = []
    for item in asked:
        if not item.available_mb:
            of_the_host.append(item)
        elif item.available_mb < item.minimum_mb:
            problems.append(_too_little_memory([item], item.available_mb))
    if sum(item.minimum_mb for item in of_the_host) > memory_mb:
        problems.append(_too_little_memory(of_the_host, memory_mb))
    return problems


def read_ports(role: str, wanted: Any) -> tuple[list[Port], list[Problem]]:
    """The ports of `wanted`, and a problem for each that is not a port number (1 to 65535).

    An entry whose `when` is false is for a host that does not use the port.
    """
    ports, problems = [], []
    for item in entries(role, "ports", wanted):
        if not item.get("when", True):
            continue
        variable = str(item.get("variable") or "port")
        port = number(item.get("port"))
        if port is None or not 0 < port < 65536:
            problems.append(_not_a_number(role, variable, item.get("port"), "a TCP port from 1 to 65535"))
            continue
        owners = names(item.get("process")) + names(item.get("unit"))
        ports.append(Port(role, variable, port, str(item.get("address") or "any"), owners))
    return ports, problems


def check_ports(ports: Sequence[Port], listening: Iterable[Mapping[str, Any]]) -> list[Problem]:
    """Ports that two variables of one host both want, and ports that another program listens on already."""
    problems = []
    for index, port in enumerate(ports):
        for other in ports[:index]:
            if other.port == port.port and _overlap(other.address, port.address):
                problems.append(
                    Problem(
                        port.role,
                        port.variable,
                        str(port.port),
                        f"must differ from {other.variable} of {other.role}, which is the same on this host.",
                        f"Change {port.variable} or {other.variable} in the inventory.",
                    )
                )
                break
    found = list(listening)
    for port in ports:
        for listener in found:
            if listener["port"] != port.port or not _overlap(listener["address"], port.address):
                continue
            if _owned(listener, port.owners):
                continue
            program = listener["process"] or "a program that only root may see"
            who = f"{program} (pid {listener['pid']})" if listener["pid"] else program
            unit = f" of {listener['unit']}" if listener["unit"] else ""
            problems.append(
                Problem(
                    port.role,
                    port.variable,
                    str(port.port),
                    f"must be free on {port.address} address, but {who}{unit} listens there."
                    if port.address == "any"
                    else f"must be free on {port.address}, but {who}{unit} listens there.",
                    f"Stop {program} on the host, or set {port.variable} to another port.",
                )
            )
            break
    return problems


def read_space(role: str, wanted: Any) -> tuple[list[Space], list[Problem]]:
    """The space asked for in `wanted`, and a problem for each amount that is not a number."""
    asked, problems = [], []
    for item in entries(role, "space", wanted):
        path = str(item.get("path", ""))
        if not path.startswith("/"):
            raise RequirementError(
                f"{role}/meta/preflight.yml: space needs an absolute path, not {show(path)}."
            )
        variable = str(item.get("variable") or f"free space below {path}")
        free_mb = number(item.get("free_mb"))
        if free_mb is None:
            problems.append(_not_a_number(role, variable, item.get("free_mb"), "a whole number of MB"))
            continue
        asked.append(Space(role, path, free_mb, variable, str(item.get("unless") or "")))
    return asked, problems


def check_space(asked: Iterable[Space], space: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """File systems with less free space than all that is asked of them together.

    `space` maps each path, `unless` paths included, to device, mount, free_mb and exists, as from host_probe.
    """
    by_device: dict[Any, list[Space]] = {}
    for item in asked:
        if item.unless and space[item.unless]["exists"]:
            continue
        by_device.setdefault(space[item.path]["device"], []).append(item)
    problems = []
    for items in by_device.values():
        needed = sum(item.free_mb for item in items)
        file_system = space[items[0].path]
        if file_system["free_mb"] >= needed:
            continue
        parts = ", ".join(f"{item.free_mb} MB for {item.role} below {item.path}" for item in items)
        problems.append(
            Problem(
                ", ".join(dict.fromkeys(item.role for item in items)),
                ", ".join(dict.fromkeys(item.variable for item in items)),
                f"{file_system['free_mb']} MB free on {file_system['mount']}",
                f"must be at least {needed} MB ({parts}).",
                "Free or add space there, or mount a larger file system at that path.",
            )
        )
    return problems


def _too_little_memory(items: Sequence[Memory], available_mb: int) -> Problem:
    needed = sum(item.minimum_mb for item in items)
    parts = ", ".join(f"{item.minimum_mb} MB for {item.role}" for item in items)
    return Problem(
        ", ".join(dict.fromkeys(item.role for item in items)),
        ", ".join(dict.fromkeys(item.variable for item in items)),
        f"{available_mb} MB",
        f"must be at least {needed} MB" + (f" ({parts})." if len(items) > 1 else "."),
        "Give the host more memory, or give it fewer roles.",
    )


def _overlap(one: str, other: str) -> bool:
    return one in _WILDCARDS or other in _WILDCARDS or one == other


def _owned(listener: Mapping[str, Any], owners: Iterable[str]) -> bool:
    return any(
        owner[:_COMM_LENGTH] == listener["process"]
        if not owner.endswith(".service")
        else owner == listener["unit"]
        for owner in owners
    )


def _not_a_number(role: str, variable: str, value: Any, what: str) -> Problem:
    return Problem(role, variable, show(value), f"must be {what}.", f"Change {variable} in the inventory.")
