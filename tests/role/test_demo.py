"""The life cycle of the demo's Proxmox: the files that it writes, when it exits, and that no files remain."""

import os
import stat
import time
import unittest

from demo_proxmox import SIGINT, SIGTERM, DemoProxmox

from proxmox import OperationFailed


class Demo(unittest.TestCase):
    def setUp(self):
        self.pve = DemoProxmox()
        self.addCleanup(self.pve.close)

    def ended(self):
        return self.pve.process.wait(timeout=10)

    def left(self):
        return os.listdir(self.pve.folder)

    def test_it_ends_with_the_server(self):
        self.assertEqual(["demo"], self.left())
        os.close(self.pve.write_end)
        self.pve.write_end = os.open(os.devnull, os.O_WRONLY)  # for close()
        self.assertEqual(0, self.ended())
        self.assertEqual([], self.left())

    def test_it_ends_at_sigterm_and_not_at_ctrl_c(self):
        self.pve.signal(SIGINT)
        self.assertTrue(self.pve.get("/version"))
        started = time.monotonic()
        self.pve.signal(SIGTERM)
        self.assertEqual(0, self.ended())
        self.assertLess(time.monotonic() - started, 3)
        self.assertEqual([], self.left())

    def test_it_ends_while_a_client_hangs(self):
        self.pve.faults(hang=60)
        with self.assertRaises(OperationFailed):
            self.pve.perform("vm_list", proxmox_api_timeout=0.3)
        started = time.monotonic()
        self.pve.signal(SIGTERM)
        self.assertEqual(0, self.ended())
        self.assertLess(time.monotonic() - started, 3)

    def test_files_that_hold_secrets_are_private(self):
        inventory = os.path.join(self.pve.ready["inventory"], "hosts.yml")
        with open(inventory) as text:
            self.assertIn(self.pve.ready["token_secret"], text.read())
        for path in (inventory, self.pve.ready["cert"].replace(".crt", ".key")):
            self.assertEqual(0o600, stat.S_IMODE(os.stat(path).st_mode), path)

    def test_what_stands_in_it(self):
        vms = self.pve.get("qemu")
        states = {self.pve.get("qemu/%d/status/current" % vm["vmid"])["qmpstatus"] for vm in vms}
        self.assertEqual({"running", "stopped", "paused"}, states)
        self.assertEqual((1000, "running"), (vms[0]["vmid"], vms[0]["status"]))
        self.assertEqual([9000], [vm["vmid"] for vm in vms if vm.get("template")])
        self.assertGreaterEqual(len(vms), 12)
        cluster = self.pve.get("/cluster/resources")
        self.assertEqual({"px-testing", "px-testing-2"}, {one["node"] for one in cluster if one["type"] == "node"})
        self.assertEqual({1100, 1101}, {one["vmid"] for one in cluster if one["type"] == "lxc"})

    def test_a_restart_keeps_port_and_state(self):
        self.pve.perform("vm_start", vm_id="1003")
        self.pve.control("POST", "/restart", {"seconds": 0.1})
        self.assertEqual("running", self.pve.get("qemu/1003/status/current")["status"])


if __name__ == "__main__":
    unittest.main()
