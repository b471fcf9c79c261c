"""The graph of revisions: order, paths and the words for what is wrong with them."""

from __future__ import annotations

import pytest
from ansible.module_utils.revisions import BASE, Revision, RevisionError, RevisionGraph
from hypothesis import given
from hypothesis import strategies as st


@st.composite
def graphs(draw: st.DrawFn) -> RevisionGraph:
    """Any graph: each revision follows none, one or several of those before it, in any file order."""
    made: list[Revision] = []
    for number in range(draw(st.integers(1, 12))):
        ids = [revision.id for revision in made]
        parents = draw(st.lists(st.sampled_from(ids), unique=True, max_size=3)) if ids else []
        made.append(Revision(f"{number:02}x", tuple(parents)))
    return RevisionGraph(draw(st.permutations(made)))


@given(graphs())
def test_every_revision_comes_after_all_that_it_builds_on(graph: RevisionGraph) -> None:
    seen: set[str] = set()
    for revision in graph.in_order:
        assert seen.issuperset(revision.down)
        seen.add(revision.id)
    assert len(seen) == len(graph)


@given(graphs(), st.data())
def test_upgrade_runs_exactly_what_is_missing(graph: RevisionGraph, data: st.DataObject) -> None:
    target = data.draw(st.sampled_from(graph.in_order)).id
    start = data.draw(st.sampled_from([BASE, *sorted(graph.closure([target]))]))
    path = [revision.id for revision in graph.upgrade_path([] if start == BASE else [start], target)]
    assert set(path) == graph.closure([target]) - graph.closure([start])
    assert path == [revision.id for revision in graph.in_order if revision.id in path]


@given(graphs(), st.data())
def test_downgrade_undoes_what_builds_on_the_target_newest_first(
    graph: RevisionGraph, data: st.DataObject
) -> None:
    current = data.draw(st.sampled_from(graph.in_order)).id
    target = data.draw(st.sampled_from([BASE, *sorted(graph.closure([current]))]))
    path = [revision.id for revision in graph.downgrade_path([current], target)]
    assert set(path) == {id_ for id_ in graph.closure([current]) if graph.is_ancestor(target, id_)}
    assert path == [revision.id for revision in reversed(graph.in_order) if revision.id in path]


@given(graphs())
def test_tips_of_everything_are_what_nothing_follows(graph: RevisionGraph) -> None:
    assert graph.tips(revision.id for revision in graph.in_order) == graph.heads


@given(graphs())
def test_abbreviation_names_its_revision(graph: RevisionGraph) -> None:
    assert all(graph.resolve(graph.abbreviate(one.id, 1)) == one.id for one in graph.in_order)


@given(graphs(), st.data())
def test_ancestry_goes_one_way(graph: RevisionGraph, data: st.DataObject) -> None:
    one, other = (data.draw(st.sampled_from(graph.in_order)).id for _ in range(2))
    assert not (graph.is_ancestor(one, other) and graph.is_ancestor(other, one))


LINE = RevisionGraph(
    [
        Revision("a1aa", message="make users"),
        Revision("a2bb", ("a1aa",), message="make jobs"),
        Revision("b3cc", ("a2bb",), labels=("search",), message="index jobs"),
    ]
)
FORK = RevisionGraph(
    [Revision("a1"), Revision("b1", ("a1",), message="one"), Revision("b2", ("a1",), message="two")]
)


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("head", "b3cc"),
        ("base", BASE),
        ("b", "b3cc"),
        ("a2", "a2bb"),
        ("search", "b3cc"),
        ("search@head", "b3cc"),
    ],
)
def test_name_is_resolved(name: str, id_: str) -> None:
    assert LINE.resolve(name) == id_


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a", 'revision "a" is the beginning of 2 revisions: a1aa, a2bb. Write more of it.'),
        ("b3cd", 'revision "b3cd" is not in this release; the nearest are b3cc ("index jobs").'),
        ("zzzz", 'known are b3cc ("index jobs"), a2bb ("make jobs"), a1aa ("make users").'),
        ("make job", 'the nearest are a2bb ("make jobs")'),
        ("+1", 'revision "+1" is relative'),
        ("head-1", 'revision "head-1" is not in this release'),
    ],
)
def test_name_that_is_none_is_refused_with_help(name: str, message: str) -> None:
    with pytest.raises(RevisionError) as error:
        LINE.resolve(name)
    assert message in str(error.value)


def test_two_heads_are_named_with_the_command_that_joins_them() -> None:
    with pytest.raises(RevisionError) as error:
        FORK.head()
    assert 'the release has 2 heads: b1 ("one"), b2 ("two")' in str(error.value)
    assert 'alembic merge -m "merge" b1 b2' in str(error.value)


def test_database_beyond_the_target_is_not_upgraded() -> None:
    with pytest.raises(RevisionError, match="which is beyond a1aa"):
        LINE.upgrade_path(["b3cc"], "a1aa")


def test_database_before_the_target_is_not_downgraded() -> None:
    with pytest.raises(RevisionError, match="does not contain b3cc"):
        LINE.downgrade_path(["a1aa"], "b3cc")


def test_dependency_runs_before_what_depends_on_it() -> None:
    graph = RevisionGraph([Revision("a1"), Revision("z9"), Revision("a2", ("a1",), depends_on=("z9",))])
    assert [revision.id for revision in graph.upgrade_path([], "a2")] == ["a1", "z9", "a2"]


@pytest.mark.parametrize(
    ("revisions", "message"),
    [
        ([Revision("a1", path="one.py"), Revision("a1", path="two.py")], "in two files: one.py and two.py"),
        ([Revision("a1", ("gone",), path="one.py")], 'revision "a1" \\(one.py\\) follows "gone"'),
        ([Revision("a1", ("b1",)), Revision("b1", ("a1",))], "follow each other in a circle: a1, b1"),
    ],
)
def test_broken_graph_is_refused(revisions: list[Revision], message: str) -> None:
    with pytest.raises(RevisionError, match=message):
        RevisionGraph(revisions)


def test_release_without_revisions_is_at_base() -> None:
    graph = RevisionGraph([])
    assert (graph.head(), graph.heads, graph.upgrade_path([], graph.resolve("head"))) == (BASE, (), ())
