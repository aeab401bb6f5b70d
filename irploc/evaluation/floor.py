"""What a floor map is worth: the same estimates scored before and after they are moved onto it."""

from __future__ import annotations

from dataclasses import replace

from irploc.estimators.floor_corrected import on_floor
from irploc.evaluation.results import Corrected, Evaluation, MethodResult, score_estimates
from irploc.floormap import FloorMap, check_fit, check_metric


def with_floor_map(evaluation: Evaluation, floor_map: FloorMap) -> Evaluation:
    """The evaluation with ``corrected`` scores of every method; the raw ones stay as they are.

    Raises:
        BadInput: when the poses are not in metres.
        Mismatch: when more than a fifth of the mapping photos (of the queries where none are known) lie outside.
    """
    check_metric(evaluation.units, f"scene {evaluation.scene}")
    mapped = evaluation.mapping is not None and len(evaluation.mapping) > 0
    known = evaluation.mapping if mapped and evaluation.mapping is not None else evaluation.queries
    check_fit(floor_map, known.poses, f"scene {evaluation.scene}", "mapping photos" if mapped else "query photos")

    def corrected(result: MethodResult) -> MethodResult:
        seen = on_floor(result.estimates, floor_map)
        scores = score_estimates(seen.corrected, evaluation.queries.poses, result.scores.seconds_per_image)
        return replace(result, estimates=seen.raw, corrected=Corrected(seen.corrected, scores, seen.moved_m))

    results = {method: corrected(result) for method, result in evaluation.results.items()}
    limit = f"at most {floor_map.max_distance_m:g} m outside"
    provenance = {**evaluation.provenance, "floor map": f"sha256 {floor_map.sha256}, {limit}"}
    return replace(evaluation, results=results, floor_map=floor_map, provenance=provenance)
