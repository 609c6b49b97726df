"""What the kernel knows and shows of a process, where Python has no function to say it."""

import ctypes
import os

PR_SET_CHILD_SUBREAPER = 36

# The server is started with a value for this variable that is long enough for any run's id.
RUN_ID = "RANGE42_RUN_ID"

# Places in /proc/self/stat, from the field after the program's name.
ARG_START, ARG_END, ENV_START, ENV_END = 45, 46, 47, 48

libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans():
    """A descendant whose parent dies becomes a child of this process instead of init's.

    So everything that a job started descends from the job for as long as it is
    there, even when Ansible's worker in between has gone, and can be found.
    """
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


class Shown:
    """What /proc shows as environ and cmdline, by which a run's processes are found and told apart.

    The kernel shows there the memory that the program was started with, and a fork
    inherits it: setting a variable makes a new string elsewhere and changes
    nothing. So the memory itself is overwritten, in the fork's own copy of it.
    """

    def __init__(self):
        with open("/proc/self/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        self.command = range(int(fields[ARG_START]), int(fields[ARG_END]))
        start, end = int(fields[ENV_START]), int(fields[ENV_END])
        name, room = RUN_ID.encode() + b"=", len(os.environ[RUN_ID])
        place = start + (b"\0" + ctypes.string_at(start, end - start)).index(b"\0" + name) + len(name)
        self.run_id = range(place, place + room)

    def as_run(self, run_id):
        """This process and all that it starts carry the run's id from here on."""
        if len(run_id) > len(self.run_id):
            raise ValueError("no room for the run's id in the environment")
        overwrite(self.run_id, run_id.encode())
        os.environ[RUN_ID] = run_id

    def as_command(self, *words):
        """This process is shown under this name, so far as there is room for it."""
        overwrite(self.command, b"\0".join(word.encode() for word in words)[:len(self.command) - 1])


def overwrite(place, text):
    ctypes.memmove(place.start, text.ljust(len(place), b"\0"), len(place))
