"""What several test files share."""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None, derandomize=True)
settings.load_profile("default")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real measured files that lies beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("../shared is absent: real measured files are not part of the project")
    return SHARED
