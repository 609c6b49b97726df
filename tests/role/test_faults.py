"""The errors of operations while Proxmox fails, and that they change nothing."""

import socket
import threading
import unittest

from demo_proxmox import DemoProxmox

from proxmox import OperationFailed


class Faults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pve = DemoProxmox()

    @classmethod
    def tearDownClass(cls):
        cls.pve.close()

    def tearDown(self):
        self.pve.faults()

    def refused(self, words, action="vm_list", **variables):
        with self.assertRaises(OperationFailed) as failure:
            self.pve.perform(action, **variables)
        said = str(failure.exception)
        self.assertIn(words, said)
        self.assertNotIn("\n", said)
        self.assertNotIn(self.pve.ready["token_secret"], said)

    def test_down(self):
        self.pve.faults(offline=True)
        self.refused("Proxmox at %s cannot be reached: Connection refused." % self.pve.ready["api_host"])

    def test_no_such_host(self):
        self.refused("cannot be reached", proxmox_api_host="no-such-host.invalid")

    def test_a_wrong_token(self):
        self.refused("did not accept the API token root@pam!demo: 401 authentication failure",
                     proxmox_api_token_secret="00000000-0000-0000-0000-000000000000")
        self.refused("did not accept the API token root@pam!other: 401", proxmox_api_token_id="other")

    def test_tls(self):
        self.refused("cannot be used over TLS: its certificate is not trusted: self-signed certificate",
                     proxmox_ca_file="", proxmox_validate_certs="true")
        self.refused("proxmox_ca_file /nowhere.pem cannot be used", proxmox_ca_file="/nowhere.pem")
        self.assertTrue(self.pve.perform("vm_list", proxmox_ca_file="", proxmox_validate_certs=False))

    def test_something_else_listens_there(self):
        listener = socket.create_server(("127.0.0.1", 0))

        def answer():
            client, _ = listener.accept()
            client.recv(1000)
            client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            client.close()
        thread = threading.Thread(target=answer)
        thread.start()
        self.refused("cannot be used over TLS", proxmox_api_host="127.0.0.1:%d" % listener.getsockname()[1])
        thread.join()
        listener.close()

    def test_errors_of_the_cluster(self):
        self.pve.faults(node_offline=True)
        self.refused("with 595: No route to host")
        self.pve.faults(answer={"status": 596, "message": "Connection timed out"})
        self.refused("with 596: Connection timed out")
        self.pve.faults(answer={"status": 500, "message": "cluster not ready - no quorum?"})
        self.refused("with 500: cluster not ready - no quorum?", "vm_start", vm_id="1003")

    def test_slow(self):
        self.pve.faults(latency=3)
        self.refused("did not answer GET /nodes/px-testing/qemu within 0.3 s", proxmox_api_timeout=0.3)
        self.pve.faults(latency=0.2)
        self.assertTrue(self.pve.perform("vm_list"))

    def test_a_connection_that_is_cut(self):
        self.pve.faults(drop=1)
        self.pve.forget_requests()
        self.refused("hung up on POST /nodes/px-testing/qemu/1003/status/start", "vm_start", vm_id="1003")
        self.pve.faults()
        self.assertEqual("stopped", self.pve.get("qemu/1003/status/current")["status"])

    def test_a_kept_connection_that_was_closed_while_idle(self):
        """A read is retried; a write is not, because the first one may have been executed."""
        from proxmox.connection import Connection, ConnectionLost
        connection = Connection(self.pve.ready["api_host"], "root@pam", "demo", self.pve.ready["token_secret"])
        self.assertTrue(connection.get("/version"))
        self.pve.control("POST", "/restart")
        self.assertTrue(connection.get("/version"))
        self.pve.control("POST", "/restart")
        with self.assertRaises(ConnectionLost):
            connection.request("POST", "/nodes/px-testing/qemu/1003/status/start")
        self.assertEqual([], self.pve.asked("POST", "/qemu/1003/status/start"))
        connection.close()


if __name__ == "__main__":
    unittest.main()
