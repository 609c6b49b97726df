"""The warm engine: a Python process that has Ansible loaded and forks for every playbook run.

The API server starts it with the interpreter of its `ansible-runner` and talks
to it over stdin and stdout. See forkserver/__init__.py for an overview.
"""

from forkserver import server

server.main()
