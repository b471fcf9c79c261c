"""The command `shop`: what is done by hand, or once."""

from __future__ import annotations

import argparse

from sqlalchemy.orm import Session

from shop.database import Article, engine
from shop.settings import Settings

FIRST = {"Pencil": 120, "Notebook": 450, "Ruler": 300}


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(prog="shop", description=__doc__)
    parser.add_argument("command", choices=["first-rows"], help="first-rows: what an empty shop begins with")
    parser.parse_args()
    # In one transaction: should it fail, it may run again.
    with Session(engine(Settings.read().database)) as session, session.begin():
        session.add_all(Article(name=name, cents=cents) for name, cents in FIRST.items())
    print(f"{len(FIRST)} articles")
