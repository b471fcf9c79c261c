"""Rows that a rule of the schema would not allow: `python -m app.cli check-data --help`.

`checks` says what is looked for, `find` looks, `clean` takes away what a stated rule decides, `command` is
the command.
"""
