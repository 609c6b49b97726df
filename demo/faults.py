"""Faults on demand: a second, plain HTTP listener through which tests make the demo's Proxmox misbehave.

It has a listener of its own so that it answers while Proxmox does not, and a
random path, so that only those who were told can use it.
"""

import asyncio
import secrets

from aiohttp import web

VM_SETTINGS = ("stats", "start_secs", "stop_secs", "shutdown_secs", "start_error", "acpi", "lock")


class Control:
    def __init__(self, pve, cert, key):
        self.pve, self.cert, self.key = pve, cert, key
        self.runner = self.url = None
        # root may do everything, so who is to be refused something needs another user's token.
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
        """Replace all faults by those of the body; `{}` heals everything."""
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
        # Whoever is not root has no privilege anywhere then.
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
        """Set how one VM behaves: its measured values, how long it takes, what goes wrong with it."""
        vm = self.pve.vm(int(request.match_info["vmid"]))
        if vm is None:
            raise web.HTTPNotFound(text="no such VM")
        for name, value in (await request.json()).items():
            if name not in VM_SETTINGS:
                raise web.HTTPBadRequest(text="unknown setting: %s" % name)
            setattr(vm, name, value)
        return web.json_response({})

    async def post_restart(self, request):
        """Close every connection and the port, then listen again after `seconds` (default 0)."""
        seconds = (await request.json()).get("seconds", 0) if request.can_read_body else 0
        async with self.changing:
            await self.pve.stop()
            await asyncio.sleep(seconds)
            await self.pve.start(self.cert, self.key)
        return web.json_response({})

    async def get_requests(self, request):
        """What was asked of Proxmox: [method, path, body] each, oldest first."""
        return web.json_response([[method, path, body.decode(errors="replace")]
                                  for method, path, body in self.pve.requests])

    async def delete_requests(self, request):
        self.pve.requests.clear()
        return web.json_response({})


async def listen(pve, host, cert, key):
    control = Control(pve, cert, key)
    await control.start(host)
    return control
