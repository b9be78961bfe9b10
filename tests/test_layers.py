"""The shape of the package: imports point downward, and importing it is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import photonstats

PACKAGE = Path(photonstats.__file__).parent

# From the ground up. A module imports only from rows above its own, or from its own row.
ROWS = [
    {"errors", "result", "kernels"},
    {"stream", "curve", "likelihood", "background"},
    {"io", "simulate"},
    {
        "intensity",
        "delay",
        "edges",
        "envelope",
        "time_bins",
        "lags",
        "dip",
        "antibunching",
        "dip_data",
        "pair_response",
        "peaks",
        "peak_counter",
        "pairing",
        "stretches",
        "decay_model",
        "decay_solver",
        "decay_start",
        "decay_estimates",
        "decay_limits",
        "decay_shapes",
        "decay_result",
        "decay_general",
        "decay_profile",
        "decay_bootstrap",
        "tilted_decay",
    },
    {
        "correlation",
        "pulsed",
        "pair_histogram",
        "loglags",
        "log_counts",
        "gates",
        "gate_fit",
        "cascade",
        "cascade_fit",
        "third_order",
        "triple_counter",
        "afterpulses",
        "afterpulse_counts",
        "lifetime",
        "decay_global",
        "segments",
        "segment_fit",
        "changepoints",
        "lifetime_intensity",
        "flid_statistics",
        "flid_grid",
        "nanotime_sums",
        "lifetime_bias",
        "level_mixture",
        "level_clustering",
        "markov_fit",
        "markov_chain",
        "resolved",
        "corrections",
        "dwell",
        "dwell_laws",
        "dwell_likelihood",
        "dwell_goodness",
        "dwell_histogram",
        "dwell_calibration",
        "dwell_thresholds",
        "dwell_drift",
        "bleaching",
        "switching_statistics",
        "intensity_jumps",
        "continuum",
        "continuum_levels",
        "continuum_walk",
        "spectrum",
        "spectrum_fit",
        "spectrum_model",
        "spectrum_ordinates",
        "spectrum_photons",
        "excitation",
        "power_sweep",
    },
    {"background_sources"},
    {"emitters", "emitter_gates", "emitter_posterior", "blinking_type", "blinking_groups", "blinking_evidence"},
    {"replay", "answers", "correlation_answers", "switching_answers", "blinking_answers", "responses", "ahead"},
    {"pipeline"},
    {"tables", "plots", "findings", "blinking_findings"},
    {"report"},
    {
        "cli",
    },
    {"__main__"},
]
ROW_OF = {module: i for i, row in enumerate(ROWS) for module in row}
ONE_ROOM = {"kernels", "io", "simulate", "plots", "cli"}  # other folders hold modules of several floors
FOLDERS = {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()} - ONE_ROOM
MODULES = sorted(
    p.relative_to(PACKAGE)
    for p in PACKAGE.rglob("*.py")
    if p.name != "__init__.py" or (p.parent != PACKAGE and p.parent.name not in FOLDERS)
)


def room(path):
    return room_of(path.with_suffix("").parts)


def room_of(names):
    """Return the room of photonstats.<names>: a module, or a folder that is one room."""
    return names[1] if names[0] in FOLDERS else names[0]


def imports_at_load(tree):
    """Yield the rooms of the package that a module imports when it loads: not in functions, not for type checking."""
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        yield from rooms_named(node)
        waiting.extend(ast.iter_child_nodes(node))


def rooms_named(node):
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "photonstats":
        inside = node.module.split(".")[1:]
        yield from (room_of([*inside, alias.name]) for alias in node.names if alias.name != "__version__")
    elif isinstance(node, ast.Import):
        yield from (room_of(a.name.split(".")[1:]) for a in node.names if a.name.startswith("photonstats."))


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_downward(path):
    tree = ast.parse((PACKAGE / path).read_text())
    own = room(path)
    for other in imports_at_load(tree):
        assert ROW_OF[other] <= ROW_OF[own], f"{path} imports {other}, which stands above it"
        if own == "kernels":
            assert other == "kernels", f"{path} is a kernel and imports {other}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_analyses_open_no_files_and_readers_do_not_analyse(path):
    tree = ast.parse((PACKAGE / path).read_text())
    named = {other for node in ast.walk(tree) for other in rooms_named(node)}
    if 3 <= ROW_OF[room(path)] <= 5:
        assert not named & {"io", "simulate"}
    if room(path) in {"io", "simulate"}:
        assert not named & {m for row in ROWS[3:] for m in row}


def test_no_module_bears_the_name_of_a_public_function():
    modules = {p.stem for p in PACKAGE.glob("*.py")} | {p.name for p in PACKAGE.iterdir() if p.is_dir()}
    assert modules & set(photonstats.__all__) == {"simulate"}


def test_every_public_name_is_there():
    for name in photonstats.__all__:
        assert getattr(photonstats, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = photonstats.nothing


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import photonstats", {"numpy", "numba", "scipy", "matplotlib", "h5py", "pandas", "lmfit"}),
        (
            "import photonstats as ps; ps.g2; ps.read; ps.fit_decay; ps.analyze",
            {"matplotlib", "h5py", "pandas", "phconvert"},
        ),
        ("import photonstats.cli.commands", {"numba", "scipy", "matplotlib", "h5py"}),
    ],
)
def test_importing_is_light(statement, heavy):
    code = f"{statement}\nimport sys\nprint(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not heavy & set(loaded)


def test_kernels_find_a_place_where_nothing_of_ours_can_be_written(monkeypatch, tmp_path):
    import numba

    from photonstats import kernels

    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(kernels.os, "access", lambda *_: False)
    monkeypatch.setattr(kernels.tempfile, "gettempdir", lambda: str(tmp_path))
    kernels._keep_compiled_kernels()
    place = Path(numba.config.CACHE_DIR)
    assert place.parent == tmp_path
    assert not place.stat().st_mode & 0o077


def test_dir_lists_the_public_names_alone():
    import photonstats

    shown = [name for name in dir(photonstats) if not (name.startswith("__") and name.endswith("__"))]
    assert shown == sorted(photonstats.__all__)
