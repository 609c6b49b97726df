"""Every operation of the role against the demo's Proxmox, and the resulting state of Proxmox.

Operations run in this process, as in the action plugin; test_runs.py uses
ansible-runner. fakepve validates each request against Proxmox's own schema.
"""

import unittest
import urllib.parse

from demo_proxmox import DemoProxmox
from results import MEMBERS, faults_in

from proxmox import OperationFailed
from proxmox.actions import ACTIONS

GIB = 1024 ** 3
performed = set()


class Operations(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pve = DemoProxmox()

    @classmethod
    def tearDownClass(cls):
        cls.pve.close()

    def perform(self, action, **variables):
        result = self.pve.perform(action, **variables)
        self.assertEqual([], faults_in(action, result))
        performed.add(action)
        return result

    def refused(self, words, action, **variables):
        with self.assertRaises(OperationFailed) as failure:
            self.pve.perform(action, **variables)
        self.assertIn(words, str(failure.exception))
        self.assertNotIn("\n", str(failure.exception))

    def new_vm(self, vmid, **variables):
        self.pve.perform("vm_create", **{"vm_id": str(vmid), "vm_name": "t%s" % vmid, "vm_cpu": "host", "vm_cores": 1,
                                         "vm_sockets": 1, "vm_memory": 512, "vm_disk_size": 1, **variables})
        return str(vmid)

    def config(self, vmid):
        return self.pve.get("qemu/%s/config" % vmid)


class Guests(Operations):
    def test_lists(self):
        listed = self.perform("vm_list")
        first = listed[0]
        self.assertEqual((1000, "gateway", "running", 0, "admin"),
                         tuple(first[m] for m in ("vm_id", "vm_name", "vm_status", "vm_template", "vm_tags")))
        self.assertEqual([], faults_in("vm_list_usage", [{**first, "action": "vm_list_usage", **first["vm_meta"]}]))
        self.assertIsNone(first["vm_meta"]["disk_read"])
        self.assertEqual(sorted(vm["vmid"] for vm in self.pve.get("qemu")), [vm["vm_id"] for vm in listed])
        template = listed[-1]
        self.assertEqual((9000, 1), (template["vm_id"], template["vm_template"]))
        usage = self.perform("vm_list_usage")
        self.assertEqual([vm["vm_id"] for vm in listed], [vm["vm_id"] for vm in usage])

    def test_a_node_without_vms_is_an_empty_list(self):
        self.assertEqual([], self.perform("vm_list", proxmox_node="px-empty"))

    def test_power(self):
        for action, status in (("vm_start", "running"), ("vm_pause", "paused"), ("vm_resume", "running"),
                               ("vm_stop", "stopped"), ("vm_start", "running"), ("vm_stop_force", "stopped")):
            with self.subTest(action):
                result = self.perform(action, vm_id="1003")
                self.assertEqual(("1003", "backup", status),
                                 (result["vm_id"], result["vm_name"], result["vm_status"]))
                self.assertEqual(status, self.pve.get("qemu/1003/status/current")["qmpstatus"])

    def test_a_task_that_fails_fails_the_operation(self):
        self.refused("Proxmox task qmstart of 1000 failed: VM 1000 already running", "vm_start", vm_id="1000")
        self.refused("you can't start a vm if it's a template", "vm_start", vm_id="9000")
        self.refused("VM 1012 not running", "vm_pause", vm_id="1012")

    def test_a_guest_that_does_not_shut_down(self):
        self.pve.control("PUT", "/vms/1010", {"acpi": False})
        self.refused("VM quit/powerdown failed - got timeout", "vm_stop", vm_id="1010", proxmox_shutdown_timeout=2)
        self.assertEqual("running", self.pve.get("qemu/1010/status/current")["status"])

    def test_a_task_that_takes_too_long(self):
        self.pve.control("PUT", "/vms/1012", {"start_secs": 40})
        self.refused("did not end within 0.3 s", "vm_start", vm_id="1012", proxmox_task_timeout=0.3)

    def test_the_log_of_a_failed_task_is_told(self):
        self.pve.control("PUT", "/vms/1022", {"start_error": "start failed: QEMU exited with code 1"})
        self.refused("failed: start failed: QEMU exited with code 1", "vm_start", vm_id="1022")

    def test_create(self):
        result = self.perform("vm_create", vm_id="2100", vm_name="made", vm_cpu="host", vm_cores="2", vm_sockets=1,
                              vm_memory=1024, vm_disk_size=8, vm_iso="local:iso/virtio-win-0.1.271.iso")
        self.assertEqual(2100, result["vm_id"])
        config = self.config(2100)
        self.assertEqual(("made", 2, 1, "1024", "host"),
                         tuple(config[key] for key in ("name", "cores", "sockets", "memory", "cpu")))
        self.assertIn("size=8G", config["scsi0"])
        self.assertTrue(config["scsi0"].startswith("local-lvm:"), config["scsi0"])
        self.assertIn("local:iso/virtio-win-0.1.271.iso", config["ide2"])
        self.assertIn("media=cdrom", config["ide2"])
        self.assertIn("bridge=vmbr0", config["net0"])
        self.refused("VM 2100 already exists", "vm_create", vm_id="2100", vm_name="again", vm_cpu="host", vm_cores=1,
                     vm_sockets=1, vm_memory=512)

    def test_create_without_disk_and_disc(self):
        result = self.perform("vm_create", vm_id=2101, vm_name="bare", vm_cpu="host", vm_cores=1, vm_sockets=1,
                              vm_memory=512, vm_disk_size=None, vm_iso=None)
        self.assertNotIn("vm_scsi0", result)
        self.assertNotIn("scsi0", self.config(2101))
        self.assertNotIn("ide2", self.config(2101))

    def test_delete(self):
        vmid = self.new_vm(2110)
        result = self.perform("vm_delete", vm_id=vmid, vm_name="t2110")
        self.assertEqual((2110, "t2110"), (result["vm_id"], result["vm_name"]))
        self.assertFalse(self.pve.exists(2110))
        self.refused("VM 1001 is running - destroy failed", "vm_delete", vm_id="1001", vm_name="directory")
        self.assertTrue(self.pve.exists(1001))

    def test_clone(self):
        result = self.perform("vm_clone", vm_id="9000", vm_new_id="2120", vm_name="copy", vm_description="a copy")
        self.assertEqual(("2120", "9000"), (result["vm_id"], result["vm_id_clone_from"]))
        self.assertEqual(("copy", "a copy"), (self.config(2120)["name"], self.config(2120)["description"]))
        self.assertNotIn("lock", self.config(2120))
        self.refused("config file already exists", "vm_clone", vm_id="9000", vm_new_id="2120", vm_name="copy",
                     vm_description="x")

    def test_an_unknown_vm(self):
        for action in ("vm_start", "vm_stop", "vm_delete", "vm_get_config", "snapshot_vm_list",
                       "firewall_vm_enable", "firewall_vm_list_iptables_rule", "network_list_interfaces_vm"):
            with self.subTest(action):
                self.refused("4242.conf' does not exist", action, vm_id="4242")


class Configuration(Operations):
    def test_reading(self):
        data = self.perform("vm_get_config", vm_id="1000")["raw_data"]["data"]
        self.assertEqual(self.config(1000), data)
        cpu = self.perform("vm_get_config_cpu", vm_id="1000")
        self.assertEqual(("host", 2, 1), (cpu["vm_arch"], cpu["vm_cores"], cpu["vm_sockets"]))
        self.assertEqual("2048", self.perform("vm_get_config_ram", vm_id="1000")["vm_ram_allocated"])

    def test_the_cd_drive(self):
        drive = self.perform("vm_get_config_cdrom", vm_id="1000")
        self.assertEqual(("ide2", "local:iso/debian-12.11.0-amd64-netinst.iso", "cdrom", "702M"), tuple(
            drive["vm_cdrom_" + member] for member in ("device", "iso", "media", "size")))
        none = self.perform("vm_get_config_cdrom", vm_id=self.new_vm(2200))
        self.assertEqual([None] * 4, [none["vm_cdrom_" + m] for m in ("device", "iso", "media", "size")])

    def test_tags(self):
        self.assertEqual("web,dmz", self.perform("vm_set_tag", vm_id="1003", vm_tag_name="web,dmz")["tags"])
        self.assertEqual("web,dmz", self.config(1003)["tags"])

    def test_cloud_init(self):
        self.pve.perform("vm_clone", vm_id="9000", vm_new_id="2210", vm_name="raw")
        self.perform("vm_set_cloud_init", vm_id="2210", vm_name="web-01", vm_ci_ip="10.1.2.3",
                     vm_ci_gateway="10.1.2.1", vm_description="A web server.", vm_tag_name="vuln")
        config = self.config(2210)
        self.assertEqual(("web-01", "ip=10.1.2.3/24,gw=10.1.2.1", "A web server.", "vuln"),
                         tuple(config[key] for key in ("name", "ipconfig0", "description", "tags")))
        self.perform("vm_set_cloud_init", vm_id="2210", vm_ci_ip="10.9.0.4/16")
        self.assertEqual("ip=10.9.0.4/16", self.config(2210)["ipconfig0"])
        self.refused("ipconfig0", "vm_set_cloud_init", vm_id="2210", vm_ci_ip="10.9.0.400")


class Snapshots(Operations):
    def test_the_life_of_a_snapshot(self):
        vmid = self.new_vm(2300)
        created = self.perform("snapshot_vm_create", vm_id=vmid, vm_name="t2300", vm_snapshot_name="first",
                               vm_snapshot_description="before")
        self.assertEqual((2300, "first", "before"), tuple(
            created[member] for member in ("vm_id", "vm_snapshot_name", "vm_snapshot_description")))
        self.pve.perform("vm_set_tag", vm_id=vmid, vm_tag_name="later")
        self.perform("snapshot_vm_revert", vm_id=vmid, vm_name="t2300", vm_snapshot_name="first")
        self.assertNotIn("tags", self.config(vmid))
        self.perform("snapshot_vm_delete", vm_id=vmid, vm_name="t2300", vm_snapshot_name="first")
        self.assertEqual(["current"], [one["name"] for one in self.pve.get("qemu/2300/snapshot")])
        self.refused("snapshot 'first' does not exist", "snapshot_vm_delete", vm_id=vmid, vm_snapshot_name="first")

    def test_the_list_has_no_current(self):
        listed = self.perform("snapshot_vm_list", vm_id="1020")
        self.assertEqual([("clean", None), ("before-exercise", "clean")],
                         [(one["vm_snapshot_name"], one["vm_snapshot_parent"]) for one in listed])
        self.assertEqual([], self.perform("snapshot_vm_list", vm_id="1000"))

    def test_a_snapshot_needs_a_name(self):
        self.pve.forget_requests()
        for action in ("snapshot_vm_create", "snapshot_vm_delete", "snapshot_vm_revert"):
            self.refused("%s needs the variable vm_snapshot_name." % action, action, vm_id="1000")
        self.assertEqual([], self.pve.control("GET", "/requests"))


class Firewall(Operations):
    def test_on_and_off(self):
        places = (("dc", "/cluster/firewall/options", {}), ("node", "firewall/options", {}),
                  ("vm", "qemu/1000/firewall/options", {"vm_id": "1000", "vm_name": "gateway"}))
        for place, options, variables in places:
            for verb, word, value in (("enable", "enabled", 1), ("disable", "disabled", 0)):
                with self.subTest(place=place, verb=verb):
                    result = self.perform("firewall_%s_%s" % (place, verb), **variables)
                    self.assertEqual(word, result[place + "_firewall"])
                    self.assertEqual(value, self.pve.get(options)["enable"])

    def test_rules(self):
        self.assertEqual([], self.perform("firewall_vm_list_iptables_rule", vm_id="1001"))
        rule = {"vm_fw_action": "ACCEPT", "vm_fw_type": "in", "vm_fw_proto": "tcp", "vm_fw_enable": 1}
        self.perform("firewall_vm_apply_iptables_rule", vm_id="1001", vm_fw_dport="22", vm_fw_comment="ssh",
                     vm_fw_source="10.0.0.0/8", vm_fw_dest="10.1.1.1", vm_fw_iface="net0", vm_fw_log="info",
                     vm_fw_sport="1024-65535", **rule)
        self.perform("firewall_vm_apply_iptables_rule", vm_id="1001", vm_fw_dport="80", **rule)
        placed = self.perform("firewall_vm_apply_iptables_rule", vm_id="1001", vm_fw_dport="443", vm_fw_pos=1, **rule)
        self.assertEqual(1, placed["vm_fw_pos"])
        kept = self.pve.get("qemu/1001/firewall/rules")
        self.assertEqual(["80", "443", "22"], [one["dport"] for one in kept])
        self.assertEqual(("10.0.0.0/8", "10.1.1.1", "net0", "info", "1024:65535", "ssh"), tuple(
            kept[2][key] for key in ("source", "dest", "iface", "log", "sport", "comment")))
        listed = self.perform("firewall_vm_list_iptables_rule", vm_id="1001")
        self.assertEqual([(0, "80"), (1, "443"), (2, "22")], [(one["vm_fw_pos"], one["vm_fw_dport"]) for one in listed])
        self.assertEqual("ssh", listed[2]["vm_fw_comment"])
        self.perform("firewall_vm_delete_iptables_rule", vm_id="1001", vm_fw_pos=0)
        self.assertEqual(["443", "22"], [one["dport"] for one in self.pve.get("qemu/1001/firewall/rules")])
        self.refused("no rule at position 7", "firewall_vm_delete_iptables_rule", vm_id="1001", vm_fw_pos=7)

    def test_a_rule_that_proxmox_refuses(self):
        self.refused("dport: ", "firewall_vm_apply_iptables_rule", vm_id="1001", vm_fw_action="ACCEPT",
                     vm_fw_type="in", vm_fw_dport="99999", vm_fw_proto="tcp", vm_fw_enable=1)

    def test_aliases(self):
        self.perform("firewall_vm_add_iptables_alias", vm_id="1002", vm_fw_alias_name="web",
                     vm_fw_alias_cidr="10.2.0.0/16", vm_fw_alias_comment="the web")
        kept = self.pve.get("qemu/1002/firewall/aliases/web")
        self.assertEqual(("10.2.0.0/16", "the web"), (kept["cidr"], kept["comment"]))
        listed = self.perform("firewall_vm_list_iptables_alias", vm_id="1002")
        self.assertEqual([("web", "10.2.0.0/16", "the web")], [
            tuple(one["vm_fw_alias_" + member] for member in ("name", "cidr", "comment")) for one in listed])
        self.perform("firewall_vm_delete_iptables_alias", vm_id="1002", vm_fw_alias_name="web")
        self.assertEqual([], self.pve.get("qemu/1002/firewall/aliases"))
        self.refused("no such alias", "firewall_vm_delete_iptables_alias", vm_id="1002", vm_fw_alias_name="web")


class Network(Operations):
    def test_interfaces_of_a_node(self):
        bridge = next(one for one in self.perform("network_list_interfaces_node") if one["iface"] == "vmbr0")
        self.assertEqual(("bridge", "eno1", "192.0.2.11/24"), (
            bridge["iface_type"], bridge["iface_bridge_ports"], bridge["ip_settings_cidr"]))

    def test_adding_one_to_a_node(self):
        # fakepve validates these two but stores nothing, so the test checks the request instead.
        added = self.perform("network_add_interfaces_node", iface_name="vmbr7", iface_type="bridge",
                             iface_autostart=1, ip_address="10.7.0.1", ip_netmask="/24", bridge_ports="eno2")
        self.assertEqual(("vmbr7", "bridge", 1), (added["iface_name"], added["iface_type"], added["iface_autostart"]))
        sent = dict(urllib.parse.parse_qsl(self.pve.asked("POST", "/nodes/px-testing/network")[-1]))
        self.assertEqual({"iface": "vmbr7", "type": "bridge", "autostart": "1", "address": "10.7.0.1",
                          "netmask": "255.255.255.0", "bridge_ports": "eno2"}, sent)
        self.refused("type: ", "network_add_interfaces_node", iface_name="vmbr7", iface_type="nonsense")

    def test_deleting_one_of_a_node(self):
        self.assertEqual("vmbr7", self.perform("network_delete_interfaces_node", iface_name="vmbr7")["iface_name"])
        self.assertEqual(1, len(self.pve.asked("DELETE", "/nodes/px-testing/network/vmbr7")))

    def test_cards_of_a_vm(self):
        vmid = self.new_vm(2400)
        added = self.perform("network_add_interfaces_vm", vm_id=vmid, iface_model="e1000", iface_bridge="vmbr1",
                             vm_vmnet_id=3, iface_trunks=True, iface_tag=12, iface_rate=2.5, iface_queues=2,
                             iface_mtu=1400, iface_macaddr="BC:24:11:AA:BB:CC", iface_link_down=True,
                             iface_firewall=False)
        self.assertEqual((2400, 3, "e1000"), (added["vm_id"], added["vm_vmnet_id"], added["iface_model"]))
        settings = self.config(vmid)["net3"].split(",")
        self.assertEqual("e1000=BC:24:11:AA:BB:CC", settings[0])
        self.assertEqual({"bridge=vmbr1", "tag=12", "trunks=2-4094", "rate=2.5", "queues=2", "mtu=1400",
                          "link_down=1", "firewall=0"}, set(settings[1:]))
        free = self.perform("network_add_interfaces_vm", vm_id=vmid, iface_bridge="vmbr0", iface_trunks=False)
        self.assertEqual(1, free["vm_vmnet_id"])
        self.assertNotIn("trunks", self.config(vmid)["net1"])
        listed = self.perform("network_list_interfaces_vm", vm_id=vmid)
        self.assertEqual(["net0", "net1", "net3"], [one["vm_network_device"] for one in listed])
        self.assertEqual(("e1000", "BC:24:11:AA:BB:CC", "vmbr1", "0"), tuple(
            listed[2]["vm_network_" + member] for member in ("type", "mac", "bridge", "firewall")))
        self.assertIsNone(listed[1]["vm_network_firewall"])
        removed = self.perform("network_delete_interfaces_vm", vm_id=vmid, vm_vmnet_id=3)
        self.assertEqual((vmid, 3), (removed["vm_id"], removed["vm_vmnet_id"]))
        self.assertNotIn("net3", self.config(vmid))
        self.refused("VM 2400 has no network card net3", "network_delete_interfaces_vm", vm_id=vmid, vm_vmnet_id=3)


class Storage(Operations):
    def test_storages(self):
        everything = self.perform("storage_list", storage_name="")
        self.assertEqual(["archive", "library", "local", "local-lvm"], sorted(one["storage_name"] for one in everything))
        one, = self.perform("storage_list", storage_name="local-lvm")
        self.assertEqual(("lvmthin", 1, 2048 * GIB), (
            one["storage_type"], one["storage_is_enable"], one["storage_space_total"]))
        self.assertEqual(everything, self.perform("storage_list", storage_name="attic"))

    def test_isos(self):
        volumes = {one["iso_vol_id"] for one in self.perform("storage_list_iso", storage_name="library")}
        self.assertEqual({"library:iso/debian-12.11.0-amd64-netinst.iso", "library:iso/virtio-win-0.1.271.iso",
                          "library:iso/ubuntu-24.04.2-live-server-amd64.iso"}, volumes)
        self.assertEqual({"library", "local"}, {one["storage_name"] for one in self.perform("storage_list_iso")})

    def test_templates(self):
        listed = self.perform("storage_list_template", storage_name="library")
        self.assertEqual(2, len(listed))
        self.assertEqual({"vztmpl"}, {one["template_content"] for one in listed})
        self.assertTrue(all(one["template_vol_id"].startswith("library:vztmpl/") for one in listed))
        self.assertEqual([], self.perform("storage_list_template", storage_name="local-lvm"))

    def test_download(self):
        result = self.perform("storage_download_iso", proxmox_storage="local", iso_file_content_type="iso",
                              iso_file_name="new.iso", iso_url="https://example.org/new.iso")
        self.assertTrue(result["raw_info"]["data"].startswith("UPID:px-testing:"))
        self.assertIn("local:iso/new.iso", [one["volid"] for one in self.pve.get("storage/local/content")])
        self.refused("not a file based storage", "storage_download_iso", proxmox_storage="local-lvm",
                     iso_file_content_type="iso", iso_file_name="new.iso", iso_url="https://example.org/new.iso")


class ZEverything(unittest.TestCase):
    """Runs last because of its name: every operation was performed above."""

    def test_every_operation_was_performed(self):
        self.assertEqual(set(ACTIONS), performed)
        self.assertEqual(set(ACTIONS), set(MEMBERS))


del Operations  # a base without tests of its own

if __name__ == "__main__":
    unittest.main()
