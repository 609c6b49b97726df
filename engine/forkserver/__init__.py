"""Playbook runs without Python starting, importing and reading its own documentation each time.

Nearly all of the fixed cost of a run is `ansible-runner` and `ansible-playbook`
importing modules and parsing the YAML that comes with Ansible. This package does
it once and forks for each job. What runs is the real ansible-runner and the real
ansible-playbook; a fork starts from the state of a Python that has run nothing.

    server     the long-lived process: jobs in, process ids and exit codes out
    job        one job's `ansible-runner run`, a fork of the server
    playbook   its ansible-playbook, a fork of the job
    rehearsal  a playbook run once at the start, to learn what runs import and parse
    warmth     what the rehearsal taught, prepared in the server for every fork
    fitness    which jobs may run warm, and when the server is out of date
    kernel     the three things that only the C library can do

The rule for all of it: nothing is cached but modules of the Python installation
and parsed texts that come with Ansible. Neither depends on a job, so there is
nothing that one job could leave to the next.
"""
