"""What programs in the sandbox can do, and how their ends are told apart."""

import pytest

from tests.unit.sandbox_world import needs_isolation
from trulysafe.sandbox.run import Limits, run

pytestmark = needs_isolation
WRITE_EVERYWHERE = """
import os
for channel in range(3, 64):
    try:
        os.write(channel, b"0" * 32 + b"passed")
    except OSError:
        pass
os._exit(0)
"""
ADD = "def add(a, b):\n    return a + b\n"


def test_a_program_passes_whose_tests_run_to_their_end():
    outcome = run(ADD + "print('hello')", "assert add(1, 2) == 3\nprint('world')")
    assert outcome == ("passed", "hello\nworld\n", 12)


@pytest.mark.parametrize(
    ("program", "tests", "said"),
    [
        (ADD, "assert add(1, 2) == 4", "AssertionError"),
        ("def add(a, b)", "assert add(1, 2) == 3", "SyntaxError"),
        ("text = '''", "'''\nassert True", "SyntaxError"),
        ("def add(a, b):\n    return a / 0", "add(1, 2)", "ZeroDivisionError"),
        ("def add(a, b):\n    return add(a, b)", "add(1, 2)", "RecursionError"),
        ("", "add(1, 2)", "NameError"),
        ("a = input()", "", "EOFError"),
        ("raise KeyboardInterrupt", "", "KeyboardInterrupt"),
        ("text = '\udcff'", "", "UnicodeDecodeError"),
        ("import numpy", "", "ModuleNotFoundError"),
        ("import os\nos.abort()", "", "SIGABRT"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "", "SIGKILL"),
    ],
)
def test_what_goes_wrong_is_failed_and_told(program, tests, said):
    outcome = run(program, tests)
    assert outcome.status == "failed"
    assert said in outcome.output


@pytest.mark.parametrize(
    "program",
    [
        "import os\nos._exit(0)",
        "import sys\nsys.exit()",
        "raise SystemExit(0)",
        "print('passed')\nimport os\nos._exit(0)",
        'import os\nos.write(1, b\'"status": "passed"\')\nos._exit(0)',
        WRITE_EVERYWHERE,
        "import os\nos.closerange(3, 64)",
        "import sys\nsys.settrace(lambda *_: sys.exit())\ndef check(): pass",
    ],
)
def test_a_program_that_ends_before_its_tests_has_not_passed(program):
    assert run(program, "def check(): assert False\ncheck()").status == "failed"


@pytest.mark.parametrize(
    "program",
    [
        "while True: pass",
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
    ],
)
def test_processor_time_is_limited(program):
    assert run(program, "", Limits(cpu_seconds=1)).status == "timed_out"


@pytest.mark.parametrize(
    "program",
    [
        "import time\ntime.sleep(60)",
        "import os, time\nos.closerange(0, 64)\ntime.sleep(60)",
        "while True: print('x' * 1000)",
    ],
)
def test_time_is_limited(program):
    assert run(program, "", Limits(wall_seconds=1)).status == "timed_out"


@pytest.mark.parametrize(
    "program", ["numbers = [0] * 10**10", "texts = []\nwhile True: texts.append('x' * 10**6 + str(len(texts)))"]
)
def test_memory_is_limited(program):
    assert run(program, "").status == "out_of_memory"


def test_output_is_kept_in_part_and_counted_whole():
    outcome = run("print('x' * 10**7)\nimport sys\nsys.stdout.buffer.write(b'\\xff')", "", Limits(output_kb=1))
    assert (outcome.status, outcome.printed, outcome.output) == ("passed", 10**7 + 2, "x" * 1024)


def test_files_and_descriptors_are_limited():
    limits = Limits(scratch_mb=2, open_files=16)
    assert "File too large" in run("open('/tmp/a', 'w').write('x' * 10**7)", "", limits).output
    both = "for name in 'ab': open(f'/tmp/{name}', 'w').write('x' * 1500000)"
    assert "No space left" in run(both, "", limits).output
    assert "Too many open files" in run("files = [open('/tmp/a', 'w') for _ in range(16)]", "", limits).output


def test_a_program_ends_alike_every_time():
    program = "import random\nprint(random.random(), hash('text'), set('abcdef'))"
    assert run(program, "") == run(program, "")


def test_a_program_is_a_module_like_any():
    program = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass Pair:\n    a: int\n    b: int\n"
        "if __name__ == '__main__':\n    raise SystemExit\n"
    )
    assert run(program, "assert Pair(1, 2).b == 2").status == "passed"


def test_threads_work_and_do_not_outlive_the_tests():
    program = (
        "import threading\nfound = []\n"
        "one = threading.Thread(target=found.append, args=(1,))\none.start()\none.join()\n"
        "def go_on():\n    while True: pass\nthreading.Thread(target=go_on).start()\n"
    )
    assert run(program, "assert found == [1]").status == "passed"
