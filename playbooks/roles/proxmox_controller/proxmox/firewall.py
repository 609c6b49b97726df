"""The firewall of the datacenter, of a node, and of one VM."""

from .connection import api_path
from .operation import present

# The names of the fields of a rule: in Proxmox, and in variables and results.
RULE = {
    "type": "vm_fw_type",
    "action": "vm_fw_action",
    "enable": "vm_fw_enable",
    "iface": "vm_fw_iface",
    "source": "vm_fw_source",
    "dest": "vm_fw_dest",
    "proto": "vm_fw_proto",
    "dport": "vm_fw_dport",
    "sport": "vm_fw_sport",
    "comment": "vm_fw_comment",
    "log": "vm_fw_log",
}


# ------------------------------------------------------------------ on and off

def firewall_dc_enable(operation):
    return datacenter(operation, True)


def firewall_dc_disable(operation):
    return datacenter(operation, False)


def datacenter(operation, on):
    operation.send("PUT", api_path("cluster", "firewall", "options"), enable=int(on))
    return operation.result(dc_firewall=word(on))


def firewall_node_enable(operation):
    return node(operation, True)


def firewall_node_disable(operation):
    return node(operation, False)


def node(operation, on):
    operation.send("PUT", operation.path("firewall", "options"), enable=int(on))
    return operation.result(node_firewall=word(on))


def firewall_vm_enable(operation):
    return vm(operation, True)


def firewall_vm_disable(operation):
    return vm(operation, False)


def vm(operation, on):
    name = known_vm(operation)
    operation.send("PUT", operation.vm_path("firewall", "options"), enable=int(on))
    return operation.result(vm_id=int(operation.vmid()), vm_name=name, vm_firewall=word(on))


def word(on):
    return "enabled" if on else "disabled"


def known_vm(operation):
    """The name of the VM. Fails if it does not exist: the firewall API of Proxmox accepts any VM ID."""
    actual = operation.vm_status().get("name")
    return operation.text("vm_name") or actual


# ----------------------------------------------------------------------- rules

def firewall_vm_list_iptables_rule(operation):
    known_vm(operation)
    return [operation.result(
        vm_id=operation.vmid(),
        vm_fw_action=rule.get("action"),
        vm_fw_type=rule.get("type"),
        vm_fw_enable=int(rule.get("enable") or 0),
        vm_fw_pos=rule.get("pos"),
        **present(**{ours: rule.get(theirs) for theirs, ours in RULE.items()
                     if theirs not in ("action", "type", "enable")}),
    ) for rule in operation.get(operation.vm_path("firewall", "rules"))]


def firewall_vm_apply_iptables_rule(operation):
    known_vm(operation)
    rule = {theirs: operation.text(ours) for theirs, ours in RULE.items()}
    rule["enable"] = operation.integer("vm_fw_enable")
    for ports in ("dport", "sport"):
        # Proxmox separates the ends of a port range with a colon.
        rule[ports] = rule[ports] and rule[ports].replace("-", ":")
    operation.send("POST", operation.vm_path("firewall", "rules"), **rule)
    position = operation.integer("vm_fw_pos") or 0
    if position:
        # Proxmox inserts every new rule at position 0 and ignores `pos`.
        # `moveto` refers to the positions before the move.
        operation.send("PUT", operation.vm_path("firewall", "rules", 0), moveto=position + 1)
    return operation.result(
        vm_id=operation.vmid(),
        vm_fw_pos=position,
        **present(**{ours: rule[theirs] for theirs, ours in RULE.items()}),
    )


def firewall_vm_delete_iptables_rule(operation):
    known_vm(operation)
    position = operation.integer("vm_fw_pos")
    operation.send("DELETE", operation.vm_path("firewall", "rules", position))
    return operation.result(vm_id=operation.vmid(), vm_fw_pos=position)


# --------------------------------------------------------------------- aliases

def firewall_vm_list_iptables_alias(operation):
    known_vm(operation)
    return [operation.result(
        vm_id=operation.vmid(),
        vm_fw_alias_name=alias.get("name"),
        vm_fw_alias_cidr=alias.get("cidr"),
        vm_fw_alias_comment=alias.get("comment"),
    ) for alias in operation.get(operation.vm_path("firewall", "aliases"))]


def firewall_vm_add_iptables_alias(operation):
    known_vm(operation)
    name, cidr = operation.text("vm_fw_alias_name"), operation.text("vm_fw_alias_cidr")
    comment = operation.text("vm_fw_alias_comment")
    operation.send("POST", operation.vm_path("firewall", "aliases"), name=name, cidr=cidr, comment=comment)
    return operation.result(
        vm_id=operation.vmid(),
        vm_fw_alias_name=name,
        vm_fw_alias_cidr=cidr,
        vm_fw_alias_comment=comment,
    )


def firewall_vm_delete_iptables_alias(operation):
    known_vm(operation)
    name = operation.text("vm_fw_alias_name")
    # Deleting an alias that does not exist succeeds in Proxmox; reading it fails.
    operation.get(operation.vm_path("firewall", "aliases", name))
    operation.send("DELETE", operation.vm_path("firewall", "aliases", name))
    return operation.result(vm_id=operation.vmid(), vm_fw_alias_name=name)
