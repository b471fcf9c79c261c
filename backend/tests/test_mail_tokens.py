"""Tokens that come by mail: each is good once, and for the user that it was sent to."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import httpx
import pytest
from test_sign_in import ME, change_user, refresh, stored, without_request_id

from harness.cluster import Database
from harness.rows import Rows
from harness.site import PASSWORD, Site, new_address
from harness.wait import until

RESET = "Set a new password"
VERIFY = "Please verify your address"
CHANGED = "Your password was changed"
NEW_PASSWORD = "quite another password"


def ask_for_reset(site: Site, email: str) -> httpx.Response:
    return site.post("/api/auth/password-reset/request", {"email": email})


def confirm_reset(site: Site, token: str, password: str = NEW_PASSWORD) -> httpx.Response:
    return site.post("/api/auth/password-reset/confirm", {"token": token, "password": password})


def confirm_address(site: Site, token: str) -> httpx.Response:
    return site.post("/api/auth/verify-email/confirm", {"token": token})


def reset_token(site: Site, email: str) -> str:
    """The token of the one reset that was asked for."""
    assert ask_for_reset(site, email).status_code == 202
    return site.mailed_token(email, RESET)


def verified(database: Database, email: str) -> bool:
    return database.rows(
        "SELECT email_verified IS NOT NULL FROM users WHERE lower(email) = lower(%s)", email
    ) == [(True,)]


def test_a_reset_sets_the_password(site: Site) -> None:
    email = site.newcomer()
    assert confirm_reset(site, reset_token(site, email)).status_code == 204
    assert [site.login(email, word).status_code for word in (PASSWORD, NEW_PASSWORD)] == [401, 200]


def test_a_user_without_a_password_gets_one_by_a_reset(site: Site, rows: Rows) -> None:
    email = new_address()
    rows.user("candidate", email=email)
    assert confirm_reset(site, reset_token(site, email)).status_code == 204
    assert site.login(email, NEW_PASSWORD).status_code == 200


def test_a_reset_ends_all_sessions_and_shows_that_the_address_is_read(
    site: Site, api_database: Database
) -> None:
    email = site.newcomer()
    sessions = [site.tokens(email)["refresh_token"] for _ in range(2)]
    assert confirm_reset(site, reset_token(site, email)).status_code == 204
    assert [refresh(site, token).status_code for token in sessions] == [401, 401]
    assert verified(api_database, email)


def test_the_user_is_told_that_the_password_was_changed(site: Site) -> None:
    email = site.newcomer()
    confirm_reset(site, reset_token(site, email))
    assert "If it was not you" in site.letter(email, CHANGED).get_content()


@pytest.mark.parametrize("who", ["known", "unknown", "not active", "deleted"])
def test_a_request_for_a_reset_has_the_same_answer_for_everybody(
    site: Site, api_database: Database, who: str
) -> None:
    email = new_address() if who == "unknown" else site.newcomer()
    if who == "not active":
        change_user(api_database, email, "is_active = false")
    if who == "deleted":
        change_user(api_database, email, "deleted_at = now()")
    answer, expected = ask_for_reset(site, email), ask_for_reset(site, new_address())
    assert answer.status_code == expected.status_code == 202
    assert answer.json() == expected.json()
    made = api_database.rows(
        "SELECT count(*) FROM password_reset_tokens JOIN users ON users.id = user_id WHERE email = %s", email
    )
    assert made == [(1 if who == "known" else 0,)]


def test_a_reset_token_is_stored_as_its_hash(site: Site, api_database: Database) -> None:
    token = reset_token(site, site.newcomer())
    hashed = hashlib.sha256(token.encode()).hexdigest()
    assert api_database.rows(
        "SELECT expires_at - created_at = '30 minutes', used_at FROM password_reset_tokens WHERE token = %s",
        hashed,
    ) == [(True, None)]


def test_a_reset_token_is_good_once(site: Site) -> None:
    email = site.newcomer()
    token = reset_token(site, email)
    assert confirm_reset(site, token).status_code == 204
    again = confirm_reset(site, token, "a third password")
    assert again.status_code == 410
    assert site.login(email, NEW_PASSWORD).status_code == 200


def test_of_twenty_resets_at_once_with_one_token_one_wins(site: Site) -> None:
    email = site.newcomer()
    token = reset_token(site, email)
    passwords = [f"password number {number}" for number in range(20)]
    answers = site.at_once(
        "/api/auth/password-reset/confirm", [{"token": token, "password": word} for word in passwords]
    )
    assert Counter(answer.status_code for answer in answers) == {204: 1, 410: 19}
    [won] = [word for word, answer in zip(passwords, answers, strict=True) if answer.status_code == 204]
    assert site.login(email, won).status_code == 200


def test_of_many_resets_at_once_with_several_tokens_one_wins(site: Site) -> None:
    email = site.newcomer()
    for _ in range(4):
        assert ask_for_reset(site, email).status_code == 202
    tokens = until(lambda: len(found := reset_tokens(site, email)) == 4 and found, "four mails")
    answers = site.at_once(
        "/api/auth/password-reset/confirm",
        [{"token": tokens[number % 4], "password": NEW_PASSWORD} for number in range(20)],
    )
    assert Counter(answer.status_code for answer in answers) == {204: 1, 410: 19}


def reset_tokens(site: Site, email: str) -> list[str]:
    return [
        letter.get_content().split("#token=")[1].split()[0]
        for letter in site.letters(email)
        if letter["Subject"] == RESET
    ]


@pytest.mark.parametrize("reason", ["expired", "not active", "deleted"])
def test_a_reset_token_that_is_not_good_any_more_changes_nothing(
    site: Site, api_database: Database, reason: str
) -> None:
    email = site.newcomer()
    token, before = reset_token(site, email), stored(api_database, email)
    if reason == "expired":
        hashed = hashlib.sha256(token.encode()).hexdigest()
        api_database.run(f"UPDATE password_reset_tokens SET expires_at = now() WHERE token = '{hashed}'")
    else:
        change_user(
            api_database, email, "is_active = false" if reason == "not active" else "deleted_at = now()"
        )
    assert confirm_reset(site, token).status_code == 410
    assert stored(api_database, email) == before


@pytest.mark.parametrize("confirm", [confirm_reset, confirm_address])
@pytest.mark.parametrize("token", ["garbage", "é" * 43])
def test_an_unknown_token_gets_the_answer_of_a_used_one(site: Site, confirm: Any, token: str) -> None:
    used = reset_token(site, site.newcomer())
    confirm_reset(site, used)
    answer = confirm(site, token)
    assert answer.status_code == 410
    expected = without_request_id(confirm_reset(site, used))
    assert without_request_id(answer)["detail"] == expected["detail"]


@pytest.mark.parametrize("password", ["eleven char", "x" * 129])
def test_a_new_password_has_the_same_rules_and_a_refused_one_leaves_the_token(
    site: Site, password: str
) -> None:
    token = reset_token(site, site.newcomer())
    assert confirm_reset(site, token, password).status_code == 422
    assert confirm_reset(site, token).status_code == 204


def test_the_mail_to_a_known_address_lets_its_owner_in(site: Site) -> None:
    email = site.newcomer()
    site.register(email)
    assert confirm_reset(site, site.mailed_token(email, "You have an account already")).status_code == 204
    assert site.login(email, NEW_PASSWORD).status_code == 200


def test_an_address_is_verified_by_the_link_sent_to_it(site: Site, api_database: Database) -> None:
    email = site.newcomer()
    assert not verified(api_database, email)
    assert confirm_address(site, site.mailed_token(email, VERIFY)).status_code == 204
    assert verified(api_database, email)
    assert site.client.get(ME, headers=site.headers(email)).json()["email_verified"] is not None


def test_of_twenty_verifications_at_once_with_one_token_one_wins(site: Site) -> None:
    token = site.mailed_token(site.newcomer(), VERIFY)
    answers = site.at_once("/api/auth/verify-email/confirm", [{"token": token} for _ in range(20)])
    assert Counter(answer.status_code for answer in answers) == {204: 1, 410: 19}


def test_a_verification_token_is_stored_as_its_hash(site: Site, api_database: Database) -> None:
    email = site.newcomer()
    hashed = hashlib.sha256(site.mailed_token(email, VERIFY).encode()).hexdigest()
    assert api_database.rows(
        "SELECT token, expires - created_at = '1 day' FROM verification_tokens WHERE identifier = lower(%s)",
        email,
    ) == [(hashed, True)]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE verification_tokens SET expires = now() WHERE identifier = lower('{email}')",
        "UPDATE users SET email = 'moved.' || email WHERE email = '{email}'",
        "UPDATE users SET is_active = false WHERE email = '{email}'",
        "UPDATE users SET deleted_at = now() WHERE email = '{email}'",
    ],
)
def test_a_verification_token_that_is_not_good_any_more_verifies_nobody(
    site: Site, api_database: Database, change: str
) -> None:
    email = site.newcomer()
    token = site.mailed_token(email, VERIFY)
    api_database.run(change.format(email=email))
    assert confirm_address(site, token).status_code == 410
    assert not verified(api_database, email)
    assert not verified(api_database, f"moved.{email}")


def test_a_signed_in_user_can_ask_for_another_verification(
    site: Site, rows: Rows, api_database: Database
) -> None:
    email = new_address()
    person = rows.user("candidate", email=email)
    reset = reset_token(site, email)
    confirm_reset(site, reset)
    api_database.run(f"UPDATE users SET email_verified = NULL WHERE id = {person}")
    token = site.tokens(email, NEW_PASSWORD)["access_token"]
    assert site.post("/api/auth/verify-email/request", None, token).status_code == 202
    assert confirm_address(site, site.mailed_token(email, VERIFY)).status_code == 204
    again = site.post("/api/auth/verify-email/request", None, token)
    assert again.status_code == 409
    assert "verified already" in again.json()["detail"]


def test_a_verification_is_not_asked_for_by_strangers(site: Site) -> None:
    assert site.post("/api/auth/verify-email/request", None).status_code == 401
