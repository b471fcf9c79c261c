"""The routes, one file a topic; `ROUTERS` is all of them.

Still to come, each as a file of its own beside these: sign-in, profiles, dashboard, notifications,
monitoring, metrics.
"""

from app.api import applications, health, jobs, root

ROUTERS = (root.router, health.router, jobs.router, applications.router)
