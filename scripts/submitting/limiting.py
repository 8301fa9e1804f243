"""For how long a job may run where nobody said so: on AWS by an estimate, here a day, as nothing is billed."""

from collections.abc import Mapping
from typing import Any

from scripts.environments.environment import say
from scripts.submitting import estimate, images, measuring, prices, sizes
from scripts.submitting.destination import Destination
from scripts.submitting.errors import SubmitError
from scripts.submitting.estimate import Estimate
from scripts.submitting.request import DAY, dataset_of, is_limited, limited


def limit(request: dict[str, Any], place: Destination) -> dict[str, Any]:
    """The request with its limits of time.

    Raises:
        SubmitError: It needs an estimate, and there can be none.
    """
    if is_limited(request) or place.is_local:
        return limited(request, DAY)
    try:
        reckoned = reckon(request, place.s3, afresh=False)
    except SubmitError as error:
        raise SubmitError(
            f"StoppingCondition.MaxRuntimeInSeconds is missing, and no estimate can stand for it; give it: {error}"
        ) from None
    say(f"MaxRuntimeInSeconds: {estimate.MARGIN:g} times the estimate of {estimate.duration(reckoned.seconds)}")
    return limited(request, reckoned.most_seconds)


def reckon(request: Mapping[str, Any], s3: Any, *, afresh: bool) -> Estimate:
    """The estimate of a request, from a short run on this machine, or from the last one.

    Raises:
        SubmitError: The job is none that can be measured here, or the table of prices lacks its instance.
    """
    framework = images.framework_of(request["AlgorithmSpecification"].get("TrainingImage"))
    dataset = dataset_of(request)
    if framework is None or dataset is None:
        raise SubmitError(
            "only our images with a data set of ours can be measured here, and the job is "
            f"{request['AlgorithmSpecification'].get('TrainingImage')} with "
            f"dataset={request.get('HyperParameters', {}).get('dataset', '(none)')}"
        )
    table = prices.read()
    found = sizes.find(request, dataset, s3)
    # Before a minute goes into measuring what then lacks a price.
    estimate.check(request, table)
    return estimate.reckon(request, measuring.find(request, framework, dataset, afresh=afresh), found, table)
