"""What a run shows in the Prefect UI, so that a finished run is understood without its logs."""

from flows.run_page.page import publish_page
from flows.run_page.run_log import log_failed, log_made
from flows.run_page.summary import publish_summary

__all__ = ["log_failed", "log_made", "publish_page", "publish_summary"]
