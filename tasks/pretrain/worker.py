"""One rank of a pretraining: torchrun … -m tasks.pretrain.worker ADDRESS."""

from __future__ import annotations

from tasks.lm.distributed.rank import run_rank
from tasks.pretrain.job import PretrainJob, do_part

if __name__ == "__main__":
    run_rank(lambda job, world: do_part(PretrainJob.model_validate_json(job), world))
