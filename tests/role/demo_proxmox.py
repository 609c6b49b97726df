"""The demo's Proxmox for tests: started once, queried through its API, with fault injection."""

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PLAYBOOKS = os.path.join(ROOT, "playbooks")
ROLE = os.path.join(PLAYBOOKS, "roles", "proxmox_controller")
sys.path.insert(0, ROLE)


def executable(variable, *candidates):
    """The program that an environment variable names, or else the first candidate that exists."""
    for candidate in (os.environ.get(variable), *candidates):
        found = candidate and shutil.which(candidate)
        if found:
            return found
    raise RuntimeError("Not found: %s. Name it in %s." % (" or ".join(candidates), variable))


DEMO_PYTHON = executable("DEMO_PYTHON", os.path.join(ROOT, ".venv-demo", "bin", "python"), sys.executable)


class DemoProxmox:
    """demo/proxmox.py as a separate process. It exits when `close` closes the write end of its pipe."""

    def __init__(self, *options):
        self.folder = tempfile.mkdtemp(prefix="demo-proxmox-")
        read_end, self.write_end = os.pipe()
        self.process = subprocess.Popen(
            [DEMO_PYTHON, "-B", os.path.join(ROOT, "demo", "proxmox.py"),
             "--dir", os.path.join(self.folder, "demo"), "--eof-fd", str(read_end), *options],
            stdout=subprocess.PIPE, pass_fds=[read_end], text=True)
        os.close(read_end)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("demo/proxmox.py did not start (exit code %s)." % self.process.wait())
        self.ready = json.loads(line)
        self.tls = ssl.create_default_context(cafile=self.ready["cert"])

    def close(self):
        os.close(self.write_end)
        code = self.process.wait(timeout=10)
        self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        return code

    def signal(self, number):
        self.process.send_signal(number)

    @property
    def credentials(self):
        """The variables of this Proxmox in the inventory."""
        return {
            "proxmox_node": self.ready["node"],
            "proxmox_api_host": self.ready["api_host"],
            "proxmox_api_user": self.ready["user"],
            "proxmox_api_token_id": self.ready["token_id"],
            "proxmox_api_token_secret": self.ready["token_secret"],
            "proxmox_ca_file": self.ready["cert"],
        }

    def perform(self, action, **variables):
        """Runs an operation of the role in this process, and returns its value in the result."""
        import proxmox
        return proxmox.perform({"proxmox_vm_action": action, **self.credentials, **variables})[action]

    # ------------------------------------- the API, without the code of the role

    def get(self, path):
        """`data` of a GET. The path is relative to the demo's node, or to the root if it starts with a slash."""
        path = path if path.startswith("/") else "/nodes/%s/%s" % (self.ready["node"], path)
        request = urllib.request.Request(
            "https://%s/api2/json%s" % (self.ready["api_host"], path),
            headers={"Authorization": "PVEAPIToken=%(user)s!%(token_id)s=%(token_secret)s" % self.ready})
        with urllib.request.urlopen(request, context=self.tls, timeout=10) as answer:
            return json.load(answer)["data"]

    def exists(self, vmid):
        return int(vmid) in [vm["vmid"] for vm in self.get("qemu")]

    # ------------------------------------------------------------- the control API

    def control(self, method, path, body=None):
        request = urllib.request.Request(
            self.ready["control"] + path, method=method, data=None if body is None else json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def faults(self, **faults):
        """Replaces the active faults; without arguments, clears them."""
        self.control("PUT", "/faults", faults)

    def asked(self, method, ending):
        """The bodies of the requests so far with this method and this end of the path."""
        return [body for verb, path, body in self.control("GET", "/requests")
                if verb == method and path.endswith(ending)]

    def forget_requests(self):
        self.control("DELETE", "/requests")


SIGINT, SIGTERM = signal.SIGINT, signal.SIGTERM
