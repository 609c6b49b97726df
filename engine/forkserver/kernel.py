"""Kernel features for which Python has no function."""

import ctypes
import os

PR_SET_CHILD_SUBREAPER = 36

# At the start of the server, this variable has a value as long as any run ID.
RUN_ID = "RANGE42_RUN_ID"

# Indexes in /proc/self/stat, counted from the field after the program name: proc_pid_stat(5).
ARG_START, ARG_END, ENV_START, ENV_END = 45, 46, 47, 48

libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans():
    """Makes this process, instead of init, the new parent of orphaned descendants.

    All processes of a job thus stay its descendants and can be found, even if the
    Ansible worker that started them has exited.
    """
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


class ProcessTitle:
    """Changes /proc/self/environ and cmdline, by which the processes of a run are found.

    The kernel reads both from the memory that it initialized at exec, and a fork
    inherits that memory. Setting a variable allocates a new string elsewhere, so
    the original memory is overwritten, in the fork's copy of it.
    """

    def __init__(self):
        with open("/proc/self/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        self.command = range(int(fields[ARG_START]), int(fields[ARG_END]))
        start, end = int(fields[ENV_START]), int(fields[ENV_END])
        name, length = RUN_ID.encode() + b"=", len(os.environ[RUN_ID])
        offset = start + (b"\0" + ctypes.string_at(start, end - start)).index(b"\0" + name) + len(name)
        self.run_id = range(offset, offset + length)

    def set_run_id(self, run_id):
        """Sets the run ID of this process and of all processes that it starts from here on."""
        if len(run_id) > len(self.run_id):
            raise ValueError("the run ID does not fit into the environment")
        overwrite(self.run_id, run_id.encode())
        os.environ[RUN_ID] = run_id

    def set_command(self, *words):
        """Sets the command line of this process, truncated to the available space."""
        overwrite(self.command, b"\0".join(word.encode() for word in words)[:len(self.command) - 1])


def overwrite(memory, text):
    ctypes.memmove(memory.start, text.ljust(len(memory), b"\0"), len(memory))
