"""The warm-up: a playbook run at startup that records what a run imports and parses.

The modules and texts that Ansible needs depend on its version, so they are
recorded rather than listed here. The warm-up is a job like any other and thus
also proves that jobs can be run.
"""

import json
import os
import pickle
import shutil
import sys

from ansible_runner.config.runner import RunnerConfig

INVENTORY = """\
all:
  hosts:
    warm_up: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
"""

# Covers most features that playbooks use, without side effects.
PLAYBOOK = """\
- hosts: "{{ hosts | default('all') }}"
  gather_facts: false
  vars: {numbers: [1, 2]}
  roles: [warm_up]
  handlers:
    - {name: Handle, ansible.builtin.debug: {msg: handled}}
"""

ROLE = """\
- name: Evaluate
  ansible.builtin.set_fact:
    found: "{{ numbers | map('int') | list | to_json }} {{ lookup('env', 'HOME') }} {{ numbers is defined }}"
- {name: Ping, ansible.builtin.ping: }
- {name: Show, ansible.builtin.debug: {msg: "{{ item }}"}, loop: "{{ numbers }}", notify: Handle}
- {name: Include, ansible.builtin.include_tasks: included.yml, when: numbers | length == 2}
"""

INCLUDED = """\
- name: Check
  ansible.builtin.assert: {that: [numbers is sequence, "'1' in found"], quiet: true}
  changed_when: true
  notify: Handle
"""


class WarmUp:
    """The private data dir and the records of the warm-up."""

    def __init__(self, run_id, folder, envvars):
        self.run_id, self.folder = run_id, folder
        self.project = os.path.join(folder, "project")
        self.records = os.path.join(folder, "records")
        tasks = os.path.join(self.project, "roles", "warm_up", "tasks")
        for path in (tasks, *(os.path.join(folder, name) for name in ("env", "inventory", "tmp"))):
            os.makedirs(path, mode=0o700)
        for path, text in (
                (os.path.join(tasks, "main.yml"), ROLE), (os.path.join(tasks, "included.yml"), INCLUDED),
                (os.path.join(self.project, "play.yml"), PLAYBOOK), (self.inventory, INVENTORY),
                (os.path.join(folder, "env", "extravars"), "{hosts: !unsafe \"all\"}\n"),
                (os.path.join(folder, "env", "envvars"), json.dumps(envvars))):
            with open(path, "w") as out:
                out.write(text)

    @property
    def inventory(self):
        return os.path.join(self.folder, "inventory", "hosts.yml")

    def environment(self):
        """The environment that ansible-runner passes to ansible-playbook for the jobs of this server."""
        config = RunnerConfig(private_data_dir=self.folder, ident=self.run_id, playbook="play.yml", quiet=True)
        config.prepare()
        return config.env

    def job(self):
        return {"run_id": self.run_id, "folder": self.folder, "log": os.path.join(self.folder, "log"),
                "arguments": ["run", self.folder, "--quiet", "--ident", self.run_id, "--playbook", "play.yml",
                              "--inventory", self.inventory, "--limit=warm_up"]}

    def last_line(self):
        """The last line of the output, which tells why the warm-up failed."""
        for path in (os.path.join(self.folder, "artifacts", self.run_id, "stdout"), os.path.join(self.folder, "log")):
            if os.path.exists(path):
                with open(path, errors="replace") as text:
                    lines = [line.strip() for line in text if line.strip()]
                if lines:
                    return lines[-1]
        return "it printed nothing"

    def recorded(self):
        """The imported modules by name, and the parsed texts, with an entry for each time."""
        modules, texts = {}, []
        with open(self.records, "rb") as records:
            while records.peek(1):
                kind, *record = pickle.load(records)
                if kind == "module":
                    modules.setdefault(*record)
                else:
                    texts.append(record)
        return modules, texts

    def clean_up(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Recorder:
    """Replaces PreloadedState during the warm-up and records instead."""

    def __init__(self, preloaded, records):
        self.preloaded, self.records = preloaded, records
        self.why_cold, self.stream_errors = preloaded.why_cold, preloaded.stream_errors
        self.run_settings = preloaded.run_settings

    def install(self):
        import yaml
        from ansible.executor.process.worker import WorkerProcess
        # ansible-playbook and its workers append to this file, with one write per record.
        self.out = os.open(self.records, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        parse, work = yaml.load, WorkerProcess._run

        def load(stream, Loader):
            if isinstance(stream, (str, bytes)):
                self.write("text", stream, Loader)
            return parse(stream, Loader)

        def run(worker):
            work(worker)
            self.before_end()

        yaml.load, WorkerProcess._run = load, run

    def before_end(self):
        for name, module in list(sys.modules.items()):
            self.write("module", name, getattr(module, "__file__", None))

    def write(self, *record):
        os.write(self.out, pickle.dumps(record))
