"""Settings of all unit tests, and what tests of several files start from.

One thread, as tests run side by side; property tests draw the same examples every time. Fixtures import what they need,
so that a test that asks for none of them does not wait for it.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch or BLAS loads

import signal
import sys
from functools import partial

import pytest
from hypothesis import settings

settings.register_profile("trulysafe", deadline=None, derandomize=True)
settings.load_profile("trulysafe")


@pytest.fixture(autouse=True)
def same_draws():
    """What a test draws without a generator of its own does not depend on the tests before it."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(scope="module")
def tokenizer():
    from tests.unit import tiny

    return tiny.tokenizer()


@pytest.fixture
def model():
    """A tiny model that a test may change."""
    from tests.unit import tiny

    return tiny.model("llama")


@pytest.fixture
def arguments(tmp_path):
    """Arguments of a trainer; see preference_world."""
    from tests.unit import preference_world

    return partial(preference_world.arguments, tmp_path / "run")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory for jobs, which take over SIGTERM."""
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture(scope="session")
def verdicts():
    """Verdicts of the report's arms; see report_world."""
    from tests.unit.report_world import verdicts_of_arms

    return verdicts_of_arms()


@pytest.fixture(scope="session")
def metrics(verdicts):
    from tests.unit.report_world import BENCHMARKS
    from trulysafe.evaluate.metrics import metric_rows

    return metric_rows(verdicts, BENCHMARKS, "id")


@pytest.fixture(scope="session")
def contrasts(verdicts):
    from tests.unit.report_world import contrasts_of_arms

    return contrasts_of_arms(verdicts)


@pytest.fixture(scope="session")
def guards(tmp_path_factory):
    """Tiny guard models; see guard_folders."""
    from tests.unit import guard_folders

    return guard_folders.saved(tmp_path_factory.mktemp)


@pytest.fixture
def own_wording(monkeypatch):
    """The tests' wordings pass for the authors'; see guard_folders."""
    from tests.unit import guard_folders

    guard_folders.take_for_the_authors(monkeypatch)
