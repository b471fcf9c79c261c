"""What the commands for a database host share.

Hosts get a copy, so it imports nothing else of this project. Beside it lie the commands, in the repository (scripts/)
and on hosts (/usr/local/lib/bundle): a command makes its own directory the one that it imports from.
"""
