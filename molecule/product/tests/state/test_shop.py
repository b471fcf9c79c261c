"""Another product serves, by the inventory alone: each thing that the inventory says of it holds on the host."""

from __future__ import annotations

from shared.machine import Machine
from shared.product import Product
from shared.sql import Endpoints
from shared.web import Web

PNG = b"\x89PNG\r\n\x1a\n"
BOOTSTRAP = "journalctl --output cat --unit 'shop-bootstrap@*'"


def test_another_product_serves_through_the_proxy_over_tls(web: Web, product: Product) -> None:
    answer = web.get("/status")
    assert (answer.status, answer.json) == (200, {"release": product.release, "articles": 3})


def test_its_migrations_ran_from_their_own_place(sql: Endpoints) -> None:
    assert sql.superuser("SELECT version_num FROM shop_version") == "0002"
    owners = sql.superuser("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
    assert owners == "shop_owner"


def test_its_first_rows_were_made_once_although_site_yml_ran_twice(api: Machine) -> None:
    assert api.sh(f"{BOOTSTRAP} | grep --count '^3 articles$'") == "1"
    assert not api.host.file("/srv/shop/first-rows-due").exists
    assert not api.host.file("/etc/shop/bootstrap.env").exists


def test_it_reads_its_settings_by_its_own_names(web: Web) -> None:
    assert web.get("/articles").json[0] == {"id": 1, "name": "Pencil", "price": "1.20 EUR"}


def test_it_has_the_debian_package_that_it_needs(web: Web) -> None:
    answer = web.get("/articles/1/label")
    assert (answer.status, answer.body[:8]) == (200, PNG)


def test_its_project_is_installed_with_its_programs(api: Machine, product: Product) -> None:
    version = "import importlib.metadata as known; print(known.version('shop'))"
    assert api.sh(f'shop-run -c "{version}"') == "1.0.0"
    assert "first-rows" in api.sh(f"/srv/shop/{product.colour}/venv/bin/shop --help")
