"""The configuration of one VM."""

import re

DRIVE = re.compile(r"(?:ide|sata|scsi|virtio)[0-9]+")


def options(value):
    """`first,key=value,…` of a Proxmox property string, as (first, {key: value})."""
    first, *rest = str(value).split(",")
    return first, dict(part.partition("=")[::2] for part in rest)


def vm_get_config(operation):
    return operation.result(vm_id=operation.vmid(), raw_data={"data": operation.vm_config()})


def vm_get_config_cdrom(operation):
    """The CD drive of the VM; members are null if it has none.

    A cloud-init drive is a CD drive too, so other CD drives take precedence.
    """
    drives = []
    for device, value in sorted(operation.vm_config().items()):
        if DRIVE.fullmatch(device):
            disc, settings = options(value)
            if settings.get("media") == "cdrom":
                drives.append(("cloudinit" in disc, device, disc, settings))
    _, device, disc, settings = min(drives, key=lambda drive: drive[:2], default=(None, None, None, {}))
    return operation.result(
        vm_id=operation.vmid(),
        vm_cdrom_device=device,
        vm_cdrom_iso=disc,
        vm_cdrom_media=settings.get("media"),
        vm_cdrom_size=settings.get("size"),
    )


def vm_get_config_cpu(operation):
    """`vm_arch` is the CPU type; clients know it under this name."""
    config = operation.vm_config()
    return operation.result(
        vm_id=operation.vmid(),
        vm_arch=config.get("cpu"),
        vm_cores=config.get("cores"),
        vm_sockets=config.get("sockets"),
    )


def vm_get_config_ram(operation):
    memory = operation.vm_config().get("memory")
    return operation.result(
        vm_id=operation.vmid(),
        vm_ram_allocated=None if memory is None else str(memory),
    )


def vm_set_tag(operation):
    tags = operation.text("vm_tag_name")
    operation.configure(tags=tags)
    return operation.result(vm_id=operation.vmid(), tags=tags)


def vm_set_cloud_init(operation):
    """Sets the name, IP configuration, description and tags of a new clone."""
    address = operation.option("vm_ci_ip")
    gateway = operation.option("vm_ci_gateway")
    network = None
    if address:
        network = "ip=" + (address if "/" in address else address + "/24")
        network += ",gw=" + gateway if gateway else ""
    operation.configure(
        name=operation.text("vm_name"),
        ipconfig0=network,
        description=operation.text("vm_description"),
        tags=operation.text("vm_tag_name"),
    )
    return operation.result(
        vm_id=operation.vmid(),
        vm_name=operation.text("vm_name"),
        vm_ci_ip=address,
        vm_description=operation.text("vm_description"),
        tags=operation.text("vm_tag_name"),
    )
