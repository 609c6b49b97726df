"""Runs ansible-playbook in a fork, after resetting it to the state of a new Python process."""

import atexit
import importlib
import os
import secrets
import shutil
import signal
import sys
import tempfile
import traceback

# No descriptor is higher: fs.nr_open is 1048576 by default. close_range(2) closes all at once.
DESCRIPTORS = 1 << 20


def perform(command, environment, title, preloaded):
    """Runs `command` at the point where pexpect would call exec. Never returns."""
    from . import job
    code = 1
    try:
        # pexpect waits until one of these is closed, which exec would have done.
        os.closerange(3, DESCRIPTORS)
        title.set_command(*command)
        reset_process(command, environment, preloaded)
        from ansible.cli.playbook import PlaybookCLI
        preloaded.install()
        code = job.exit_code(lambda: PlaybookCLI.cli_executor(sys.argv))
    except BaseException:
        traceback.print_exc()
    finally:
        preloaded.before_end()
        job.end(code)


def reset_process(command, environment, preloaded):
    """Sets up what the start of Python and the import of Ansible set up once per process."""
    default_signals()
    os.environ.clear()
    os.environ.update(environment)
    program = shutil.which(command[0], path=environment.get("PATH"))
    sys.argv = [program, *command[1:]]
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(program))
    open_standard_streams(preloaded.stream_errors)
    tempfile.tempdir = None
    reset_ansible(preloaded.run_settings)


def default_signals():
    """Removes the handlers of ansible-runner. SIGHUP stays ignored, as pexpect was instructed."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def open_standard_streams(errors):
    """Opens streams on the terminal, to which pexpect has redirected descriptors 0 to 2."""
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", errors=errors["stdin"], closefd=False)
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", errors=errors["stdout"], closefd=False)
    sys.stderr = sys.__stderr__ = open(2, "w", encoding="utf-8", errors=errors["stderr"], closefd=False)
    sys.stderr.reconfigure(line_buffering=True)


def reset_ansible(run_settings):
    """Repeats what ansible-core 2.19 does once at import: choosing the directory for temporary
    files, detecting the terminal, and drawing the random part of the IDs of plays and tasks."""
    from ansible import constants
    from ansible.utils import color, display, vars as ids
    for name in run_settings:
        value = constants.config.get_config_value(name, variables=vars(constants))
        constants.set_constant(name, value)
    importlib.reload(color)
    display.Display().__init__()
    ids.random_int = "%08x" % secrets.randbelow(2 ** 32)
    ids.cur_id = 0


def remove_server_temp_dir():
    """Removes the temporary directory that the import of Ansible has created. Each fork creates its own."""
    from ansible import constants
    from ansible.config.manager import cleanup_tmp_file
    atexit.unregister(cleanup_tmp_file)
    shutil.rmtree(constants.DEFAULT_LOCAL_TMP, ignore_errors=True)
