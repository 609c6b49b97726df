"""The VM bundles and the scenario against the demo's Proxmox, and the resulting state of Proxmox."""

import json
import os
import re
import shutil
import tempfile
import unittest
import urllib.request

from bundle_run import BundleRun, DemoProxmox

NODE = "px-testing"


class Bundles(unittest.TestCase):
    def setUp(self):
        self.pve = DemoProxmox("--time-scale", "0", "--small")
        self.addCleanup(self.pve.close)
        self.hosts = os.path.join(self.pve.ready["inventory"], "hosts.yml")

    # ------------------------------------------------------------------- runs

    def bundle(self, name, playbook="main", limit=NODE, **more):
        return BundleRun(self, "bundles/core/proxmox/configure/default/vms/%s/%s.yml" % (name, playbook),
                         self.hosts, limit=limit, **more)

    def group(self, name, **variables):
        """Runs a bundle like the server's operations on a group."""
        return self.bundle(name, proxmox_node=NODE, **variables)

    def chosen(self, name, **variables):
        """Runs a bundle like the server's operations on VMs that the client names."""
        return self.bundle(name, PROXMOX_NODE=NODE, **variables)

    def create(self, group, key, vmid, description="a box"):
        return self.bundle("create-vms-" + group, "init", limit=None, tags=key, proxmox_node=NODE, global_vm_id=vmid,
                           global_vm_ci_ip="10.5.0.10", global_vm_description=description)

    def succeeded(self, run):
        self.assertEqual(0, run.rc, run.text)
        return run

    def failed(self, words, run):
        self.assertNotEqual(0, run.rc, run.text)
        self.assertIn(words, "\n".join(run.failure()), run.text)
        return run

    # ---------------------------------------------------------------- Proxmox

    def new_vm(self, vmid, name, tag=None, running=False):
        self.pve.perform("vm_create", vm_id=str(vmid), vm_name=name, vm_cpu="host", vm_cores=1, vm_sockets=1,
                         vm_memory=512, vm_disk_size=1)
        if tag:
            self.pve.perform("vm_set_tag", vm_id=str(vmid), vm_tag_name=tag)
        if running:
            self.pve.perform("vm_start", vm_id=str(vmid))

    def make_template(self, vmid):
        request = urllib.request.Request(
            "https://%s/api2/json/nodes/%s/qemu/%s/template" % (self.pve.ready["api_host"], NODE, vmid), method="POST",
            headers={"Authorization": "PVEAPIToken=%(user)s!%(token_id)s=%(token_secret)s" % self.pve.ready})
        urllib.request.urlopen(request, context=self.pve.tls, timeout=10).close()
        self.assertEqual(1, self.pve.get("qemu/%s/config" % vmid)["template"])

    def state(self, vmid):
        return self.pve.get("qemu/%s/status/current" % vmid)["qmpstatus"]

    def snapshots(self, vmid):
        return [snapshot["name"] for snapshot in self.pve.get("qemu/%s/snapshot" % vmid)]


class Create(Bundles):
    def test_a_vm_is_cloned_and_set_up_once(self):
        run = self.succeeded(self.create("student", "student-box-01", 3000, description="{{ 7 * 7 }} {% raw %}"))
        self.assertEqual(["3000"], [vm["vm_id"] for vm in run.results("vm_clone")])
        config = self.pve.get("qemu/3000/config")
        self.assertEqual(("student-box-01", "ip=10.5.0.10/24", "{{ 7 * 7 }} {% raw %}", "student"),
                         tuple(config[name] for name in ("name", "ipconfig0", "description", "tags")))
        self.assertNotIn("template", config)

        again = self.succeeded(self.create("student", "student-box-01", 3000, description="another"))
        self.assertEqual([], again.results("vm_clone"))
        self.assertEqual("another", self.pve.get("qemu/3000/config")["description"])

        started = self.succeeded(self.bundle("create-vms-student", limit=None, proxmox_node=NODE))
        self.assertEqual(["running"], [vm["vm_status"] for vm in started.results("vm_start")])
        self.assertEqual("running", self.state(3000))
        again = self.succeeded(self.bundle("create-vms-student", limit=None, proxmox_node=NODE))
        self.assertEqual((0, []), (again.changed, again.results("vm_start")))

    def test_every_key_of_a_group_makes_its_vm(self):
        keys = ["admin-wazuh", "admin-web-api-kong", "admin-web-builder-api", "admin-web-deployer-ui", "admin-web-emp"]
        for number, key in enumerate(keys):
            self.failed(", ".join(keys[number:]), self.bundle("create-vms-admin", limit=None, proxmox_node=NODE))
            self.succeeded(self.create("admin", key, 3000 + number))
        run = self.succeeded(self.bundle("create-vms-admin", limit=None, proxmox_node=NODE))
        self.assertEqual(keys, [vm["vm_name"] for vm in run.results("vm_start")])

    def test_a_tag_that_names_no_vm_of_the_group_fails(self):
        self.failed("vuln-box-00, vuln-box-01", self.create("vuln", "admin-wazuh", 3000))
        self.failed("vuln-box-00, vuln-box-01", self.create("vuln", "vuln-box-00,vuln-box-01", 3000))
        self.assertFalse(self.pve.exists(3000))

    def test_another_vms_id_or_name_is_refused(self):
        before = self.pve.get("qemu/1000/config")
        self.failed("VM 1000 is gateway", self.create("student", "student-box-01", 1000))
        self.assertEqual(before, self.pve.get("qemu/1000/config"))
        self.new_vm(3000, "student-box-01")
        self.failed("VM 3000 is student-box-01", self.create("student", "student-box-01", 3001))
        self.assertFalse(self.pve.exists(3001))

    def test_of_several_api_hosts_one_makes_the_vm(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.hosts = os.path.join(folder, "hosts.json")
        with open(self.hosts, "w") as hosts:
            json.dump({"proxmox": {"hosts": {"px-other": {**self.pve.credentials, "proxmox_node": "px-other"},
                                             NODE: self.pve.credentials}}}, hosts)
        run = self.succeeded(self.create("student", "student-box-01", 3000))
        self.assertEqual(1, len(run.results("vm_clone")))
        self.assertNotIn("px-other", run.text)


class Groups(Bundles):
    def test_power(self):
        self.new_vm(3000, "vuln-box-00", "vuln")
        self.new_vm(3001, "vuln-box-01", "exam;vuln", running=True)
        for action, state in (("vm_start", "running"), ("vm_pause", "paused"), ("vm_resume", "running"),
                              ("vm_stop", "stopped"), ("vm_stop", "stopped")):
            with self.subTest(action):
                run = self.succeeded(self.group("start-stop-pause-resume-vms-vuln", proxmox_vm_action=action))
                self.assertEqual([(action, "proxmox", NODE, "3000", "vuln-box-00", state),
                                  (action, "proxmox", NODE, "3001", "vuln-box-01", state)],
                                 [(vm["action"], vm["source"], vm["proxmox_node"], vm["vm_id"], vm["vm_name"],
                                   vm["vm_status"]) for vm in run.results(action)])
                self.assertEqual([state, state], [self.state(3000), self.state(3001)])
        self.assertEqual("running", self.state(1020))

    def test_a_vm_that_fails_does_not_keep_the_others_back(self):
        self.new_vm(3000, "vuln-box-00", "vuln")
        self.new_vm(3001, "vuln-box-01", "vuln", running=True)
        run = self.failed("VM 3000 not running",
                          self.group("start-stop-pause-resume-vms-vuln", proxmox_vm_action="vm_pause"))
        self.assertEqual(["3001"], [vm["vm_id"] for vm in run.results("vm_pause")])
        self.assertEqual("It failed with 3000 vuln-box-00.", run.failure()[-1])

    def test_what_is_no_group_or_no_action_fails(self):
        self.failed("no VM of the group student",
                    self.group("start-stop-pause-resume-vms-student", proxmox_vm_action="vm_start"))
        self.failed("no VM of the group student", self.group("snapshot/revert-vms-student"))
        self.failed("proxmox_vm_action must be",
                    self.group("start-stop-pause-resume-vms-student", proxmox_vm_action="vm_delete"))

    def test_deletion_reaches_only_what_create_vms_makes(self):
        self.new_vm(3000, "vuln-box-00", "vuln", running=True)
        self.new_vm(3001, "vuln-box-01", "vuln")
        self.new_vm(3002, "vuln-box-02")
        self.new_vm(3003, "vuln-box-03", "not-vuln")
        self.new_vm(3004, "vuln-box-04", "vuln")
        self.make_template(3004)
        run = self.succeeded(self.group("delete-vms-vuln"))
        self.assertEqual([(3000, "vuln-box-00"), (3001, "vuln-box-01")],
                         [(vm["vm_id"], vm["vm_name"]) for vm in run.results("vm_delete")])
        self.assertEqual([False, False, True, True, True, True],
                         [self.pve.exists(vmid) for vmid in (3000, 3001, 3002, 3003, 3004, 1020)])
        again = self.succeeded(self.group("delete-vms-vuln"))
        self.assertEqual((0, []), (again.changed, again.results("vm_delete")))

    def test_snapshots(self):
        self.new_vm(3000, "admin-wazuh", "admin")
        self.new_vm(3001, "admin-web-emp", "admin")
        first = self.succeeded(self.group("snapshot/create-vms-admin", VM_SNAPSHOT_NAME="first"))
        self.assertEqual(["first", "first"], [vm["vm_snapshot_name"] for vm in first.results("snapshot_vm_create")])

        run = self.succeeded(self.group("snapshot/create-vms-admin"))
        name, same = [vm["vm_snapshot_name"] for vm in run.results("snapshot_vm_create")]
        self.assertEqual(name, same)
        self.assertTrue(re.fullmatch(r"admin-\d{8}-\d{6}", name), name)
        self.assertEqual(["first", name, "current"], self.snapshots(3001))

        self.pve.perform("vm_set_tag", vm_id="3000", vm_tag_name="admin;changed")
        run = self.succeeded(self.group("snapshot/revert-vms-admin", VM_SNAPSHOT_NAME="first"))
        self.assertEqual([(3000, "first"), (3001, "first")],
                         [(vm["vm_id"], vm["vm_snapshot_name"]) for vm in run.results("snapshot_vm_revert")])
        self.assertEqual("admin", self.pve.get("qemu/3000/config")["tags"])

        run = self.succeeded(self.group("snapshot/revert-vms-admin"))
        self.assertEqual([name, name], [vm["vm_snapshot_name"] for vm in run.results("snapshot_vm_revert")])
        self.new_vm(3002, "admin-web-api-kong", "admin")
        self.failed("VM 3002 admin-web-api-kong has no snapshot", self.group("snapshot/revert-vms-admin"))


class ChosenVms(Bundles):
    def test_power_in_the_order_asked_for(self):
        run = self.chosen("start-stop-pause-resume-vms-vuln", PROXMOX_VM_ACTION="vm_start",
                          VM_IDS=["1022", "1000", "1003", "1022"])
        self.failed("VM 1000 already running", run)
        self.assertEqual([("1022", "running"), ("1003", "running")],
                         [(vm["vm_id"], vm["vm_status"]) for vm in run.results("vm_start")])
        self.assertEqual(["running", "running"], [self.state(1022), self.state(1003)])
        run = self.succeeded(self.chosen("start-stop-pause-resume-vms-vuln", PROXMOX_VM_ACTION="vm_stop_force",
                                         VM_IDS=["1003", "1022"]))
        self.assertEqual(["1003", "1022"], [vm["vm_id"] for vm in run.results("vm_stop_force")])

    def test_one_unknown_id_and_nothing_is_done(self):
        self.failed("has no VM 77, 9000.", self.chosen("start-stop-pause-resume-vms-vuln", VM_IDS=["1003", "77", "9000"],
                                                       PROXMOX_VM_ACTION="vm_start"))
        self.assertEqual("stopped", self.state(1003))

    def test_delete(self):
        run = self.succeeded(self.chosen("delete-vms-vuln", VMS=[{"ID": "1003", "NAME": "backup"},
                                                                 {"ID": "1000", "NAME": "gateway"}]))
        self.assertEqual([(1003, "backup"), (1000, "gateway")],
                         [(vm["vm_id"], vm["vm_name"]) for vm in run.results("vm_delete")])
        self.assertEqual([False, False, True], [self.pve.exists(vmid) for vmid in (1003, 1000, 1001)])

    def test_an_id_under_another_name_is_not_deleted(self):
        self.failed("has no VM 1000 named directory", self.chosen(
            "delete-vms-vuln", VMS=[{"ID": "1003", "NAME": "backup"}, {"ID": "1000", "NAME": "directory"}]))
        self.assertEqual([True, True], [self.pve.exists(1003), self.pve.exists(1000)])


class Scenario(Bundles):
    def test_the_lab_is_set_up_once(self):
        lab = "scenarios/demo_lab/main.yml"
        run = self.succeeded(BundleRun(self, lab, self.hosts, proxmox_node=NODE))
        self.assertEqual(["4001", "4002"], [vm["vm_id"] for vm in run.results("vm_start")])
        self.assertEqual(["running", "running"], [self.state(4001), self.state(4002)])
        self.assertEqual(["lesson-start", "current"], self.snapshots(4002))
        again = self.succeeded(BundleRun(self, lab, self.hosts, limit=NODE, proxmox_node=NODE))
        self.assertEqual(0, again.changed, again.text)


class Trouble(Bundles):
    def test_the_token_is_in_no_event(self):
        self.new_vm(3000, "vuln-box-00", "vuln")
        run = self.succeeded(self.group("start-stop-pause-resume-vms-vuln", proxmox_vm_action="vm_start"))
        self.assertTrue(run.holds("vuln-box-00"))
        self.assertEqual([], run.holds(self.pve.ready["token_secret"]))

    def test_proxmox_says_why(self):
        self.failed("401", self.group("delete-vms-vuln", proxmox_api_token_secret="wrong"))
        self.failed("CERTIFICATE_VERIFY_FAILED", self.group("delete-vms-vuln", proxmox_ca_file=""))
        self.failed("Connection refused", self.group("delete-vms-vuln", proxmox_api_host="127.0.0.1:1"))
        self.succeeded(self.group("delete-vms-vuln", proxmox_ca_file="", proxmox_validate_certs=False))


if __name__ == "__main__":
    unittest.main()
