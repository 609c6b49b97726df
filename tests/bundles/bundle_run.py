"""Runs of the bundles, with the demo's Proxmox and the runs of the role's tests."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "role"))

from ansible_run import ROLES_PATH, RUNNER, Run  # noqa: E402
from demo_proxmox import PLAYBOOKS, ROOT, DemoProxmox  # noqa: E402

__all__ = ["PLAYBOOKS", "ROOT", "BundleRun", "DemoProxmox", "environment", "tool"]


def tool(name):
    """The path of a program in the directory of ansible-runner, or None."""
    path = os.path.join(os.path.dirname(RUNNER), name)
    return path if os.access(path, os.X_OK) else None


def environment():
    return {**os.environ, "ANSIBLE_ROLES_PATH": ROLES_PATH,
            "PATH": os.path.dirname(RUNNER) + os.pathsep + os.environ["PATH"]}


class BundleRun(Run):
    """A finished run of a playbook, whose path is relative to playbooks/."""

    def __init__(self, test, playbook, inventory, limit=None, tags=None, **variables):
        super().__init__(inventory, playbook=os.path.join(PLAYBOOKS, playbook), limit=limit,
                         cmdline="--tags " + tags if tags else None, **variables)
        test.addCleanup(self.close)

    @property
    def changed(self):
        """The number of tasks that changed something, on all hosts."""
        (stats,) = (event["event_data"] for event in self.events if event["event"] == "playbook_on_stats")
        return sum(stats["changed"].values())
