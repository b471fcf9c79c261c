#!/usr/bin/python
"""Ansible module: what the servers answer that took over the requests, against those that had them before."""

from __future__ import annotations

DOCUMENTATION = r"""
module: haproxy_watch
short_description: How servers answer that took over the requests, against those before them
description:
  - Without I(since) it reads what HAProxy has counted of each server of a backend.
  - With I(since), an earlier answer of its own, it watches the servers that are live for some time and compares
    them with what the servers that they replace have answered between I(since) and now. It fails as soon as more
    of the requests fail, and at the end when they take too long.
  - A request has failed when its answer was a 5xx, broke off or did not come. HAProxy's health checks are not counted.
  - When fewer than 20 answers are to be expected in that time, by what came before, it does not wait.
  - Servers are named NAME-COLOUR, as in C(api1-blue).
options:
  live:
    description: The colour that is live of each server, by the server's name.
    type: dict
    required: true
  replaced:
    description: The colour that was live before, or C(none), by the server's name.
    type: dict
    required: true
  since:
    description: What an earlier run returned, with I(counters) and I(at). Empty reads only.
    type: dict
    default: {}
  seconds:
    description: How long to watch. With 0 it judges by what has been answered already.
    type: float
    default: 10
  more_failures:
    description: By how much the share of failed requests may grow, 0 to 1. Fewer than five are none.
    type: float
    default: 0.02
  slower:
    description: How many times as long the mean answer may take. Up to 100 ms more is never too long.
    type: float
    default: 3
  backend:
    description: Name of the backend.
    type: str
    default: api
  socket:
    description: HAProxy's stats socket.
    type: path
    default: /run/haproxy/admin.sock
attributes:
  check_mode:
    support: full
author: The bundle's maintainers
"""

EXAMPLES = r"""
- name: watch | Remember what was answered so far
  haproxy_watch:
    live: {api1: green}
    replaced: {api1: blue}
  register: before

- name: watch | See green answer as blue did
  haproxy_watch:
    live: {api1: green}
    replaced: {api1: blue}
    since: "{{ before }}"
"""

RETURN = r"""
counters:
  description: What HAProxy has counted of each server, by its name, with C(answers), C(failed) and C(mean_ms).
  type: dict
  returned: always
at:
  description: When it was read, in seconds since the epoch.
  type: float
  returned: always
says:
  description: What was seen, in a sentence.
  type: str
  returned: with I(since)
"""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.haproxy_answers import (
    FEWEST,
    Answers,
    Counters,
    as_counters,
    between,
    failing,
    parse,
    slower,
)
from ansible.module_utils.haproxy_runtime import RuntimeApiError, Worker

POLL_SECONDS = 0.25


class TooBadError(Exception):
    """The servers answer worse than those before them; the text says how."""


def servers(colours: dict[str, str]) -> list[str]:
    """Return HAProxy's names of these colours."""
    return [f"{name}-{colour}" for name, colour in colours.items() if colour != "none"]


def read(worker: Worker, backend: str) -> dict[str, Counters]:
    """Return the counters by server. Raises RuntimeApiError where there is no such backend."""
    found: dict[str, Counters] = parse(worker.ask(f"show stat {backend} 4 -1"))
    if not found:
        raise RuntimeApiError(f"HAProxy knows no servers of a backend {backend!r}")
    return found


def watch(worker: Worker, given: dict[str, Any]) -> str:
    """Return what was seen. Raises TooBadError."""
    since = as_counters(given["since"]["counters"])
    began = time.monotonic()
    now = read(worker, given["backend"])
    old: Answers = between(since, now, servers(given["replaced"]))
    minutes = time.time() - float(given["since"]["at"])
    expected = old.count / max(minutes, 1.0) * given["seconds"]
    if given["seconds"] and expected < FEWEST:
        return f"not watched, since {old.count} requests in the {minutes:.0f} s before are too few to compare with"
    while True:
        new: Answers = between(since, read(worker, given["backend"]), servers(given["live"]))
        if worse := failing(new, old, given["more_failures"]):
            raise TooBadError(worse)
        spent = time.monotonic() - began
        if spent >= given["seconds"]:
            break
        time.sleep(min(POLL_SECONDS, given["seconds"] - spent))
    if worse := slower(new, old, given["slower"]):
        raise TooBadError(worse)
    return f"{new}; before: {old}"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "live": {"type": "dict", "required": True},
            "replaced": {"type": "dict", "required": True},
            "since": {"type": "dict", "default": {}},
            "seconds": {"type": "float", "default": 10.0},
            "more_failures": {"type": "float", "default": 0.02},
            "slower": {"type": "float", "default": 3.0},
            "backend": {"type": "str", "default": "api"},
            "socket": {"type": "path", "default": "/run/haproxy/admin.sock"},
        },
        supports_check_mode=True,
    )
    given = module.params
    worker = Worker(Path(given["socket"]))
    try:
        said = watch(worker, given) if given["since"] else ""
        counters = {name: asdict(one) for name, one in read(worker, given["backend"]).items()}
    except (RuntimeApiError, TooBadError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(
            msg=f"HAProxy cannot be asked at {given['socket']}: {error}. Does it run? See: systemctl status haproxy"
        )
    module.exit_json(changed=False, counters=counters, at=time.time(), **({"says": said} if said else {}))


if __name__ == "__main__":
    main()
