"""The fixtures are those of the integration tests."""
import importlib.util
import sys
from pathlib import Path

INTEGRATION = Path(__file__).resolve().parents[1] / "integration"
sys.path.insert(0, str(INTEGRATION))
_spec = importlib.util.spec_from_file_location("integration_fixtures", INTEGRATION / "conftest.py")
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
place, work, rt, bundle, another_bundle, console = (getattr(_module, n) for n in ("place", "work", "rt", "bundle", "another_bundle", "console"))
