"""Operations on Proxmox VE through its HTTP API, with nothing but the standard library.

    perform   picks the operation, checks its variables, runs it
    actions   the table of all operations
    operation what an operation is given: variables, connection, node
    connection  the HTTP API: one TLS connection, errors in one line
    guests, config, snapshots, firewall, network, storage   the operations

A module of operations is imported only when one of its operations runs, and
what it needs is imported where it is needed: start-up is most of a short run.
"""

from .operation import OperationFailed, elected_host, perform

__all__ = ["OperationFailed", "elected_host", "perform"]
