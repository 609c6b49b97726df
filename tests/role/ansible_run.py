"""A run of the real ansible-runner, with the input that the server creates."""

import json
import os
import shutil
import subprocess
import tempfile

from demo_proxmox import PLAYBOOKS, ROOT, executable

RUNNER = executable("ANSIBLE_RUNNER", os.path.join(ROOT, ".venv", "bin", "ansible-runner"), "ansible-runner")
# After this, a run hangs. The longest one installs every package that a bundle knows.
HANG = 1500
ROLES_PATH = os.path.join(PLAYBOOKS, "platform_roles")


def unsafe_yaml(variables):
    """Extra variables as the server writes them: a JSON object with a tag that applies to all of it."""
    return "!unsafe %s\n" % json.dumps(variables)


class Run:
    """A finished run: its return code, events and output, and the files that ansible-runner wrote."""

    def __init__(self, inventory, playbook=os.path.join(PLAYBOOKS, "generic.yml"), limit="proxmox",
                 roles_path=ROLES_PATH, options=(), cmdline=None, **variables):
        self.folder = tempfile.mkdtemp(prefix="role-run-")
        os.makedirs(os.path.join(self.folder, "env"))
        with open(os.path.join(self.folder, "env", "extravars"), "w") as out:
            out.write(unsafe_yaml(variables) or "{}\n")
        command = [RUNNER, "run", self.folder, "-p", playbook, "--inventory", inventory, "-i", "run", *options]
        if limit:
            command += ["--limit", limit]
        if cmdline:
            command += ["--cmdline", cmdline]
        environment = {**os.environ, "ANSIBLE_ROLES_PATH": roles_path, "ANSIBLE_NOCOLOR": "1",
                       "PATH": os.path.dirname(RUNNER) + os.pathsep + os.environ["PATH"]}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANG)
        self.rc, self.text = done.returncode, done.stdout + done.stderr
        self.artifacts = os.path.join(self.folder, "artifacts", "run")
        self.events = sorted(self.read_events(), key=lambda event: event["counter"])

    def read_events(self):
        folder = os.path.join(self.artifacts, "job_events")
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            with open(os.path.join(folder, name)) as text:
                yield json.load(text)

    def results(self, action):
        """The values that the server extracts: those under the action's name of every successful task."""
        return [event["event_data"]["res"][action] for event in self.events
                if event["event"] == "runner_on_ok" and action in event["event_data"]["res"]]

    def failure(self):
        return [event["event_data"]["res"]["msg"] for event in self.events if event["event"] == "runner_on_failed"]

    def holds(self, text):
        """Which of the output and the files in the run's folder contain the text."""
        found = ["output"] if text in self.text else []
        for folder, _, names in os.walk(self.folder):
            for name in names:
                with open(os.path.join(folder, name), errors="replace") as content:
                    if text in content.read():
                        found.append(name)
        return found

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)
