"""One rank of a fine-tuning: torchrun … -m tasks.finetune.worker ADDRESS."""

from __future__ import annotations

from tasks.finetune.job import FinetuneJob, do_part
from tasks.lm.distributed.rank import run_rank

if __name__ == "__main__":
    run_rank(lambda job, world: do_part(FinetuneJob.model_validate_json(job), world))
