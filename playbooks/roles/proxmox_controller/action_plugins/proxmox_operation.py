"""The task `proxmox_operation`: runs the operation that `proxmox_vm_action` names.

It runs inside ansible-playbook. A module would start a Python interpreter for
each task, which takes longer than most of these operations do.

The work is in the package `proxmox` beside this folder, not in here: Ansible
takes every file of an action_plugins folder for a plugin, and the package can
be imported by tests without Ansible. It is loaded by its place, so that the
role works wherever it stands and two copies of it do not mix.
"""

import importlib.util
import os
import sys
import zlib

from ansible.plugins.action import ActionBase


def load_package():
    folder = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "proxmox")
    name = "proxmox_%08x" % zlib.crc32(folder.encode())
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder])
        package = importlib.util.module_from_spec(spec)
        sys.modules[name] = package
        spec.loader.exec_module(package)
    return sys.modules[name]


class Variables:
    """The task's variables, each templated when it is asked for.

    Ansible leaves untrusted text (everything a client sent) as it is.
    """

    def __init__(self, task_vars, templar):
        self.task_vars = task_vars
        self.templar = templar

    def get(self, name):
        if name not in self.task_vars:
            return None
        return self.templar.template(self.task_vars[name])


class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        proxmox = load_package()
        variables = Variables(task_vars, self._templar)
        try:
            stand_in = proxmox.elected_host(task_vars, variables.get("proxmox_node"))
            if stand_in != task_vars["inventory_hostname"]:
                return {"skipped": True, "skip_reason": "%s does this operation" % stand_in}
            return proxmox.perform(variables, check_mode=self._task.check_mode)
        except proxmox.OperationFailed as failure:
            # A result rather than an exception: ansible-core 2.19 would wrap
            # the one sentence that matters in its own.
            return {"failed": True, "msg": str(failure)}
