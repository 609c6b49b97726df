"""The state that every fork inherits: Ansible imported, its modules loaded, its texts parsed."""

import importlib.util
import os
import sys
import threading

from . import playbook
from .compatibility import RUN_VARIABLES, Compatibility

PLUGINS = "ansible.plugins."


class PreloadedState:
    """Created in the server and used in its forks."""

    def __init__(self, environment, folder):
        """Imports Ansible like ansible-playbook does with this environment in this directory."""
        self.stream_errors = {name: getattr(sys, name).errors for name in ("stdin", "stdout", "stderr")}
        self.parsed, self.preloaded = {}, set()
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        try:
            import ansible.cli.playbook  # noqa: F401 - imported for its side effects
            self.run_settings = run_settings()
            playbook.remove_server_temp_dir()
        finally:
            os.chdir("/")
            os.environ.clear()
            os.environ.update(before)
        self.compatibility = Compatibility(environment)
        self.why_cold, self.why_stale = self.compatibility.why_cold, self.compatibility.why_stale

    def load(self, modules, texts):
        """Imports the modules and parses the texts that the warm-up has recorded."""
        import yaml
        before = set(sys.modules)
        for name, path in modules.items():
            if name not in sys.modules and path and belongs_to_installation(path):
                preload(name, path)
        self.preloaded = {name for name in set(sys.modules) - before if name.startswith(PLUGINS)}
        for text, loader in texts:
            if ships_with_ansible(text):
                self.parsed.setdefault(cache_key(text, loader), []).append(yaml.load(text, loader))
        # A fork has only the thread that forked; a lock held by another thread would never be released.
        if threading.active_count() > 1:
            raise RuntimeError("an import has started a thread, so this process cannot be forked safely")

    def install(self):
        """Makes Ansible in this fork use the preloaded state."""
        import yaml
        from ansible.plugins.loader import PluginLoader
        parse, load_source = yaml.load, PluginLoader._load_module_source

        def load_yaml(stream, Loader):
            if isinstance(stream, (str, bytes)) and (copies := self.parsed.get(cache_key(stream, Loader))):
                return copies.pop()  # each copy is used once, because Ansible modifies it
            return parse(stream, Loader)

        def load_plugin(loader, *, python_module_name, path):
            # Ansible derives the module name from the file name only and reuses a loaded module
            # of that name. A plugin of the project with the file name of a preloaded plugin must
            # be loaded from the project.
            if python_module_name in self.preloaded:
                self.preloaded.discard(python_module_name)
                if sys.modules[python_module_name].__file__ != path:
                    del sys.modules[python_module_name]
            return load_source(loader, python_module_name=python_module_name, path=path)

        yaml.load, PluginLoader._load_module_source = load_yaml, load_plugin

    def before_end(self):
        """Does nothing here; during the warm-up, records what was imported."""


def run_settings():
    """The names of the settings whose value depends on the run: those that use a run variable or a
    temporary directory, and those that have another value in another working directory."""
    from ansible import constants
    here, found = os.getcwd(), []
    os.chdir("/")
    for name, definition in constants.config.get_configuration_definitions().items():
        variables = {entry["name"] for entry in definition.get("env") or ()}
        if definition.get("type") in ("tmp", "tmppath", "temppath") or variables & RUN_VARIABLES:
            found.append(name)
        elif constants.config.get_config_value(name, variables=vars(constants)) != getattr(constants, name):
            found.append(name)
    os.chdir(here)
    return found


def preload(name, path):
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return  # exists in a run only, such as a module of a collection
    if spec is not None:
        if spec.origin == path:
            importlib.import_module(name)
    elif name.startswith(PLUGINS):
        # Filters and tests: Ansible loads their files under synthetic names.
        spec = importlib.util.spec_from_file_location(name, path)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


def belongs_to_installation(path):
    """Whether a module is part of Python or of an installed package. The display callback of
    ansible-runner is excluded: importing it changes how Ansible prints."""
    inside = path.startswith((sys.prefix + os.sep, sys.base_prefix + os.sep, "/usr/lib/python3"))
    return inside and "ansible_runner" not in path.split(os.sep)


def ships_with_ansible(text):
    """Whether a text ships with Ansible. Routing tables have no origin, but exist in Ansible only."""
    import ansible
    from ansible._internal._datatag._tags import Origin
    origin = Origin.get_tag(text)
    if origin is None:
        return isinstance(text, bytes) or "plugin_routing" in text
    return bool(origin.path) and origin.path.startswith(os.path.dirname(ansible.__file__) + os.sep)


def cache_key(text, loader):
    """Everything that the parsed value depends on: the loader, the text and its tags."""
    from ansible.module_utils._internal._datatag import AnsibleTagHelper
    return loader, AnsibleTagHelper.untag(text), AnsibleTagHelper.tags(text)
