"""Entry point of `python molecule/testbed COMMAND`: makes the directory the package `testbed`."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from testbed.cli import main  # noqa: E402  (the path above has to be there first)

if __name__ == "__main__":
    sys.exit(main())
