"""The graph of an Alembic project's revisions: heads, ancestry, and the path from one revision to another.

Pure: it never imports the product, so it works where the product's libraries are not installed. The files
are read by `revision_files`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

BASE = "base"


class RevisionError(ValueError):
    """A revision or a set of revisions that cannot be used; the message says what to do next."""


@dataclass(frozen=True)
class Revision:
    """One file of the versions folder, as its source says."""

    id: str
    down: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    message: str = ""
    path: str = ""
    concurrently: bool = False
    autocommit: bool = False
    empty_upgrade: bool = False
    empty_downgrade: bool = False
    irreversible: bool = False

    @property
    def way_back(self) -> str:
        """What Alembic is told when this one is to be undone: a parent; of a merge, either one does."""
        return self.down[0] if self.down else BASE

    @property
    def hints(self) -> tuple[str, ...]:
        """What a person should know before it runs."""
        hints = []
        if self.concurrently:
            hints.append(
                "builds or drops an index CONCURRENTLY: outside a transaction, a failure is not rolled back"
            )
        elif self.autocommit:
            hints.append("has an autocommit block: what it does there is not rolled back by a failure")
        if self.irreversible:
            hints.append("its downgrade() raises: there is no way back from it")
        elif self.empty_downgrade and not self.empty_upgrade:
            hints.append("its downgrade() does nothing: there is no way back from it")
        return tuple(hints)


class RevisionGraph:
    """The revisions of one release.

    Raises RevisionError where ids collide, a parent is missing, or revisions follow each other in a circle.
    """

    def __init__(self, revisions: Iterable[Revision]) -> None:
        self._revisions: dict[str, Revision] = {}
        self._labels: dict[str, str] = {}
        for revision in revisions:
            other = self._revisions.get(revision.id)
            if other is not None:
                raise RevisionError(
                    f'revision "{revision.id}" is in two files: {other.path or "?"} and '
                    f"{revision.path or '?'}. "
                    "Give one of them another id."
                )
            self._revisions[revision.id] = revision
            self._labels.update(dict.fromkeys(revision.labels, revision.id))
        self._parents = {
            id_: tuple(dict.fromkeys(self._parent(id_, name) for name in (*entry.down, *entry.depends_on)))
            for id_, entry in self._revisions.items()
        }
        self._order = {id_: place for place, id_ in enumerate(self._sorted())}

    def __contains__(self, id_: object) -> bool:
        return id_ in self._revisions

    def __getitem__(self, id_: str) -> Revision:
        return self._revisions[id_]

    def __len__(self) -> int:
        return len(self._revisions)

    @property
    def in_order(self) -> tuple[Revision, ...]:
        """Every revision, each after all that it builds on."""
        return tuple(self._revisions[id_] for id_ in self._order)

    @property
    def heads(self) -> tuple[str, ...]:
        """Revisions that no other one follows, in order."""
        followed = {self._parent(id_, name) for id_, entry in self._revisions.items() for name in entry.down}
        return tuple(id_ for id_ in self._order if id_ not in followed)

    @property
    def bases(self) -> tuple[str, ...]:
        """Revisions that follow no other one, in order."""
        return tuple(id_ for id_ in self._order if not self._revisions[id_].down)

    def head(self) -> str:
        """The one head, or "base" when there is no revision at all."""
        heads = self.heads
        if len(heads) > 1:
            raise RevisionError(
                f"the release has {len(heads)} heads: {', '.join(self.describe(head) for head in heads)}. "
                'A deployment needs one. Join them in the product: alembic merge -m "merge" '
                f"{' '.join(heads)}"
            )
        return heads[0] if heads else BASE

    def describe(self, id_: str) -> str:
        """The id with its message, for a person."""
        message = self._revisions[id_].message if id_ in self._revisions else ""
        return f'{id_} ("{message}")' if message else id_

    def resolve(self, name: str) -> str:
        """The full id of what is named by head, base, label, LABEL@head, id or unique beginning of an id."""
        name = name.strip()
        if name in ("head", "heads"):
            return self.head()
        if name in (BASE, ""):
            return BASE
        if name in self._revisions:
            return name
        if name in self._labels:
            return self._labels[name]
        label, at, place = name.partition("@")
        if at and place == "head" and (label in self._labels or label in self._revisions):
            return self._head_of(self._labels.get(label, label))
        if name[0] in "+-" or "+" in name:
            raise RevisionError(
                f'revision "{name}" is relative: what it means depends on where the database happens to be. '
                f"Name the revision itself; known are {self._some()}."
            )
        found = [id_ for id_ in self._order if id_.startswith(name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise RevisionError(
                f'revision "{name}" is the beginning of {len(found)} revisions: {", ".join(found)}. Write '
                "more of it."
            )
        raise RevisionError(f'revision "{name}" is not in this release; {self.nearest(name)}.')

    def nearest(self, name: str) -> str:
        """Words that help with an unknown name: the ids and messages most like it, else the newest."""
        close = difflib.get_close_matches(name, list(self._order), n=3, cutoff=0.6)
        words = {self._revisions[id_].message.lower(): id_ for id_ in self._order}
        close += [
            words[text] for text in difflib.get_close_matches(name.lower(), list(words), n=2, cutoff=0.6)
        ]
        close = list(dict.fromkeys(close))
        if close:
            return f"the nearest are {', '.join(self.describe(id_) for id_ in close)}"
        return f"known are {self._some()}"

    def abbreviate(self, id_: str, length: int = 4) -> str:
        """The shortest beginning of an id, of at least `length` characters, that no other id shares."""
        for end in range(min(length, len(id_)), len(id_)):
            if sum(other.startswith(id_[:end]) for other in self._revisions) == 1:
                return id_[:end]
        return id_

    def closure(self, ids: Iterable[str]) -> frozenset[str]:
        """These revisions and all that they build on, dependencies included."""
        found: set[str] = set()
        waiting = [id_ for id_ in ids if id_ != BASE]
        while waiting:
            id_ = waiting.pop()
            if id_ not in found:
                found.add(id_)
                waiting += self._parents[id_]
        return frozenset(found)

    def is_ancestor(self, one: str, other: str) -> bool:
        """Whether `other` builds on `one`. Base is an ancestor of everything but itself."""
        if one == BASE:
            return other != BASE
        return one != other and one in self.closure([other])

    def unknown(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Those of the ids that this release does not contain."""
        return tuple(id_ for id_ in ids if id_ not in self._revisions)

    def upgrade_path(self, current: Iterable[str], target: str) -> tuple[Revision, ...]:
        """What runs, in order, to bring a database at `current` to `target` (an id or "base").

        Raises RevisionError when the database is already beyond the target.
        """
        current = tuple(current)
        applied = self.closure(current)
        wanted = self.closure([target])
        beyond = [id_ for id_ in current if id_ not in wanted]
        if beyond and wanted <= applied:
            raise RevisionError(
                f"the database stands at {', '.join(map(self.describe, beyond))}, which is beyond "
                f"{self.describe(target)}. An upgrade never goes back: use state: downgraded."
            )
        return tuple(self._revisions[id_] for id_ in self._order if id_ in wanted - applied)

    def downgrade_path(self, current: Iterable[str], target: str) -> tuple[Revision, ...]:
        """What is undone, in order, to bring a database at `current` back to `target` (an id or "base").

        Raises RevisionError when the database has not reached the target.
        """
        applied = self.closure(current)
        if target != BASE and target not in applied:
            raise RevisionError(
                f"the database does not contain {self.describe(target)}, so it cannot go back to it. "
                "Use state: upgraded."
            )
        undone = {id_ for id_ in applied if target == BASE or target in self.closure([id_])} - {target}
        return tuple(self._revisions[id_] for id_ in reversed(self._order) if id_ in undone)

    def tips(self, applied: Iterable[str]) -> tuple[str, ...]:
        """Those of the applied revisions that no other applied one builds on, in order."""
        applied = frozenset(applied)
        followed = {parent for id_ in applied for parent in self._parents[id_]}
        return tuple(id_ for id_ in self._order if id_ in applied - followed)

    def _parent(self, child: str, name: str) -> str:
        if name in self._revisions:
            return name
        if name in self._labels:
            return self._labels[name]
        found = [id_ for id_ in self._revisions if id_.startswith(name)]
        if len(found) == 1:
            return found[0]
        raise RevisionError(
            f'revision "{child}" ({self._revisions[child].path or "?"}) follows "{name}", which is in no '
            "file of the "
            "release. Add the missing file, or correct its down_revision."
        )

    def _head_of(self, id_: str) -> str:
        heads = [head for head in self.heads if id_ in self.closure([head])]
        if len(heads) != 1:
            raise RevisionError(f'"{id_}" leads to {len(heads)} heads: {", ".join(heads)}. Name one of them.')
        return heads[0]

    def _some(self, number: int = 3) -> str:
        newest = list(self._order)[-number:]
        return (
            ", ".join(self.describe(id_) for id_ in reversed(newest)) or "none: the release has no revision"
        )

    def _sorted(self) -> list[str]:
        """Parents before children; among equals by id, so that the order is the same in every run."""
        children: dict[str, list[str]] = {id_: [] for id_ in self._revisions}
        missing: dict[str, int] = {}
        for id_, parents in self._parents.items():
            missing[id_] = len(parents)
            for parent in parents:
                children[parent].append(id_)
        ready = sorted((id_ for id_, number in missing.items() if not number), reverse=True)
        order: list[str] = []
        while ready:
            id_ = ready.pop()
            order.append(id_)
            free = []
            for child in children[id_]:
                missing[child] -= 1
                if not missing[child]:
                    free.append(child)
            # The child right after its parent: branches stay together instead of being interleaved.
            ready += sorted(free, reverse=True)
        if len(order) < len(self._revisions):
            circle = sorted(set(self._revisions) - set(order))
            raise RevisionError(
                f"these revisions follow each other in a circle: {', '.join(circle)}. Correct a "
                "down_revision."
            )
        return order


def shown(ids: Iterable[str]) -> str:
    """Ids of a database's revisions as one word: "base" for none."""
    return ", ".join(sorted(ids)) or BASE


def as_dict(revision: Revision) -> Mapping[str, object]:
    """What a module returns of a revision that is still to run."""
    return {"revision": revision.id, "message": revision.message, "hints": list(revision.hints)}
