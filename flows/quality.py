"""Quality: a score for every document, and which of them go no further."""

from __future__ import annotations

from prefect import flow

from flows.parameters import QualityInputs, RunOptions, StageResult
from flows.stage_run import (
    Job,
    Outcome,
    count_rows,
    handed,
    results,
    run_stage,
)
from storage.errors import NothingLeft
from tasks.progress import note
from tasks.quality.classifiers import Classifier
from tasks.quality.config import QualityConfig
from tasks.quality.evaluation import facts
from tasks.quality.task import (
    decide_bound,
    evaluate_classifier,
    reject_documents,
    score_documents,
    train_classifier,
)


@flow(name="quality", flow_run_name="quality for {options.recipe}")
def quality(
    *, options: RunOptions, inputs: QualityInputs = QualityInputs(), config: QualityConfig
) -> StageResult:
    """Score documents by a classifier and drop those that score low.

    Args:
        options: where it runs, and whether it is built again
        inputs: the artifacts that it is made from
        config: the stage's knobs, as the recipe sets them
    """

    def build(job: Job) -> Outcome:
        if config.classifier is None:
            return _pass_all(job)
        return _score(job, config, config.classifier)

    return run_stage("quality", config, inputs, options, build)


def _pass_all(job: Job) -> Outcome:
    """An artifact that says so, the same for every corpus: what follows is not made again."""
    num = count_rows(job.files("clean", "documents/"))
    note("quality: no classifier in the recipe; every document passes, without a score")
    job.workspace.write_json("quality.json", {"classifier": None})
    return Outcome(num, num, {"classifier": "none"})


def _score(job: Job, config: QualityConfig, classifier: Classifier) -> Outcome:
    documents, work = job.files("clean", "documents/"), job.workspace.root
    count = len(documents)
    model = train_classifier.submit(classifier, documents, work)
    results([model])
    scored = [
        score_documents.submit(number, count, path, handed(model), work)
        for number, path in enumerate(documents, 1)
    ]
    scores = results(scored)
    decision = decide_bound.submit(scores, config)
    rejected = [
        reject_documents.submit(number, count, path, handed(decision), work)
        for number, path in enumerate(scores, 1)
    ]
    evaluated = evaluate_classifier.submit(scores, handed(decision), work)
    results([decision])
    rows_in = count_rows(documents)
    rows_out = rows_in - count_rows(results(rejected))
    (told,) = results([evaluated])
    if rows_out == 0:
        raise NothingLeft(
            f"none of {rows_in} documents scored {decision.result().threshold:.4g} or more; "
            "expected at least one. Lower quality.threshold, or set quality.keep_share."
        )
    return Outcome(rows_in, rows_out, facts(classifier.kind, config.action, told))
