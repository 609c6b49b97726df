"""The table of all operations: module, required variables, and whether the operation changes anything."""

from importlib import import_module
from typing import NamedTuple


class Action(NamedTuple):
    domain: str
    needs: tuple = ()
    changes: bool = True

    def function(self, name):
        """The function of the operation, which has the same name."""
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

    "vm_get_config": reads("config", "vm_id"),
    "vm_get_config_cdrom": reads("config", "vm_id"),
    "vm_get_config_cpu": reads("config", "vm_id"),
    "vm_get_config_ram": reads("config", "vm_id"),
    "vm_set_tag": changes("config", "vm_id", "vm_tag_name"),
    "vm_set_cloud_init": changes("config", "vm_id"),

    "snapshot_vm_list": reads("snapshots", "vm_id"),
    "snapshot_vm_create": changes("snapshots", "vm_id", "vm_snapshot_name"),
    "snapshot_vm_delete": changes("snapshots", "vm_id", "vm_snapshot_name"),
    "snapshot_vm_revert": changes("snapshots", "vm_id", "vm_snapshot_name"),

    "firewall_dc_enable": changes("firewall"),
    "firewall_dc_disable": changes("firewall"),
    "firewall_node_enable": changes("firewall"),
    "firewall_node_disable": changes("firewall"),
    "firewall_vm_enable": changes("firewall", "vm_id"),
    "firewall_vm_disable": changes("firewall", "vm_id"),
    "firewall_vm_list_iptables_rule": reads("firewall", "vm_id"),
    "firewall_vm_apply_iptables_rule": changes("firewall", "vm_id", "vm_fw_action", "vm_fw_type"),
    "firewall_vm_delete_iptables_rule": changes("firewall", "vm_id", "vm_fw_pos"),
    "firewall_vm_list_iptables_alias": reads("firewall", "vm_id"),
    "firewall_vm_add_iptables_alias": changes("firewall", "vm_id", "vm_fw_alias_name", "vm_fw_alias_cidr"),
    "firewall_vm_delete_iptables_alias": changes("firewall", "vm_id", "vm_fw_alias_name"),

    "network_list_interfaces_node": reads("network"),
    "network_add_interfaces_node": changes("network", "iface_name", "iface_type"),
    "network_delete_interfaces_node": changes("network", "iface_name"),
    "network_list_interfaces_vm": reads("network", "vm_id"),
    "network_add_interfaces_vm": changes("network", "vm_id"),
    "network_delete_interfaces_vm": changes("network", "vm_id", "vm_vmnet_id"),

    "storage_list": reads("storage"),
    "storage_list_iso": reads("storage"),
    "storage_list_template": reads("storage"),
    "storage_download_iso": changes("storage", "proxmox_storage", "iso_file_name", "iso_url"),
}
