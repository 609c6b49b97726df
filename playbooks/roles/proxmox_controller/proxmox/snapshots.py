"""Snapshots of one VM."""

from .operation import present


def snapshot_vm_list(operation):
    # Proxmox lists the current state of the VM as a snapshot named `current`.
    return [operation.result(
        vm_id=operation.vmid(),
        vm_snapshot_name=snapshot["name"],
        vm_snapshot_description=snapshot.get("description"),
        vm_snapshot_parent=snapshot.get("parent"),
        **present(vm_snapshot_time=snapshot.get("snaptime")),
    ) for snapshot in operation.get(operation.vm_path("snapshot")) if snapshot["name"] != "current"]


def snapshot_vm_create(operation):
    name, description = operation.text("vm_snapshot_name"), operation.text("vm_snapshot_description")
    vm_name = operation.vm_name()
    upid = operation.task("POST", operation.vm_path("snapshot"), snapname=name, description=description)
    return outcome(operation, vm_name, upid, vm_snapshot_description=description)


def snapshot_vm_delete(operation):
    vm_name = operation.vm_name()
    upid = operation.task("DELETE", operation.vm_path("snapshot", operation.text("vm_snapshot_name")))
    return outcome(operation, vm_name, upid)


def snapshot_vm_revert(operation):
    vm_name = operation.vm_name()
    upid = operation.task("POST", operation.vm_path("snapshot", operation.text("vm_snapshot_name"), "rollback"))
    return outcome(operation, vm_name, upid)


def outcome(operation, vm_name, upid, **members):
    return operation.result(
        vm_id=int(operation.vmid()),
        vm_name=vm_name,
        vm_snapshot_name=operation.text("vm_snapshot_name"),
        raw_data={"data": upid},
        **members,
    )
