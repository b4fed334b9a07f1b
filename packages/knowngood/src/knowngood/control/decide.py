"""Decide: from what the triggers say to a decision and the plan that it would follow."""

from collections.abc import Sequence

from knowngood.control.plane import Plane
from knowngood.control.situation import situation_of
from knowngood.domain.decision import Circumstances, Decision, decide
from knowngood.domain.deployment import Deployment
from knowngood.domain.plan import Plan
from knowngood.domain.planner import plan
from knowngood.domain.system import SystemFile
from knowngood.domain.window import Judgement

__all__ = ["decide_on"]


def decide_on(
    plane: Plane,
    spec: SystemFile,
    deployment: Deployment,
    judgements: Sequence[Judgement],
    control: Sequence[Judgement] = (),
) -> tuple[Decision, Plan]:
    """
    Decide about the version of a deployment.

    Args:
        plane: The ports.
        spec: The system's rules, with what automation may do for each trigger.
        deployment: Whose intent counts.
        judgements: What every trigger says of its version.
        control: What fixed limits say of the known version at the same time.
    """
    made = plan(situation_of(plane, spec.system))
    manifest = plane.store.manifest(spec.system, deployment.manifest)
    circumstances = Circumstances(
        plan=made,
        intent=manifest.intent,
        grants={name: declared.grant for name, declared in spec.triggers.items()},
        control=control,
    )
    return decide(judgements, circumstances), made
