"""The members of each operation's result on which clients rely, and their types.

They were measured on the platform's Python service. `?` after a type means that
the value may be null; `?` after a name means that the member may be missing.
"""

TYPES = {"text": str, "int": int, "number": (int, float), "object": dict}

COMMON = "action:text source:text proxmox_node:text "
VM = COMMON + "vm_id:text "
POWER = VM + "vm_name:text vm_status:text"
USAGE = ("cpu_current_usage:number cpu_allocated:int disk_current_usage:int disk_read:int? disk_write:int? "
         "disk_max:int ram_current_usage:int ram_max:int net_in:int net_out:int")
LISTED = "vm_name:text vm_status:text vm_id:int vm_uptime:int "
RULE = VM + ("vm_fw_action:text vm_fw_type:text vm_fw_enable:int vm_fw_pos:int vm_fw_iface?:text vm_fw_source?:text "
             "vm_fw_dest?:text vm_fw_proto?:text vm_fw_dport?:text vm_fw_sport?:text vm_fw_comment?:text "
             "vm_fw_log?:text")
SNAPSHOT = COMMON + "vm_id:int vm_name:text vm_snapshot_name:text raw_data:object"

MEMBERS = {
    "vm_list": COMMON + LISTED + "vm_template:int vm_tags:text vm_meta:object",
    "vm_list_usage": LISTED + USAGE,
    "vm_start": POWER, "vm_stop": POWER, "vm_stop_force": POWER, "vm_pause": POWER, "vm_resume": POWER,
    "vm_create": COMMON + "vm_id:int vm_name:text vm_cpu:text vm_cores:int vm_sockets:int vm_memory:int "
                          "vm_scsi0?:text vm_net0:text raw_data:object",
    "vm_delete": COMMON + "vm_id:int vm_name:text raw_data:object",
    "vm_clone": VM + "vm_id_clone_from:text vm_name:text vm_description:text raw_info:object",
    "vm_get_config": VM + "raw_data:object",
    "vm_get_config_cdrom": VM + "vm_cdrom_device:text? vm_cdrom_iso:text? vm_cdrom_media:text? vm_cdrom_size:text?",
    "vm_get_config_cpu": VM + "vm_arch:text? vm_cores:int? vm_sockets:int?",
    "vm_get_config_ram": VM + "vm_ram_allocated:text?",
    "vm_set_tag": VM + "tags:text",
    "vm_set_cloud_init": VM + "vm_name:text? vm_ci_ip:text? vm_description:text? tags:text?",
    "snapshot_vm_list": VM + "vm_snapshot_name:text vm_snapshot_description:text? vm_snapshot_parent:text? "
                             "vm_snapshot_time?:int",
    "snapshot_vm_create": SNAPSHOT + " vm_snapshot_description:text?",
    "snapshot_vm_delete": SNAPSHOT, "snapshot_vm_revert": SNAPSHOT,
    "firewall_dc_enable": COMMON + "dc_firewall:text", "firewall_dc_disable": COMMON + "dc_firewall:text",
    "firewall_node_enable": COMMON + "node_firewall:text", "firewall_node_disable": COMMON + "node_firewall:text",
    "firewall_vm_enable": COMMON + "vm_id:int vm_name:text vm_firewall:text",
    "firewall_vm_disable": COMMON + "vm_id:int vm_name:text vm_firewall:text",
    "firewall_vm_list_iptables_rule": RULE, "firewall_vm_apply_iptables_rule": RULE,
    "firewall_vm_delete_iptables_rule": VM + "vm_fw_pos:int",
    "firewall_vm_list_iptables_alias": VM + "vm_fw_alias_name:text vm_fw_alias_cidr:text vm_fw_alias_comment:text?",
    "firewall_vm_add_iptables_alias": VM + "vm_fw_alias_name:text vm_fw_alias_cidr:text vm_fw_alias_comment:text?",
    "firewall_vm_delete_iptables_alias": VM + "vm_fw_alias_name:text",
    "network_list_interfaces_node": COMMON + "iface:text iface_type:text iface_active:int iface_exists:int "
                                             "iface_priority:int iface_autostart?:int iface_bridge_ports?:text "
                                             "ip_settings_method:text ip_settings_method6:text "
                                             "ip_settings_address?:text ip_settings_cidr?:text",
    "network_add_interfaces_node": COMMON + "iface_name:text iface_type:text iface_autostart:int ip_address?:text "
                                            "ip_netmask?:text ip_gateway?:text bridge_ports?:text ovs_bridge?:text",
    "network_delete_interfaces_node": COMMON + "iface_name:text",
    "network_list_interfaces_vm": VM + "vm_network_device:text vm_network_type:text vm_network_mac:text? "
                                       "vm_network_bridge:text? vm_network_firewall:text?",
    "network_add_interfaces_vm": COMMON + "vm_id:int vm_vmnet_id:int iface_model:text",
    "network_delete_interfaces_vm": VM + "vm_vmnet_id:int",
    "storage_list": COMMON + "storage_name:text storage_type:text storage_active:int storage_space_available:int? "
                             "storage_space_total:int? storage_space_used:int? storage_space_used_fraction:number? "
                             "storage_content_types:text storage_is_enable:int storage_is_share:int",
    "storage_list_iso": COMMON + "storage_name:text iso_content:text iso_format:text iso_ctime:int iso_size:int "
                                 "iso_vol_id:text",
    "storage_list_template": COMMON + "storage_name:text template_content:text template_format:text "
                                      "template_ctime:int template_size:int template_vol_id:text",
    "storage_download_iso": COMMON + "proxmox_storage:text iso_file_content_type:text iso_file_name:text "
                                     "iso_url:text raw_info:object",
}

LISTS = {"vm_list", "vm_list_usage", "snapshot_vm_list", "firewall_vm_list_iptables_rule",
         "firewall_vm_list_iptables_alias", "network_list_interfaces_node", "network_list_interfaces_vm",
         "storage_list", "storage_list_iso", "storage_list_template"}


def faults_in(action, result):
    """The errors in a result, one sentence each."""
    if (action in LISTS) != isinstance(result, list):
        return ["%s is %s" % (action, type(result).__name__)]
    return [fault for item in (result if action in LISTS else [result]) for fault in item_faults(action, item)]


def item_faults(action, item):
    if item.get("action", action) != action or item.get("source", "proxmox") != "proxmox":
        yield "it calls itself %(action)s from %(source)s" % item
    for member in MEMBERS[action].split():
        name, _, kind = member.partition(":")
        optional, nullable = name.endswith("?"), kind.endswith("?")
        name = name.rstrip("?")
        if name not in item:
            if not optional:
                yield "%s is missing" % name
        elif item[name] is None:
            if not nullable:
                yield "%s is null" % name
        elif not isinstance(item[name], TYPES[kind.rstrip("?")]) or isinstance(item[name], bool):
            yield "%s is %r, not %s" % (name, item[name], kind)
