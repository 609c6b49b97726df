"""Playbook runs without the cost of starting Python, importing modules and parsing Ansible's own YAML.

Most of the fixed cost of a run is spent by `ansible-runner` and `ansible-playbook`
on importing modules and parsing the YAML that ships with Ansible. This package does
both once and forks for each job. A job executes the real ansible-runner and the real
ansible-playbook; a fork inherits a Python process that has not run any job.

    server         the long-lived process: receives jobs, reports process IDs and exit codes
    job            the `ansible-runner run` of one job, a fork of the server
    playbook       its ansible-playbook, a fork of the job
    warm_up        a playbook run at startup that records what runs import and parse
    preloaded      the recorded modules and texts, loaded in the server for all forks
    compatibility  which jobs can use a fork, and when the server is out of date
    kernel         kernel features for which Python has no function

Only modules of the Python installation and parsed texts that ship with Ansible are
cached. Neither depends on a job, so no job can affect a later one.
"""
