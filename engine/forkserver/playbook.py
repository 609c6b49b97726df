"""ansible-playbook in a fork: first made equal to a Python that has just started, then the real one."""

import atexit
import importlib
import os
import secrets
import shutil
import signal
import sys
import tempfile
import traceback

# As high as any descriptor can be; the kernel closes a range at once.
DESCRIPTORS = 1 << 20


def perform(command, environment, shown, warmth):
    """Becomes `command`. Called where pexpect would replace the process; never returns."""
    from . import job
    code = 1
    try:
        # pexpect waits for one of these to be closed, which exec would have done.
        os.closerange(3, DESCRIPTORS)
        shown.as_command(*command)
        start_afresh(command, environment, warmth)
        from ansible.cli.playbook import PlaybookCLI
        warmth.install()
        code = job.exit_code(lambda: PlaybookCLI.cli_executor(sys.argv))
    except BaseException:
        traceback.print_exc()
    finally:
        warmth.before_end()
        job.end(code)


def start_afresh(command, environment, warmth):
    """What the start of Python and the import of Ansible set up once per process."""
    default_signals()
    os.environ.clear()
    os.environ.update(environment)
    program = shutil.which(command[0], path=environment.get("PATH"))
    sys.argv = [program, *command[1:]]
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(program))
    open_standard_streams(warmth.stream_errors)
    tempfile.tempdir = None
    reset_ansible(warmth.settings_of_the_run)


def default_signals():
    """Ends what ansible-runner's own handlers did. SIGHUP stays ignored, as pexpect was told."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def open_standard_streams(errors):
    """Streams for the terminal that pexpect has put in the place of the job's log."""
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", errors=errors["stdin"], closefd=False)
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", errors=errors["stdout"], closefd=False)
    sys.stderr = sys.__stderr__ = open(2, "w", encoding="utf-8", errors=errors["stderr"], closefd=False)
    sys.stderr.reconfigure(line_buffering=True)


def reset_ansible(settings_of_the_run):
    """What ansible-core 2.19 decides at import and must decide again here: where its temporary
    files go, how the terminal is, and the random part of the ids of plays and tasks."""
    from ansible import constants
    from ansible.utils import color, display, vars as ids
    for name in settings_of_the_run:
        value = constants.config.get_config_value(name, variables=vars(constants))
        constants.set_constant(name, value)
    importlib.reload(color)
    display.Display().__init__()
    ids.random_int = "%08x" % secrets.randbelow(2 ** 32)
    ids.cur_id = 0


def drop_own_temporary_folder():
    """The server's import of Ansible made one too, to be removed at its end. Each fork has its own."""
    from ansible import constants
    from ansible.config.manager import cleanup_tmp_file
    atexit.unregister(cleanup_tmp_file)
    shutil.rmtree(constants.DEFAULT_LOCAL_TMP, ignore_errors=True)
