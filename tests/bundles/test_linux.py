"""The Linux bundles on a real Debian or Ubuntu in the folder BUNDLES_CHROOT (see README.md)."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

from bundle_run import BundleRun

CHROOT = os.environ.get("BUNDLES_CHROOT")
PACKAGE_SWITCHES = ("BASICS", "FIREWALLS", "DOCKER", "DOCKER_COMPOSE", "UTILS_JSON", "UTILS_NETWORK",
                    "NTP_AND_UPDATE_TIME")


class Linux(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not CHROOT:
            raise RuntimeError("BUNDLES_CHROOT names no folder with a Debian or Ubuntu in it: run scripts/check-bundles.")

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.hosts = os.path.join(self.folder, "hosts.json")
        with open(self.hosts, "w") as hosts:
            json.dump({"linux": {"hosts": {"box": {
                "ansible_connection": "community.general.chroot", "ansible_host": CHROOT,
                "ansible_python_interpreter": "/usr/bin/python3"}}}}, hosts)

    def bundle(self, name, **variables):
        return BundleRun(self, "bundles/core/linux/ubuntu/%s/main.yml" % name, self.hosts, limit="box", **variables)

    def succeeded(self, run):
        self.assertEqual(0, run.rc, run.text)
        return run

    def twice(self, name, **variables):
        """Runs a bundle twice; the second run must not change anything."""
        first = self.succeeded(self.bundle(name, **variables))
        again = self.succeeded(self.bundle(name, **variables))
        self.assertEqual(0, again.changed, again.text)
        return first

    def inside(self, *command):
        return subprocess.run(["chroot", CHROOT, *command], capture_output=True, text=True).stdout.strip()

    def without_user(self, name):
        subprocess.run(["chroot", CHROOT, "userdel", "--remove", name], stderr=subprocess.DEVNULL)

    def packages(self, **switched):
        off = {"INSTALL_PACKAGES_" + name: False for name in PACKAGE_SWITCHES}
        return {**off, "SPECIFIC_PACKAGES_CLEANING": False, **switched}

    def installed(self, package):
        return "install ok installed" in self.inside("dpkg-query", "-W", "-f=${Status}", package)

    def test_packages_by_switch(self):
        self.inside("apt-get", "remove", "--yes", "jq", "jo", "traceroute")
        self.twice("install/basic-packages", **self.packages(INSTALL_PACKAGES_UTILS_JSON=True))
        self.assertEqual([True, True, False], [self.installed(name) for name in ("jq", "jo", "traceroute")])

    def test_all_packages(self):
        self.twice("install/basic-packages", **{name: True for name in self.packages()})
        self.assertTrue(self.installed("docker.io"))
        self.assertTrue(self.inside("sh", "-c", "command -v docker-compose || docker compose version"))

    def test_docker_by_default(self):
        self.twice("install/docker")
        self.assertTrue(self.installed("docker.io"))
        self.twice("install/docker-compose")

    def test_a_user_and_its_password(self):
        self.without_user("kim")
        wanted = {"TARGET_USER": "kim", "TARGET_PASSWORD": "Pa.ss@1-_", "TARGET_SHELL_PATH": "/bin/sh",
                  "CHANGE_PWD_AT_LOGON": True}
        run = self.twice("configure/add-user", **wanted)
        self.assertEqual([], [name for name in run.holds("Pa.ss@1-_") if name != "extravars"])
        self.assertTrue(self.inside("getent", "passwd", "kim").endswith(":/home/kim:/bin/sh"))
        shadow = self.inside("getent", "shadow", "kim").split(":")
        self.assertTrue(shadow[1].startswith("$"), "no password")
        self.assertEqual("0", shadow[2], "it need not be changed")

        self.succeeded(self.bundle("configure/add-user", **{**wanted, "TARGET_PASSWORD": "other"}))
        self.assertEqual(shadow, self.inside("getent", "shadow", "kim").split(":"))

    def test_a_user_without_a_password(self):
        self.without_user("lee")
        self.twice("configure/add-user", TARGET_USER="lee", TARGET_PASSWORD="", TARGET_SHELL_PATH="/bin/sh",
                   CHANGE_PWD_AT_LOGON=True)
        self.assertEqual("!", self.inside("getent", "shadow", "lee").split(":")[1])

    def test_a_shell_that_is_not_there(self):
        self.without_user("lee")
        run = self.bundle("configure/add-user", TARGET_USER="lee", TARGET_SHELL_PATH="/bin/nosuch")
        self.assertEqual(["box has no shell /bin/nosuch."], run.failure())
        self.assertEqual("", self.inside("getent", "passwd", "lee"))

    def test_dot_files(self):
        self.without_user("kim")
        self.succeeded(self.bundle("configure/add-user", TARGET_USER="kim", TARGET_SHELL_PATH="/bin/sh"))
        self.inside("rm", "-f", "/root/.vimrc", "/root/.zshrc")
        self.inside("sh", "-c", "echo mine > /home/kim/.vimrc")
        wanted = {"hosts": "box", "OPERATOR_USER": "kim", "INSTALL_ZSH_DOTFILES": False}
        self.twice("install/dot-files", **wanted)
        self.assertEqual(".vimrc", self.inside("sh", "-c", "cd /home/kim; find . -user kim -name .vimrc -printf %f"))
        self.assertEqual("mine", self.inside("sh", "-c", "cat /home/kim/.vimrc.*~"))
        self.assertEqual("", self.inside("sh", "-c", "ls /root/.vimrc /home/kim/.zshrc"))

        self.twice("install/dot-files", **{**wanted, "INSTALL_ZSH_DOTFILES": True, "APPLY_FOR_ROOT": True})
        self.assertIn("sharehistory", self.inside("env", "HOME=/root", "zsh", "-ic", "setopt"))
        self.assertEqual("/root/.vimrc", self.inside("ls", "/root/.vimrc"))

    def test_an_account_that_is_not_there(self):
        run = self.bundle("install/dot-files", OPERATOR_USER="nobody-here")
        self.assertEqual(["box has no account nobody-here."], run.failure())
        run = self.bundle("install/dot-files", OPERATOR_USER="{{ lookup('pipe', 'id') }}")
        self.assertEqual(["OPERATOR_USER must be the name of a Linux account."], run.failure())


if __name__ == "__main__":
    unittest.main()
