"""A playbook run once when the server starts, to learn what a run imports and parses.

Which modules and which of its own texts Ansible needs is its business and changes
with its version, so they are not listed here but observed. The rehearsal is a job
like any other, and a proof that jobs can be run at all.
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
    rehearsal: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
"""

# Something of most things that playbooks do, and nothing that leaves a trace.
PLAYBOOK = """\
- hosts: "{{ hosts | default('all') }}"
  gather_facts: false
  vars: {numbers: [1, 2]}
  roles: [rehearsal]
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


class Rehearsal:
    """The stage of the rehearsal: a private data dir like that of any job."""

    def __init__(self, run_id, folder, envvars):
        self.run_id, self.folder = run_id, folder
        self.project = os.path.join(folder, "project")
        self.records = os.path.join(folder, "records")
        tasks = os.path.join(self.project, "roles", "rehearsal", "tasks")
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
        """The environment of ansible-playbook as ansible-runner makes it for this server's jobs."""
        config = RunnerConfig(private_data_dir=self.folder, ident=self.run_id, playbook="play.yml", quiet=True)
        config.prepare()
        return config.env

    def job(self):
        return {"run_id": self.run_id, "folder": self.folder, "log": os.path.join(self.folder, "log"),
                "arguments": ["run", self.folder, "--quiet", "--ident", self.run_id, "--playbook", "play.yml",
                              "--inventory", self.inventory, "--limit=rehearsal"]}

    def said(self):
        """The last line that the rehearsal printed, to explain why it failed."""
        for path in (os.path.join(self.folder, "artifacts", self.run_id, "stdout"), os.path.join(self.folder, "log")):
            if os.path.exists(path):
                with open(path, errors="replace") as text:
                    lines = [line.strip() for line in text if line.strip()]
                if lines:
                    return lines[-1]
        return "it printed nothing"

    def learnt(self):
        """The modules that were imported, by name, and the texts that were parsed, one entry for each time."""
        modules, texts = {}, []
        with open(self.records, "rb") as records:
            while records.peek(1):
                kind, *record = pickle.load(records)
                if kind == "module":
                    modules.setdefault(*record)
                else:
                    texts.append(record)
        return modules, texts

    def strike(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Recorder:
    """Takes the place of Warmth in the rehearsal: the same run, watched instead of helped."""

    def __init__(self, warmth, records):
        self.warmth, self.records = warmth, records
        self.why_cold, self.stream_errors = warmth.why_cold, warmth.stream_errors
        self.settings_of_the_run = warmth.settings_of_the_run

    def install(self):
        import yaml
        from ansible.executor.process.worker import WorkerProcess
        # Appended to by ansible-playbook and its workers, each with one write per record.
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
