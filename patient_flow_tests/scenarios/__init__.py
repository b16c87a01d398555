"""Hospital days through the whole of silver and gold, held against the oracle."""

import pytest

pytest.register_assert_rewrite("patient_flow_tests.scenarios.agreement")
