"""
Simulation: stores, replicas, disks and messages in one process, driving the real rules of both planes.

Everything that happens is an *action*, a tuple of words. A run is drawn from a seed, or all runs within small bounds
are tried; after each action every promise of ``docs/explanation/route.md`` is checked. The same actions give the same
run, so that a failure is printed as a short list of actions, and can be played again.

- ``rules``: what is under test, one method for each rule, so that an absence can leave one out
- ``disk``, ``replica``: what a replica holds, and the order in which it becomes durable
- ``messages``, ``tasks``: what travels, and what the processes of the control plane do, step by step
- ``care``, ``sagas``: what they do for replicas that are sick or outside, and for rollbacks that are not over
- ``promise``, ``oracle``, ``store_oracle``, ``rest``: the promises, kept apart from the code that they judge
- ``world``, ``choices``, ``actions``: one state of everything, what can happen in it, and what then does
- ``run``, ``exhaustive``, ``bounds``: seeded runs, their quiet end and their traces; every run within bounds
- ``absences``, ``page``: rules left out, the promise that each breaks, and the page that says so
"""
