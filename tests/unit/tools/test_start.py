"""What the start of a command costs: libraries that take long to load come when they are needed."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "slow"),
    [
        ("meshwarden.cli", ("numba", "scipy", "duckdb", "pyarrow", "numpy", "grpc")),
        ("meshwarden.control.sources", ("numba", "scipy", "grpc")),
        ("meshwarden.cli.survey", ("numba", "scipy", "grpc")),
        ("meshwarden.adapters.envoy.accesslog_call", ("numba", "scipy")),
        ("meshwarden.behaviour", ("numba", "numpy")),
    ],
)
def test_a_module_loads_without_what_is_slow_to_load(module: str, slow: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(*[m for m in {slow!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
