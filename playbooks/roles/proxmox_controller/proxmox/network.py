"""Network interfaces of a node, and network cards of a VM."""

import re

from .config import options
from .connection import OperationFailed
from .operation import present

CARD = re.compile(r"net[0-9]+")
CARDS = 32

# The VLANs of a trunk without a list: all that Proxmox can tag.
ALL_VLANS = "2-4094"


# ------------------------------------------------------------------------ node

def network_list_interfaces_node(operation):
    return [operation.result(
        iface=item.get("iface"),
        iface_type=item.get("type"),
        iface_active=int(item.get("active") or 0),
        iface_exists=int(item.get("exists") or 0),
        iface_priority=item.get("priority"),
        ip_settings_method=item.get("method"),
        ip_settings_method6=item.get("method6"),
        **present(
            iface_autostart=item.get("autostart"),
            iface_bridge_fd=item.get("bridge_fd"),
            iface_bridge_ports=item.get("bridge_ports"),
            iface_bridge_stp=item.get("bridge_stp"),
            ip_settings_address=item.get("address"),
            ip_settings_cidr=item.get("cidr"),
            ip_settings_gateway=item.get("gateway"),
            ip_settings_netmask=item.get("netmask"),
        ),
    ) for item in operation.get(operation.path("network"))]


def network_add_interfaces_node(operation):
    """Adds an interface to the configuration of the node. It takes effect when the configuration is applied."""
    interface = {
        "iface": operation.text("iface_name"),
        "type": operation.text("iface_type"),
        "autostart": operation.integer("iface_autostart"),
        "address": operation.text("ip_address"),
        "netmask": netmask(operation.text("ip_netmask")),
        "gateway": operation.text("ip_gateway"),
        "bridge_ports": operation.text("bridge_ports"),
        "ovs_bridge": operation.text("ovs_bridge"),
    }
    operation.send("POST", operation.path("network"), **interface)
    return operation.result(
        iface_name=interface["iface"],
        iface_type=interface["type"],
        iface_autostart=interface["autostart"] or 0,
        **present(
            ip_address=interface["address"],
            ip_netmask=interface["netmask"],
            ip_gateway=interface["gateway"],
            bridge_ports=interface["bridge_ports"],
            ovs_bridge=interface["ovs_bridge"],
        ),
    )


def netmask(mask):
    """Converts `/24` to the dotted form, which Proxmox requires."""
    if not mask or not mask.startswith("/"):
        return mask
    length = int(mask[1:]) if mask[1:].isdigit() else 33
    if length > 32:
        raise OperationFailed("ip_netmask %s is not a netmask." % mask)
    bits = (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF
    return ".".join(str(bits >> shift & 255) for shift in (24, 16, 8, 0))


def network_delete_interfaces_node(operation):
    name = operation.text("iface_name")
    operation.send("DELETE", operation.path("network", name))
    return operation.result(iface_name=name)


# -------------------------------------------------------------------------- VM

def cards(operation):
    config = operation.vm_config()
    return {int(key[3:]): config[key] for key in config if CARD.fullmatch(key)}


def network_list_interfaces_vm(operation):
    items = []
    for number, value in sorted(cards(operation).items()):
        first, settings = options(value)
        # The first part is `model=MAC`, or the model alone.
        model, _, mac = first.partition("=")
        items.append(operation.result(
            vm_id=operation.vmid(),
            vm_network_device="net%d" % number,
            vm_network_type=model,
            vm_network_mac=mac or settings.get("macaddr"),
            vm_network_bridge=settings.get("bridge"),
            vm_network_firewall=settings.get("firewall"),
            **present(vm_network_tag=settings.get("tag")),
        ))
    return items


def network_add_interfaces_vm(operation):
    """Adds a network card to the VM, or replaces the card with the same number."""
    number = operation.integer("vm_vmnet_id")
    if number is None:
        taken = cards(operation)
        number = next((free for free in range(CARDS) if free not in taken), None)
        if number is None:
            raise OperationFailed("VM %s already has the maximum of %d network cards." % (operation.vmid(), CARDS))
    model, mac = operation.option("iface_model") or "virtio", operation.option("iface_macaddr")
    rate = operation.number("iface_rate")
    settings = present(
        bridge=operation.option("iface_bridge"),
        tag=operation.integer("iface_tag"),
        trunks=ALL_VLANS if operation.flag("iface_trunks") else None,
        rate=int(rate) if rate is not None and rate.is_integer() else rate,
        queues=operation.integer("iface_queues"),
        mtu=operation.integer("iface_mtu"),
        link_down=switch(operation.flag("iface_link_down")),
        firewall=switch(operation.flag("iface_firewall")),
    )
    card = ",".join([model + ("=" + mac if mac else "")] + ["%s=%s" % item for item in settings.items()])
    operation.configure(**{"net%d" % number: card})
    return operation.result(
        vm_id=int(operation.vmid()),
        vm_vmnet_id=number,
        iface_model=model,
        **present(iface_macaddr=mac),
        **{"iface_" + name: value for name, value in settings.items()},
    )


def switch(on):
    return None if on is None else int(on)


def network_delete_interfaces_vm(operation):
    number = operation.integer("vm_vmnet_id")
    # Deleting a card that does not exist succeeds in Proxmox.
    if number not in cards(operation):
        raise OperationFailed("VM %s has no network card net%d." % (operation.vmid(), number))
    operation.send("PUT", operation.vm_path("config"), delete="net%d" % number)
    return operation.result(vm_id=operation.vmid(), vm_vmnet_id=number)
