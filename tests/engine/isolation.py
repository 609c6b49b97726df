"""Isolation between the jobs of the warm engine, and the life cycle of the engine.

    ANSIBLE_RUNNER=… python tests/engine/isolation.py
"""

import json
import os
import shutil
import signal
import tempfile
import threading
import time
import unittest

import corpus
from corpus import ONE_HOST, play
from engines import ROOT, RUN_ID, ColdEngine, Job, WarmEngine, environment, runner
from outcome import outcome

SECRET = "correct-horse-battery-staple"

# A filter that modifies as much global state of its process as possible.
TRACES = """\
import builtins, locale, os, random, signal, sys, tempfile, yaml
from ansible import constants
from ansible.plugins import loader
from ansible.utils.display import Display
builtins.trace = sys.trace = os.environ["TRACE"] = "trace"
os.umask(0)
random.seed(1)
tempfile.tempdir = "/nonexistent"
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
locale.setlocale(locale.LC_ALL, "C")
constants.DEFAULT_FORKS = constants.DEFAULT_TIMEOUT = 1
loader.action_loader._paths = []
Display._warns = {"trace"}
sys.path.insert(0, "/trace")
yaml.load = None
class FilterModule:
    def filters(self): return {"trace": lambda x: x + " left"}
"""

# A filter that reports everything in which its process could differ from a new one.
LOOK = """\
import builtins, json, locale, os, re, sys, tempfile, threading
class FilterModule:
    def filters(self): return {"look": look}
def look(where):
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    links = [os.readlink("/proc/self/fd/" + name) for name in os.listdir("/proc/self/fd") if os.path.islink("/proc/self/fd/" + name)]
    with open("look-" + where, "w") as out:
        json.dump({
            "trace": [hasattr(builtins, "trace"), hasattr(sys, "trace"), os.environ.get("TRACE")],
            "environment": dict(os.environ), "argv": sys.argv, "path": sys.path, "executable": sys.executable,
            "folder": os.getcwd(), "temp": tempfile.gettempdir(), "locale": locale.getlocale(),
            "umask": status["Umask"], "groups": status["Groups"],
            # Without the two signals that glibc reserves.
            "signals": [hex(int(status[name], 16) & ~(3 << 31)) for name in ("SigBlk", "SigIgn", "SigCgt")],
            "limits": open("/proc/self/limits").read(), "threads": threading.active_count(),
            "descriptors": sorted(re.sub("[0-9]+", "N", link) for link in links),
            "terminal": [(stream.isatty(), getattr(stream, "errors", None), getattr(stream, "line_buffering", None))
                         for stream in (sys.stdout, sys.stderr)],
            "session leader": os.getsid(0) == os.getpid(), "group leader": os.getpgid(0) == os.getpid(),
        }, out, indent=1, sort_keys=True)
    return where
"""


def files(tasks, **more):
    return {"inventory/hosts.yml": ONE_HOST, "project/play.yml": play(tasks), **more}


SLEEP = files("- shell: sleep 31.1 & sleep 31.2\n- debug: {msg: slept}")


def processes():
    """The parent, environment and command line of every process."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % name) as stat, open("/proc/%s/environ" % name, "rb") as environ, \
                    open("/proc/%s/cmdline" % name, "rb") as command:
                fields = stat.read().rsplit(")", 1)[1].split()
                if fields[0] != "Z":
                    found[int(name)] = int(fields[1]), environ.read().split(b"\0"), command.read()
        except OSError:
            continue  # it has exited in the meantime
    return found


def descendants(pid):
    parents, below = {child: parent for child, (parent, _, _) in processes().items()}, {pid}
    while more := {child for child, parent in parents.items() if parent in below} - below:
        below |= more
    return below - {pid}


def carriers(run_id):
    mark = ("%s=%s" % (RUN_ID, run_id)).encode()
    return {pid for pid, (_, environ, _) in processes().items() if mark in environ}


def end_below(pid):
    """Kills the processes of a job that a failed test has left running."""
    for process in descendants(pid):
        os.kill(process, signal.SIGKILL)


def wait_until(condition, seconds=20):
    """Waits until the condition is true or the time is over, and returns its last value."""
    until = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < until:
        time.sleep(0.01)
    return value


class Isolation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.mkdtemp(prefix="isolation-")
        cls.addClassCleanup(shutil.rmtree, cls.top, ignore_errors=True)
        cls.home = os.path.join(cls.top, "home")
        os.mkdir(cls.home)
        cls.environment = environment(runner(), cls.home)
        cls.warm = cls.engine()

    @classmethod
    def engine(cls, **constants):
        engine = WarmEngine(runner(), cls.environment, os.path.join(cls.top, "scratch"), **constants)
        cls.addClassCleanup(engine.close)
        return engine

    def job(self, files, **options):
        self.folder = tempfile.mkdtemp(dir=self.top)
        return Job(self.folder, files, **options)

    def ran(self, files, **options):
        job = self.job(files, **options)
        code = self.warm.run(job)
        self.assertIsNone(job.cold, "every job here must use a fork")
        return job, code

    # ---------------------------------------------------------- isolation of jobs

    def test_a_fork_is_indistinguishable_from_a_new_process(self):
        """Even after a job that has modified as much global state as possible."""
        tracing = files("- set_fact: {trace_fact: trace, cacheable: true}\n- debug: {msg: \"{{ 'it' | trace }}\"}",
                        **{"project/filter_plugins/trace.py": TRACES, "env/extravars": "{trace_var: trace}\n"})
        job, code = self.ran(tracing)
        self.assertEqual((code, job.messages()), (0, ["it left"]))
        # ansible-playbook itself evaluates the templates of a play, its workers those of tasks.
        looking = files(
            "- debug: {msg: \"{{ 'in-worker' | look }}\"}\n- debug: {msg: \"{{ [trace_var is defined, trace_fact is defined] }}\"}\n"
            "- debug: {msg: \"{{ 'it' | trace }}\"}\n  ignore_errors: true\n- shell: umask; pwd; env | sort",
            **{"project/filter_plugins/look.py": LOOK})
        looking["project/play.yml"] = looking["project/play.yml"].replace("hosts: all", "hosts: \"{{ 'all' if 'in-playbook' | look }}\"")
        seen = []
        for engine in (self.warm, ColdEngine(runner(), self.environment)):
            job = Job(os.path.join(self.top, "same"), looking, run_id="0198f000-0000-7000-8000-000000000001")
            seen.append(outcome(job, engine.run(job)))
            for place in ("in-worker", "in-playbook"):
                with open(os.path.join(job.folder, "project", "look-" + place)) as looked:
                    seen[-1][place] = looked.read()
            shutil.rmtree(job.folder)
        self.assertEqual(json.loads(seen[0]["in-playbook"])["trace"], [False, False, None])
        for part in seen[0]:
            self.assertEqual(seen[0][part], seen[1][part], part)

    def test_a_vault_password_is_not_available_to_the_next_job(self):
        corpus.vault_cases(runner())
        _, code = self.ran(corpus.CASES["vault"]["files"], **corpus.CASES["vault"]["job"])
        self.assertEqual(code, 0)
        job, code = self.ran(corpus.CASES["vault without a password"]["files"])
        self.assertEqual(code, 2)
        self.assertIn("no vault secrets", job.artifact("stdout").lower())

    def test_the_data_of_a_job_is_never_in_the_memory_of_the_engine(self):
        """A fork can only inherit what is in the memory of the engine."""
        job, code = self.ran(files("- debug: {msg: '{{ word }}'}", **{"env/extravars": "{word: %s}\n" % SECRET}))
        self.assertEqual((code, job.messages()), (0, [SECRET]))
        memory = b"".join(memory_of(self.warm.process.pid))
        self.assertIn(b"ansible.cli.playbook", memory)
        self.assertNotIn(SECRET.encode(), memory)

    def test_concurrent_jobs_do_not_affect_each_other(self):
        tasks = ("- shell: sleep 0.3; pwd; echo $%s\n  register: said\n- set_fact: {mine: '{{ n }}', cacheable: true}\n"
                 "- debug: {msg: \"{{ said.stdout_lines + [mine, n, n | draw] }}\"}" % RUN_ID)
        draw = "import random\nclass FilterModule:\n    def filters(self): return {'draw': lambda _: random.random()}\n"
        jobs = [self.job(files(tasks, **{"env/extravars": "{n: %d}\n" % n, "project/filter_plugins/draw.py": draw}))
                for n in range(6)]
        threads = [threading.Thread(target=self.warm.run, args=(job,)) for job in jobs]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        drawn, ids = set(), []
        for n, job in enumerate(jobs):
            (folder, run_id, fact, variable, number), = job.messages()
            self.assertEqual((folder, run_id, fact, variable), (job.folder + "/project", job.run_id, n, n))
            drawn.add(number)
            ids += [event["uuid"] for event in job.events()]
        self.assertEqual((len(drawn), len(ids)), (len(jobs), len(set(ids))), "random numbers or event ids repeat")

    # ------------------------------------------------------- finding processes

    def test_every_process_of_a_job_has_its_run_id_and_descends_from_it(self):
        job = self.job(files("- shell: sleep 31.3\n  async: 60\n  poll: 0\n- shell: sleep 31.1 & sleep 31.2",
                             **{"project/.keep": ""}))
        number, pid = self.warm.start(job)
        self.addCleanup(end_below, pid)
        commands = lambda pids: [processes().get(p, (0, 0, b""))[2] for p in pids]
        started = lambda: {b"sleep\x0031.1\0", b"sleep\x0031.2\0", b"sleep\x0031.3\0"} <= set(commands(descendants(pid)))
        self.assertTrue(wait_until(started), commands(descendants(pid)))
        tree = {pid} | descendants(pid)
        self.assertEqual(tree, carriers(job.run_id))
        self.assertGreaterEqual(len(tree), 9)
        playbooks = [pid for pid in tree if processes()[pid][2].startswith(b"ansible-playbook\0")]
        self.assertTrue(playbooks, "the API server identifies ansible-playbook by its command line")
        self.assertEqual(os.getsid(pid), pid)
        # The workers of ansible-core are in other sessions, so killing ansible-runner is not enough.
        # The runner first: it would report the exit code of a playbook that is killed before it.
        for victim in sorted(tree, key=lambda victim: victim != pid):
            os.kill(victim, signal.SIGKILL)
        self.assertIsNone(self.warm.end(number))
        self.assertTrue(wait_until(lambda: not carriers(job.run_id)), carriers(job.run_id))

    # -------------------------------------------------------------- killed jobs

    def killed(self, victim, number):
        """Kills a process of a sleeping job while another job runs; returns the job and its exit code."""
        job, other = self.job(SLEEP), self.job(files("- pause: {seconds: 1}\n- debug: {msg: unharmed}"))
        (first, pid), (second, _) = self.warm.start(job), self.warm.start(other)
        self.addCleanup(end_below, pid)
        sleeping = lambda: any(c.startswith(b"sleep\x0031.2") for _, _, c in (processes().get(p, (0, 0, b"")) for p in descendants(pid)))
        self.assertTrue(wait_until(sleeping))
        os.kill(victim(pid), number)
        code = self.warm.end(first)
        self.assertEqual((self.warm.end(second), other.messages()[-1]), (0, "unharmed"))
        for left in carriers(job.run_id):
            os.kill(left, signal.SIGKILL)
        return job, code

    def playbook_of(self, pid):
        return next(child for child, (parent, _, _) in processes().items() if parent == pid)

    def test_a_canceled_job_affects_no_other(self):
        job, code = self.killed(lambda pid: pid, signal.SIGTERM)
        self.assertEqual((code, job.artifact("status")), (254, "canceled"))

    def test_a_killed_job_affects_no_other(self):
        _, code = self.killed(lambda pid: pid, signal.SIGKILL)
        self.assertIsNone(code)

    def test_a_crashed_playbook_affects_no_other(self):
        job, _ = self.killed(self.playbook_of, signal.SIGSEGV)
        self.assertEqual(job.artifact("status"), "failed")

    # ------------------------------------------------------ the end of the engine

    def test_at_the_end_of_stdin_the_engine_finishes_the_running_jobs(self):
        engine = self.engine()
        job = self.job(files("- pause: {seconds: 1}\n- debug: {msg: finished}"))
        engine.start(job)
        self.assertEqual((engine.close(), job.messages()[-1]), (0, "finished"))

    def test_a_job_outlives_the_engine(self):
        engine = self.engine()
        job = self.job(files("- pause: {seconds: 2}\n- debug: {msg: finished}"))
        _, pid = engine.start(job)
        engine.process.kill()
        engine.process.wait()
        self.assertEqual(wait_until(lambda: job.artifact("rc")), "0")
        self.assertEqual(job.messages()[-1], "finished")
        self.assertTrue(wait_until(lambda: not carriers(job.run_id)))

    def test_the_engine_asks_to_be_recycled_after_a_number_of_jobs(self):
        engine = self.engine(MAX_JOBS=2)
        for _ in range(3):  # it continues until it is replaced
            self.assertEqual(engine.run(self.job(files("- debug: {msg: hi}"))), 0)
        self.assertEqual(recycle_reasons(engine), ["it has run 2 jobs"])

    def test_the_engine_asks_to_be_recycled_when_it_has_grown(self):
        engine = self.engine(MAX_GROWTH=-1 << 40)  # in bytes: any size is too much
        for _ in range(2):
            self.assertEqual(engine.run(self.job(files("- debug: {msg: hi}"))), 0)
        self.assertRegex(" ".join(recycle_reasons(engine)), r"^it has grown to \d+ MB$")

    def test_the_engine_refuses_jobs_when_ansible_has_changed_on_disk(self):
        engine = self.engine()
        config = os.path.join(self.home, ".ansible.cfg")
        open(config, "w").close()
        self.addCleanup(os.unlink, config)
        job = self.job(files("- debug: {msg: hi}"))
        engine.send({"job": 1, "run_id": job.run_id, "folder": job.folder, "log": job.log, "arguments": job.arguments})
        self.assertEqual(engine.reply(1, "refused"), "%s has changed" % config)
        self.assertEqual(wait_until(lambda: recycle_reasons(engine)), ["%s has changed" % config])
        self.assertFalse(os.path.exists(job.artifacts))

    def test_a_failed_initialization_is_reported(self):
        broken = {**self.environment, "ANSIBLE_FORKS": "many"}
        with self.assertRaisesRegex(RuntimeError, "init_failed"):
            WarmEngine(runner(), broken, os.path.join(self.top, "scratch"))


def recycle_reasons(engine):
    """The reasons for which the engine asked to be recycled."""
    return [message["recycle"] for message in engine.messages if "recycle" in message]


def memory_of(pid):
    """The writable memory of a process, region by region."""
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", 0) as memory:
        for line in maps:
            place, rights, *_, name = (line.rstrip("\n") + " ").split(" ", 5)
            if rights.startswith("rw"):
                start, end = (int(number, 16) for number in place.split("-"))
                memory.seek(start)
                yield memory.read(end - start)


if __name__ == "__main__":
    unittest.main(verbosity=2)
