"""What Python has no function for: being a subreaper, and the environment that /proc shows."""

import ctypes
import os

PR_SET_CHILD_SUBREAPER = 36

# The server starts this program with this variable, long enough for any run's id.
RUN_ID = "RANGE42_RUN_ID"

libc = ctypes.CDLL(None, use_errno=True)
libc.getenv.restype = ctypes.c_void_p


def adopt_orphans():
    """A descendant whose parent dies becomes a child of this process instead of init's.

    So everything that a job started descends from the job for as long as it is
    there, even when Ansible's worker in between has gone, and can be found.
    """
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


class ShownRunId:
    """The run's id in /proc/<pid>/environ, by which the server finds a run's processes.

    The kernel shows there the block of memory that the program was started with,
    and a fork inherits it: setting a variable makes a new string elsewhere and
    changes nothing. So the value in the block itself is overwritten, in a fork's
    own copy of it.
    """

    def __init__(self):
        room = os.environ.get(RUN_ID, "")
        self.address, self.room = libc.getenv(RUN_ID.encode()), len(room)

    def becomes(self, run_id):
        value = run_id.encode()
        if self.address is None or len(value) > self.room:
            raise ValueError("no room for the run's id in the environment")
        ctypes.memmove(self.address, value.ljust(self.room, b"\0"), self.room)
        os.environ[RUN_ID] = run_id
