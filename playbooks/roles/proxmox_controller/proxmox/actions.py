"""The table of all operations: where each is, what it needs, whether it changes anything."""

from importlib import import_module
from typing import NamedTuple


class Action(NamedTuple):
    domain: str
    needs: tuple = ()
    changes: bool = True

    def function(self, name):
        """The operation's function; it has the operation's name."""
        return getattr(import_module("." + self.domain, __package__), name)


def reads(domain, *needs):
    return Action(domain, needs, changes=False)


def changes(domain, *needs):
    return Action(domain, needs)


ACTIONS = {
    "vm_list": reads("guests"),
    "vm_list_usage": reads("guests"),
    "vm_start": changes("guests", "vm_id"),
    "vm_stop": changes("guests", "vm_id"),
    "vm_stop_force": changes("guests", "vm_id"),
    "vm_pause": changes("guests", "vm_id"),
    "vm_resume": changes("guests", "vm_id"),
    "vm_create": changes("guests", "vm_id", "vm_cpu", "vm_cores", "vm_sockets", "vm_memory"),
    "vm_delete": changes("guests", "vm_id"),
    "vm_clone": changes("guests", "vm_id", "vm_new_id"),
}
