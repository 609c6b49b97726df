"""Jobs that cover the features of playbooks: CASES maps a name to the parameters of a job."""

import os
import shutil
import subprocess

CASES = {}

ONE_HOST = "all:\n  hosts:\n    one: {ansible_connection: local, ansible_python_interpreter: '{{ ansible_playbook_python }}'}\n"
THREE_HOSTS = ("all:\n  vars: {ansible_connection: local, ansible_python_interpreter: '{{ ansible_playbook_python }}'}\n"
               "  children:\n    red: {hosts: {a: , b: }}\n    blue: {hosts: {c: }}\n")
MODULE = "from ansible.module_utils.basic import AnsibleModule\n"


def case(name, play=None, inventory=ONE_HOST, cold=None, terminal=None, ordered=True, files=(), **job):
    """`cold` is a word of the reason why the warm engine must use a new ansible-playbook process.
    `ordered` is False if several hosts run concurrently, so that the order of events is random."""
    made = {"inventory/hosts.yml": inventory, **{path: text for path, text in dict(files).items()}}
    if play is not None:
        made["project/play.yml"] = play
    made.setdefault("project/.keep", "")
    CASES[name] = {"files": made, "cold": cold, "terminal": terminal, "ordered": ordered, "job": job}


def play(tasks, more=""):
    """A play on all hosts with these tasks."""
    return "- hosts: all\n  gather_facts: false\n%s  tasks:\n%s" % (
        more, "".join("    %s\n" % line for line in tasks.strip().splitlines()))


case("ok", play("- ping:\n- name: Say\n  debug: {msg: hello}"))
case("facts", "- hosts: all\n  tasks:\n    - debug: {msg: '{{ ansible_facts.os_family }} {{ ansible_facts.python.version }}'}\n"
     "  module_defaults:\n    setup: {gather_subset: ['!all', '!min', 'python', 'distribution']}\n")
case("failed", play("- fail: {msg: no such VM}\n- debug: {msg: never}"))
case("failed module", play("- command: /bin/false\n- debug: {msg: never}"))
case("module crashes", play("- broken:"), files={"project/library/broken.py": MODULE + "raise ValueError('boom')\n"})
case("unreachable", play("- ping:"),
     inventory="all:\n  hosts:\n    dead: {ansible_host: 127.0.0.1, ansible_port: 9, ansible_connection: ssh}\n")
case("some unreachable", play("- ping:\n- debug: {var: inventory_hostname}"), ordered=False, inventory=THREE_HOSTS.replace(
    "b: }", "b: {ansible_host: 127.0.0.1, ansible_port: 9, ansible_connection: ssh}}"))
case("ignored", play("- command: /bin/false\n  ignore_errors: true\n- ping:\n  ignore_unreachable: true"))
case("rescued", play("- block:\n    - command: /bin/false\n  rescue:\n    - debug: {msg: '{{ ansible_failed_task.name }}'}\n"
                     "  always:\n    - debug: {msg: always}"))
case("loops", play("- debug: {msg: '{{ item }}'}\n  loop: [1, 2, 3]\n- fail: {msg: '{{ item.a }}'}\n  loop: [{a: 1}, {a: 2}]\n"
                   "  loop_control: {label: '{{ item.a }}'}\n  ignore_errors: true\n"
                   "- command: /bin/false\n  register: tried\n  until: tried.rc == 0\n  retries: 2\n  delay: 0\n  ignore_errors: true\n"
                   "- debug: {msg: '{{ item.key }}'}\n  with_dict: {x: 1, y: 2}"))
case("handlers", play("- command: /bin/true\n  notify: [first, second]\n- meta: flush_handlers\n- debug: {msg: after}",
                      "  handlers:\n    - {name: first, debug: {msg: 1}}\n    - {name: h, listen: second, debug: {msg: 2}}\n"))
case("include and import", play("- include_tasks: more.yml\n  vars: {x: 1}\n- import_tasks: more.yml\n  vars: {x: 2}\n"
                                "- include_vars: {file: some.yml}\n- debug: {var: some}\n- include_tasks: '{{ item }}.yml'\n  loop: [more]\n"
                                "  vars: {x: 3}") + "- import_playbook: other.yml\n",
     files={"project/more.yml": "- debug: {msg: 'x is {{ x }}'}\n", "project/some.yml": "some: {thing: 1}\n",
            "project/other.yml": play("- debug: {msg: other}")})
TAGGED = play("- debug: {msg: one}\n  tags: [x]\n- debug: {msg: two}\n  tags: [y]\n- debug: {msg: never}\n  tags: [never]")
case("tags", TAGGED, arguments="--tags y,never")
case("skipped tags", TAGGED, arguments="--skip-tags y")
case("limit", play("- debug: {var: inventory_hostname}"), inventory=THREE_HOSTS, limit="red:!a")
case("limit that matches nothing", play("- ping:"), limit="nobody")
case("play on nobody", play("- ping:").replace("all", "nobody"))
case("several hosts", play("- debug: {var: inventory_hostname}\n- command: echo {{ inventory_hostname }}\n"
                           "- debug: {msg: '{{ hostvars.c.inventory_hostname }}'}\n  run_once: true\n  delegate_to: c"),
     inventory=THREE_HOSTS, ordered=False)
case("serial", play("- debug: {var: ansible_play_batch}", "  serial: 1\n"), inventory=THREE_HOSTS)
case("strategy free", play("- debug: {msg: free}\n- ping:", "  strategy: free\n"))
case("facts that stay", play("- set_fact: {kept: [1, {a: null}], cacheable: true}"))
case("variables", play("- debug: {msg: '{{ word }} {{ n + 1 }} {{ d.a | to_json }} {{ g }} {{ h }}'}"),
     files={"env/extravars": '{word: !unsafe "{{ evil }} b\\u00e4r \\"q\\"", n: 4, d: {a: [1, null, true]}}\n',
            "inventory/group_vars/all.yml": "g: 11\n", "inventory/host_vars/one.yml": "h: 2\n"})
case("undefined variable", play("- debug: {msg: '{{ nope.x }}'}"))
case("untrusted template", play("- command: echo '{{ \"{{\" }} evil }}'\n  register: said\n- debug: {var: said.stdout}\n"
                                "- debug: {msg: '{{ 1 + }}'}"))
case("lookups", play("- debug: {msg: \"{{ lookup('env', 'HOME') }} {{ lookup('pipe', 'echo hi; pwd') }} {{ lookup('file', 'x.txt') }}\"}\n"
                     "- debug: {msg: \"{{ query('sequence', 'count=3') }} {{ lookup('vars', 'inventory_hostname') }}\"}\n"
                     "- debug: {msg: \"{{ lookup('template', 't.j2') }}\"}"),
     files={"project/x.txt": "ünïcode\n", "project/t.j2": "{% for n in [1, 2] %}{{ n }};{% endfor %}\n"})
case("no_log", play("- debug: {msg: hush}\n  no_log: true\n- command: echo hush\n  no_log: true\n"
                    "- fail: {msg: hush}\n  no_log: true\n  ignore_errors: true"))
case("files", play("- copy: {content: \"x\\n\", dest: '{{ playbook_dir }}/out.txt', mode: '0640'}\n  diff: true\n"
                   "- template: {src: t.j2, dest: '{{ playbook_dir }}/made.txt'}\n  diff: true\n"
                   "- file: {path: '{{ playbook_dir }}/dir', state: directory}\n- shell: umask; pwd; echo $0"),
     files={"project/templates/t.j2": "{{ inventory_hostname }}\n"})
case("check mode", play("- copy: {content: x, dest: /nonexistent/y}\n  ignore_errors: true\n- command: echo hi"), arguments="--check --diff")
case("environment", play("- shell: printf '%s|' \"$FOO\" \"$HOME\" \"$LANG\"\n  environment: {FOO: b a r}\n"
                         "- shell: env | cut -d= -f1 | sort\n- shell: ulimit -n; ulimit -c"))
case("signals", play("- shell: sed -nE 's/(Sig(Blk|Ign)):.*(.{8})$/\\1 \\3/p' /proc/self/status /proc/$PPID/status"))
case("async", play("- command: sleep 0.3\n  async: 10\n  poll: 1\n- shell: echo late\n  async: 10\n  poll: 0\n  register: job\n"
                   "- async_status: {jid: '{{ job.ansible_job_id }}'}\n  register: it\n  until: it.finished\n  retries: 20\n  delay: 1",
                   "  vars: {ansible_async_dir: '{{ playbook_dir }}/async'}\n"))
case("role", "- hosts: all\n  gather_facts: false\n  roles: [{role: web, vars: {port: 81}}]\n  tasks:\n    - include_role: {name: web, tasks_from: other}\n",
     files={"project/roles/web/tasks/main.yml": "- debug: {msg: '{{ port }} {{ base_port }} {{ 3 | triple }}'}\n  notify: web handler\n  changed_when: true\n",
            "project/roles/web/tasks/other.yml": "- web_module: {x: 3}\n", "project/roles/web/defaults/main.yml": "port: 80\n",
            "project/roles/web/vars/main.yml": "base_port: 1\n", "project/roles/web/meta/main.yml": "dependencies: [base]\n",
            "project/roles/web/handlers/main.yml": "- name: web handler\n  debug: {msg: handled}\n",
            "project/roles/base/tasks/main.yml": "- debug: {msg: base}\n",
            "project/roles/web/filter_plugins/triple.py": "class FilterModule:\n    def filters(self): return {'triple': lambda x: 3 * x}\n",
            "project/roles/web/library/web_module.py": MODULE + "from ansible.module_utils.twice import twice\n"
            "m = AnsibleModule({'x': {'type': 'int'}})\nm.exit_json(changed=True, y=twice(m.params['x']))\n",
            "project/roles/web/module_utils/twice.py": "def twice(x): return 2 * x\n"})
C = "project/collections/ansible_collections/ns/col/"
case("collection", play("- ns.col.answer:\n- debug: {msg: '{{ 2 | ns.col.square }}'}\n- include_role: {name: ns.col.r}"), files={
    C + "galaxy.yml": "namespace: ns\nname: col\nversion: 1.0.0\n", C + "roles/r/tasks/main.yml": "- answer:\n",
    C + "plugins/modules/answer.py": MODULE + "from ansible_collections.ns.col.plugins.module_utils.u import V\nAnsibleModule({}).exit_json(v=V)\n",
    C + "plugins/module_utils/u.py": "V = 42\n",
    C + "plugins/filter/f.py": "class FilterModule:\n    def filters(self): return {'square': lambda x: x * x}\n"})
case("syntax error", "- hosts: all\n  tasks:\n    - no_such_module_: {}\n")
case("broken YAML", "- hosts: all\n  tasks: [\n")
case("not a play", "just: words\n")
case("missing playbook")
case("missing role", "- hosts: all\n  roles: [nowhere]\n")
case("missing inventory", play("- ping:"), inventory="not an inventory: [\n")
case("missing vault password file", play("- ping:"), arguments="--vault-password-file {folder}/nowhere")
case("unknown option", play("- ping:"), arguments="--nonsense")
case("unicode", play('- debug: {msg: "日本語 🎉 \\u00fc \\u0301"}\n- name: Häuser zählen\n  command: printf "ä\\\\xff\\\\n"'))
case("very verbose", play("- ping:\n- command: echo hi"), arguments="-vvv")
case("warnings", play("- debug: {msg: '{{ now }}'}\n  when: 'yes'\n  vars: {now: 1, name: shadow}\n- include: x.yml\n  ignore_errors: true"))
case("warnings at run time", play("- shell: echo hi\n  args: {warn: true}\n  ignore_errors: true\n- warner:\n- command: echo {{ item }}\n  with_items: [1]"),
     files={"project/library/warner.py": MODULE + "m = AnsibleModule({})\nm.warn('careful')\nm.exit_json()\n"})
case("with a terminal type", play("- debug: {msg: colours}\n- command: /bin/false"), terminal="xterm-256color")
case("prompt without an answer", "- hosts: all\n  gather_facts: false\n  vars_prompt: [{name: word, default: none, private: false}]\n"
     "  tasks: [{debug: {var: word}}]\n", arguments="-e word=given")
case("ansible-playbook is killed", play("- debug: {msg: before}\n- killer:\n- debug: {msg: after}"), files={
    "project/action_plugins/killer.py": "import os, time\nfrom ansible.plugins.action import ActionBase\nclass ActionModule(ActionBase):\n"
    "    def run(self, tmp=None, task_vars=None): os.kill(os.getppid(), 9); time.sleep(60)\n"})
case("20 MB of output", play("- shell: yes '%s' | head -n 250000\n  register: said\n  no_log: false\n- debug: {msg: '{{ said.stdout | length }}'}" % ("x" * 79)))

# Projects that override something that the engine has preloaded.
OWN = {"action": "from ansible.plugins.action import ActionBase\nclass ActionModule(ActionBase):\n"
                 "    def run(self, tmp=None, task_vars=None): return {'msg': 'own action'}\n",
       "lookup": "from ansible.plugins.lookup import LookupBase\nclass LookupModule(LookupBase):\n"
                 "    def run(self, terms, variables=None, **kwargs): return ['own lookup']\n",
       "filter": "class FilterModule:\n    def filters(self): return {'to_json': lambda x: 'own filter'}\n",
       "test": "class TestModule:\n    def tests(self): return {'defined': lambda x: False}\n",
       "strategy": "from ansible.plugins.strategy.free import StrategyModule as Free\nclass StrategyModule(Free):\n"
                   "    def run(self, *a): self._tqm.send_callback('v2_playbook_on_no_hosts_remaining'); return super().run(*a)\n",
       "vars": "from ansible.plugins.vars import BaseVarsPlugin\nclass VarsModule(BaseVarsPlugin):\n"
               "    def get_vars(self, loader, path, entities, cache=True): return {'own_vars': 'own vars'}\n",
       "connection": "from ansible.plugins.connection import ConnectionBase\nclass Connection(ConnectionBase):\n    transport = 'local'\n"
                     "    def _connect(self): return self\n    def put_file(self, *a): pass\n    def fetch_file(self, *a): pass\n"
                     "    def close(self): pass\n    def exec_command(self, *a, **k): return 7, b'own connection', b''\n"}
case("own debug action", play("- debug: {msg: builtin}\n- ansible.builtin.debug: {msg: by its full name}"), files={"project/action_plugins/debug.py": OWN["action"]})
case("own normal action", play("- ping:"), files={"project/action_plugins/normal.py": OWN["action"]})
case("own env lookup", play("- debug: {msg: \"{{ lookup('env', 'HOME') }}\"}"), files={"project/lookup_plugins/env.py": OWN["lookup"]})
case("own filters in core.py", play("- debug: {msg: '{{ [1] | to_json }} {{ [1] | to_yaml }}'}"), files={"project/filter_plugins/core.py": OWN["filter"]})
case("own tests in core.py", play("- debug: {msg: '{{ inventory_hostname is defined }}'}"), files={"project/test_plugins/core.py": OWN["test"]})
case("own linear strategy", play("- debug: {msg: x}"), files={"project/strategy_plugins/linear.py": OWN["strategy"]})
case("own host_group_vars", play("- debug: {msg: \"{{ own_vars | default('none') }} {{ g | default('none') }}\"}"),
     files={"project/vars_plugins/host_group_vars.py": OWN["vars"], "project/group_vars/all.yml": "g: 1\n"})
case("own local connection", play("- raw: echo hi\n- ping:"), files={"project/connection_plugins/local.py": OWN["connection"]})
case("own ping module", play("- ping:"), files={"project/library/ping.py": MODULE + "AnsibleModule({}).exit_json(ping='own')\n"})
case("own module_utils", play("- uri: {url: 'http://127.0.0.1:9/'}"), files={"project/module_utils/urls.py": "raise RuntimeError('own urls')\n"})
case("own doc fragment", play("- ping:"), files={"project/doc_fragments/default_callback.py": "class ModuleDocFragment:\n    DOCUMENTATION = 'options: {}'\n"})
case("ansible.cfg in the project", play("- debug: {var: ansible_forks}"), cold="ansible.cfg", files={"project/ansible.cfg": "[defaults]\nforks = 3\n"})
case("another environment", play("- debug: {msg: \"{{ lookup('env', 'FOO') }}\"}"), cold="FOO", environment={"FOO": "bar"})
case("settings by environment", play("- ping:"), cold="ANSIBLE_NOCOLOR", environment={"ANSIBLE_NOCOLOR": "1", "ANSIBLE_DISPLAY_OK_HOSTS": "no"})


def vault_cases(runner):
    """Adds cases that read an encrypted variable with the right, a wrong and no password."""
    vault = os.path.join(os.path.dirname(runner), "ansible-vault")
    encrypted = subprocess.run([vault, "encrypt_string", "--vault-password-file", "/dev/stdin", "--name", "secret", "s3kr1t"],
                               input="password\n", capture_output=True, text=True, check=True).stdout
    tasks = play("- debug: {msg: '{{ secret }}'}")
    for name, password in (("vault", "password\n"), ("vault with a wrong password", "wrong\n")):
        case(name, tasks, files={"project/group_vars/all.yml": encrypted, "password": password},
             arguments="--vault-password-file {folder}/password")
    case("vault without a password", tasks, files={"project/group_vars/all.yml": encrypted})


def become_cases():
    """Adds a case that changes the user, which takes sudo or root."""
    method = "sudo" if shutil.which("sudo") else "su" if os.getuid() == 0 and shutil.which("su") else None
    if method is None:
        raise SystemExit("Neither sudo nor root: become cannot be tested. (Debian: apt-get install sudo)")
    case("become", play("- command: id -un\n  become: true\n  become_method: %s" % method))
    return None
