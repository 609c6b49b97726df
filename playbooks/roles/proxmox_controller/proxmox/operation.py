"""The input of an operation (variables, connection, node), and how an operation is run."""

from .connection import Connection, OperationFailed, api_path

TRUE = ("true", "yes", "on", "1")
FALSE = ("false", "no", "off", "0", "")


def elected_host(peers, wanted, stands_for):
    """The host of the play that runs the operation for `wanted`, a node or an API host.

    The inventory can contain several hosts of a cluster, but only one of them may
    run the operation: the host named `wanted`, or else the first one that stands
    for it. All hosts of the play elect the same one.
    """
    if wanted in peers:
        return wanted
    return next((peer for peer in peers if stands_for(peer) == wanted), peers[0])


def perform(variables, check_mode=False):
    """Runs the operation named by `proxmox_vm_action` and returns its result under that name."""
    from .actions import ACTIONS
    name = variables.get("proxmox_vm_action")
    if not name:
        raise OperationFailed("proxmox_vm_action names no operation.")
    if str(name) not in ACTIONS:
        raise OperationFailed("proxmox_vm_action %r is not an operation of this role." % str(name)[:80])
    action = ACTIONS[str(name)]
    if check_mode and action.changes:
        return {"skipped": True, "skip_reason": "check mode changes nothing"}
    operation = Operation(str(name), variables)
    for needed in action.needs:
        operation.required(needed)
    try:
        result = action.function(str(name))(operation)
    finally:
        operation.close()
    return {"changed": action.changes, str(name): result, "_ansible_verbose_always": True}


class Operation:
    """A running operation. All variables are read through its methods, which convert their types."""

    def __init__(self, name, variables):
        self.name = name
        self.variables = variables
        self.connection = None

    # -------------------------------------------------------------- variables

    def value(self, name):
        """The variable, or None if it is missing, null or empty."""
        value = self.variables.get(name)
        return None if value is None or value == "" else value

    def required(self, name):
        value = self.value(name)
        if value is None:
            raise OperationFailed("%s needs the variable %s." % (self.name, name))
        return value

    def text(self, name):
        value = self.value(name)
        return None if value is None else str(value)

    def option(self, name):
        """Text for a property string. It must not contain a comma, which separates options."""
        text = self.text(name)
        if text is not None and "," in text:
            raise OperationFailed("%s must have no comma: Proxmox would read what follows as further options." % name)
        return text

    def integer(self, name):
        value = self.value(name)
        try:
            return None if value is None else int(str(value)) if not isinstance(value, bool) else int(value)
        except ValueError:
            raise OperationFailed("%s must be a whole number." % name) from None

    def number(self, name):
        value = self.value(name)
        try:
            return None if value is None else float(value)
        except (TypeError, ValueError):
            raise OperationFailed("%s must be a number." % name) from None

    def flag(self, name):
        value = self.value(name)
        if value is None:
            return None
        word = str(value).strip().lower()
        if word not in TRUE + FALSE:
            raise OperationFailed("%s must be true or false." % name)
        return word in TRUE

    def vmid(self, name="vm_id"):
        """A VM ID as decimal text, as used in API paths and most results."""
        vmid = self.text(name)
        if vmid is None or not (vmid.isascii() and vmid.isdigit()):
            raise OperationFailed("%s must be the number of a VM." % name)
        return vmid

    @property
    def node(self):
        return str(self.required("proxmox_node"))

    # ----------------------------------------------------------------- Proxmox

    @property
    def api(self):
        """The connection, opened on the first request, so that invalid variables never reach Proxmox."""
        if self.connection is None:
            self.connection = Connection(
                str(self.required("proxmox_api_host")),
                str(self.required("proxmox_api_user")),
                str(self.required("proxmox_api_token_id")),
                str(self.required("proxmox_api_token_secret")),
                verify=self.flag("proxmox_validate_certs") or False,
                ca_file=self.text("proxmox_ca_file"),
                timeout=self.number("proxmox_api_timeout") or 30)
        return self.connection

    def close(self):
        if self.connection is not None:
            self.connection.close()

    def path(self, *segments):
        """A path below that of the node."""
        return api_path("nodes", self.node, *segments)

    def vm_path(self, *segments):
        """A path below that of the VM."""
        return self.path("qemu", self.vmid(), *segments)

    def get(self, path, **parameters):
        return self.api.get(path, **parameters)

    def send(self, method, path, **parameters):
        """Sends a change that Proxmox makes synchronously."""
        return self.api.request(method, path, parameters)

    def task(self, method, path, **parameters):
        """Sends a change that Proxmox makes as a task, waits for the task, and returns its UPID."""
        upid = self.api.request(method, path, parameters)
        return self.api.wait(upid, self.number("proxmox_task_timeout") or 600)

    def configure(self, **settings):
        """Sets options of the VM configuration. Proxmox starts a task only if it needs one."""
        upid = self.api.request("POST", self.vm_path("config"), settings)
        if upid is not None:
            self.api.wait(upid, self.number("proxmox_task_timeout") or 600)

    def vm_config(self):
        return self.get(self.vm_path("config"))

    def vm_status(self):
        return self.get(self.vm_path("status", "current"))

    def vm_name(self):
        """The name of the VM: as given, or else from Proxmox."""
        return self.text("vm_name") or self.vm_status().get("name")

    # ------------------------------------------------------------------ result

    def result(self, **members):
        return {"action": self.name, "source": "proxmox", "proxmox_node": self.text("proxmox_node"), **members}


def present(**members):
    """The members that are not None, for members that exist on some items only."""
    return {name: value for name, value in members.items() if value is not None}
