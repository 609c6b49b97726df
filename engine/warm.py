"""The warm engine: a Python that has Ansible loaded and forks itself for every playbook run.

The server starts it with the interpreter of its own `ansible-runner` and speaks
to it over stdin and stdout. See forkserver/__init__.py for what is where.
"""

from forkserver import server

server.main()
