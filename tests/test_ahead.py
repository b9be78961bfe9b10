"""The second process of a first run: it starts when nothing is compiled yet, ends with the analysis, and is of use."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

import photonstats as ps
from photonstats.job import ahead, pipeline

SAMPLE = Path(__file__).parents[1] / "data_samples" / "blinking_dot.ptu"

# prints which of the kernels of the later steps an analysis had to compile by itself
LEFT = f"""
import os
import photonstats as ps
from photonstats.kernels import changes, continuum, dwells, gated, levels, pairs
os.cpu_count = lambda: 1
ps.analyze({str(SAMPLE)!r})
for kernel in (changes.find_changes, continuum.few_levels_pass, dwells.maximise, gated.gated_pairs, levels.climb,
               pairs.pulsed_pairs):
    print(kernel.__name__, sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values()))
"""


class Helper:
    """Stands for a process."""

    def __init__(self, command, **_):
        self.command, self.ended = command, []

    def poll(self):
        return -15 if self.ended else None

    def terminate(self):
        self.ended.append("terminate")

    def communicate(self):
        self.ended.append("communicate")


@pytest.fixture
def started(monkeypatch):
    found = []
    monkeypatch.setattr(ahead.subprocess, "Popen", lambda *a, **k: found.append(Helper(*a, **k)) or found[-1])
    monkeypatch.setattr(ahead.os, "cpu_count", lambda: 2)
    ahead._start.cache_clear()
    yield found
    ahead._start.cache_clear()


def test_a_cold_cache_starts_a_process_that_ends_with_the_block(started, monkeypatch):
    monkeypatch.setattr(ahead, "_is_cold", lambda: True)
    with ahead.compiled_ahead():
        assert not started[0].ended
    assert started[0].ended == ["terminate", "communicate"]
    assert started[0].command == [sys.executable, "-m", "photonstats.job.ahead"]
    with ahead.compiled_ahead():
        pass
    assert len(started) == 1


@pytest.mark.parametrize(("cold", "cores"), [(False, 2), (True, 1)])
def test_no_process_where_it_is_of_no_use(started, monkeypatch, cold, cores):
    monkeypatch.setattr(ahead, "_is_cold", lambda: cold)
    monkeypatch.setattr(ahead.os, "cpu_count", lambda: cores)
    with ahead.compiled_ahead():
        pass
    assert not started


@pytest.mark.parametrize("executable", ["", None, "/nowhere/python"])
def test_without_a_python_to_start_the_block_runs_alone(monkeypatch, executable):
    monkeypatch.setattr(ahead, "_is_cold", lambda: True)
    monkeypatch.setattr(ahead.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(ahead.sys, "executable", executable)
    ahead._start.cache_clear()
    with ahead.compiled_ahead():
        assert ahead._start() is None
    ahead._start.cache_clear()


def test_a_frozen_program_is_not_started_again(started, monkeypatch):
    monkeypatch.setattr(ahead, "_is_cold", lambda: True)
    monkeypatch.setattr(ahead.sys, "frozen", True, raising=False)
    with ahead.compiled_ahead():
        pass
    assert not started


def test_without_the_compiler_nothing_is_cold(monkeypatch):
    monkeypatch.setattr(ahead, "count_detector", lambda *_: None)  # what NUMBA_DISABLE_JIT=1 leaves: a plain function
    ahead._is_cold.cache_clear()
    assert not ahead._is_cold()
    ahead._is_cold.cache_clear()


def test_analyze_runs_inside_of_it(monkeypatch):
    within = []

    @contextmanager
    def marked():
        within.append("begun")
        yield
        within.append("ended")

    monkeypatch.setattr(pipeline, "compiled_ahead", marked)
    photons, _ = ps.simulate.poisson(1e3, duration=0.05, seed=1)
    ps.analyze(photons)
    assert within == ["begun", "ended"]


def test_it_ends_when_the_other_process_is_gone(tmp_path):
    """A pipe that closes is all that it sees of a parent that was killed."""
    fresh = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}  # there it has work for half a minute
    helper = subprocess.Popen([sys.executable, "-m", "photonstats.job.ahead"], stdin=subprocess.PIPE, env=fresh)
    assert helper.poll() is None
    helper.stdin.close()
    assert helper.wait(20) == 1


@pytest.mark.slow
def test_what_it_compiles_the_analysis_finds(tmp_path):
    fresh = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    work = [sys.executable, "-c", "from photonstats.job import ahead; ahead.compile_later_steps()"]
    subprocess.run(work, check=True, env=fresh)
    done = subprocess.run([sys.executable, "-c", LEFT], check=True, env=fresh, capture_output=True, text=True)
    counts = [line.split() for line in done.stdout.splitlines()]
    assert len(counts) == 6
    for name, hits, misses in counts:
        assert int(hits) > 0, name
        assert int(misses) == 0, name
