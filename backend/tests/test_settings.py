"""Settings: what is wrong is told all at once, with what to do, and without secrets."""

from __future__ import annotations

import pytest

from app.settings import Settings, SettingsError, load
from harness.migrations import module

GOOD = {
    "DATABASE_URL": "postgresql+psycopg://intowork_app:hunter2@db1:6432/intowork",
    "JWT_SECRET": "x" * 32,
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the two variables that must be there."""
    for field in Settings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_two_variables_are_enough() -> None:
    settings = load(Settings)
    assert (settings.database_pool_size, settings.database_max_overflow) == (20, 10)
    assert settings.database_pool_recycle == 3600
    assert settings.cors_origins == ()


def test_origins_are_a_list_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", "https://intowork.test, https://www.intowork.test:8443")
    assert load(Settings).cors_origins == ("https://intowork.test", "https://www.intowork.test:8443")


def test_all_problems_come_in_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("JWT_SECRET", "short")
    monkeypatch.setenv("ENVIRONMENT", "prod")
    monkeypatch.setenv("DATABASE_POOL_SIZE", "many")
    with pytest.raises(SettingsError) as error:
        load(Settings)
    first, *problems = str(error.value).splitlines()
    assert first.startswith("4 settings")
    assert {line.split()[0].rstrip(":") for line in problems} == {
        "DATABASE_URL",
        "JWT_SECRET",
        "ENVIRONMENT",
        "DATABASE_POOL_SIZE",
    }


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("JWT_SECRET", "s3cret", "has 6 characters, at least 32 are needed"),
        ("DATABASE_URL", "postgresql+asyncpg://u:hunter2@h/d", "only postgresql+psycopg:// works"),
        ("DATABASE_URL", "postgresql+psycopg://u:hunter2@/d", "has no host"),
        ("DATABASE_URL", "hunter2", "is no URL"),
        ("DATABASE_URL", "postgresql+psycopg://u:hunter2@h/d?options=-c%20x", "pgBouncer refuses"),
        ("CORS_ORIGINS", "*", "write origins as https://HOST"),
        ("CORS_ORIGINS", "https://intowork.test/app", "write origins as https://HOST"),
        ("DATABASE_POOL_SIZE", "0", "greater than or equal to 1"),
    ],
)
def test_a_wrong_value_is_explained_without_secrets(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as error:
        load(Settings)
    assert variable in str(error.value)
    assert said in str(error.value)
    assert "hunter2" not in str(error.value)
    assert "s3cret" not in str(error.value)


def test_server_with_wrong_settings_ends_with_the_list_and_no_traceback() -> None:
    done = module("uvicorn", "app.main:app", "--port", "0", JWT_SECRET="short")
    assert done.returncode != 0
    assert "2 settings in the environment cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("secret", "status"), [("x" * 32, 0), ("short", 2)])
def test_settings_can_be_checked_before_a_service_starts(secret: str, status: int) -> None:
    done = module("app.cli", "check-settings", DATABASE_URL=GOOD["DATABASE_URL"], JWT_SECRET=secret)
    assert done.returncode == status, done.stderr
