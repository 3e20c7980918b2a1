"""Settings under which a Prefect server keeps up with thousands of short tasks."""

from __future__ import annotations

RECORDING = {
    # Prefect 3.8 records each state of each task in a transaction of its own: 17 tasks a second
    # with SQLite on two busy cores, 100 s behind a flow of 2,000 empty tasks. Two such flows at
    # once filled the server's queue of 10,000 events, and it dropped 3,395: tasks that had
    # completed stayed Pending or Running. In batches it was 3 s behind one and 12 s behind two.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    # Seconds, of smaller batches. Prefect 3.8.8 cuts it to a whole number: at 0.5 it was 0, and the
    # server turned round in its event loop, a whole core for nothing.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    # Both write to one SQLite: with batches of 200 here, too, the recorder fell behind by more
    # than its queue holds, in two of five trials of two flows at once.
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "1000",
}
