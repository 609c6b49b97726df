"""VMs: listing, power, creation and deletion."""

from .connection import OperationFailed
from .operation import present


# ---------------------------------------------------------------------- lists

def vm_list(operation):
    return [operation.result(
        vm_name=vm.get("name"),
        vm_status=vm.get("status"),
        vm_id=vm.get("vmid"),
        vm_uptime=vm.get("uptime"),
        vm_template=int(vm.get("template") or 0),
        vm_tags=vm.get("tags") or "",
        vm_meta=usage(vm),
    ) for vm in vms(operation)]


def vm_list_usage(operation):
    return [operation.result(
        vm_name=vm.get("name"),
        vm_status=vm.get("status"),
        vm_id=vm.get("vmid"),
        vm_uptime=vm.get("uptime"),
        **usage(vm),
    ) for vm in vms(operation)]


def vms(operation):
    return sorted(operation.get(operation.path("qemu")), key=lambda vm: int(vm["vmid"]))


def usage(vm):
    """The metrics of Proxmox; missing ones are null."""
    return {
        "cpu_current_usage": vm.get("cpu"),
        "cpu_allocated": vm.get("cpus"),
        "disk_current_usage": vm.get("disk"),
        "disk_read": vm.get("diskread"),
        "disk_write": vm.get("diskwrite"),
        "disk_max": vm.get("maxdisk"),
        "ram_current_usage": vm.get("mem"),
        "ram_max": vm.get("maxmem"),
        "net_in": vm.get("netin"),
        "net_out": vm.get("netout"),
    }


# ---------------------------------------------------------------------- power

def vm_start(operation):
    return power(operation, "start")


def vm_stop(operation):
    """Asks the guest to shut down, which it may refuse or delay."""
    return power(operation, "shutdown", timeout=operation.integer("proxmox_shutdown_timeout"))


def vm_stop_force(operation):
    return power(operation, "stop", timeout=30)


def vm_pause(operation):
    return power(operation, "suspend")


def vm_resume(operation):
    return power(operation, "resume")


def power(operation, verb, **parameters):
    operation.task("POST", operation.vm_path("status", verb), **parameters)
    vm = operation.vm_status()
    # For a paused VM, `status` is running; only `qmpstatus` is paused.
    return operation.result(
        vm_id=operation.vmid(),
        vm_name=vm.get("name"),
        vm_status=vm.get("qmpstatus") or vm.get("status"),
    )


# ------------------------------------------------------ creation and deletion

def vm_create(operation):
    size, iso = operation.integer("vm_disk_size"), operation.option("vm_iso")
    network = "virtio,bridge=%s" % (operation.option("proxmox_vm_bridge") or "vmbr0")
    disk = "%s:%d" % (image_storage(operation), size) if size else None
    upid = operation.task(
        "POST", operation.path("qemu"),
        vmid=operation.vmid(),
        name=operation.text("vm_name"),
        cpu=operation.text("vm_cpu"),
        cores=operation.integer("vm_cores"),
        sockets=operation.integer("vm_sockets"),
        memory=operation.integer("vm_memory"),
        balloon=0,
        scsihw="virtio-scsi-single" if disk else None,
        scsi0=disk,
        ide2="%s,media=cdrom" % iso if iso else None,
        net0=network,
        # With an empty disk, the VM boots from the CD; after the installation, from the disk.
        boot="order=" + ";".join(device for device, there in (
            ("scsi0", disk), ("ide2", iso), ("net0", True)) if there),
    )
    return operation.result(
        vm_id=int(operation.vmid()),
        vm_name=operation.text("vm_name"),
        vm_cpu=operation.text("vm_cpu"),
        vm_cores=operation.integer("vm_cores"),
        vm_sockets=operation.integer("vm_sockets"),
        vm_memory=operation.integer("vm_memory"),
        vm_net0=network,
        raw_data={"data": upid},
        **present(vm_scsi0=disk, vm_iso=iso),
    )


def image_storage(operation):
    """The storage for VM disks: the requested one, or else the first one for images."""
    wanted = operation.option("proxmox_vm_storage")
    if wanted:
        return wanted
    for storage in sorted(operation.get(operation.path("storage"), content="images", enabled=1),
                          key=lambda item: item["storage"]):
        if storage.get("active", 1):
            return storage["storage"]
    raise OperationFailed("Node %s has no storage for VM disks; name one in proxmox_vm_storage." % operation.node)


def vm_delete(operation):
    name = operation.vm_name()
    upid = operation.task("DELETE", operation.vm_path())
    return operation.result(vm_id=int(operation.vmid()), vm_name=name, raw_data={"data": upid})


def vm_clone(operation):
    new_id, name = operation.vmid("vm_new_id"), operation.text("vm_name")
    description = operation.text("vm_description")
    upid = operation.task(
        "POST", operation.vm_path("clone"), newid=new_id, name=name, description=description, full=1)
    return operation.result(
        vm_id=new_id,
        vm_id_clone_from=operation.vmid(),
        vm_name=name,
        vm_description=description,
        raw_info={"data": upid},
    )
