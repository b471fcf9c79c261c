#!/usr/bin/python
"""Ansible module: what a release would do to the schema, known from its source alone."""

from __future__ import annotations

DOCUMENTATION = r"""
module: alembic_plan
short_description: Lists, and renders as SQL, the revisions that a release would run
description:
  - For check mode while the release is not staged on its host yet. Runs on the controller.
  - The list is read from the source. The SQL needs a Python that has the project's libraries.
options:
  directory:
    description: Unpacked source of the release, the folder of the Alembic configuration.
    type: path
    required: true
  python:
    description: Interpreter with Alembic and what env.py imports. Without it no SQL is rendered.
    type: path
  config:
    description: The Alembic configuration, relative to O(directory); an ini file or a pyproject.toml.
    type: str
    default: alembic.ini
  from_revision:
    description: Where the database stands; several of a branched one with commas. Empty for a new one.
    type: str
  revision:
    description: The revision to reach.
    type: str
    default: head
  url:
    description: A URL of the right dialect; nothing connects to it.
    type: str
    default: postgresql+psycopg://
  url_variable:
    description: Environment variable in which the project expects the URL.
    type: str
    default: DATABASE_URL
  environment:
    description: More environment variables that the project needs.
    type: dict
    default: {}
author: The bundle's maintainers
"""

EXAMPLES = r"""
- name: plan | What the release would do to the schema
  alembic_plan:
    directory: "{{ release_source }}"
    from_revision: "{{ migration_status.before }}"
  delegate_to: localhost
"""

RETURN = r"""
before:
  description: Revision to start from, C(base) for an empty database.
  type: str
  returned: always
after:
  description: Revision that would be reached.
  type: str
  returned: always
heads:
  description: Heads of the release.
  type: list
  elements: str
  returned: always
revisions:
  description: Revisions that would run, in order.
  type: list
  elements: dict
  returned: always
sql:
  description: Their SQL; without O(python) only their names, as comments.
  type: str
  returned: always
not_renderable:
  description: Revisions whose SQL depends on the data.
  type: list
  elements: str
  returned: always
unknown:
  description: Why no SQL could be rendered.
  type: list
  elements: str
  returned: always
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.alembic_process import AlembicProcess, ProcessError, render, rendered
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.database_url import DatabaseUrlError, parse, secrets_in
from ansible.module_utils.revision_files import load
from ansible.module_utils.revisions import BASE, RevisionError, as_dict, shown


def plan(params: dict[str, Any]) -> dict[str, Any]:
    """The module's result. Raises RevisionError, DatabaseUrlError."""
    graph = load(params["directory"], params["config"])
    names = [name.strip() for name in (params["from_revision"] or "").split(",")]
    current = tuple(name for name in names if name not in ("", BASE))
    unknown = graph.unknown(current)
    if unknown:
        raise RevisionError(
            f"from_revision {shown(unknown)} is not in {params['directory']}; {graph.nearest(unknown[0])}. "
            "The database was migrated by a newer release: deploy that one or a newer one."
        )
    path = graph.upgrade_path(current, graph.resolve(params["revision"]))
    after = shown(graph.tips(graph.closure([*current, *(revision.id for revision in path)])))
    environment = {name: str(value) for name, value in params["environment"].items()}
    sql, not_renderable, reasons = "", [], []
    if path and params["python"] and Path(params["python"]).exists():
        process = AlembicProcess(
            directory=params["directory"],
            python=params["python"],
            config=params["config"],
            environment={**environment, params["url_variable"]: parse(params["url"]).placeholder()},
            secrets=secrets_in(params["url"], environment),
        )
        try:
            with process:
                sql, not_renderable = render(process, graph, current, path)
        except ProcessError as error:
            reasons.append(str(error))
    elif path:
        reasons.append("no Python with the release's libraries is at hand here, so only names are shown.")
    sql = sql or "".join(f"-- {graph.describe(revision.id)}\n" for revision in path)
    return {
        "changed": bool(path),
        "before": shown(current),
        "after": after,
        "heads": list(graph.heads),
        "revisions": [as_dict(revision) for revision in path],
        "sql": sql,
        "not_renderable": not_renderable,
        "unknown": reasons,
        "diff": rendered(sql, shown(current), after) if path else None,
    }


def main() -> None:
    """Reads the arguments, plans, and answers in JSON."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "python": {"type": "path"},
            "config": {"type": "str", "default": "alembic.ini"},
            "from_revision": {"type": "str"},
            "revision": {"type": "str", "default": "head"},
            "url": {"type": "str", "default": "postgresql+psycopg://", "no_log": True},
            "url_variable": {"type": "str", "default": "DATABASE_URL"},
            "environment": {"type": "dict", "default": {}, "no_log": True},
        },
        supports_check_mode=True,
    )
    environment = {name: str(value) for name, value in module.params["environment"].items()}
    module.no_log_values = set(secrets_in(module.params["url"], environment)) - {"postgresql+psycopg://"}
    try:
        result = plan(module.params)
        # It changes nothing itself; in check mode it stands for the task that would.
        result["changed"] = result["changed"] and module.check_mode
    except (RevisionError, DatabaseUrlError) as error:
        module.fail_json(msg=str(error))
    hidden = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    shown_parameters = {**module.params, "url": hidden, "environment": hidden}
    module.exit_json(**result, invocation={"module_args": shown_parameters})


if __name__ == "__main__":
    main()
