#!/usr/bin/env python3
"""A fake Proxmox: the PVE 9 API of node px-testing on a loopback address, over TLS.

Writes a certificate and an inventory for itself, prints a line of JSON when it
is ready, and removes the files when it exits. See README.md in this directory.
"""

import argparse
import asyncio
import json
import logging
import os
import secrets
import signal
import sys
import uuid

from fakepve import FakePve
from fakepve.certs import make_cert
from fakepve.server import error

import faults
import guests

HOST = "127.0.0.1"
NODE = "px-testing"
USER = "root@pam"
TOKEN_ID = "demo"

INVENTORY = """\
# Written by the demo's Proxmox, which removes it when it exits.
all:
  children:
    range42_infrastructure:
      children:
        proxmox:
          hosts:
            {node}:
              ansible_connection: local
              ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"
              proxmox_node: {node}
              proxmox_api_host: "{api_host}"
              proxmox_api_user: {user}
              proxmox_api_token_id: {token_id}
              proxmox_api_token_secret: {token_secret}
              proxmox_validate_certs: true
              proxmox_ca_file: {cert}
    # Three names for this machine, to try out ping and the bundles. With
    # range42_plan_only, our bundles change nothing and print what they would do.
    demo_linux:
      hosts:
        demo-linux-01:
        demo-linux-02:
        demo-linux-03:
      vars:
        range42_plan_only: true
        ansible_become: false
        ansible_connection: local
        ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"
"""


class DemoPve(FakePve):
    """fakepve with fault injection (faults.py)."""

    def __init__(self, **options):
        super().__init__(**options)
        self.refusal = None

    async def start(self, certfile, keyfile):
        await super().start(certfile, keyfile)
        # By default aiohttp waits up to a minute for pending responses. A failing
        # Proxmox does not.
        self.runner._shutdown_timeout = 0.1

    async def _answer(self, request, handler, generic, path_node):
        if self.refusal:
            return error(*self.refusal)
        return await super()._answer(request, handler, generic, path_node)


def write_private(path, text):
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)


def remove(paths):
    for path in paths:
        try:
            os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
        except OSError:
            pass  # removed already, or a directory with files of others


def end_of(options):
    """Returns an event that is set when the demo must exit."""
    loop, end = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end.set)
    if options.eof_fd is None:
        loop.add_signal_handler(signal.SIGINT, end.set)
    else:
        # Ctrl-C in a terminal reaches the server too, which must exit first.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.set_blocking(options.eof_fd, False)

        def readable():
            try:
                if not os.read(options.eof_fd, 4096):
                    end.set()
            except BlockingIOError:
                pass
        loop.add_reader(options.eof_fd, readable)
    return end


async def serve(options, made):
    end = end_of(options)
    cert, key = (os.path.join(options.dir, "fakepve." + ending) for ending in ("crt", "key"))
    inventory = os.path.join(options.dir, "inventory")
    hosts = os.path.join(inventory, "hosts.yml")
    made[:0] = [cert, key, hosts, inventory]

    pve = DemoPve(user=USER, password=secrets.token_urlsafe(24), host=HOST, port=options.port)
    pve.time_scale = options.time_scale
    secret = str(uuid.uuid4())
    pve.apitokens["%s!%s" % (USER, TOKEN_ID)] = secret
    guests.furnish(pve, NODE, small=options.small)
    make_cert(options.dir, hosts=(HOST,))
    await pve.start(cert, key)
    control = await faults.listen(pve, HOST, cert, key)

    ready = {"api_host": "%s:%d" % (HOST, pve.port), "node": NODE, "user": USER, "token_id": TOKEN_ID,
             "token_secret": secret, "inventory": inventory, "cert": cert, "control": control.url}
    os.makedirs(inventory, mode=0o700, exist_ok=True)
    write_private(hosts, INVENTORY.format(**ready))
    print(json.dumps(ready), flush=True)
    # No graceful shutdown: pending requests end with the event loop.
    await end.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", required=True, help="directory for the certificate and the inventory; created if missing")
    parser.add_argument("--port", type=int, default=0, help="port of the API (default: 0, any free port)")
    parser.add_argument("--eof-fd", type=int, metavar="N",
                        help="exit when this descriptor reaches end of file, and ignore Ctrl-C")
    parser.add_argument("--time-scale", type=float, default=0.05,
                        help="duration of one second of a Proxmox task (default: 0.05; with 0, tasks finish at once)")
    parser.add_argument("--small", action="store_true", help="only a dozen guests, without the groups of the bundles")
    options = parser.parse_args()
    options.dir = os.path.abspath(options.dir)
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # it logs every connection that a fault closes
    made = [] if os.path.isdir(options.dir) else [options.dir]
    os.makedirs(options.dir, mode=0o700, exist_ok=True)
    try:
        asyncio.run(serve(options, made))
    except OSError as problem:
        sys.exit("demo Proxmox: %s" % problem)
    finally:
        remove(made)


if __name__ == "__main__":
    main()
