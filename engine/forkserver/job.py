"""One job: `ansible-runner run` in a fork of the server."""

import atexit
import os
import sys
import threading
import traceback

import pexpect
from ansible_runner.__main__ import main as ansible_runner

from . import kernel, playbook


def perform(job, server, announce, title, preloaded, report):
    """Runs the job's ansible-runner. Never returns, because the caller's code belongs to the server."""
    code = 1
    try:
        os.setsid()
        kernel.adopt_orphans()
        title.set_run_id(job["run_id"])
        # From here on this process can be found by its run ID, so the server may report it. If
        # the server has died, the process is unknown to the API server and must not do anything.
        if os.getppid() != server:
            os._exit(code)
        os.close(announce)
        title.set_command("ansible-runner", *job["arguments"])
        os.chdir(job["folder"])
        attach_to_log(job["log"])
        sys.argv = ["ansible-runner", *job["arguments"]]
        pexpect.spawn = spawn_for(title, preloaded, report)
        code = exit_code(lambda: ansible_runner(job["arguments"]))
    except BaseException:
        traceback.print_exc()
    finally:
        end(code)


def attach_to_log(path):
    """Redirects stdin from /dev/null, and stdout and stderr to the job's log."""
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for standard, opened in ((0, null), (1, log), (2, log)):
        os.dup2(opened, standard)
    os.close(null)
    os.close(log)


def spawn_for(title, preloaded, report):
    """Returns a replacement for pexpect.spawn that runs ansible-playbook in a fork if the job allows it."""

    class Spawn(pexpect.spawn):
        def __init__(self, command, args, env, cwd, **options):
            cold = preloaded.why_cold(command, env, cwd)
            report(cold)
            if cold is None:
                # Called in the child between fork and exec. Never returns.
                options["preexec_fn"] = lambda: playbook.perform([command, *args], env, title, preloaded)
            super().__init__(command, args, env=env, cwd=cwd, **options)
            # The time that pexpect sleeps after closing the terminal, to let the process
            # exit. ansible-runner closes the terminal after the process has exited.
            self.ptyproc.delayafterclose = 0

    return Spawn


def exit_code(program):
    """Runs a main function and returns its exit code, like the interpreter does for a script."""
    try:
        code = program()
    except SystemExit as exited:
        code = exited.code
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1


def end(code):
    """Exits the process like Python does, but without freeing its memory object by object."""
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
