"""Which jobs can use a fork, and when the server is out of date.

Ansible reads its configuration at import. A fork inherits the configuration of
the server, so a job whose configuration differs gets a new ansible-playbook
process, which is slower but otherwise equal.
"""

import os
import stat
import sys

from .kernel import RUN_ID

# Variables that differ between runs. The settings that Ansible derives from them
# are evaluated again in every fork.
RUN_VARIABLES = {RUN_ID, "AWX_ISOLATED_DATA_DIR", "ANSIBLE_CACHE_PLUGIN_CONNECTION", "TMPDIR", "ANSIBLE_LOCAL_TEMP"}


class Compatibility:
    """The environment and files that Ansible was imported with."""

    def __init__(self, environment):
        self.environment = without_run_variables(environment)
        self.stamps = {path: stamp(path) for path in self.watched()}

    def watched(self):
        """Files and directories that change if Ansible, its packages or its settings change.

        Installing a package is detected; editing a file of an installed package is not.
        """
        own = os.path.dirname(__file__)
        import ansible
        home = self.environment.get("HOME", "/")
        config = self.environment.get("ANSIBLE_CONFIG", "")
        return {
            os.path.realpath(sys.executable), os.path.join(sys.prefix, "pyvenv.cfg"),
            *(path for path in sys.path if path), os.path.dirname(ansible.__file__),
            own, *(entry.path for entry in os.scandir(own) if entry.is_file()), *filter(None, [config]), os.path.join(config, "ansible.cfg"),
            os.path.join(home, ".ansible.cfg"), "/etc/ansible/ansible.cfg",
        }

    def why_cold(self, command, environment, folder):
        """The reason why this job needs a new ansible-playbook process, or None."""
        if os.path.basename(command) != "ansible-playbook":
            return "it runs %s" % os.path.basename(command)
        if os.path.lexists(os.path.join(folder, "ansible.cfg")):
            return "its project directory has an ansible.cfg"
        names = sorted(name for name, _ in self.environment.items() ^ without_run_variables(environment).items())
        if names:
            return "its environment differs in %s" % ", ".join(dict.fromkeys(names))
        return None

    def why_stale(self):
        """What has changed on disk since Ansible was imported, or None."""
        for path, before in self.stamps.items():
            if stamp(path) != before:
                return "%s has changed" % path
        return None


def without_run_variables(environment):
    return {name: value for name, value in environment.items() if name not in RUN_VARIABLES}


def stamp(path):
    """What changes if the file or directory does. The time of a directory is not part of it: that
    also changes if any Python process stores compiled files there."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            return status.st_ino, sorted(name for name in os.listdir(path) if name != "__pycache__")
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
