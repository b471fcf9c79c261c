"""Fixtures of the testinfra tests. The inventory is the one given to testinfra (--ansible-inventory)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared import landscape as landscapes
from shared.backups import Backups
from shared.landscape import Landscape
from shared.load import Load, UnderLoad, plan
from shared.machine import Machine
from shared.playbook import Playbook
from shared.product import Product
from shared.rows import LOAD
from shared.sql import Endpoints
from shared.web import Web

# What only looks comes first, what ends every connection comes last.
STAGES = ("first", "bare", "state", "change", "fault", "reboot")
UNITS = "postgresql@15-main pgbouncer haproxy *-api@*"

# Two cores carry hosts, controller and load in a scenario, and may carry another one beside it.
SCENARIO_RATE = 30.0

# The proxy asks for this each second.
WORTH_READING = "grep -v 'GET /health/ready HTTP/1.1\" 200' | tail -40"


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much load there is where a test is under load."""
    parser.addoption(
        "--load-rate",
        type=float,
        default=SCENARIO_RATE,
        help="requests that begin in a second (default: %(default)g, which two busy cores carry)",
    )


def inventory_of(config: pytest.Config) -> Path:
    """The inventory that testinfra was given."""
    given = config.getoption("ansible_inventory")
    if not given:
        raise pytest.UsageError("these tests need the hosts of a scenario: --ansible-inventory=DIRECTORY")
    return Path(given).absolute()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by stage, the name of the test file's directory; the order inside of a stage stays."""
    items.sort(key=lambda item: STAGES.index(item.path.parent.name))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `each_machine` runs on every host of the inventory, in its order."""
    if "each_machine" in metafunc.fixturenames:
        machines = landscapes.read(inventory_of(metafunc.config)).machines
        metafunc.parametrize("each_machine", machines.values(), ids=machines.keys(), scope="module")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of the services' journals with every test that failed."""
    report = yield
    if report.failed:
        for machine in landscapes.read(inventory_of(item.config)).machines.values():
            units = " ".join(f"--unit '{unit}'" for unit in UNITS.split())
            try:
                text = machine.sh(
                    f"journalctl {units} --lines 300 --no-pager --output short-iso | {WORTH_READING}"
                )
            except (AssertionError, RuntimeError) as error:
                text = f"no journal: {error}"
            report.sections.append((f"journal of {machine.name}", text))
    return report


@pytest.fixture(scope="session")
def landscape(request: pytest.FixtureRequest) -> Landscape:
    """The hosts of the scenario and its inventory."""
    return landscapes.read(inventory_of(request.config))


@pytest.fixture(scope="session")
def database(landscape: Landscape) -> Machine:
    """The database host."""
    return landscape.first("database")


@pytest.fixture(scope="session")
def api(landscape: Landscape) -> Machine:
    """The first API host."""
    return landscape.first("api")


@pytest.fixture(scope="session")
def proxy(landscape: Landscape) -> Machine:
    """The first proxy."""
    return landscape.first("haproxy")


@pytest.fixture(scope="session")
def backups(landscape: Landscape) -> Backups:
    """The backups, on the host that keeps them."""
    return Backups.of(landscape)


@pytest.fixture(scope="session")
def product(landscape: Landscape, api: Machine) -> Product:
    """The product on the first API host."""
    return Product(api, landscape.value("bundle_name"))


@pytest.fixture(scope="session")
def sql(landscape: Landscape) -> Endpoints:
    """The ways to the database."""
    return Endpoints(landscape)


@pytest.fixture(scope="session")
def web(landscape: Landscape, proxy: Machine) -> Web:
    """The front door."""
    domain = landscape.value("bundle_domain")
    script = f"openssl x509 -in /etc/haproxy/certs/self-signed-{domain}.pem"
    return Web(proxy.address, domain, proxy.sh(script))


@pytest.fixture(scope="session")
def candidate(sql: Endpoints, product: Product) -> Iterator[str]:
    """The token of a candidate who is there for the tests."""
    mine = f"(SELECT id FROM users WHERE email = '{LOAD}')"
    # First what tests left that were killed.
    remove = f"DELETE FROM candidates WHERE user_id IN {mine}", f"DELETE FROM users WHERE email = '{LOAD}'"
    sql.superuser(
        *remove,
        f"INSERT INTO users (email, role, first_name, last_name) VALUES ('{LOAD}', 'candidate', 'Lo', 'Ad')",
        f"INSERT INTO candidates (user_id) SELECT id FROM users WHERE email = '{LOAD}'",
    )
    yield product.run("app.cli", "token", "--email", LOAD, "--minutes", "600")
    sql.superuser(*remove)


@pytest.fixture
def under_load(
    web: Web,
    candidate: str,
    record_property: Callable[[str, object], None],
    request: pytest.FixtureRequest,
) -> UnderLoad:
    """Reads and writes through the proxy while a block runs: `with under_load("what happens"):`.

    No request may fail. What the load met is in the test's report, whose figures `scripts/bench zero` shows.
    """
    rate = request.config.getoption("load_rate")

    @contextmanager
    def going_on(event: str) -> Generator[Load]:
        with Load(plan(web.address, web.domain, candidate, rate=rate)) as load:
            yield load
        load.conclude(event, record_property)

    return going_on


@pytest.fixture(scope="session")
def playbook(landscape: Landscape, tmp_path_factory: pytest.TempPathFactory) -> Playbook:
    """Runs against the scenario's inventory."""
    return Playbook(landscape.inventory, tmp_path_factory.mktemp("playbook"))
