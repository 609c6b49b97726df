"""Runs the corpus with both engines and compares everything that a job leaves behind.

    ANSIBLE_RUNNER=… python tests/engine/parity.py [PART-OF-A-NAME]
"""

import concurrent.futures
import difflib
import json
import os
import shutil
import sys
import tempfile
import time

import corpus
from engines import ColdEngine, Job, WarmEngine, environment, runner
from outcome import outcome, per_host


def ran(engine, folder, case):
    """The job and outcome of a case. Both engines use the same directory, because paths are printed."""
    job = Job(folder, case["files"], run_id="0198f000-0000-7000-8000-000000000000", **case["job"])
    try:
        seen = outcome(job, engine.run(job))
        return job, seen if case["ordered"] else per_host(seen)
    finally:
        shutil.rmtree(folder)


def differences(process, warm):
    for part in process:
        if process[part] != warm[part]:
            # Line breaks in texts become lines, so that the report shows what differs.
            texts = [json.dumps(seen[part], indent=1, ensure_ascii=False).replace("\\n", "\\n\n").splitlines()
                     for seen in (process, warm)]
            yield "    %s:" % part
            for line in list(difflib.unified_diff(*texts, "process", "warm", lineterm="", n=1))[2:30]:
                yield "      " + line[:300]


def compare(engines, folder, name):
    """A report about a case, and whether both engines produced the same outcome.

    With either engine, ansible-runner occasionally loses a piece of output because of the timing of
    its reads from the terminal. Therefore, a difference must occur three times.
    """
    case = corpus.CASES[name]
    process, warm = engines[case["terminal"]]
    for _ in range(3):
        _, first = ran(process, folder, case)
        job, second = ran(warm, folder, case)
        problems = list(differences(first, second))
        if (case["cold"] or "") not in (job.cold or "") or bool(case["cold"]) != bool(job.cold):
            problems.append("    expected a cold run because of %s, but the reason is %s" % (case["cold"], job.cold))
        if not problems:
            break
    line = "%s  rc %s, %d events  %s" % ("DIFFERS" if problems else "same   ", first["rc"], len(first["events"]), name)
    return "\n".join([line, *problems]), not problems


def main():
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    corpus.vault_cases(runner())
    corpus.become_cases()
    top, began = tempfile.mkdtemp(prefix="parity-"), time.monotonic()
    home = os.path.join(top, "home")
    os.mkdir(home)
    engines = {}
    for terminal in {case["terminal"] for case in corpus.CASES.values()}:
        clean = environment(runner(), home, terminal)
        engines[terminal] = ColdEngine(runner(), clean), WarmEngine(runner(), clean, os.path.join(top, "scratch"))

    names, same = [name for name in corpus.CASES if wanted in name], []
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        folders = (os.path.join(top, "job-%d" % number) for number in range(len(names)))
        for text, alike in pool.map(lambda folder, name: compare(engines, folder, name), folders, names):
            print(text, flush=True)
            same.append(alike)
    codes = [warm.close() for _, warm in engines.values()]
    shutil.rmtree(top, ignore_errors=True)
    print("%d cases, %d differ, %.0f s" % (len(same), same.count(False), time.monotonic() - began))
    sys.exit(0 if same and all(same) and not any(codes) else 1)


if __name__ == "__main__":
    main()
