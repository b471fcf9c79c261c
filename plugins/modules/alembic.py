#!/usr/bin/python
"""Ansible module: a database at the revision that a release wants."""

from __future__ import annotations

DOCUMENTATION = r"""
module: alembic
short_description: Brings a PostgreSQL database to a revision of an Alembic project
description:
  - Runs one revision at a time in the project's own Python, as an unprivileged user, under an advisory lock.
  - Waits for locks only briefly and tries again, so that no request queues behind a migration for long.
  - In check mode nothing but reads reaches the database. With C(--diff) the SQL is rendered offline.
options:
  directory:
    description: Folder of the release that holds the Alembic configuration.
    type: path
    required: true
  python:
    description: Interpreter of the release's virtual environment. O(state=current) needs none.
    type: path
  config:
    description: The Alembic configuration, relative to O(directory); an ini file or a pyproject.toml.
    type: str
    default: alembic.ini
  database_url:
    description: SQLAlchemy URL of the direct endpoint, not of a transaction pooler.
    type: str
    required: true
  url_variable:
    description: Environment variable in which the project expects O(database_url).
    type: str
    default: DATABASE_URL
  environment:
    description: More environment variables that the project needs.
    type: dict
    default: {}
  state:
    description:
      - V(upgraded) runs what is missing up to O(revision), V(downgraded) undoes what is beyond it.
      - V(current) only reads; its result lists what an upgrade would run.
    type: str
    choices: [upgraded, downgraded, current]
    default: upgraded
  revision:
    description: An id, a unique beginning of one, a branch label, V(head) or V(base). No relative steps.
    type: str
    default: head
  user:
    description: Unix user that the project's code runs as. Without it, the user that Ansible is.
    type: str
  lock_timeout:
    description: How long a statement may wait for a lock, in seconds. Requests queue behind it for that long.
    type: int
    default: 5
  concurrently_lock_timeout:
    description: The same for statements with CONCURRENTLY, in seconds. Nobody queues behind those.
    type: int
    default: 600
  retries:
    description: How often a revision that met a lock or a deadlock (SQLSTATE 55P03, 40P01) is tried again.
    type: int
    default: 5
  retry_delay:
    description: Pause before the first retry, in seconds. It doubles with each one, up to 30.
    type: int
    default: 1
  advisory_lock_timeout:
    description: How long to wait for another migration of the same database to end, in seconds.
    type: int
    default: 60
  version_table:
    description: Alembic's version table, with its schema if the search path does not find it.
    type: str
    default: alembic_version
  read_only_tables:
    description: Tables that O(app_roles) may read but not write once the database is upgraded.
    type: list
    elements: str
    default: [alembic_version]
  app_roles:
    description: Roles of the application.
    type: list
    elements: str
    default: []
  allow_empty_downgrade:
    description: Whether to undo revisions whose downgrade() is empty though their upgrade() is not.
    type: bool
    default: false
  keep_lost_rows:
    description:
      - Directory, made when it is needed, in which O(state=downgraded) keeps what its statements drop or overwrite, a
        compressed CSV file for each table and C(kept.json) about them, before the first of them runs.
      - Where the SQL cannot be rendered offline nobody knows what it does, and all tables are kept.
    type: path
requirements: [python3-psycopg2]
author: The bundle's maintainers
"""

EXAMPLES = r"""
- name: upgrade | Bring the schema to the release's head
  alembic:
    directory: /srv/intowork/releases/3f9c/source
    python: /srv/intowork/releases/3f9c/venv/bin/python
    database_url: "{{ migration_database_url }}"
    user: intowork
    app_roles: [intowork_app]

- name: downgrade | Go back, with the newer release's code
  alembic:
    directory: /srv/intowork/releases/3f9c/source
    python: /srv/intowork/releases/3f9c/venv/bin/python
    database_url: "{{ migration_database_url }}"
    user: intowork
    state: downgraded
    revision: a1b2c3d4
"""

RETURN = r"""
before:
  description: Revision of the database when the module began, C(base) for an empty one.
  type: str
  returned: always
after:
  description: Revision at the end; in check mode, the one that it would have.
  type: str
  returned: always
heads:
  description: Heads of the release.
  type: list
  elements: str
  returned: always
revisions:
  description: Revisions that ran, in order; in check mode and with O(state=current), those that would.
  type: list
  elements: dict
  returned: always
  sample: [{revision: h8c2d6e5f4g3, message: add critical indexes, seconds: 1.2}]
retried:
  description: Tries that met a lock, with who held it.
  type: list
  elements: dict
  returned: always
invalid_indexes_dropped:
  description: Remains of failed CONCURRENTLY builds that were removed.
  type: list
  elements: str
  returned: always
invalid_indexes:
  description: Invalid indexes that are there at the end.
  type: list
  elements: str
  returned: always
leftovers_ended:
  description: Sessions of a killed migration that were ended.
  type: list
  elements: str
  returned: always
rights_changed:
  description: Each a table and the role whose rights on it were corrected.
  type: list
  elements: str
  returned: always
unknown:
  description: What cannot be known yet, in check mode.
  type: list
  elements: str
  returned: always
kept_rows:
  description: What O(keep_lost_rows) kept, or would; each a table, the columns lost (none, the whole table), the rows.
  type: list
  elements: dict
  returned: with state=downgraded
sql:
  description: The SQL of the revisions.
  type: str
  returned: with --diff
not_renderable:
  description: Revisions whose SQL depends on the data.
  type: list
  elements: str
  returned: with --diff
output:
  description: The last lines that the product printed.
  type: list
  elements: str
  returned: on failure
"""

import pwd
import socket
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.alembic_database import JOIN_MIGRATION, Database, DatabaseError
from ansible.module_utils.alembic_process import AlembicProcess, ProcessError, render, rendered
from ansible.module_utils.alembic_runner import MigrationFailedError, Runner
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.database_url import DatabaseUrlError, parse, scrub, secrets_in
from ansible.module_utils.downgrade_losses import everything, keep, read_losses
from ansible.module_utils.revision_files import load
from ansible.module_utils.revisions import Revision, RevisionError, RevisionGraph, as_dict, shown

try:
    import psycopg2
except ImportError:
    psycopg2 = None  # type: ignore[assignment]

_HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


class NotThereYetError(RuntimeError):
    """Something that an earlier task of the same run makes: a failure, except in check mode."""


class Alembic:
    """One run of the module."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params: dict[str, Any] = module.params
        self.down = self.params["state"] == "downgraded"
        self.environment = {name: str(value) for name, value in self.params["environment"].items()}
        self.secrets = secrets_in(self.params["database_url"], self.environment)
        # Ansible would mask every value of `environment` wherever it occurs, "1" included; these are the
        # secret ones.
        module.no_log_values = set(self.secrets)
        self.database: Database | None = None
        self.result: dict[str, Any] = {
            "changed": False,
            "before": None,
            "after": None,
            "heads": [],
            "revisions": [],
            "retried": [],
            "invalid_indexes_dropped": [],
            "invalid_indexes": [],
            "leftovers_ended": [],
            "rights_changed": [],
            "kept_rows": [],
            "unknown": [],
            "invocation": {"module_args": {**self.params, "database_url": _HIDDEN, "environment": _HIDDEN}},
        }

    def run(self) -> dict[str, Any]:
        """The result. Raises what the module turns into fail_json."""
        graph = self._graph()
        current = self._connect()
        if graph is None:
            self.result.update(
                before=shown(current), after=shown(current), changed=self.params["state"] != "current"
            )
            return self.result
        self.result.update(before=shown(current), after=shown(current), heads=list(graph.heads))
        path = self._path(graph, current)
        if self.params["state"] == "current":
            self.result["revisions"] = [as_dict(revision) for revision in path]
        elif self.module.check_mode:
            self._predict(graph, current, path)
        else:
            self._perform(graph, path)
        if self.database:
            self.result["invalid_indexes"] = self.database.invalid_indexes()
            if self.result["invalid_indexes"]:
                names = ", ".join(self.result["invalid_indexes"])
                self.module.warn(
                    f"invalid indexes serve nobody and cost writes: {names}. REINDEX INDEX CONCURRENTLY each."
                )
        return self.result

    def _not_there_yet(self, message: str) -> None:
        if not self.module.check_mode and self.params["state"] != "current":
            raise NotThereYetError(message)
        self.result["unknown"].append(message)

    def _graph(self) -> RevisionGraph | None:
        directory = self.params["directory"]
        if not Path(directory).is_dir():
            self._not_there_yet(
                f"{directory} does not exist yet: the release is not staged, so its revisions are unknown."
            )
            return None
        return load(directory, self.params["config"])

    def _connect(self) -> tuple[str, ...]:
        """Opens the session; what the database has, or nothing when in check mode it is not there yet."""
        url = parse(self.params["database_url"])
        if psycopg2 is None:
            self._not_there_yet("psycopg2 is missing here: install the Debian package python3-psycopg2.")
            return ()
        try:
            self.database = Database(
                psycopg2.connect, url.libpq(), f"alembic module on {socket.gethostname()}"
            )
        except psycopg2.OperationalError as error:
            reason = scrub(" ".join(str(error).split()), self.secrets)
            message = f"the database {url.shown()} cannot be reached: {reason}"
            if not self.module.check_mode:
                raise NotThereYetError(message) from None
            self._not_there_yet(f"{message}; it is taken as empty.")
            return ()
        current: tuple[str, ...] = self.database.revisions(self.params["version_table"])
        return current

    def _path(self, graph: RevisionGraph, current: tuple[str, ...]) -> tuple[Revision, ...]:
        unknown = graph.unknown(current)
        if unknown:
            raise RevisionError(
                f"the database stands at {shown(unknown)}, which {self.params['directory']} does not "
                "contain (its head is "
                f"{', '.join(graph.heads) or 'base'}; {graph.nearest(unknown[0])}). A newer release has "
                "migrated it: deploy "
                "that release or a newer one, or go back to this one: playbooks/rollback.yml -e release_to=…"
            )
        if self.params["state"] == "current" and len(graph.heads) > 1:
            return ()
        if self.down and self.params["revision"] in ("head", "heads"):
            raise RevisionError("state: downgraded needs the revision to go back to: an id, or base.")
        target = graph.resolve(self.params["revision"])
        path: tuple[Revision, ...]
        if not self.down:
            path = graph.upgrade_path(current, target)
            return path
        path = graph.downgrade_path(current, target)
        lost = [one for one in path if one.irreversible or (one.empty_downgrade and not one.empty_upgrade)]
        if lost and not self.params["allow_empty_downgrade"]:
            raise RevisionError(
                f"there is no way back through {', '.join(graph.describe(one.id) for one in lost)}: "
                "downgrade() does nothing "
                "there or raises, so the version would change and the schema would not. Restore a backup "
                "beside it, or "
                "write that downgrade; where it truly has nothing to undo, set allow_empty_downgrade."
            )
        return path

    def _predict(self, graph: RevisionGraph, current: tuple[str, ...], path: tuple[Revision, ...]) -> None:
        self.result["revisions"] = [as_dict(revision) for revision in path]
        self.result["after"] = self._goal(graph, current, path)
        self.result["changed"] = bool(path) or self._rights(check=True)
        if path and self.module._diff:
            self._render(graph, current, path)

    def _goal(self, graph: RevisionGraph, current: tuple[str, ...], path: tuple[Revision, ...]) -> str:
        applied = graph.closure(current)
        ids = {revision.id for revision in path}
        goal: str = shown(graph.tips(applied - ids if self.down else applied | ids))
        return goal

    def _render(self, graph: RevisionGraph, current: tuple[str, ...], path: tuple[Revision, ...]) -> None:
        try:
            with self._process(parse(self.params["database_url"]).placeholder(), ()) as process:
                sql, not_renderable = render(process, graph, current, path, down=self.down)
        except NotThereYetError as error:
            self.result["unknown"].append(str(error))
            sql, not_renderable = "".join(f"-- {graph.describe(one.id)}\n" for one in path), []
        self.result.update(sql=sql, not_renderable=not_renderable)
        self.result["diff"] = rendered(sql, self.result["before"], self._goal(graph, current, path))

    def _process(self, url: str, on_connect: tuple[str, ...]) -> AlembicProcess:
        python, user = self.params["python"], self.params["user"]
        if not python:
            raise NotThereYetError(
                "python is missing: name the interpreter of the release's virtual environment."
            )
        if not Path(python).exists():
            raise NotThereYetError(
                f"{python} does not exist yet: stage the release, which makes its environment."
            )
        if user:
            try:
                pwd.getpwnam(user)
            except KeyError:
                raise NotThereYetError(f'the unix user "{user}" does not exist yet.') from None
        limit = f"SET lock_timeout = {self.params['concurrently_lock_timeout'] * 1000}" if on_connect else ""
        return AlembicProcess(
            directory=self.params["directory"],
            python=python,
            config=self.params["config"],
            environment={**self.environment, self.params["url_variable"]: url},
            secrets=self.secrets,
            user=user,
            version_table=self.params["version_table"].rpartition(".")[2],
            on_connect=on_connect,
            on_concurrently=limit,
        )

    def _perform(self, graph: RevisionGraph, path: tuple[Revision, ...]) -> None:
        assert self.database
        for role in self.params["app_roles"]:
            self.database.check_role(role)
        if not path:
            self.result["changed"] = self._rights(check=False)
            return
        self.result["leftovers_ended"] = self.database.lock(self.params["advisory_lock_timeout"])
        # Another run may have done it while this one waited.
        current = self.database.revisions(self.params["version_table"])
        path = self._path(graph, current)
        if self.module._diff:
            self._render(graph, current, path)
        if self.down and self.params["keep_lost_rows"]:
            self._keep_lost_rows(graph, current, path)
        begin = (f"SET lock_timeout = {self.params['lock_timeout'] * 1000}", JOIN_MIGRATION)
        with self._process(self.params["database_url"], begin) as process:
            runner = Runner(
                database=self.database,
                process=process,
                graph=graph,
                version_table=self.params["version_table"],
                retries=self.params["retries"],
                delay=self.params["retry_delay"],
                index_lock_timeout=self.params["concurrently_lock_timeout"],
                down=self.down,
            )
            try:
                runner.drop_invalid_indexes()
                runner.run(path)
            except MigrationFailedError as error:
                self.result["output"] = process.output()
                raise MigrationFailedError(f"{error}{self._clean_up(runner)}", error.event) from error
            finally:
                self._conclude(runner)
        expected = self._goal(graph, current, path)
        left = self.database.invalid_indexes()
        if left:
            raise MigrationFailedError(
                f"the database is at {self.result['after']}, but these indexes are invalid: "
                f"{', '.join(left)}. A revision "
                "went on after its CONCURRENTLY failed. REINDEX INDEX CONCURRENTLY each, and correct the "
                "revision."
            )
        if self.result["after"] != expected:
            raise MigrationFailedError(
                f"the database is at {self.result['after']} and should be at {expected}."
            )

    def _keep_lost_rows(
        self, graph: RevisionGraph, current: tuple[str, ...], path: tuple[Revision, ...]
    ) -> None:
        """Before the first statement: what is dropped afterwards is in nobody's hands any more."""
        assert self.database
        with self._process(parse(self.params["database_url"]).placeholder(), ()) as process:
            sql, not_renderable = render(process, graph, current, path, down=True)
        if not_renderable:
            self.module.warn(
                f"{', '.join(not_renderable)}: what this downgrade drops depends on the data, so all tables are kept."
            )
        losses = everything(self.database) if not_renderable else read_losses(sql)
        directory = Path(self.params["keep_lost_rows"])
        try:
            kept = keep(self.database, losses, directory, besides=self.params["version_table"])
        except OSError as error:
            raise NotThereYetError(
                f"nothing was undone, since what it drops could not be kept in {directory}: {error.strerror}. "
                "Make room there, or name another directory."
            ) from error
        self.result["kept_rows"] = [asdict(one) for one in kept]

    def _clean_up(self, runner: Runner) -> str:
        """Drops what a failed CONCURRENTLY left; a sentence about what could not be dropped."""
        try:
            runner.drop_invalid_indexes()
        except DatabaseError as error:
            return f" Besides, {error}"
        return ""

    def _conclude(self, runner: Runner) -> None:
        """However it ended: the version table exists now."""
        assert self.database
        try:
            rights = self._rights(check=False)
        finally:
            self.result.update(
                after=shown(self.database.revisions(self.params["version_table"])),
                revisions=runner.done,
                retried=runner.retried,
                invalid_indexes_dropped=runner.dropped,
            )
        self.result["changed"] = bool(runner.done or runner.dropped or rights)

    def _rights(self, *, check: bool) -> bool:
        """Makes the read-only tables so; whether anything changed (or would)."""
        if self.database is None:
            return False
        for table in self.params["read_only_tables"]:
            for role in self.params["app_roles"]:
                try:
                    changed = self.database.make_read_only(table, role, check=check)
                except DatabaseError as error:
                    if not check:
                        raise
                    self.result["unknown"].append(str(error))
                    continue
                if changed:
                    self.result["rights_changed"].append(f"{table}: {role}")
                if not check and (left := self.database.writers(table, role)):
                    self.module.warn(
                        f"{role} may still {', '.join(left)} {table}: through PUBLIC or a role that it is in."
                    )
        return bool(self.result["rights_changed"])


def main() -> None:
    """Reads the arguments, runs, and answers in JSON."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "python": {"type": "path"},
            "config": {"type": "str", "default": "alembic.ini"},
            "database_url": {"type": "str", "required": True, "no_log": True},
            "url_variable": {"type": "str", "default": "DATABASE_URL"},
            "environment": {"type": "dict", "default": {}, "no_log": True},
            "state": {"type": "str", "default": "upgraded", "choices": ["upgraded", "downgraded", "current"]},
            "revision": {"type": "str", "default": "head"},
            "user": {"type": "str"},
            "lock_timeout": {"type": "int", "default": 5},
            "concurrently_lock_timeout": {"type": "int", "default": 600},
            "retries": {"type": "int", "default": 5},
            "retry_delay": {"type": "int", "default": 1},
            "advisory_lock_timeout": {"type": "int", "default": 60},
            "version_table": {"type": "str", "default": "alembic_version"},
            "read_only_tables": {"type": "list", "elements": "str", "default": ["alembic_version"]},
            "app_roles": {"type": "list", "elements": "str", "default": []},
            "allow_empty_downgrade": {"type": "bool", "default": False},
            "keep_lost_rows": {"type": "path"},
        },
        supports_check_mode=True,
    )
    work = Alembic(module)
    errors: tuple[type[Exception], ...] = (
        RevisionError,
        DatabaseError,
        DatabaseUrlError,
        ProcessError,
        MigrationFailedError,
        NotThereYetError,
    )
    if psycopg2 is not None:
        errors += (psycopg2.Error,)
    try:
        result = work.run()
    except errors as error:
        work.result.pop("failed", None)
        module.fail_json(msg=scrub(str(error).strip(), work.secrets), **work.result)
    finally:
        if work.database:
            work.database.close()
    module.exit_json(**result)


if __name__ == "__main__":
    main()
