"""One job: `ansible-runner run` in a fork of the server, with everything of its own."""

import atexit
import os
import sys
import threading
import traceback

import pexpect
from ansible_runner.__main__ import main as ansible_runner

from . import kernel, playbook


def perform(job, server, announce, shown, warmth, report):
    """Becomes the job's ansible-runner. Never returns: what called it belongs to the server."""
    code = 1
    try:
        os.setsid()
        kernel.adopt_orphans()
        shown.as_run(job["run_id"])
        # From here on this process can be found by its run's id, and only now the server tells
        # of it. Where the server has died before, nobody knows of it, and it must do nothing.
        if os.getppid() != server:
            os._exit(code)
        os.close(announce)
        shown.as_command("ansible-runner", *job["arguments"])
        os.chdir(job["folder"])
        attach_to_log(job["log"])
        sys.argv = ["ansible-runner", *job["arguments"]]
        pexpect.spawn = spawn_for(shown, warmth, report)
        code = exit_code(lambda: ansible_runner(job["arguments"]))
    except BaseException:
        traceback.print_exc()
    finally:
        end(code)


def attach_to_log(path):
    """Stdin from nowhere, stdout and stderr to the job's log."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for standard, opened in ((0, nowhere), (1, log), (2, log)):
        os.dup2(opened, standard)
    os.close(nowhere)
    os.close(log)


def spawn_for(shown, warmth, report):
    """What ansible-runner starts ansible-playbook with, by a fork where the job allows it."""

    class Spawn(pexpect.spawn):
        def __init__(self, command, args, env, cwd, **options):
            cold = warmth.why_cold(command, env, cwd)
            report(cold)
            if cold is None:
                # Called in the child, between fork and exec; it never comes back.
                options["preexec_fn"] = lambda: playbook.perform([command, *args], env, shown, warmth)
            super().__init__(command, args, env=env, cwd=cwd, **options)
            # pexpect sleeps so long after it has closed the terminal, to let the
            # process end. ansible-runner closes it when the process has ended.
            self.ptyproc.delayafterclose = 0

    return Spawn


def exit_code(program):
    """Runs a program's main function to its end, as the interpreter does for a script."""
    try:
        code = program()
    except SystemExit as left:
        code = left.code
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1


def end(code):
    """Ends the process as Python does, short of taking its own memory down piece by piece."""
    try:
        for thread in threading.enumerate():
            if thread is not threading.main_thread() and not thread.daemon:
                thread.join()
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code & 0xFF)
