"""The Proxmox HTTP API: one persistent TLS connection, one-line errors."""

import http.client
import json
import socket
import ssl
import time
from urllib.parse import quote, urlencode

API_PORT = 8006
FIRST_PAUSE = 0.03
LONGEST_PAUSE = 1.0


class OperationFailed(Exception):
    """An operation failed. The message is a single line."""

    def __init__(self, sentence):
        super().__init__(" ".join(str(sentence).split()))


class ConnectionLost(OperationFailed):
    """Proxmox closed the connection without responding."""


class Refused(OperationFailed):
    """Proxmox responded with the HTTP error `status`."""

    def __init__(self, sentence, status):
        super().__init__(sentence)
        self.status = status


def host_and_port(address):
    """Split `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address."""
    address = address.strip()
    host, port = address, ""
    if address.startswith("["):
        host, bracket, port = address[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise OperationFailed("proxmox_api_host %r is not an address." % address)
        port = port[1:]
    elif address.count(":") == 1:
        host, _, port = address.partition(":")
    if not host or not (port or str(API_PORT)).isdigit():
        raise OperationFailed("proxmox_api_host %r is not an address." % address)
    return host, int(port or API_PORT)


def api_path(*segments):
    """Joins the segments of an API path. They are quoted, and must not be empty, `.` or `..`."""
    for segment in segments:
        if str(segment) in ("", ".", ".."):
            raise OperationFailed("%r is not allowed in a Proxmox API path." % str(segment))
    return "/" + "/".join(quote(str(segment), safe=":@!") for segment in segments)


class Connection:
    """Sends requests with an API token. Only the header contains the token."""

    def __init__(self, address, user, token_id, token_secret, verify=False, ca_file=None, timeout=30):
        self.host, self.port = host_and_port(address)
        self.name = "%s:%d" % ("[%s]" % self.host if ":" in self.host else self.host, self.port)
        self.identity = token_id if "!" in token_id else "%s!%s" % (user, token_id)
        self.secret = token_secret
        # http.client includes an invalid header in its error message.
        if not all(33 <= ord(char) < 127 for char in self.identity + self.secret):
            raise OperationFailed("The Proxmox API token contains invalid characters.")
        self.headers = {"Authorization": "PVEAPIToken=%s=%s" % (self.identity, self.secret)}
        self.timeout = timeout
        self.http = http.client.HTTPSConnection(
            self.host, self.port, timeout=timeout, context=self.tls(verify, ca_file))

    @staticmethod
    def tls(verify, ca_file):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if ca_file:
            try:
                context.load_verify_locations(ca_file)
            except OSError as error:
                raise OperationFailed("proxmox_ca_file %s cannot be used: %s" % (ca_file, error)) from None
        elif verify:
            context.load_default_certs()
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def close(self):
        self.http.close()

    def get(self, path, **parameters):
        query = "?" + urlencode(parameters) if parameters else ""
        return self.request("GET", path + query)

    def request(self, method, path, parameters=None):
        """Sends a request and returns the `data` of the response. Parameters that are None are omitted."""
        body, headers = None, self.headers
        if parameters:
            body = urlencode({name: value for name, value in parameters.items() if value is not None})
            headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        if method == "DELETE" and body:
            path, body = path + "?" + body, None
        # Proxmox may have closed the idle connection. Only reads are retried, because
        # a write without a response may have been executed.
        retry = method == "GET" and self.http.sock is not None
        try:
            status, reason, text = self.exchange(method, path, body, headers)
        except ConnectionLost:
            if not retry:
                raise
            status, reason, text = self.exchange(method, path, body, headers)
        return self.data(method, path, status, reason, text)

    def exchange(self, method, path, body, headers):
        try:
            self.http.request(method, "/api2/json" + path, body, headers)
            response = self.http.getresponse()
            return response.status, response.reason, response.read()
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError, http.client.IncompleteRead):
            why = ConnectionLost("Proxmox at %s hung up on %s %s." % (self.name, method, path))
        except ssl.SSLCertVerificationError as error:
            why = self.unusable("cannot be used over TLS: its certificate is not trusted: %s" % error.verify_message)
        except ssl.SSLError as error:
            why = self.unusable("cannot be used over TLS: %s" % (error.reason or error))
        except socket.timeout:
            why = self.unusable("did not answer %s %s within %g s" % (method, path, self.timeout))
        except (OSError, http.client.HTTPException) as error:
            why = self.unusable("cannot be reached: %s" % (getattr(error, "strerror", None) or error))
        self.http.close()
        raise why

    def unusable(self, what):
        return OperationFailed("Proxmox at %s %s." % (self.name, what))

    def data(self, method, path, status, reason, text):
        try:
            answer = json.loads(text)
        except ValueError:
            answer = {}
        if not isinstance(answer, dict):
            answer = {}
        if 200 <= status < 300:
            if "data" not in answer:
                raise OperationFailed("Proxmox at %s sent an unexpected response to %s %s." % (
                    self.name, method, path))
            return answer["data"]
        words = str(answer.get("message") or reason or "no reason given").strip().replace(self.secret, "***")
        if isinstance(answer.get("errors"), dict):
            words += " " + "; ".join("%s: %s" % (name, " ".join(str(why).split()))
                                     for name, why in sorted(answer["errors"].items()))
        if status == 401:
            raise Refused("Proxmox at %s did not accept the API token %s: 401 %s" % (
                self.name, self.identity, words), status)
        raise Refused("Proxmox answered %s %s with %d: %s" % (method, path, status, words), status)

    # ------------------------------------------------------------ tasks (UPID)

    def wait(self, upid, limit):
        """Waits until the Proxmox task has ended. Raises an error with its exit status if it failed."""
        fields = str(upid).split(":")
        if len(fields) < 8 or fields[0] != "UPID":
            raise OperationFailed("Proxmox started no task; it answered %r." % (upid,))
        node, kind, guest = fields[1], fields[5], fields[6]
        task = api_path("nodes", node, "tasks", upid)
        name = "Proxmox task %s%s" % (kind, " of %s" % guest if guest else "")
        deadline = time.monotonic() + limit
        pause = FIRST_PAUSE
        while True:
            state = self.get(task + "/status")
            if state.get("status") == "stopped":
                break
            left = deadline - time.monotonic()
            if left <= 0:
                raise OperationFailed("%s did not end within %g s; it continues in Proxmox as %s" % (name, limit, upid))
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, LONGEST_PAUSE)
        outcome = str(state.get("exitstatus") or "no exit status")
        if outcome != "OK" and not outcome.startswith("WARNINGS"):
            raise OperationFailed("%s failed: %s" % (name, self.last_words(task, outcome)))
        return upid

    def last_words(self, task, outcome):
        """The exit status, and the last log lines if they contain more."""
        try:
            log = [str(line.get("t", "")).strip() for line in self.get(task + "/log", limit=1000)]
        except OperationFailed:
            log = []
        more = [line for line in log if line and line != outcome and line != "TASK ERROR: " + outcome][-3:]
        return outcome + (" (log: %s)" % " | ".join(more) if more else "")
