"""What every fork starts with: Ansible imported, its modules loaded, its own texts parsed."""

import importlib.util
import os
import sys
import threading

from . import playbook
from .fitness import OF_THE_RUN, Fitness

PLUGINS = "ansible.plugins."


class Warmth:
    """Made in the server, used in its forks."""

    def __init__(self, environment, folder):
        """Imports Ansible as ansible-playbook would with this environment, in this folder."""
        self.stream_errors = {name: getattr(sys, name).errors for name in ("stdin", "stdout", "stderr")}
        self.parsed, self.preloaded = {}, set()
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        try:
            import ansible.cli.playbook  # noqa: F401 - this import is the point
            self.settings_of_the_run = settings_of_the_run()
            playbook.drop_own_temporary_folder()
        finally:
            os.chdir("/")
            os.environ.clear()
            os.environ.update(before)
        self.fitness = Fitness(environment)
        self.why_cold, self.why_stale = self.fitness.why_cold, self.fitness.why_stale

    def learn(self, modules, texts):
        """Imports and parses here what the rehearsal needed there."""
        import yaml
        before = set(sys.modules)
        for name, path in modules.items():
            if name not in sys.modules and path and belongs_to_installation(path):
                preload(name, path)
        self.preloaded = {name for name in set(sys.modules) - before if name.startswith(PLUGINS)}
        for text, loader in texts:
            if is_of_ansible(text):
                self.parsed.setdefault(identity(text, loader), []).append(yaml.load(text, loader))
        # Only the thread that forks lives on in a fork; a lock that another one held would be held for ever.
        if threading.active_count() > 1:
            raise RuntimeError("an import has started a thread, so this process cannot be forked safely")

    def install(self):
        """Puts what is prepared where Ansible will look for it, in a fork."""
        import yaml
        from ansible.plugins.loader import PluginLoader
        parse, load_source = yaml.load, PluginLoader._load_module_source

        def load_yaml(stream, Loader):
            if isinstance(stream, (str, bytes)) and (copies := self.parsed.get(identity(stream, Loader))):
                return copies.pop()  # each is given out once, as Ansible changes what it gets
            return parse(stream, Loader)

        def load_plugin(loader, *, python_module_name, path):
            # Ansible names a plugin's module by the file's name alone, and takes what is loaded
            # by that name. A plugin of the project that has the name of one of Ansible's must
            # not be taken for it because it was preloaded.
            if python_module_name in self.preloaded:
                self.preloaded.discard(python_module_name)
                if sys.modules[python_module_name].__file__ != path:
                    del sys.modules[python_module_name]
            return load_source(loader, python_module_name=python_module_name, path=path)

        yaml.load, PluginLoader._load_module_source = load_yaml, load_plugin

    def before_end(self):
        """Nothing to do; the rehearsal notes here what was imported."""


def settings_of_the_run():
    """The settings that Ansible evaluates differently in each run, found by evaluating all of them
    in another folder. Those that name the run or a temporary folder differ anyway."""
    from ansible import constants
    here, found = os.getcwd(), []
    os.chdir("/")
    for name, definition in constants.config.get_configuration_definitions().items():
        variables = {entry["name"] for entry in definition.get("env") or ()}
        if definition.get("type") in ("tmp", "tmppath", "temppath") or variables & OF_THE_RUN:
            found.append(name)
        elif constants.config.get_config_value(name, variables=vars(constants)) != getattr(constants, name):
            found.append(name)
    os.chdir(here)
    return found


def preload(name, path):
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return  # a name that only a run knows, such as one of a collection
    if spec is not None:
        if spec.origin == path:
            importlib.import_module(name)
    elif name.startswith(PLUGINS):
        # Filters and tests: Ansible loads their files under names of its own making.
        spec = importlib.util.spec_from_file_location(name, path)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


def belongs_to_installation(path):
    """Whether a module is Python's or an installed package's. The display callback of ansible-runner
    is left out: its import changes how Ansible prints, and must come when it comes in any run."""
    inside = path.startswith((sys.prefix + os.sep, sys.base_prefix + os.sep, "/usr/lib/python3"))
    return inside and "ansible_runner" not in path.split(os.sep)


def is_of_ansible(text):
    """Whether a text came with Ansible. Routing tables have no origin, and come from nowhere else."""
    import ansible
    from ansible._internal._datatag._tags import Origin
    origin = Origin.get_tag(text)
    if origin is None:
        return isinstance(text, bytes) or "plugin_routing" in text
    return bool(origin.path) and origin.path.startswith(os.path.dirname(ansible.__file__) + os.sep)


def identity(text, loader):
    """Everything that the result of parsing depends on: the text, its tags, and the kind of YAML."""
    from ansible.module_utils._internal._datatag import AnsibleTagHelper
    return loader, AnsibleTagHelper.untag(text), AnsibleTagHelper.tags(text)
