"""The task `proxmox_operation`: runs the operation that `proxmox_vm_action` names.

It runs inside ansible-playbook. A module would start a Python interpreter for
each task, which takes longer than most of these operations.

The operations are in the package `proxmox`, outside of this directory, because
Ansible treats every file in action_plugins as a plugin, and so that tests can
import the package without Ansible. The package is loaded by its path, so that
the role works in any location and several copies of it do not conflict.
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
    """The variables of the task, templated on access.

    Ansible does not template untrusted text, which is everything that a client sent.
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
            elected = self.elected_host(proxmox, variables, task_vars)
            if elected != task_vars["inventory_hostname"]:
                return {"skipped": True, "skip_reason": "runs on host %s" % elected}
            return proxmox.perform(variables, check_mode=self._task.check_mode)
        except proxmox.OperationFailed as failure:
            # A result rather than an exception, because ansible-core 2.19 would
            # embed the message in a longer one.
            return {"failed": True, "msg": str(failure)}

    def elected_host(self, proxmox, variables, task_vars):
        """The host that runs the operation: selected by node, or by API host for datacenter operations."""
        peers = list(task_vars.get("ansible_play_hosts_all") or [task_vars["inventory_hostname"]])
        if len(peers) == 1:
            return peers[0]
        if str(variables.get("proxmox_vm_action")).startswith("firewall_dc_"):
            # The request may set the API host as an extra variable, which hostvars
            # would return for every host. The inventory tells which host has the
            # credentials for that API host.
            inventory = self._task.get_variable_manager()._inventory
            return proxmox.elected_host(
                peers, variables.get("proxmox_api_host"),
                lambda peer: inventory.get_host(peer).vars.get("proxmox_api_host"))
        hostvars = task_vars["hostvars"]
        return proxmox.elected_host(
            peers, variables.get("proxmox_node"), lambda peer: hostvars[peer].get("proxmox_node"))
