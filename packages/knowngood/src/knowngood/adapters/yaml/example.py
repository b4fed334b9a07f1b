"""The system file that ``kg init`` writes: a real-time system, with a comment at every choice."""

__all__ = ["write_commented_example"]

_EXAMPLE = """\
# What knowngood keeps together, watches and takes back as one. Apply it with: kg apply system.yaml

# Name of the system; lower-case letters, digits, - and _.
system: pricing

# How it meets its users: realtime, batch or llm.
kind: realtime

# What it owes its callers. Units: us, ms, s, m, h, d.
sla: {latency_p99: 80ms}

# Its parts. Each has a name, and one kind that says where the part is kept:
#   files:  a file or a folder, kept by content
#   git:    a folder of a Git repository, at the commit that is checked out
#   inline: a YAML or JSON document, up to 64 KiB, kept inside the manifest
# Paths start at this file's folder. A part that is not named after its role says so: role: model, features, config,
# infra, data, prompt or state.
# `shared_by: [other-system]` names who else reads it: taking it back then concerns them too. `contract: model.json`
# points at what a training script says that it provides and requires.
components:
  model: {files: model.joblib}
  features: {git: features}
  config: {inline: surge.yaml}

# Requests with their right answers, one JSON object a line. A version that gets one wrong is never switched to.
golden: golden.jsonl

# The answer when no version can give one. The first deployment needs it, for there is nothing to go back to yet.
fallback: {price: 9.50}

# How the previous version stays ready after a deployment.
standby:
  keep: 72h          # the cool-down: nothing that it needs is removed before
  # memory: 4GiB     # bound for live and standby together, on one replica; what does not fit is not deployed

# A combination that was never recorded together (an old model on new features) is used only if its answers to real
# requests stay this close to the known version's.
unproven: {divergence: 15%, requests: 100}

# When a version that took all traffic counts as verified, and how long a rollback's check of its metrics may take.
verify: {requests: 200, within: 60s}

# Where the serving endpoints answer for their health; without any, the health trigger below has nothing to judge.
# health: ["http://127.0.0.1:8017/health"]

# What is watched, and what may be done without a person: observe (record it; the default), hold (stop the deployment
# and wait for a person) or rollback. Start by observing; grant more when the record convinces you.
triggers:
  errors: {over: 5%, windows: 2, min_requests: 20, do: observe}
  latency: {over: 5x, do: observe}            # times sla.latency_p99
  health: {failures: 3, do: observe}          # failed health checks in a row
  nonsense: {low: 0, high: 500, do: observe}  # NaN, outside of this range, or always the same
  prediction_mean: {shift: 15%, do: observe}  # away from the previous version's
  conversion: {drop: 10%, do: observe}        # a metric of your own that the server counts
"""


def write_commented_example(system: str = "pricing") -> str:
    """Return the text of a commented system file for a real-time system of some name."""
    return _EXAMPLE.replace("system: pricing", f"system: {system}").replace("system.yaml", f"{system}.yaml")
