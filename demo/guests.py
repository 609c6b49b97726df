"""The content of the demo's Proxmox: VMs, containers, snapshots, ISO images, templates, storages."""

import time

GIB = 1024 ** 3
DAY = 86400

# name, tags, status, cores, MiB of memory, GiB of disk, days since start
VMS = {
    1000: ("gateway", "admin", "running", 2, 2048, 16, 12),
    1001: ("directory", "admin", "running", 2, 4096, 32, 12),
    1002: ("monitoring", "admin", "running", 4, 8192, 64, 9),
    1003: ("backup", "admin", "stopped", 2, 2048, 128, 0),
    1010: ("analyst-01", "student", "running", 2, 4096, 32, 1),
    1011: ("analyst-02", "student", "paused", 2, 4096, 32, 1),
    1012: ("analyst-03", "student", "stopped", 2, 4096, 32, 0),
    1020: ("webshop", "vuln", "running", 1, 1024, 8, 3),
    1021: ("intranet", "vuln", "running", 2, 2048, 16, 3),
    1022: ("old-mail", "vuln", "stopped", 1, 512, 8, 0),
    1023: ("plant-hmi", "ot;vuln", "paused", 1, 1024, 8, 2),
}
# Additional VMs, so that each example of the API has its own guests.
MORE_VMS = {
    1013: ("analyst-04", "student", "paused", 2, 4096, 32, 1),
    1014: ("analyst-05", "student", "stopped", 2, 4096, 32, 0),
    1015: ("analyst-06", "student", "running", 2, 4096, 32, 1),
    1016: ("analyst-07", "student", "running", 2, 4096, 32, 1),
    1017: ("analyst-08", "student", "running", 2, 4096, 32, 1),
    1018: ("analyst-09", "student", "running", 2, 4096, 32, 1),
    1019: ("analyst-10", "student", "running", 2, 4096, 32, 1),
    1024: ("printer", "ot;vuln", "stopped", 1, 512, 8, 0),
    1025: ("kiosk", "ot;vuln", "stopped", 1, 512, 8, 0),
}
# The VMs that the bundles in playbooks/bundles create, with the names and tags of their vms.yml.
GROUPS = {
    "admin": (5000, ("admin-wazuh", "admin-web-api-kong", "admin-web-builder-api", "admin-web-deployer-ui",
                     "admin-web-emp")),
    "vuln": (5100, ("vuln-box-00", "vuln-box-01", "vuln-box-02", "vuln-box-03", "vuln-box-04")),
    "student": (5200, ("student-box-01",)),
}
CONTAINERS = {1100: ("resolver", "admin", "running"), 1101: ("scoreboard", "admin", "stopped")}
# A second node with one VM makes it a cluster.
OTHER_NODE = "px-testing-2"
OTHER_VM = (1200, "standby", "admin", "stopped", 2, 2048, 16, 0)
TEMPLATE = 9000
WITH_SNAPSHOTS = 1020

ISOS = {"debian-12.11.0-amd64-netinst.iso": 702, "ubuntu-24.04.2-live-server-amd64.iso": 3060,
        "virtio-win-0.1.271.iso": 693}
TEMPLATES = {"debian-12-standard_12.7-1_amd64.tar.zst": 121, "alpine-3.21-default_20241217_amd64.tar.xz": 3}


def furnish(pve, node, small=False):
    """Adds nodes, storages and guests to an empty fake; fewer guests if `small`."""
    pve.nodes = {node: {"online": True}, OTHER_NODE: {"online": True}}
    pve.storages = {
        "local": {"type": "dir", "path": "/var/lib/vz", "content": "iso,vztmpl,backup,snippets", "active": 1,
                  "files": set(), "total": 200 * GIB, "avail": 180 * GIB},
        "local-lvm": {"type": "lvmthin", "vgname": "pve", "thinpool": "data", "content": "images,rootdir",
                      "active": 1, "files": set(), "total": 2048 * GIB, "avail": 1500 * GIB},
        "library": {"type": "nfs", "server": "192.0.2.20", "export": "/srv/library", "path": "/mnt/pve/library",
                    "content": "iso,vztmpl", "shared": 1, "active": 1, "files": set(),
                    "total": 4096 * GIB, "avail": 3000 * GIB},
        "archive": {"type": "nfs", "server": "192.0.2.21", "export": "/srv/archive", "path": "/mnt/pve/archive",
                    "content": "backup", "shared": 1, "active": 0, "disable": 1, "files": set()},
    }
    for storage in ("local", "library"):
        for name, mebibytes in ISOS.items():
            pve.store_file(storage, name, mebibytes * 1024 ** 2)
        for name, mebibytes in TEMPLATES.items():
            pve.store_file(storage, name, mebibytes * 1024 ** 2, content="vztmpl")
    for number, vm in {**VMS, **({} if small else MORE_VMS)}.items():
        add_vm(pve, node, number, *vm)
    add_vm(pve, OTHER_NODE, *OTHER_VM)
    for number, (name, tags, status) in CONTAINERS.items():
        pve.add_ct(number, name, node=node, status=status, config={
            "hostname": name, "tags": tags, "ostype": "debian", "cores": 1, "memory": 512, "swap": 0,
            "rootfs": "local-lvm:vm-%d-disk-0,size=4G" % number,
            "net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:%02X:%02X,ip=dhcp,type=veth" % divmod(number, 256)})
    add_template(pve, node)
    add_snapshots(pve.vm(WITH_SNAPSHOTS))
    add_second_card(pve.vm(1001))
    add_firewall(pve.firewall_config("vm", vmid=1000))
    for tag, (first, names) in ({} if small else GROUPS).items():
        for number, name in enumerate(names, first):
            add_vm(pve, node, number, name, tag, "running", 2, 2048, 8, 5)
            add_snapshots(pve.vm(number))


def add_vm(pve, node, number, name, tags, status, cores, memory, disk, days):
    running = status != "stopped"
    vm = pve.add_vm(
        number, name, node=node, status="running" if running else "stopped", qmpstatus=status,
        config={
            "name": name, "tags": tags, "description": "Part of the demo range.", "ostype": "l26",
            "cores": cores, "sockets": 1, "cpu": "host", "memory": memory, "numa": 0, "agent": "1",
            "scsihw": "virtio-scsi-single", "boot": "order=scsi0;ide2;net0",
            "scsi0": "local-lvm:vm-%d-disk-0,iothread=1,size=%dG" % (number, disk),
            "ide2": "local:iso/debian-12.11.0-amd64-netinst.iso,media=cdrom,size=702M",
            "net0": "virtio=BC:24:11:00:%02X:%02X,bridge=vmbr0,firewall=1" % divmod(number, 256),
        })
    vm.start_secs, vm.stop_secs, vm.shutdown_secs = 0.4, 0.4, 2
    if running:
        vm.started_at = time.time() - days * DAY
        used = memory * 1024 ** 2
        vm.stats = {"cpu": 0.01 * (number % 7 + 1), "mem": used // 2 + used // 10 * (number % 4),
                    "netin": number * 91_000, "netout": number * 37_000}


def add_template(pve, node):
    """Adds a Debian template with cloud-init, for the bundles that create VMs."""
    vm = pve.add_vm(
        TEMPLATE, "debian-12-cloud", node=node, template=True,
        config={
            "name": "debian-12-cloud", "template": 1, "tags": "template", "ostype": "l26", "cores": 2, "sockets": 1,
            "cpu": "x86-64-v2-AES", "memory": 2048, "agent": "1", "scsihw": "virtio-scsi-single",
            "boot": "order=scsi0", "scsi0": "local-lvm:base-%d-disk-0,size=8G" % TEMPLATE,
            "ide2": "local-lvm:vm-%d-cloudinit,media=cdrom,size=4M" % TEMPLATE, "ciuser": "range",
            "ipconfig0": "ip=dhcp", "serial0": "socket", "vga": "serial0",
            "net0": "virtio=BC:24:11:00:90:00,bridge=vmbr0,firewall=1",
        })
    vm.start_secs = 0.4


def add_snapshots(vm):
    """Adds two snapshots; the first is the parent of the second."""
    parent = None
    for name, description, days in (("clean", "As installed.", 30), ("before-exercise", "Ready for students.", 2)):
        vm.snapshots[name] = {
            **{key: value for key, value in vm.config.items() if key not in ("description", "parent")},
            "description": description, "snaptime": int(time.time()) - days * DAY,
            **({"parent": parent} if parent else {})}
        parent = name
    vm.config["parent"] = parent


def add_second_card(vm):
    vm.config["net1"] = "virtio=BC:24:11:01:%02X:%02X,bridge=vmbr0" % divmod(vm.vmid, 256)


def add_firewall(config):
    """Adds a rule and an alias, to list and to delete."""
    config["aliases"]["scanners"] = {"name": "scanners", "cidr": "10.42.99.0/24", "ipversion": 4,
                                     "comment": "who may scan"}
    config["rules"].append({"type": "in", "action": "ACCEPT", "proto": "icmp", "enable": 1, "comment": "ping"})
