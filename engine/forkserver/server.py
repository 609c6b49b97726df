"""The long-lived process: takes jobs, forks, tells how they ended.

One JSON object a line. In, on stdin: first what to rehearse with, then jobs.

    {"run_id": "…", "folder": "/to/make", "envvars": {…}}
    {"job": 7, "run_id": "…", "folder": "…", "log": "…", "arguments": ["run", …]}

Out, on stdout:

    {"ready": "ansible-core 2.19.14, ansible-runner 2.4.3"}   or {"unfit": reason}, and the end
    {"job": 7, "pid": 4711}          it was started                or {"job": 7, "refused": reason}
    {"job": 7, "cold": reason}       it got an ansible-playbook of its own
    {"job": 7, "ended": 0}           its exit code, or null where a signal ended it
    {"spent": reason}                another server should take this one's place

At the end of stdin it takes no more jobs, waits for those at work and ends.
"""

import gc
import json
import os
import select
import sys

from . import kernel

MOST_JOBS = 1000
MOST_GROWTH = 64 << 20


def main():
    shown = kernel.Shown()
    # What a library prints by mistake must not get among the answers.
    answers = os.dup(1)
    os.dup2(2, 1)
    server = Server(answers, shown)
    try:
        opening = server.read_line()
        if opening is None:
            return
        server.prepare(json.loads(opening))
    except SystemExit as left:
        # Ansible ends the program where its configuration is wrong, and has said why on stderr.
        server.say(unfit="Ansible cannot be imported (exit code %s)" % left.code)
        return
    except Exception as problem:
        server.say(unfit="%s: %s" % (type(problem).__name__, problem))
        return
    server.serve()


class Server:
    def __init__(self, answers, shown):
        self.answers, self.shown = answers, shown
        self.unread, self.open = b"", True
        self.at_work, self.taken, self.spent = {}, 0, False

    def say(self, **answer):
        # Short enough to be written in one piece, since a fork may speak at the same time.
        line = json.dumps({name: told[:500] if isinstance(told, str) else told for name, told in answer.items()})
        try:
            os.write(self.answers, line.encode() + b"\n")
        except BrokenPipeError:
            pass  # nobody is left to hear it; what was begun is finished all the same

    def prepare(self, opening):
        from .rehearsal import Recorder, Rehearsal
        from .warmth import Warmth
        import ansible_runner
        rehearsal = Rehearsal(**opening)
        try:
            self.warmth = Warmth(rehearsal.environment(), rehearsal.project)
            self.rehearse(rehearsal, Recorder(self.warmth, rehearsal.records))
            self.warmth.learn(*rehearsal.learnt())
        finally:
            rehearsal.strike()
        # What is there now stays: collecting it again and again would copy its pages in every fork.
        gc.collect()
        gc.freeze()
        self.size = resident()
        from ansible.release import __version__
        from importlib.metadata import version
        self.say(ready="ansible-core %s, ansible-runner %s" % (__version__, version(ansible_runner.__name__)))

    def rehearse(self, rehearsal, recorder):
        reasons, say = os.pipe()
        pid = self.fork(rehearsal.job(), recorder, lambda cold: cold and os.write(say, cold.encode()))
        os.close(say)
        _, status = os.waitpid(pid, 0)
        cold = os.read(reasons, 4096).decode()
        os.close(reasons)
        if cold or status:
            raise RuntimeError("the rehearsal failed: %s" % (cold or rehearsal.said()))

    def fork(self, job, warmth, report):
        server, (announced, announce) = os.getpid(), os.pipe()
        try:
            pid = os.fork()
        except OSError:
            os.close(announced)
            os.close(announce)
            raise
        if pid:
            os.close(announce)
            os.read(announced, 1)  # until the fork carries its run's id, or has ended
            os.close(announced)
            return pid
        try:
            from . import job as runner
            os.close(announced)
            runner.perform(job, server, announce, self.shown, warmth, report)
        finally:
            os._exit(1)

    # ------------------------------------------------------------------ at work

    def serve(self):
        self.poll = select.poll()
        self.poll.register(0, select.POLLIN)
        while self.open or self.at_work:
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
            self.take(json.loads(line))

    def read_line(self):
        while b"\n" not in self.unread:
            data = os.read(0, 1 << 16)
            if not data:
                return None
            self.unread += data
        line, self.unread = self.unread.split(b"\n", 1)
        return line

    def take(self, job):
        number = job["job"]
        stale = self.warmth.why_stale()
        if stale:
            self.say(job=number, refused=stale)
            return self.ask_for_successor(stale)
        try:
            pid = self.fork(job, self.warmth, lambda cold: cold and self.say(job=number, cold=cold))
        except OSError as problem:
            return self.say(job=number, refused=str(problem))
        self.say(job=number, pid=pid)
        ended = os.pidfd_open(pid)
        self.poll.register(ended, select.POLLIN)
        self.at_work[ended] = number, pid
        self.taken += 1

    def reap(self, ended):
        number, pid = self.at_work.pop(ended)
        self.poll.unregister(ended)
        os.close(ended)
        _, status = os.waitpid(pid, 0)
        self.say(job=number, ended=os.WEXITSTATUS(status) if os.WIFEXITED(status) else None)
        if self.taken >= MOST_JOBS:
            self.ask_for_successor("it has run %d jobs" % self.taken)
        elif resident() > self.size + MOST_GROWTH:
            self.ask_for_successor("it has grown to %d MB" % (resident() >> 20))

    def ask_for_successor(self, reason):
        if not self.spent:
            self.spent = True
            self.say(spent=reason)


def resident():
    """Bytes of memory that this process has in use."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
