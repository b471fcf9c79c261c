"""What the documents name exists: files, commands, options, variables; and they can be read anywhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.support.phases import scenario_names
from scripts.support.vault import NAMES as SECRETS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "roles/*/README.md", "backend/README.md")
    for page in ROOT.glob(pattern)
)
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
FOLDERS = "backend|docs|inventories|molecule|playbooks|plugins|roles|scripts|templates|tests"
PREFIXES = "|".join([*ROLES, "bundle", "vault"])

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(rf"(?<![\w/.~*-])(?:{FOLDERS})/[\w./@*-]*\w")
VARIABLE = re.compile(rf"(?<![\w.$/@-])(?:{PREFIXES})_[a-z0-9_]*[a-z0-9](?![\w*])")
METRIC = re.compile(r'"(bundle_[a-z_]+)"')
PLAYBOOK = re.compile(r"ansible-playbook ((?:-\S+ \S+ )*)(\S+\.yml)")
SCRIPT_LINE = re.compile(r"scripts/([a-z_]+(?:\.py)?)((?: [\w.:=/-]+)*)")
DEVELOPER_PATH = re.compile(r"(?<![\w.])/(?:home|Users|root|work|mnt|workspace)/")

page_of = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def code_of(page: Path) -> str:
    """The page's code, in fences and inline, one piece a line."""
    text = page.read_text()
    return "\n".join([*FENCED.findall(text), *INLINE.findall(FENCED.sub("", text))])


def anchors(page: Path) -> set[str]:
    """The names by which a forge lets one link to the page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_placeholder(path: str) -> bool:
    """Whether a part of the path is in capitals, as ENV and NAME are."""
    return any(re.fullmatch(r"[A-Z]{2,}", part.partition(".")[0]) for part in path.split("/"))


def may_be_made(path: str) -> bool:
    """Whether it is a file of an inventory that a reader makes: a role's variables or the vault, of any group."""
    made = re.fullmatch(r"(inventories/\w+)/group_vars/(\w+)/(\w+)\.yml", path)
    if made is None:
        return False
    inventory, group, name = made.groups()
    return (ROOT / inventory).is_dir() and group in groups() and name in [*ROLES, "vault"]


@cache
def groups() -> list[str]:
    """The groups that an inventory has."""
    return ["all", *yaml.safe_load((ROOT / "inventories/local/hosts.yml").read_text())["all"]["children"]]


def words_in(value: Any) -> set[str]:
    """All keys and texts inside a value."""
    if isinstance(value, dict):
        return set(map(str, value)).union(*map(words_in, value.values()))
    if isinstance(value, list):
        return set().union(*map(words_in, value))
    return {str(value)}


@cache
def names() -> frozenset[str]:
    """What may be named like a variable: inputs of roles, values of inventories, database users, plugins, metrics."""
    found = set(SECRETS)
    for file in [*ROOT.glob("scripts/*.py"), *ROOT.glob("scripts/toolbox/*.py")]:
        found |= set(METRIC.findall(file.read_text()))
    for pattern in (
        "roles/*/defaults/*.yml",
        "roles/*/meta/argument_specs.yml",
        "inventories/**/*.yml",
    ):
        for file in ROOT.glob(pattern):
            if file.name != "vault.yml":
                found |= words_in(yaml.safe_load(file.read_text()) or {})
    # What an operator may hand to a playbook, as in -e release_to=…: a default asks whether it is there.
    for file in ROOT.glob("roles/*/defaults/*.yml"):
        found |= set(re.findall(r"{{ (\w+) \| default\('", file.read_text()))
    for folder in ("modules", "filter", "lookup", "action", "module_utils"):
        found |= {path.stem for path in (ROOT / "plugins" / folder).glob("*.py")}
    return frozenset(found)


@cache
def help_of(*command: str) -> str:
    """What `COMMAND --help` prints; empty where there is no such command."""
    done = subprocess.run(
        [sys.executable, *command, "--help"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    return done.stdout if done.returncode == 0 else ""


@page_of
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    lost = []
    for target in LINK.findall(FENCED.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            lost.append(target)
    assert lost == []


@page_of
def test_every_file_that_is_named_exists(page: Path) -> None:
    # The application's and the roles' pages name files from where they are.
    bases = [ROOT, page.parent]
    named = [
        path for path in PATH.findall(code_of(page)) if not is_placeholder(path) and not may_be_made(path)
    ]
    assert [path for path in named if not any(list(base.glob(path)) for base in bases)] == []


@page_of
def test_every_variable_that_is_named_exists(page: Path) -> None:
    code = code_of(page)
    # A secret of the reader's own: the page says that it is a line of the vault.
    own = set(re.findall(r"\b(vault_\w+):", code))
    assert set(VARIABLE.findall(code)) - names() - own == set()


def test_inventory_of_a_product_of_ones_own_is_the_one_that_is_deployed_in_its_scenario() -> None:
    page = (ROOT / "docs" / "your-application.md").read_text()
    shown = dict(
        re.findall(r"^`group_vars/(\S+\.yml)`:\n\n```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    )
    deployed = ROOT / "molecule" / "product" / "inventory" / "group_vars"
    own = [path for path in deployed.rglob("*.yml") if not path.is_symlink() and "database" not in path.parts]
    assert shown == {str(path.relative_to(deployed)): path.read_text() for path in own}


@page_of
def test_every_playbook_that_is_named_exists(page: Path) -> None:
    named = [path for _options, path in PLAYBOOK.findall(code_of(page)) if not is_placeholder(path)]
    assert [path for path in named if not (ROOT / path).is_file()] == []


@page_of
def test_every_option_of_our_scripts_is_one_that_they_know(page: Path) -> None:
    wrong = []
    for script, rest in SCRIPT_LINE.findall(code_of(page)):
        if not (ROOT / "scripts" / script).is_file():
            continue
        words = rest.split()
        command = (f"scripts/{script}", *(words[:1] if script == "bench" and words else ()))
        options = [word for word in words if word.startswith("--") and word != "--help"]
        wrong += [f"{command} {option}" for option in options if option not in help_of(*command)]
    assert wrong == []


@page_of
def test_every_phase_and_scenario_that_is_named_exists(page: Path) -> None:
    code = code_of(page)
    phases = [name for name in re.findall(r"--only ([\w-]+)", code) if not is_placeholder(name)]
    assert [name for name in phases if name not in help_of("scripts/test")] == []
    scenarios = re.findall(r"(?:--scenario|molecule \w+ -s) ([a-z]\w*)", code)
    assert [name for name in scenarios if name not in scenario_names()] == []


@page_of
def test_every_command_of_the_test_bed_that_is_named_exists(page: Path) -> None:
    commands = re.findall(r"python3? molecule/testbed ([a-z][\w-]*)", code_of(page))
    known = help_of("molecule/testbed")
    assert [name for name in commands if not re.search(rf"^    {name}\b", known, re.MULTILINE)] == []


@page_of
def test_no_page_has_a_path_of_somebodys_machine(page: Path) -> None:
    assert DEVELOPER_PATH.findall(page.read_text()) == []


@pytest.mark.parametrize("script", ["scripts/try", "scripts/test"])
def test_the_two_commands_of_the_readme_are_there_and_explain_themselves(script: str) -> None:
    assert f"\n{script} " in (ROOT / "README.md").read_text()
    assert os.access(ROOT / script, os.X_OK)
    assert help_of(script).startswith(f"usage: {script}")


@pytest.mark.parametrize("playbook", sorted((ROOT / "playbooks").glob("*.yml")), ids=lambda path: path.name)
def test_the_readme_has_every_playbook_among_its_verbs(playbook: Path) -> None:
    assert f"| `ansible-playbook playbooks/{playbook.name}` |" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("role", ROLES)
def test_the_readme_leads_to_every_role(role: str) -> None:
    assert f"(roles/{role}/README.md)" in (ROOT / "README.md").read_text()


def test_the_changelog_begins_with_what_is_unreleased() -> None:
    sections = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    title, _, text = sections[1].partition("\n")
    assert title == "Unreleased"
    assert text.strip()


def test_the_index_leads_to_every_page() -> None:
    """The index of docs/, and that of a folder to which it leads."""
    pages = set((ROOT / "docs").rglob("*.md"))
    led_to, indexes = set[Path](), [ROOT / "docs" / "README.md"]
    while indexes:
        index = indexes.pop()
        links = {
            (index.parent / link.partition("#")[0]).resolve() for link in LINK.findall(index.read_text())
        }
        indexes += [page for page in links - led_to if page.name == "README.md" and page in pages]
        led_to |= links
    assert pages - led_to == {ROOT / "docs" / "README.md"}


def test_every_fault_has_its_test() -> None:
    found = re.findall(r"\[`(test_\w+)`\]\(\.\./([\w/.]+)\)", (ROOT / "docs" / "faults.md").read_text())
    assert len(found) >= 20
    assert [name for name, file in found if f"def {name}(" not in (ROOT / file).read_text()] == []


def test_decisions_are_numbered_one_after_the_other() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    titles = [page.read_text().splitlines()[0] for page in pages]
    assert [title[:7] for title in titles] == [f"# {page.name[:4]} " for page in pages]


def test_the_landscape_fits_a_terminal() -> None:
    pictures = [block for block in FENCED.findall((ROOT / "README.md").read_text()) if "┌" in block]
    assert pictures
    assert max(len(line) for picture in pictures for line in picture.splitlines()) <= 90
