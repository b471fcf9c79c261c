"""Which servers haproxy.cfg says are live, as its template writes it: the others end in `disabled`."""

from __future__ import annotations

import re
from collections.abc import Collection

_SECTION = re.compile(r"^[a-z]\S*(?: (\S+))?")
_SERVER = re.compile(r"^(    server (\S+) \S+)( disabled)?$")


def servers_of(text: str, backend: str) -> list[str]:
    """Return the names of the backend's servers."""
    found = []
    section = ""
    for line in text.splitlines():
        if heading := _SECTION.match(line):
            section = line.split()[0] + " " + (heading[1] or "")
        if section == f"backend {backend}" and (server := _SERVER.match(line)):
            found.append(server[2])
    return sorted(found)


def with_live(text: str, backend: str, live: Collection[str], others: Collection[str]) -> str:
    """Return the configuration with the servers `live` of the backend in use and the `others` disabled.

    Lines of other backends and servers stay as they are. The result is, byte for byte, what the role's
    template renders for the same colours, so that the next run finds nothing to change.
    """
    lines = []
    section = ""
    for line in text.splitlines(keepends=True):
        if found := _SECTION.match(line):
            section = line.split()[0] + " " + (found[1] or "")
        server = _SERVER.match(line.rstrip("\n"))
        if server and section == f"backend {backend}" and server[2] in {*live, *others}:
            lines.append(server[1] + ("" if server[2] in live else " disabled") + "\n")
        else:
            lines.append(line)
    return "".join(lines)
