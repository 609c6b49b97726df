"""The two ways to run a job: `ansible-runner run` as a process, and the warm engine."""

import itertools
import json
import os
import shutil
import subprocess
import threading
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUN_ID = "RANGE42_RUN_ID"


class Job:
    """A private data dir as the server creates it, and the arguments of ansible-runner."""

    def __init__(self, folder, files, run_id=None, playbook="play.yml", limit=None, arguments="", environment=()):
        self.folder, self.run_id = folder, run_id or str(uuid.uuid4())
        self.log = os.path.join(folder, "runner.log")
        self.cold = None  # why the warm engine used a new ansible-playbook process, if it did
        self.artifacts = os.path.join(folder, "artifacts", self.run_id)
        os.makedirs(os.path.join(folder, "artifacts"), mode=0o700)
        for path, text in files.items():
            path = os.path.join(folder, path)
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with open(path, "w") as out:
                out.write(text)
        os.makedirs(os.path.join(folder, "env"), exist_ok=True)
        with open(os.path.join(folder, "env", "envvars"), "w") as out:
            json.dump({**ENVVARS, **dict(environment), RUN_ID: self.run_id}, out)
        self.arguments = ["run", folder, "--quiet", "--ident", self.run_id, "--playbook", playbook,
                      "--inventory", os.path.join(folder, "inventory", "hosts.yml")]
        self.arguments += ["--limit=" + limit] if limit else []
        self.arguments += ["--cmdline=" + arguments.format(folder=folder)] if arguments else []

    def events(self):
        """The job events, in order."""
        folder = os.path.join(self.artifacts, "job_events")
        names = os.listdir(folder) if os.path.isdir(folder) else []
        events = []
        for name in names:
            if name.endswith(".json") and not name.endswith("-partial.json"):
                with open(os.path.join(folder, name)) as text:
                    events.append(json.load(text))
        return sorted(events, key=lambda event: event["counter"])

    def messages(self):
        """The messages of the debug tasks, in order."""
        return [event["event_data"]["res"]["msg"] for event in self.events()
                if event["event"] == "runner_on_ok" and event["event_data"]["task_action"] == "debug"]

    def artifact(self, name):
        """The text of an artifact, or None if it does not exist."""
        path = os.path.join(self.artifacts, name)
        if not os.path.exists(path):
            return None
        with open(path) as text:
            return text.read()


# The env/envvars of every job, without the run ID.
ENVVARS = {"ANSIBLE_HOST_KEY_CHECKING": "True", "MAX_EVENT_RES": "1000000000"}


def environment(runner, home, terminal=None):
    """A minimal environment of the server, so that this machine does not affect the results."""
    made = {"PATH": os.path.dirname(runner) + ":/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": home, "LANG": "C.UTF-8"}
    return {**made, "TERM": terminal} if terminal else made


class ColdEngine:
    name = "process"

    def __init__(self, runner, environment):
        self.runner, self.environment = runner, environment

    def run(self, job):
        with open(job.log, "wb") as log:
            return subprocess.run(
                [self.runner, *job.arguments], env={**self.environment, RUN_ID: job.run_id}, cwd=job.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0, timeout=170).returncode


class WarmEngine:
    """A client of engine/warm.py that can run several jobs at once."""

    name = "warm"

    def __init__(self, runner, environment, scratch, **constants):
        """`constants` override those of the server module."""
        with open(runner) as script:
            interpreter = script.readline()[2:].strip()
        program = [os.path.join(ROOT, "engine", "warm.py")]
        if constants:
            program = ["-c", "import sys; sys.path[0] = %r\nfrom forkserver import server\nvars(server).update(%r)\nserver.main()"
                       % (os.path.join(ROOT, "engine"), constants)]
        self.process = subprocess.Popen(
            [interpreter, *program], env={**environment, RUN_ID: "0" * 36}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0)
        self.numbers, self.messages, self.changed = itertools.count(1), [], threading.Condition()
        self.send({"run_id": str(uuid.uuid4()), "folder": scratch, "envvars": ENVVARS})
        self.ready = json.loads(self.process.stdout.readline())
        if "ready" not in self.ready:
            self.close()
            raise RuntimeError(self.ready)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            with self.changed:
                self.messages.append(json.loads(line))
                self.changed.notify_all()
        with self.changed:
            self.messages.append({"closed": True})
            self.changed.notify_all()

    def send(self, line):
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()

    def reply(self, number, kind):
        """Waits for a message about a job. Raises an error if the engine exits."""
        def found():
            return next((a for a in self.messages if a.get("closed") or a.get("job") == number and kind in a), None)
        with self.changed:
            reply = self.changed.wait_for(found, timeout=170)
        if reply is None or kind not in reply:
            raise RuntimeError("no %r for job %d: %s" % (kind, number, self.messages[-5:]))
        return reply[kind]

    def start(self, job):
        number = next(self.numbers)
        self.send({"job": number, "run_id": job.run_id, "folder": job.folder, "log": job.log, "arguments": job.arguments})
        return number, self.reply(number, "pid")

    def end(self, number):
        return self.reply(number, "ended")

    def run(self, job):
        number, _ = self.start(job)
        code = self.end(number)
        job.cold = next((a["cold"] for a in self.messages if a.get("job") == number and "cold" in a), None)
        return code

    def close(self):
        if not self.process.stdin.closed:
            self.process.stdin.close()
        code = self.process.wait(timeout=30)
        self.process.stdout.close()
        return code


def runner():
    """The ansible-runner to test: $ANSIBLE_RUNNER, or else the one in .venv."""
    found = os.environ.get("ANSIBLE_RUNNER") or os.path.join(ROOT, ".venv", "bin", "ansible-runner")
    if not shutil.which(found):
        raise SystemExit("no ansible-runner at %s: run scripts/set-up or set ANSIBLE_RUNNER" % found)
    return os.path.abspath(found)
