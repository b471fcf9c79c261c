"""Who a command runs as."""

from __future__ import annotations

import os
import pwd


def become(name: str) -> None:
    """Go on as `name` where root runs this: what it writes then belongs to whom cron's jobs run as.

    Raises:
        PermissionError: somebody else runs this.
    """
    user = pwd.getpwnam(name)
    if os.geteuid() == user.pw_uid:
        return
    if os.geteuid() != 0:
        raise PermissionError(None, f"run this as root or as {name}")
    os.initgroups(name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.environ.update(HOME=user.pw_dir, USER=name, LOGNAME=name)
