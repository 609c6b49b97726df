"""Operations on Proxmox VE through its HTTP API, with nothing but the standard library.

    perform     validates the variables of an operation and runs it
    actions     the table of all operations
    operation   the input of an operation: variables, connection, node
    connection  the HTTP API: one TLS connection, one-line errors
    guests, config, snapshots, firewall, network, storage   the operations

Modules are imported on first use, because startup dominates a short run.
"""

from .operation import OperationFailed, elected_host, perform

__all__ = ["OperationFailed", "elected_host", "perform"]
