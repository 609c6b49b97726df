"""The outcome of a job, with all values replaced that differ between runs."""

import json
import os
import re

# Members of events and results whose values are times or process IDs.
TIMES = {"created", "start", "end", "duration", "pid", "delta", "elapsed", "atime", "mtime", "ctime", "started",
         "finished_at", "inode", "ansible_job_id", "results_file"}

PATTERNS = [(re.compile(pattern), name) for pattern, name in (
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(\+00:00)?", "TIME"),
    (r"\d:\d\d:\d\d\.\d+", "DELTA"),
    (r"ansible-local-\w+(/\w+)?", "LOCAL-TEMP"),
    (r"ansible-tmp-[\d.]+-\d+-\d+", "REMOTE-TEMP"),
    (r"(ansible_\w+_payload|debugger|ansible_module)_\w+", "PAYLOAD"),
    (r"\btmp[a-z0-9_]{8}\b", "TEMP"),
    (r"j\d{9,}\.\d+|\b\d{12}\.\d+\b", "ASYNC-JOB"),
    (r'"(mtime|ctime|atime|inode)": [\d.]+', "FILE-TIME"),
    (r"\bPID \d+|pid=\d+|pid: \d+", "PROCESS"),
)]
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Normal:
    """Numbers IDs in order of appearance, so that equal IDs stay equal."""

    def __init__(self):
        self.ids = {}

    def of(self, value, member=None):
        if isinstance(value, dict):
            return {name: self.of(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.of(inner) for inner in value]
        if member in TIMES:
            return type(value).__name__
        if member == "_original_basename":
            return "TEMP" if str(value).startswith(".") else value
        return self.text(value) if isinstance(value, str) else value

    def text(self, text):
        text = UUID.sub(lambda found: "ID-%d" % self.ids.setdefault(found[0], len(self.ids)), text)
        for pattern, name in PATTERNS:
            text = pattern.sub(name, text)
        return text


def outcome(job, exit_code):
    """Everything that must not depend on the engine."""
    normal = Normal()
    normal.text(job.run_id)
    seen = {"exit code": exit_code, "events": [normal.of(event) for event in job.events()]}
    for name in ("rc", "status", "stdout", "stderr"):
        path = os.path.join(job.artifacts, name)
        seen[name] = normal.text(read(path)) if os.path.exists(path) else None
    seen["log"] = normal.text(read(job.log))
    command = os.path.join(job.artifacts, "command")
    seen["command"] = json.loads(normal.text(read(command))) if os.path.exists(command) else None
    seen["files"] = {normal.text(path): mode for path, mode in files(job.folder)}
    return seen


def per_host(seen):
    """The outcome with events grouped by host, because the order of hosts is random."""
    order, hosts = ("counter", "start_line", "end_line", "uuid", "parent_uuid"), {}
    for event in seen["events"]:
        kept = {name: value for name, value in event.items() if name not in order}
        kept["event_data"] = {n: v for n, v in event.get("event_data", {}).items() if not n.endswith("uuid")}
        hosts.setdefault(kept["event_data"].get("host", ""), []).append(kept)
    return {**seen, "events": hosts, "stdout": sorted(seen["stdout"].splitlines()),
            "files": len(seen["files"])}


def files(folder):
    """All files in the directory of the job, with their modes."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in sorted(names):
            path = os.path.join(parent, name)
            yield os.path.relpath(path, folder), oct(os.lstat(path).st_mode)


def read(path):
    with open(path, newline="") as text:
        return text.read()
