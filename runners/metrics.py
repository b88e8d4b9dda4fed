"""What Prometheus is told of runs, by the process that carries them out."""

from prometheus_client import Counter

from db.tallies import Timings

LONG = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)

WAIT_SECONDS = Timings(
    "run_wait_seconds", "From when a run could be claimed to when it was.", ["lane"], LONG
)
RUN_SECONDS = Timings("run_seconds", "How long runs took.", ["runner", "status"], LONG)
OUTPUT_BYTES = Counter("run_output_bytes", "What runs have printed.")
LEASES_LOST = Counter("leases_lost", "Runs that were taken from this worker, or let go by it.")
RESCUED = Counter("runs_rescued", "Runs of lost workers that this one gave their next state.")
DELIVERIES = Counter(
    "webhook_deliveries",
    "Attempts to deliver, by what they came to; pending is tried again.",
    ["status"],
)
