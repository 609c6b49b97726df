"""Fault injection: a separate plain HTTP listener that makes the demo's Proxmox misbehave.

The separate listener responds even while Proxmox does not. Its path is random,
so that only clients that know the URL can use it.
"""

import asyncio
import secrets

from aiohttp import web

VM_SETTINGS = ("stats", "start_secs", "stop_secs", "shutdown_secs", "start_error", "acpi", "lock")


class Control:
    def __init__(self, pve, cert, key):
        self.pve, self.cert, self.key = pve, cert, key
        self.runner = self.url = None
        # root has all privileges, so testing missing privileges requires the token of another user.
        (token, secret), = pve.apitokens.items()
        pve.apitokens[token.replace("root@pam", "auditor@pve")] = secret
        self.changing = asyncio.Lock()

    async def start(self, host):
        app = web.Application()
        base = "/" + secrets.token_urlsafe(12)
        app.router.add_put(base + "/faults", self.put_faults)
        app.router.add_put(base + "/vms/{vmid}", self.put_vm)
        app.router.add_post(base + "/restart", self.post_restart)
        app.router.add_get(base + "/requests", self.get_requests)
        app.router.add_delete(base + "/requests", self.delete_requests)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        await web.TCPSite(self.runner, host, 0).start()
        self.url = "http://%s:%d%s" % (host, self.runner.addresses[0][1], base)

    async def put_faults(self, request):
        """Replaces all faults by those in the body; `{}` removes all faults."""
        wanted = await request.json()
        unknown = set(wanted) - {"latency", "answer", "drop", "hang", "node_offline", "offline", "no_token", "blind"}
        if unknown:
            raise web.HTTPBadRequest(text="unknown fault: %s" % ", ".join(sorted(unknown)))
        pve = self.pve
        scale = pve.time_scale or 1
        answer = wanted.get("answer")
        pve.refusal = (answer["status"], answer.get("message", "made to fail")) if answer else None
        pve.slow_network(wanted.get("latency", 0) / scale)
        pve.flaky_network(drop_rate=wanted.get("drop", 0), hang_rate=1 if wanted.get("hang") else 0,
                          hang_secs=wanted.get("hang", 0) / scale)
        for node in pve.nodes:
            pve.set_node_offline(node, bool(wanted.get("node_offline")))
        self.switch_tokens(off=bool(wanted.get("no_token")))
        # With an empty ACL, users other than root have no privileges.
        pve.acl = {} if wanted.get("blind") else None
        async with self.changing:
            if wanted.get("offline"):
                await pve.stop()
            elif pve.runner is None:
                await pve.start(self.cert, self.key)
        return web.json_response({})

    def switch_tokens(self, off):
        kept = self.pve.__dict__.setdefault("kept_tokens", {})
        if off:
            kept.update(self.pve.apitokens)
            self.pve.apitokens.clear()
        else:
            self.pve.apitokens.update(kept)
            kept.clear()

    async def put_vm(self, request):
        """Sets the behavior of a VM: its metrics, the duration of its tasks, and errors."""
        vm = self.pve.vm(int(request.match_info["vmid"]))
        if vm is None:
            raise web.HTTPNotFound(text="no such VM")
        for name, value in (await request.json()).items():
            if name not in VM_SETTINGS:
                raise web.HTTPBadRequest(text="unknown setting: %s" % name)
            setattr(vm, name, value)
        return web.json_response({})

    async def post_restart(self, request):
        """Closes all connections and the port, and listens again after `seconds` (default 0)."""
        seconds = (await request.json()).get("seconds", 0) if request.can_read_body else 0
        async with self.changing:
            await self.pve.stop()
            await asyncio.sleep(seconds)
            await self.pve.start(self.cert, self.key)
        return web.json_response({})

    async def get_requests(self, request):
        """The requests that Proxmox has received: [method, path, body] each, oldest first."""
        return web.json_response([[method, path, body.decode(errors="replace")]
                                  for method, path, body in self.pve.requests])

    async def delete_requests(self, request):
        self.pve.requests.clear()
        return web.json_response({})


async def listen(pve, host, cert, key):
    control = Control(pve, cert, key)
    await control.start(host)
    return control
