"""The role in real runs of ansible-runner: events, secrets, templates, and how the role is found."""

import json
import os
import shutil
import subprocess
import tempfile
import textwrap
import unittest

from ansible_run import ROLES_PATH, RUNNER, Run
from demo_proxmox import PLAYBOOKS, ROOT, DemoProxmox
from results import faults_in

ROLE_NAME = "range42-ansible_roles-proxmox_controller"


class Runs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pve = DemoProxmox()

    @classmethod
    def tearDownClass(cls):
        cls.pve.close()

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="role-test-")
        self.addCleanup(shutil.rmtree, self.folder)

    def run_(self, **options):
        options.setdefault("inventory", self.pve.ready["inventory"])
        run = Run(**options)
        self.addCleanup(run.close)
        return run

    def operation(self, action, **options):
        return self.run_(proxmox_vm_action=action, hosts="proxmox", **options)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as out:
            out.write(textwrap.dedent(text))
        return path

    def inventory(self, *hosts, **changes):
        """An inventory of hosts in the group proxmox, with the demo's credentials modified by `changes`."""
        described = {name: {**self.pve.credentials, **variables, **changes} for name, variables in hosts}
        return self.write("inventory/hosts.json", json.dumps({"proxmox": {"hosts": described}}))


class Results(Runs):
    def test_one_task_and_its_result_under_the_action(self):
        run = self.operation("vm_list", proxmox_node="px-testing")
        self.assertEqual(0, run.rc, run.text)
        (listed,) = run.results("vm_list")
        self.assertEqual([], faults_in("vm_list", listed))
        self.assertEqual("gateway", listed[0]["vm_name"])
        tasks = [event for event in run.events if event["event"] == "playbook_on_task_start"]
        self.assertEqual(1, len(tasks))

    def test_the_log_shows_the_result(self):
        """Clients that request text instead of JSON get it from there."""
        run = self.operation("vm_get_config_ram", vm_id="1000")
        self.assertIn('"vm_ram_allocated": "2048"', run.text)

    def test_an_empty_list_is_a_result(self):
        self.assertEqual([[]], self.operation("snapshot_vm_list", vm_id="1000").results("snapshot_vm_list"))

    def test_a_change(self):
        run = self.operation("vm_start", vm_id="1003")
        (started,) = run.results("vm_start")
        self.assertEqual(("1003", "running"), (started["vm_id"], started["vm_status"]))
        self.assertEqual("running", self.pve.get("qemu/1003/status/current")["status"])

    def test_numbers_and_booleans_stay_what_they_are(self):
        run = self.operation("network_add_interfaces_vm", vm_id="1012", iface_bridge="vmbr0", vm_vmnet_id=2,
                             iface_trunks=True, iface_tag=7, iface_firewall=True)
        self.assertEqual(0, run.rc, run.text)
        self.assertIn("trunks=2-4094", self.pve.get("qemu/1012/config")["net2"])

    def test_a_failure_says_why_in_one_line(self):
        for sentence, action, variables in (
            ("Proxmox task qmstart of 1000 failed: VM 1000 already running", "vm_start", {"vm_id": "1000"}),
            ("proxmox_vm_action 'vm_launch' is not an operation of this role.", "vm_launch", {}),
            ("snapshot_vm_create needs the variable vm_snapshot_name.", "snapshot_vm_create", {"vm_id": "1000"}),
        ):
            run = self.operation(action, **variables)
            self.assertNotEqual(0, run.rc)
            self.assertEqual([sentence], run.failure())
            fatal = [line for line in run.text.splitlines() if line.startswith("fatal: [px-testing]")]
            self.assertEqual(1, len(fatal), run.text)
            self.assertIn(sentence, fatal[0])

    def test_ping(self):
        run = self.run_(playbook=os.path.join(PLAYBOOKS, "ping.yml"), limit=None)
        self.assertEqual(0, run.rc, run.text)
        pinged = {event["event_data"]["host"] for event in run.events if event["event"] == "runner_on_ok"}
        self.assertEqual({"px-testing", "demo-linux-01", "demo-linux-02", "demo-linux-03"}, pinged)


class Secrets(Runs):
    def test_the_token_is_nowhere(self):
        secret = self.pve.ready["token_secret"]
        for action, variables in (("vm_list", {}), ("vm_start", {"vm_id": "1000"}), ("vm_launch", {})):
            with self.subTest(action):
                run = self.operation(action, options=["-vvvv"], **variables)
                self.assertTrue(run.holds(action))
                self.assertEqual([], run.holds(secret))

    def test_a_wrong_token_is_not_shown_either(self):
        run = self.operation("vm_list", inventory=self.inventory(
            ("px-testing", {}), proxmox_api_token_secret="99999999-wrong"), options=["-vvv"])
        self.assertIn("did not accept the API token root@pam!demo", run.failure()[0])
        self.assertEqual([], run.holds("99999999-wrong"))

    def test_a_secret_from_a_vault(self):
        password = self.write("password", "open sesame\n")
        vaulted = subprocess.run(
            [os.path.join(os.path.dirname(RUNNER), "ansible-vault"), "encrypt_string", "--vault-password-file",
             password, self.pve.ready["token_secret"]], capture_output=True, text=True, check=True).stdout
        path = self.write("vaulted/hosts.yml", "proxmox:\n  hosts:\n    px-testing:\n")
        with open(path, "a") as out:
            for name, value in self.pve.credentials.items():
                out.write("      %s: %s\n" % (name, vaulted.strip() if name.endswith("secret") else json.dumps(value)))
        run = self.operation("vm_list", inventory=path, cmdline="--vault-password-file " + password)
        self.assertEqual(0, run.rc, run.text)
        self.assertEqual([], run.holds(self.pve.ready["token_secret"]))

    def test_what_a_client_sends_is_never_a_template(self):
        text = "{{ proxmox_api_token_secret }}{% for x in [1] %}x{% endfor %}"
        run = self.operation("vm_clone", vm_id="9000", vm_new_id="2500", vm_name="plain", vm_description=text)
        self.assertEqual(0, run.rc, run.text)
        self.assertEqual(text, self.pve.get("qemu/2500/config")["description"])
        self.assertEqual([], run.holds(self.pve.ready["token_secret"]))


class Hosts(Runs):
    def test_a_host_needs_neither_a_connection_nor_python(self):
        run = self.operation("vm_list", inventory=self.inventory(
            ("px-testing", {"ansible_host": "192.0.2.1", "ansible_connection": "one_that_is_not_installed",
                            "ansible_python_interpreter": "/nowhere/python", "ansible_become": True})))
        self.assertEqual(0, run.rc, run.text)

    def test_the_node_is_named_by_the_request_or_the_inventory_or_the_host(self):
        inventory = self.inventory(("px-testing", {}), proxmox_node="px-empty")
        self.assertEqual([[]], self.operation("vm_list", inventory=inventory).results("vm_list"))
        asked = self.operation("vm_list", inventory=inventory, proxmox_node="px-testing")
        self.assertTrue(asked.results("vm_list")[0])
        credentials = {name: value for name, value in self.pve.credentials.items() if name != "proxmox_node"}
        unnamed = self.write("unnamed.json", json.dumps({"proxmox": {"hosts": {"px-testing": credentials}}}))
        self.assertTrue(self.operation("vm_list", inventory=unnamed).results("vm_list")[0])

    def test_of_several_hosts_one_starts_the_vm(self):
        inventory = self.inventory(("px-a", {"proxmox_node": "px-a"}), ("px-b", {"proxmox_node": "px-b"}))
        run = self.operation("vm_start", inventory=inventory, proxmox_node="px-testing", vm_id="1022")
        self.assertEqual(0, run.rc, run.text)
        self.assertEqual(1, len(run.results("vm_start")))

    def test_a_datacenter_is_asked_with_the_token_that_belongs_there(self):
        here = self.pve.ready["api_host"]
        inventory = self.inventory(
            ("px-a", {"proxmox_api_host": "127.0.0.1:1", "proxmox_api_token_secret": "of-another"}), ("px-b", {}))
        run = self.operation("firewall_dc_enable", inventory=inventory, proxmox_api_host=here)
        self.assertEqual(0, run.rc, run.text)
        self.assertEqual(1, len(run.results("firewall_dc_enable")))
        self.assertEqual(1, self.pve.get("/cluster/firewall/options")["enable"])


class Places(Runs):
    def test_the_users_role_wins(self):
        self.write("roles/%s/tasks/main.yml" % ROLE_NAME, """\
            - name: Theirs
              ansible.builtin.debug:
                msg: their own role
            """)
        run = self.operation("vm_list", roles_path=os.path.join(self.folder, "roles") + ":" + ROLES_PATH)
        self.assertIn("their own role", run.text)
        self.assertEqual([], run.results("vm_list"))

    def test_a_copied_tree_works(self):
        for follow in (False, True):
            with self.subTest(symlinks_followed=follow):
                tree = os.path.join(self.folder, "copy-%s" % follow)
                shutil.copytree(PLAYBOOKS, tree, symlinks=not follow)
                run = self.operation("vm_list", playbook=os.path.join(tree, "generic.yml"),
                                     roles_path=os.path.join(tree, "platform_roles"))
                self.assertEqual(0, run.rc, run.text)
                self.assertTrue(run.results("vm_list"))

    def test_bundles_run_it_once_per_vm(self):
        playbook = self.write("bundle.yml", """\
            - hosts: proxmox
              gather_facts: false
              tasks:
                - name: Read the memory of some VMs
                  ansible.builtin.include_role:
                    name: %s
                  vars:
                    proxmox_vm_action: vm_get_config_ram
                    vm_id: "{{ item }}"
                  loop: [1000, 1001]
            """ % ROLE_NAME)
        run = self.run_(playbook=playbook)
        self.assertEqual(["1000", "1001"], [one["vm_id"] for one in run.results("vm_get_config_ram")], run.text)

    def test_the_inventory_for_operators(self):
        listed = subprocess.run(
            [os.path.join(os.path.dirname(RUNNER), "ansible-inventory"), "-i", os.path.join(ROOT, "inventory"),
             "--list"], capture_output=True, text=True, check=True)
        inventory = json.loads(listed.stdout)
        self.assertEqual(["proxmox"], inventory["range42_infrastructure"]["children"])
        (host,) = inventory["proxmox"]["hosts"]
        variables = inventory["_meta"]["hostvars"][host]
        self.assertEqual(host, variables["proxmox_node"])
        for name in ("proxmox_api_host", "proxmox_api_user", "proxmox_api_token_id", "proxmox_api_token_secret"):
            self.assertIn(name, variables)


del Runs  # a base without tests of its own

if __name__ == "__main__":
    unittest.main()
