"""Which jobs may run warm, and when this process must not be forked any more.

Ansible reads its configuration when it is imported. A fork has it from the
server, so it may only serve a job that would read the same; any other job gets a
new ansible-playbook, which costs the usual time and nothing else.
"""

import os
import sys

from .kernel import RUN_ID

# These name the run and are different in each. Ansible's copies of them are set
# again in every fork.
OF_THE_RUN = {RUN_ID, "AWX_ISOLATED_DATA_DIR", "ANSIBLE_CACHE_PLUGIN_CONNECTION", "TMPDIR", "ANSIBLE_LOCAL_TEMP"}


class Fitness:
    """What held when Ansible was imported, to compare jobs and the disk with."""

    def __init__(self, environment):
        self.environment = of_no_run(environment)
        self.stamps = {path: stamp(path) for path in self.watched()}

    def watched(self):
        """Files and folders that change when Ansible, its packages or its settings do.

        An edit inside an installed package is not seen; installing one is.
        """
        import ansible
        home = self.environment.get("HOME", "/")
        config = self.environment.get("ANSIBLE_CONFIG", "")
        return {
            os.path.realpath(sys.executable), os.path.join(sys.prefix, "pyvenv.cfg"),
            *(path for path in sys.path if path), os.path.dirname(ansible.__file__),
            os.path.dirname(__file__), *filter(None, [config]), os.path.join(config, "ansible.cfg"),
            os.path.join(home, ".ansible.cfg"), "/etc/ansible/ansible.cfg",
        }

    def why_cold(self, command, environment, folder):
        """Why this job needs an ansible-playbook of its own; None if it does not."""
        if os.path.basename(command) != "ansible-playbook":
            return "it runs %s" % os.path.basename(command)
        if os.path.lexists(os.path.join(folder, "ansible.cfg")):
            return "its playbook folder has an ansible.cfg"
        names = sorted(name for name, _ in self.environment.items() ^ of_no_run(environment).items())
        if names:
            return "its environment differs in %s" % ", ".join(dict.fromkeys(names))
        return None

    def why_stale(self):
        """What has changed on disk since Ansible was imported; None if nothing has."""
        for path, before in self.stamps.items():
            if stamp(path) != before:
                return "%s has changed" % path
        return None


def of_no_run(environment):
    return {name: value for name, value in environment.items() if name not in OF_THE_RUN}


def stamp(path):
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
