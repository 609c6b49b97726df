"""Syntax and lint checks of all playbooks, and runs that need no VMs."""

import glob
import os
import subprocess
import unittest

from bundle_run import PLAYBOOKS, ROOT, BundleRun, DemoProxmox, environment, tool

VMS = "core/proxmox/configure/default/vms/"
EXPECTED = sorted(
    ["ping/main.yml"]
    + ["core/linux/ubuntu/%s/main.yml" % name for name in (
        "install/basic-packages", "install/docker", "install/docker-compose", "install/dot-files",
        "configure/add-user")]
    + [VMS + "%s-%s/%s.yml" % (name, group, playbook)
       for group in ("admin", "student", "vuln")
       for name, playbook in (
           ("create-vms", "init"), ("create-vms", "main"), ("start-stop-pause-resume-vms", "main"),
           ("delete-vms", "main"), ("snapshot/create-vms", "main"), ("snapshot/revert-vms", "main"))])


class Playbooks(unittest.TestCase):
    def test_each_bundle_of_the_server_is_there_and_parses(self):
        bundles = os.path.join(PLAYBOOKS, "bundles")
        found = sorted(os.path.relpath(path, bundles) for name in ("main", "init")
                       for path in glob.glob("%s/**/%s.yml" % (bundles, name), recursive=True))
        self.assertEqual(EXPECTED, found)
        scenarios = glob.glob(os.path.join(PLAYBOOKS, "scenarios", "*", "main.yml"))
        self.assertTrue(scenarios)
        self.check([tool("ansible-playbook"), "--syntax-check", "--inventory", "localhost,",
                    *(os.path.join(bundles, path) for path in found), *scenarios])

    def test_lint(self):
        self.assertTrue(tool("ansible-lint"), "not installed beside ansible-runner: run scripts/check-bundles")
        self.check([tool("ansible-lint"), "-q", "playbooks", "inventory"])

    def check(self, command):
        ended = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(0, ended.returncode, ended.stdout.decode())


class WithoutVms(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pve = DemoProxmox()
        cls.addClassCleanup(cls.pve.close)
        cls.hosts = os.path.join(cls.pve.ready["inventory"], "hosts.yml")

    def test_ping(self):
        run = BundleRun(self, "bundles/ping/main.yml", self.hosts, limit="px-testing", proxmox_node="px-testing")
        self.assertEqual((0, ["pong"]), (run.rc, run.results("ping")), run.text)

    def test_nothing_is_installed_in_the_name_of_a_proxmox_host(self):
        """Tasks of a Proxmox host would run on the machine that runs Ansible."""
        for path in EXPECTED:
            if path.startswith("core/linux/"):
                run = BundleRun(self, "bundles/" + path, self.hosts, limit="px-testing", hosts="px-testing",
                                OPERATOR_USER="nobody-here", TARGET_USER="nobody-here")
                self.assertIn("no hosts matched", run.text)
                self.assertEqual([], [event for event in run.events if event["event"].startswith("runner_on")], path)


if __name__ == "__main__":
    unittest.main()
