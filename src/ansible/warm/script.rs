//! Finds the Python interpreter of an `ansible-runner` script.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Returns the interpreter of the script `runner` and of the `ansible-playbook` script next to it.
///
/// Installers such as pip write the path of the interpreter to the first line. Any other
/// executable, such as a wrapper, can only be run as a process.
///
/// # Errors
///
/// Returns the reason if the scripts have no usable interpreter in common.
///
/// # Blocking
///
/// Reads files.
pub fn interpreter(runner: &Path) -> Result<PathBuf, String> {
    let named = first_line_of_script(runner, "ansible_runner.__main__")?;
    let playbook = first_line_of_script(&runner.with_file_name("ansible-playbook"), "ansible.cli")?;
    if named != playbook {
        return Err(
            "ansible-runner and ansible-playbook use different Python interpreters".to_owned()
        );
    }
    Ok(named)
}

fn first_line_of_script(script: &Path, imports: &str) -> Result<PathBuf, String> {
    let error = |what: &str| format!("{} {what}", script.display());
    let file = File::open(script).map_err(|e| error(&format!("cannot be read: {e}")))?;
    let (mut first, mut rest) = (String::new(), String::new());
    let mut text = BufReader::new(file.take(4096));
    text.read_line(&mut first)
        .and_then(|_| text.read_to_string(&mut rest))
        .map_err(|_| error("is not a Python script"))?;
    let interpreter = first.trim_end().strip_prefix("#!").map(PathBuf::from);
    let python = interpreter.filter(|path| path.is_absolute() && path.is_file());
    python
        .filter(|_| rest.contains(imports))
        .ok_or_else(|| error("is not the script that Ansible installs"))
}

#[cfg(test)]
mod tests {
    use std::fs::write;

    use super::*;

    #[test]
    fn only_scripts_of_the_same_interpreter_are_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let (runner, playbook) =
            (dir.path().join("ansible-runner"), dir.path().join("ansible-playbook"));
        let python = dir.path().join("python3");
        write(&python, "").unwrap();
        let of = |python: &Path, imports: &str| {
            format!("#!{}\nimport sys\nfrom {imports} import main\n", python.display())
        };
        write(&playbook, of(&python, "ansible.cli.playbook")).unwrap();

        assert!(interpreter(&runner).unwrap_err().contains("cannot be read"));
        write(&runner, "#!/bin/sh\nexec ansible-runner \"$@\"\n").unwrap();
        assert!(interpreter(&runner).unwrap_err().contains("the script that Ansible installs"));
        write(&runner, [0, 159, 146, 150]).unwrap();
        assert!(interpreter(&runner).unwrap_err().contains("not a Python script"));
        write(&runner, of(Path::new("/bin/sh"), "ansible_runner.__main__")).unwrap();
        assert!(interpreter(&runner).unwrap_err().contains("different Python interpreters"));
        write(&runner, of(&python, "ansible_runner.__main__")).unwrap();
        assert_eq!(interpreter(&runner).unwrap(), python);
    }
}
