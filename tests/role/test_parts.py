"""The parts of the role that need no Proxmox."""

import unittest

import demo_proxmox  # noqa: F401 - puts the role on the path

import proxmox
from proxmox import OperationFailed
from proxmox.config import options, vm_get_config_cdrom, vm_set_cloud_init
from proxmox.connection import Connection, api_path, host_and_port
from proxmox.guests import vm_create
from proxmox.network import netmask, network_add_interfaces_vm
from proxmox.operation import Operation

SECRET = "11111111-2222-3333-4444-555555555555"


class Addresses(unittest.TestCase):
    def test_with_and_without_port(self):
        for address, expected in {
            "pve.example.org": ("pve.example.org", 8006),
            "pve.example.org:443": ("pve.example.org", 443),
            "192.0.2.1:8007": ("192.0.2.1", 8007),
            "[2001:db8::1]": ("2001:db8::1", 8006),
            "[2001:db8::1]:443": ("2001:db8::1", 443),
            "2001:db8::1": ("2001:db8::1", 8006),
        }.items():
            self.assertEqual(expected, host_and_port(address), address)

    def test_what_is_none(self):
        for address in ("", ":8006", "host:https", "[::1", "[::1]8006", "[]:8006"):
            with self.assertRaises(OperationFailed, msg=address):
                host_and_port(address)


class Paths(unittest.TestCase):
    def test_segments_stay_in_their_place(self):
        self.assertEqual("/nodes/px/qemu/100", api_path("nodes", "px", "qemu", 100))
        self.assertEqual("/nodes/a%2Fb%3Fc", api_path("nodes", "a/b?c"))
        for segment in ("", ".", ".."):
            with self.assertRaises(OperationFailed):
                api_path("nodes", segment)


class Unasked:
    """A connection that must not be used."""

    def request(self, method, path, parameters=None):
        raise AssertionError("%s %s %s" % (method, path, parameters))


class Values(unittest.TestCase):
    def operation(self, **variables):
        return Operation("vm_start", variables)

    def test_numbers_and_flags_in_any_guise(self):
        operation = self.operation(a="7", b=7, c=True, d="2.5", e="", f=None, g="yes", h="False", i=0)
        self.assertEqual([7, 7, 1, None, None], [operation.integer(name) for name in "abcef"])
        self.assertEqual([7.0, 2.5], [operation.number(name) for name in "ad"])
        self.assertEqual([True, True, False, False, None], [operation.flag(name) for name in "cghif"])

    def test_what_is_neither(self):
        operation = self.operation(a="seven", vm_id="100/../../../access")
        for read in (operation.integer, operation.number, operation.flag):
            with self.assertRaises(OperationFailed) as failure:
                read("a")
            self.assertTrue(str(failure.exception).startswith("a must be "))
        with self.assertRaises(OperationFailed):
            operation.vmid()

    def test_no_text_brings_further_options_with_it(self):
        """Each of these is rejected before a request is sent to Proxmox."""
        for action, names in {
            vm_create: ("vm_iso", "proxmox_vm_bridge", "proxmox_vm_storage"),
            network_add_interfaces_vm: ("iface_model", "iface_macaddr", "iface_bridge"),
            vm_set_cloud_init: ("vm_ci_ip", "vm_ci_gateway"),
        }.items():
            for name in names:
                operation = self.operation(**{
                    "proxmox_node": "px", "vm_id": "100", "vm_disk_size": 8, "vm_vmnet_id": 1, "vm_ci_ip": "192.0.2.1",
                    name: "local:iso/a.iso,media=disk,import-from=local:iso/b.iso"})
                operation.connection = Unasked()
                with self.assertRaisesRegex(OperationFailed, "^%s must have no comma" % name):
                    action(operation)

    def test_property_strings(self):
        self.assertEqual(("virtio=AA", {"bridge": "vmbr0", "firewall": "1"}), options("virtio=AA,bridge=vmbr0,firewall=1"))
        self.assertEqual(("none", {"media": "cdrom"}), options("none,media=cdrom"))

    def test_a_disc_of_the_users_goes_before_the_cloud_init_image(self):
        operation = self.operation(vm_id="100")
        operation.vm_config = lambda: {"ide0": "local-lvm:vm-100-cloudinit,media=cdrom", "scsi0": "local-lvm:disk",
                                       "sata1": "local:iso/x.iso,media=cdrom,size=1G"}
        self.assertEqual("sata1", vm_get_config_cdrom(operation)["vm_cdrom_device"])
        operation.vm_config = lambda: {"ide0": "local-lvm:vm-100-cloudinit,media=cdrom"}
        self.assertEqual("ide0", vm_get_config_cdrom(operation)["vm_cdrom_device"])

    def test_netmasks(self):
        self.assertEqual(["255.255.255.0", "255.255.254.0", "0.0.0.0", "255.255.255.255", "255.0.0.0", None],
                         [netmask(mask) for mask in ("/24", "/23", "/0", "/32", "255.0.0.0", None)])
        with self.assertRaises(OperationFailed):
            netmask("/33")


class Choices(unittest.TestCase):
    def test_one_host_does_the_work(self):
        nodes = {"api-a": "px-a", "api-b": "px-b", "px-c": "px-c"}
        peers = list(nodes)
        for wanted, elected in (("px-c", "px-c"), ("px-b", "api-b"), ("px-elsewhere", "api-a")):
            self.assertEqual(elected, proxmox.elected_host(peers, wanted, nodes.get))

    def test_what_is_missing_is_named(self):
        for variables, sentence in (
            ({}, "proxmox_vm_action names no operation."),
            ({"proxmox_vm_action": "vm_launch"}, "proxmox_vm_action 'vm_launch' is not an operation of this role."),
            ({"proxmox_vm_action": "vm_start"}, "vm_start needs the variable vm_id."),
            ({"proxmox_vm_action": "vm_start", "vm_id": ""}, "vm_start needs the variable vm_id."),
            ({"proxmox_vm_action": "vm_list", "proxmox_node": "px"}, "vm_list needs the variable proxmox_api_host."),
            ({"proxmox_vm_action": "vm_list", "proxmox_node": "px", "proxmox_api_host": "h", "proxmox_api_user": "u",
              "proxmox_api_token_id": "t"}, "vm_list needs the variable proxmox_api_token_secret."),
        ):
            with self.assertRaises(OperationFailed) as failure:
                proxmox.perform(variables)
            self.assertEqual(sentence, str(failure.exception))

    def test_check_mode_changes_nothing(self):
        skipped = proxmox.perform({"proxmox_vm_action": "vm_start"}, check_mode=True)
        self.assertTrue(skipped["skipped"])


class Words(unittest.TestCase):
    """How responses of Proxmox are interpreted."""

    def setUp(self):
        self.connection = Connection("h", "root@pam", "t", SECRET)

    def said(self, status, reason, text):
        with self.assertRaises(OperationFailed) as failure:
            self.connection.data("GET", "/x", status, reason, text)
        return str(failure.exception)

    def test_errors_are_proxmox_own_words_in_one_line(self):
        self.assertEqual(
            "Proxmox answered GET /x with 400: Parameter verification failed. name: bad; vmid: too small",
            self.said(400, "Bad", b'{"message":"Parameter verification failed.\\n","errors":{"vmid":"too\\nsmall",'
                                  b'"name":"bad"}}'))
        # Older versions have the message only in the reason phrase.
        self.assertEqual("Proxmox answered GET /x with 500: VM 1 not running",
                         self.said(500, "VM 1 not running", b'{"data":null}'))
        self.assertEqual("Proxmox answered GET /x with 502: Bad Gateway", self.said(502, "Bad Gateway", b"<html>"))
        self.assertIn("unexpected response", self.said(200, "OK", b"<html>hello</html>"))
        self.assertIn("unexpected response", self.said(200, "OK", b"[1]"))

    def test_the_secret_is_in_none(self):
        self.assertNotIn(SECRET, self.said(401, "no", b'{"message":"bad token %s"}' % SECRET.encode()))
        with self.assertRaises(OperationFailed) as failure:
            Connection("h", "root@pam", "t", SECRET + "\r\nX: y")
        self.assertNotIn(SECRET, str(failure.exception))

    def test_a_token_id_may_be_the_whole_identity(self):
        self.assertEqual("root@pam!t", self.connection.identity)
        self.assertEqual("api@pve!ci", Connection("h", "root@pam", "api@pve!ci", SECRET).identity)

    def test_tasks(self):
        answers = [{"status": "running"}, {"status": "stopped", "exitstatus": "WARNINGS: 1"}]
        self.connection.get = lambda path, **_: answers.pop(0)
        upid = "UPID:px:0001:0002:0003:qmstart:100:root@pam!t:"
        self.assertEqual(upid, self.connection.wait(upid, 5))
        log = [{"t": "starting"}, {"t": "kvm: no space"}, {"t": ""}, {"t": "TASK ERROR: boom"}]
        self.connection.get = lambda path, **_: log if path.endswith("/log") else {
            "status": "stopped", "exitstatus": "boom"}
        with self.assertRaises(OperationFailed) as failure:
            self.connection.wait(upid, 5)
        self.assertEqual("Proxmox task qmstart of 100 failed: boom (log: starting | kvm: no space)",
                         str(failure.exception))
        with self.assertRaises(OperationFailed):
            self.connection.wait(None, 5)


if __name__ == "__main__":
    unittest.main()
