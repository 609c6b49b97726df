"""The long-lived process: receives jobs, forks, and reports how the jobs ended.

Messages are JSON objects, one per line. On stdin: the parameters of the warm-up, then jobs.

    {"run_id": "…", "folder": "/to/create", "envvars": {…}}
    {"job": 7, "run_id": "…", "folder": "…", "log": "…", "arguments": ["run", …]}

On stdout:

    {"ready": "ansible-core 2.19.14, ansible-runner 2.4.3"}   or {"init_failed": reason}, then exits
    {"job": 7, "pid": 4711}          started                  or {"job": 7, "refused": reason}
    {"job": 7, "cold": reason}       uses a new ansible-playbook process instead of a fork
    {"job": 7, "ended": 0}           the exit code, or null if a signal killed the job
    {"recycle": reason}              this server should be replaced by a new one

At the end of stdin, the server accepts no more jobs, waits for the running ones and exits.
"""

import gc
import json
import os
import select
import sys

from . import kernel

# The number of jobs, and the growth in bytes, after which the server asks to be recycled.
MAX_JOBS = 1000
MAX_GROWTH = 64 << 20


def main():
    title = kernel.ProcessTitle()
    # Anything that a library prints must not end up among the messages.
    messages = os.dup(1)
    os.dup2(2, 1)
    server = Server(messages, title)
    try:
        opening = server.read_line()
        if opening is None:
            return
        server.prepare(json.loads(opening))
    except SystemExit as exited:
        # Ansible exits if its configuration is invalid, after printing the reason to stderr.
        server.send(init_failed="Ansible cannot be imported (exit code %s)" % exited.code)
        return
    except Exception as problem:
        server.send(init_failed="%s: %s" % (type(problem).__name__, problem))
        return
    server.serve()


class Server:
    def __init__(self, messages, title):
        self.messages, self.title = messages, title
        self.unread, self.open = b"", True
        self.running, self.started, self.recycling = {}, 0, False

    def send(self, **message):
        # Shorter than PIPE_BUF, so that the write is atomic: forks write to the same pipe (pipe(7)).
        line = json.dumps({name: value[:500] if isinstance(value, str) else value for name, value in message.items()})
        try:
            os.write(self.messages, line.encode() + b"\n")
        except BrokenPipeError:
            pass  # the API server is gone; running jobs are finished anyway

    def prepare(self, opening):
        from .preloaded import PreloadedState
        from .warm_up import Recorder, WarmUp
        import ansible_runner
        warm_up = WarmUp(**opening)
        try:
            self.preloaded = PreloadedState(warm_up.environment(), warm_up.project)
            self.run_warm_up(warm_up, Recorder(self.preloaded, warm_up.records))
            self.preloaded.load(*warm_up.recorded())
        finally:
            warm_up.clean_up()
        # Exclude the current objects from garbage collection, which would copy their pages in every fork.
        gc.collect()
        gc.freeze()
        self.size = resident()
        from ansible.release import __version__
        from importlib.metadata import version
        self.send(ready="ansible-core %s, ansible-runner %s" % (__version__, version(ansible_runner.__name__)))

    def run_warm_up(self, warm_up, recorder):
        reasons, report = os.pipe()
        pid = self.fork(warm_up.job(), recorder, lambda cold: cold and os.write(report, cold.encode()))
        os.close(report)
        _, status = os.waitpid(pid, 0)
        cold = os.read(reasons, 4096).decode()
        os.close(reasons)
        if cold or status:
            raise RuntimeError("the warm-up failed: %s" % (cold or warm_up.last_line()))

    def fork(self, job, preloaded, report):
        server, (announced, announce) = os.getpid(), os.pipe()
        try:
            pid = os.fork()
        except OSError:
            os.close(announced)
            os.close(announce)
            raise
        if pid:
            os.close(announce)
            os.read(announced, 1)  # returns when the fork has set its run ID or has exited
            os.close(announced)
            return pid
        try:
            from . import job as runner
            os.close(announced)
            runner.perform(job, server, announce, self.title, preloaded, report)
        finally:
            os._exit(1)

    # -------------------------------------------------------------------- serving

    def serve(self):
        self.poll = select.poll()
        self.poll.register(0, select.POLLIN)
        while self.open or self.running:
            for descriptor, _ in self.poll.poll():
                if descriptor == 0:
                    self.read()
                else:
                    self.reap(descriptor)

    def read(self):
        data = os.read(0, 1 << 16)
        if not data:
            self.open = False
            self.poll.unregister(0)
        *lines, self.unread = (self.unread + data).split(b"\n")
        for line in lines:
            self.start(json.loads(line))

    def read_line(self):
        while b"\n" not in self.unread:
            data = os.read(0, 1 << 16)
            if not data:
                return None
            self.unread += data
        line, self.unread = self.unread.split(b"\n", 1)
        return line

    def start(self, job):
        number = job["job"]
        stale = self.preloaded.why_stale()
        if stale:
            self.send(job=number, refused=stale)
            return self.ask_to_recycle(stale)
        try:
            pid = self.fork(job, self.preloaded, lambda cold: cold and self.send(job=number, cold=cold))
        except OSError as problem:
            return self.send(job=number, refused=str(problem))
        self.send(job=number, pid=pid)
        ended = os.pidfd_open(pid)
        self.poll.register(ended, select.POLLIN)
        self.running[ended] = number, pid
        self.started += 1

    def reap(self, ended):
        number, pid = self.running.pop(ended)
        self.poll.unregister(ended)
        os.close(ended)
        _, status = os.waitpid(pid, 0)
        self.send(job=number, ended=os.WEXITSTATUS(status) if os.WIFEXITED(status) else None)
        if self.started >= MAX_JOBS:
            self.ask_to_recycle("it has run %d jobs" % self.started)
        elif resident() > self.size + MAX_GROWTH:
            self.ask_to_recycle("it has grown to %d MB" % (resident() >> 20))

    def ask_to_recycle(self, reason):
        if not self.recycling:
            self.recycling = True
            self.send(recycle=reason)


def resident():
    """The resident memory of this process in bytes."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
