#!/usr/bin/python
"""Ansible module: one colour of the service, from idle to serving to stopped."""

from __future__ import annotations

DOCUMENTATION = r"""
module: api_colour
short_description: Ask which colour serves on this host; start, promote or stop one
description:
  - The link C(current) in I(root) names the colour that serves, and that colour's link its release. That is the truth
    about this host, it survives a reboot, and one rename changes it.
options:
  name:
    description: Name of the product; its units are NAME-api@COLOUR.service.
    type: str
    required: true
  root:
    description: Directory of the product, with releases and the links.
    type: path
    required: true
  state:
    description: C(asked) reads; C(ready) starts a colour with a release and waits until it is ready; C(promoted)
      makes it the one that serves, also after a reboot; C(stopped) ends it.
    type: str
    choices: [asked, ready, promoted, stopped]
    default: asked
  colour:
    description: The colour, for every state but C(asked).
    type: str
    choices: [blue, green]
  release:
    description: Name of the staged release that the colour runs.
    type: str
  environment:
    description: Content of the colour's environment file. A difference is reported by the names of the settings.
    type: str
    default: ""
  kept:
    description:
      - Whether the settings that I(release) last ran with are used in place of I(environment), those in I(secrets)
        excepted. Where it never ran here, I(environment) is used.
    type: bool
    default: false
  secrets:
    description: Names of settings that are always those of I(environment), since they may have been rotated.
    type: list
    elements: str
    default: []
  ready_url:
    description: URL on this host that answers 200 when the colour can serve.
    type: str
  smoke_urls:
    description:
      - URLs on this host that answer 200 too once the colour is ready, as what people ask for does. They are asked
        before any request of theirs can reach it, each again and again for I(smoke_timeout).
    type: list
    elements: str
    default: []
  smoke_timeout:
    description: Seconds after which a URL that does not answer 200 is a failure.
    type: int
    default: 5
  ready_timeout:
    description: Seconds that the colour has to become ready.
    type: int
    default: 60
  program:
    description: Program of the release's virtual environment that its unit starts; empty is not looked for.
    type: str
    default: ""
  probe_requests:
    description:
      - How many requests for I(smoke_urls) together a colour is asked then, many at once; each answer has to be 200. A
        release that has passed with these settings is not asked again.
    type: int
    default: 0
author: The bundle's maintainers
"""

RETURN = r"""
colour:
  description: The colour that serves, or none.
  type: str
  returned: state is asked
release:
  description: The release that serves, or none.
  type: str
  returned: state is asked
active:
  description: The colours whose units run.
  type: list
  returned: state is asked
settings_changed:
  description: Names of the settings that differ between I(environment) and what the colour was started with.
  type: list
  returned: state is asked or ready
"""

import hashlib
import http.client
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from ansible.module_utils import pooled_driver
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.readiness_probe import probe

PROBE_CLIENTS = 6
# A busy machine may fail one round of requests; a service that cannot stand them fails each.
PROBE_ROUNDS = 3
PROBE_TOLD = 3
COLOURS = ("blue", "green")
# One setting, whose value may have several lines, or one comment.
SETTING = re.compile(
    r'^(?:(?P<comment>#[^\n]*)|(?P<name>[^="\n]+)="(?P<value>(?:[^"\\]|\\.)*)")$', re.MULTILINE | re.DOTALL
)


class Product:
    """The product's links, files and units on this host."""

    def __init__(self, name: str, root: str) -> None:
        self.name = name
        self.root = Path(root)

    def unit(self, colour: str) -> str:
        """Return the colour's unit."""
        return f"{self.name}-api@{colour}.service"

    def environment_file(self, colour: str) -> Path:
        """Return where the colour's settings are."""
        return Path("/etc", self.name, f"{colour}.env")

    def current(self) -> str | None:
        """Return the colour that serves."""
        link = self.root / "current"
        return str(link.readlink()) if link.is_symlink() else None

    def release(self, colour: str | None) -> str | None:
        """Return the release that the colour runs, or would run."""
        link = self.root / (colour or "")
        return link.readlink().name if colour and link.is_symlink() else None

    def kept_file(self, release: str) -> Path:
        """Return where the settings are that a release last ran with."""
        return Path("/etc", self.name, "releases", f"{release}.env")

    def proven_file(self, release: str) -> Path:
        """Return where it is written down with which settings a release has passed the probe."""
        return self.kept_file(release).with_suffix(".proven")

    def is_active(self, colour: str) -> bool:
        """Return whether the colour's unit runs, or is on its way."""
        state = systemctl("is-active", self.unit(colour)).stdout.strip()
        return state in {"active", "activating", "reloading"}

    def point(self, link: str, target: str) -> None:
        """Make a link name its target in one step, so that no reader ever finds it missing."""
        new = self.root / f".{link}.new"
        new.unlink(missing_ok=True)
        new.symlink_to(target)
        new.rename(self.root / link)


def systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemctl and return what it said."""
    return subprocess.run(["systemctl", *arguments], check=False, capture_output=True, text=True)


def settings(text: str) -> dict[str, str]:
    """Return the settings of an environment file by name; its comments count under their own words."""
    return {found["comment"] or found["name"]: found["value"] or "" for found in SETTING.finditer(text)}


def changed_settings(before: str, after: str) -> list[str]:
    """Return the names whose values differ. Values are not returned: some are secrets."""
    old, new = settings(before), settings(after)
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return names or ["(how the file is written)"] * (before != after)


def with_kept(kept: str, environment: str, secrets: list[str]) -> str:
    """Return the kept settings, with the comments (how the unit is written) and the secrets of `environment`."""
    if not kept:
        return environment
    lines = {found["name"]: found[0] for found in SETTING.finditer(kept) if found["name"]}
    now = {found["name"]: found[0] for found in SETTING.finditer(environment) if found["name"]}
    lines.update({name: now[name] for name in secrets if name in now})
    comments = [found[0] for found in SETTING.finditer(environment) if found["comment"]]
    return "".join(f"{line}\n" for line in [*comments, *(lines[name] for name in sorted(lines))])


def wanted_environment(module: AnsibleModule, product: Product) -> str:
    """Return the content of the environment file that the colour is to have."""
    environment, release = module.params["environment"], module.params["release"]
    if not (module.params["kept"] and release):
        return str(environment)
    return with_kept(read(product.kept_file(release)), environment, module.params["secrets"])


def forget_settings(product: Product) -> None:
    """Remove the kept settings of releases that are gone: they have secrets that nobody needs any more."""
    for path in product.kept_file("any").parent.glob("*.*"):
        if not (product.root / "releases" / path.stem).is_dir():
            path.unlink(missing_ok=True)


def impossible_names(text: str) -> list[str]:
    """Return the names that are none of an environment variable: systemd leaves those out and only logs it."""
    return sorted(
        found["name"]
        for found in SETTING.finditer(text)
        if found["name"] and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", found["name"])
    )


def write(path: Path, content: str) -> None:
    """Replace a file that only root may read; systemd reads it before it gives up its rights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode())
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)


def read(path: Path) -> str:
    """Return what `write` wrote, to the byte; nothing when it never did."""
    return path.read_bytes().decode(errors="backslashreplace") if path.exists() else ""


def is_ready(url: str) -> str | None:
    """Return None when the URL answers 200, or else what it answered. It is asked without the proxy of root's shell."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=5) as answer:
            return None if answer.status == 200 else f"status {answer.status}"
    except urllib.error.HTTPError as error:
        return f"status {error.code}: {error.read(300).decode(errors='replace')}"
    except (OSError, http.client.HTTPException) as error:
        return str(error)


def ask(product: Product, environment: str) -> dict[str, Any]:
    """Return what serves on this host and what is different from the wanted settings."""
    colour = product.current()
    known = product.environment_file(colour) if colour else None
    before = read(known) if known else ""
    return {
        "changed": False,
        "colour": colour,
        "release": product.release(colour),
        "active": [each for each in COLOURS if product.is_active(each)],
        "settings_changed": changed_settings(before, environment) if environment and colour else [],
    }


def check_program(module: AnsibleModule, product: Product) -> None:
    """Fail unless the release has the program that starts it: systemd would try it again and again."""
    programs = product.root / "releases" / module.params["release"] / "venv/bin"
    program = module.params["program"]
    if program and not (programs / program).exists():
        there = sorted(
            path.name for path in programs.glob("*") if not path.name.lower().startswith("activate")
        )
        module.fail_json(
            msg=f'api_start_command begins with "{program}", which release {module.params["release"]} does not have; '
            f"its programs are {', '.join(there)}. Name one of them, add the package that brings it to the lock file, "
            "or set release_project: true if it is one of the product's own pyproject.toml."
        )


def journal_since_start(unit: str) -> str:
    """Return what a unit has said since it was started; what releases before it said is not its own."""
    started = systemctl("show", "--property=InvocationID", "--value", unit).stdout.strip()
    subprocess.run(["journalctl", "--sync"], check=False, capture_output=True)
    command = ["journalctl", f"_SYSTEMD_INVOCATION_ID={started}", "--no-pager", "--output", "cat"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


def advice(*said: str) -> str:
    """Return what to set, with a line of its own, where what was said is about prepared statements."""
    found = next((match for text in said if (match := pooled_driver.SIGNS.search(text))), None)
    if found is None:
        return ""
    return (
        f"\nThe driver prepares statements, and the pool gives it another session with each transaction: {found[0]}. "
        f"{pooled_driver.what_to_set()}"
    )


def pass_probe(module: AnsibleModule, product: Product, settings: str) -> None:
    """Fail unless the colour, which is ready, stands a crowd of requests; what has passed before is not asked."""
    urls, requests = module.params["smoke_urls"], module.params["probe_requests"]
    release, unit = module.params["release"], product.unit(module.params["colour"])
    passed = hashlib.sha256("\n".join([settings, *urls]).encode()).hexdigest()
    if not urls or not requests or read(product.proven_file(release)) == passed:
        return
    for _round in range(PROBE_ROUNDS):
        found = probe(urls, requests, PROBE_CLIENTS)
        said = advice(*found.failures, journal_since_start(unit)) if found.failures else ""
        if said or not found.failures:
            break
    if found.failures:
        module.fail_json(
            msg=f"Release {release} became ready, but failed {len(found.failures)} of {found.asked} requests that came "
            f"{PROBE_CLIENTS} at once, so it gets no others.{said}\n"
            + "\n".join(dict.fromkeys(found.failures[:PROBE_TOLD]))
        )
    write(product.proven_file(release), passed)


def make_ready(module: AnsibleModule, product: Product) -> dict[str, Any]:
    """Start the colour with the release and the settings, unless it runs with just these, and wait for it."""
    colour, release = module.params["colour"], module.params["release"]
    unit, environment = product.unit(colour), product.environment_file(colour)
    if not (module.check_mode or (product.root / "releases" / release / "manifest.json").exists()):
        staged = sorted(path.parent.name for path in product.root.glob("releases/*/manifest.json"))
        module.fail_json(
            msg=f"Release {release} is not staged on this host; here are {', '.join(staged) or 'none'}. Name one of "
            "them, or the ref of a release that can be built."
        )
    before, wanted = read(environment), wanted_environment(module, product)
    if not module.check_mode:
        check_program(module, product)
    different = changed_settings(before, wanted)
    runs = product.is_active(colour) and product.release(colour) == release and not different
    if not runs and not module.check_mode:
        # Stopped first: what a killed run left at work would answer below in the new one's place, and a run that is
        # killed from here on would leave the old code at work with files that say it is the new one.
        stop(product, colour, check_mode=False)
        write(environment, wanted)
        write(product.kept_file(release), wanted)
        forget_settings(product)
        product.point(colour, f"releases/{release}")
        systemctl("daemon-reload")
        systemctl("start", "--no-block", unit)
    if not module.check_mode:
        url, seconds = module.params["ready_url"], module.params["ready_timeout"]
        if answer := wait_for(url, seconds):
            journal = end_of_journal(unit)
            module.fail_json(
                msg=f"Release {release} did not become ready as {colour} within {seconds} s: {url} says {answer}."
                f"{advice(answer, journal)}\n{journal}"
            )
        for url in module.params["smoke_urls"]:
            if answer := wait_for(url, module.params["smoke_timeout"]):
                journal = end_of_journal(unit)
                module.fail_json(
                    msg=f"Release {release} became ready as {colour}, but {url} says {answer}. No request has reached "
                    f"it.{advice(answer, journal)}\n{journal}"
                )
        pass_probe(module, product, wanted)
    return {"changed": not runs, "settings_changed": different}


def wait_for(url: str, seconds: float) -> str | None:
    """Return None once the URL answers 200, or what it answers when the time is over."""
    deadline = time.monotonic() + seconds
    while answer := is_ready(url):
        if time.monotonic() > deadline:
            return answer
        time.sleep(0.1)
    return None


def end_of_journal(unit: str) -> str:
    """Return the last lines of the unit's journal, with a heading."""
    command = ["journalctl", "--unit", unit, "--lines", "30", "--no-pager", "--output", "cat"]
    journal = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    return f"The end of the journal of {unit}:\n{journal}"


def promote(product: Product, colour: str, *, check_mode: bool) -> dict[str, Any]:
    """Make the colour the one that serves and the only one that starts at boot."""
    other = next(each for each in COLOURS if each != colour)
    enabled = {
        each: systemctl("is-enabled", product.unit(each)).stdout.strip() == "enabled" for each in COLOURS
    }
    changed = product.current() != colour or not enabled[colour] or enabled[other]
    if changed and not check_mode:
        product.point("current", colour)
        systemctl("enable", product.unit(colour))
        systemctl("disable", product.unit(other))
    return {"changed": changed}


def stop(product: Product, colour: str, *, check_mode: bool) -> dict[str, Any]:
    """End the colour's unit; it gets the time that its unit allows to finish its requests."""
    active = product.is_active(colour)
    if active and not check_mode:
        systemctl("stop", product.unit(colour))
        systemctl("reset-failed", product.unit(colour))
    return {"changed": active}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "root": {"type": "path", "required": True},
            "state": {
                "type": "str",
                "choices": ["asked", "ready", "promoted", "stopped"],
                "default": "asked",
            },
            "colour": {"type": "str", "choices": list(COLOURS)},
            "release": {"type": "str"},
            "environment": {"type": "str", "default": "", "no_log": True},
            "kept": {"type": "bool", "default": False},
            "secrets": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "ready_url": {"type": "str"},
            "smoke_urls": {"type": "list", "elements": "str", "default": []},
            "smoke_timeout": {"type": "int", "default": 5},
            "ready_timeout": {"type": "int", "default": 60},
            "program": {"type": "str", "default": ""},
            "probe_requests": {"type": "int", "default": 0},
        },
        required_if=[
            ("state", "ready", ["colour", "release", "ready_url"]),
            ("state", "promoted", ["colour"]),
            ("state", "stopped", ["colour"]),
        ],
        supports_check_mode=True,
    )
    if names := impossible_names(module.params["environment"]):
        module.fail_json(
            msg=f"No environment variable can be called {', '.join(names)}. Names have letters, digits and _, and do "
            "not start with a digit. Correct api_environment."
        )
    product = Product(module.params["name"], module.params["root"])
    state, colour = module.params["state"], module.params["colour"]
    if state == "asked":
        result = ask(product, wanted_environment(module, product))
    elif state == "ready":
        result = make_ready(module, product)
    elif state == "promoted":
        result = promote(product, colour, check_mode=module.check_mode)
    else:
        result = stop(product, colour, check_mode=module.check_mode)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
