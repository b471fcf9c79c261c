"""What the tests without hosts share: plugins, test bed and scripts are importable as in real use."""

from __future__ import annotations

import sys
from pathlib import Path

import ansible.module_utils

ROOT = Path(__file__).resolve().parents[1]

# Modules import `ansible.module_utils.NAME`: on a host Ansible puts ours there, here this does.
ansible.module_utils.__path__.append(str(ROOT / "plugins" / "module_utils"))
for folder in ("plugins/modules", "plugins/filter", "plugins/lookup", "plugins/action", "molecule", "."):
    sys.path.append(str(ROOT / folder))
