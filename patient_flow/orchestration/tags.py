"""Tags of jobs, by which Dagster and this package tell how a run may end and who starts it again."""

from __future__ import annotations

import dagster as dg

PIPELINE_TAG = {"pipeline": "patient_flow"}
DAY_SECONDS = str(24 * 60 * 60)
"""Tag ``dagster/max_runtime`` of jobs whose runtime grows with the history; others end at ``max_runtime_seconds``."""
RUN_TAGS = {
    **PIPELINE_TAG,
    # Dagster restarts a run whose process died. It must not restart one whose step failed permanently, which
    # Failure(allow_retries=False) alone does not prevent: the second tag does.
    "dagster/max_retries": "2",
    "dagster/retry_on_asset_or_op_failure": "false",
}
_MANUAL_TAG = {"patient_flow/restart": "manual"}
MANUAL_TAGS = {
    **RUN_TAGS,
    **_MANUAL_TAG,
    "dagster/max_runtime": DAY_SECONDS,
    "dagster/max_retries": "0",
}
"""Of jobs that only a person starts, and starts again after their process died: Dagster cannot know what is left."""


def is_manual(run: dg.DagsterRun) -> bool:
    """True when only a person starts ``run`` again, also where they gave it another time limit in the launchpad."""
    return _MANUAL_TAG.items() <= run.tags.items()
