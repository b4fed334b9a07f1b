"""
Absences: each rule of the route left out, and the promise that breaks without it.

That a simulation finds nothing says little by itself. Here it is given something to find: rules that keep one of them
not. Each row names the promise that has to break; others may break in other runs.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from knowngood.testing.simulation.absences import (
    of_a_replica,
    of_care,
    of_messages_and_disks,
    of_the_control_plane,
    of_the_store,
)
from knowngood.testing.simulation.promise import Promise
from knowngood.testing.simulation.rules import Rules
from knowngood.testing.simulation.run import Failure, Worlds, run
from knowngood.testing.simulation.scenario import Scenario

__all__ = ["ABSENCES", "Absence", "Noticed", "notice"]

_LOOKS = {"local": 3.0, "report": 5.0, "reconcile": 3.0, "go": 5.0, "look": 3.0, "deliver": 3.0, "step": 3.0}
SICK = Scenario(replicas=3, budget={"local": 2, "kill": 2}, weights=_LOOKS, length=120)
SPLIT_OPINIONS = Scenario(replicas=3, history=3, stage="try", budget={"local": 3}, weights=_LOOKS, length=150)
ASKED = Scenario(
    replicas=3, history=3, stage="try", budget={"local": 2, "flip": 1, "reissue": 3}, weights=_LOOKS, length=150
)
CROWDED = Scenario(processes=3, budget={"flip": 2, "crash": 2}, weights={"go": 3.0, "carry": 3.0}, length=120)
LEASED = Scenario(
    processes=3, leases=True, budget={"flip": 3, "expire": 3, "glass": 2}, weights={"expire": 3.0}, length=120
)
NEWCOMERS = Scenario(
    replicas=3,
    history=3,
    polls=False,
    budget={"flip": 2, "glass": 2, "local": 2, "kill": 3, "new-host": 3, "ask": 6, "lose": 10, "deploy": 1},
    weights={"kill": 3.0, "new-host": 5.0, "ask": 5.0, "lose": 2.0},
    length=150,
)
RELEASES_OF_TRIPS = Scenario(budget={"flip": 4, "release": 3}, weights={"go": 5.0}, length=100)
RACING = Scenario(history=3, budget={"flip": 3, "glass": 3, "local": 3}, weights={"local": 3.0, "step": 3.0})
STALE = Scenario(
    history=3, budget={"flip": 4, "release": 3, "cut": 3, "mend": 3}, processes=2, weights={"go": 5.0}, length=150
)
UNREAD = Scenario(
    budget={"local": 3, "deploy": 3},
    weights={"local": 3.0, "look": 0.05, "go": 5.0, "report": 3.0, "load": 3.0},
    length=150,
)
INTERRUPTED = Scenario(
    processes=2,
    budget={"flip": 2, "deploy": 3, "cut": 6, "mend": 6, "kill-agent": 20},
    weights={
        "go": 5.0,
        "load": 3.0,
        "deliver": 3.0,
        "report": 3.0,
        "reconcile": 3.0,
        "start-agent": 5.0,
        "kill-agent": 0.5,
        "mend": 0.3,
        "step": 0.5,
    },
    length=250,
)
TRYING = Scenario(stage="try", budget={"glass": 2, "local": 2, "flip": 2, "advance": 3}, weights={"go": 3.0})
SICK_CANARY = Scenario(
    stage="try",
    budget={"local": 3, "advance": 3},
    weights={"local": 3.0, "report": 3.0, "reconcile": 3.0, "go": 3.0, "advance": 0.2},
    length=100,
)
CHANGED_MIND = Scenario(budget={"deploy": 2, "abandon": 2}, processes=2, weights={"go": 5.0, "load": 3.0}, length=150)
ARMED = Scenario(stage="arm", budget={"glass": 2, "local": 2, "unload": 3, "advance": 3}, weights={"go": 3.0})
BARE = Scenario(static_fallback=False, budget={"flip": 3, "deploy": 3, "unload": 6}, weights={"go": 5.0}, length=120)
RELEASES = Scenario(
    history=3, budget={"flip": 3, "release": 3, "deploy": 2}, processes=2, weights={"go": 5.0}, length=150
)
DEPLOYMENTS = Scenario(
    history=3, budget={"flip": 2, "glass": 2, "deploy": 3, "give-up": 2}, processes=2, weights={"go": 5.0}, length=150
)
PUSHED = Scenario(
    replicas=3, polls=False, budget={"flip": 2, "deploy": 1, "lose": 20}, weights={"lose": 3.0, "go": 3.0}
)


@dataclass(frozen=True, slots=True)
class Absence:
    """
    A rule that is left out.

    Attributes:
        rule: Its number in ``docs/explanation/route.md``.
        what: What is done instead.
        rules: The rules without it.
        promise: The promise that has to break.
        scenario: Runs in which that shows soon; None for any.
    """

    rule: str
    what: str
    rules: type[Rules]
    promise: Promise
    scenario: Scenario | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """
    How the absence of a rule was noticed.

    Attributes:
        seed: Of the first run in which the promise broke; None when it never did.
        failure: That run.
        broken: Promise -> how many runs broke it.
    """

    seed: int | None
    failure: Failure | None
    broken: Mapping[Promise, int]


def notice(absence: Absence, seeds: int) -> Noticed:
    """Try seeds in order until the promise breaks that the rule is for."""
    worlds = Worlds(absence.rules())
    broken = Counter[Promise]()
    for seed in range(1, seeds + 1):
        failure = run(worlds, seed, absence.scenario)
        if failure is not None:
            broken[failure.promise] += 1
            if failure.promise is absence.promise:
                return Noticed(seed=seed, failure=failure, broken=broken)
    return Noticed(seed=None, failure=None, broken=broken)


ABSENCES = (
    Absence(
        "1",
        "the uid of a trip is its version's",
        of_a_replica.OneTripForAVersion,
        Promise.QUARANTINE,
        RELEASES_OF_TRIPS,
    ),
    Absence("2", "facts are replaced, not merged", of_a_replica.FactsAreReplaced, Promise.FACTS),
    Absence("3", "local trips are not written down", of_a_replica.LocalTripsAreNotWritten, Promise.FORGOTTEN),
    Absence("4", "the candidate serves at split 0", of_a_replica.CandidateServesAtOnce, Promise.SHARE),
    Absence("5", "a trip is a step, wherever it leads", of_a_replica.StepsOneFurther, Promise.LEFT),
    Absence("5", "the other arm of a split takes over", of_a_replica.OneArmTakesOver, Promise.FORWARD),
    Absence(
        "6", "leaving waits for a version that is ready", of_a_replica.LeavesOnlyForWhatIsReady, Promise.QUARANTINE
    ),
    Absence("6", "the static fallback is latched", of_a_replica.FallbackIsLatched, Promise.SKIP),
    Absence("6", "the step falls again after a release", of_a_replica.ClimbsBack, Promise.STEP),
    Absence(
        "6",
        "a slot that is not ready is passed over, though nothing is to be left",
        of_a_replica.SkipsWhateverIsNotReady,
        Promise.LONE,
    ),
    Absence(
        "6", "a worker latches by what it has read itself", of_a_replica.WorkersLatchByWhatTheyKnow, Promise.LONE, STALE
    ),
    Absence(
        "7",
        "a trip that the deployer has not seen is no reason",
        of_messages_and_disks.EveryDeployerHasSeenAll,
        Promise.UNSEEN,
    ),
    Absence(
        "7",
        "a local trip that it has not seen is no reason",
        of_messages_and_disks.EveryDeployerHasSeenLocalTrips,
        Promise.UNSEEN,
    ),
    Absence("7", "a refused message leaves no facts", of_messages_and_disks.RefusesFactsToo, Promise.FACTS),
    Absence("7", "a generation is taken before it is ready", of_messages_and_disks.TakesWhatIsNotReady, Promise.ARRIVE),
    Absence("7", "an older generation is taken", of_messages_and_disks.TakesOlderGenerations, Promise.STEP),
    Absence(
        "7",
        "a message is taken without a look at the journal",
        of_messages_and_disks.DoesNotLookFirst,
        Promise.UNSEEN,
        UNREAD,
    ),
    Absence("7", "the step outlives its generation", of_messages_and_disks.StepOutlivesItsGeneration, Promise.LONE),
    Absence(
        "7",
        "a local trip outlives the generation that has seen it",
        of_messages_and_disks.LocalTripsOutliveTheirGeneration,
        Promise.CONVERGE,
    ),
    Absence(
        "7", "one that has no route yet is guarded too", of_messages_and_disks.JoinersAreGuardedToo, Promise.CONVERGE
    ),
    Absence("8", "break-glass is a step, and no fact", of_messages_and_disks.BreakGlassTellsNobody, Promise.FACTS),
    Absence(
        "9", "a local trip is a fact for the fleet", of_messages_and_disks.LocalTripTellsEverybody, Promise.ACCUSED
    ),
    Absence("9", "a local trip needs no target", of_messages_and_disks.LocalTripNeedsNoTarget, Promise.PANIC),
    Absence(
        "10", "acknowledged before it is durable", of_messages_and_disks.AcknowledgesBeforeTheDisk, Promise.DURABLE
    ),
    Absence(
        "10",
        "a generation acknowledged before it is durable",
        of_messages_and_disks.AcknowledgesGenerationsBeforeTheDisk,
        Promise.DURABLE,
    ),
    Absence("10", "acknowledged before the word", of_messages_and_disks.AcknowledgesBeforeTheWord, Promise.LEFT),
    Absence(
        "10", "acknowledged while a worker goes elsewhere", of_messages_and_disks.DoesNotLookAgain, Promise.LEFT, RACING
    ),
    Absence(
        "10",
        "what is to be left waits for the file of a new generation",
        of_messages_and_disks.LeavesAsItArrives,
        Promise.QUARANTINE,
        INTERRUPTED,
    ),
    Absence("10", "the word before the file", of_messages_and_disks.WordBeforeFile, Promise.KNOWN),
    Absence(
        "10", "a restart takes what it reads for durable", of_messages_and_disks.TrustsWhatItFinds, Promise.DURABLE
    ),
    Absence("10", "a restart does not look at the word", of_messages_and_disks.ForgetsTheWord, Promise.STEP),
    Absence("10", "a restart does not look at the journal", of_messages_and_disks.ForgetsTheJournal, Promise.FORGOTTEN),
    Absence("11", "a version answers that is not ready", of_messages_and_disks.ServesWhatIsNotReady, Promise.ARRIVE),
    Absence("12", "the row takes a replica's step", of_the_store.TakesAReplicasStep, Promise.ROW),
    Absence("12", "each trip starts a rollback", of_the_store.ARollbackForEachTrip, Promise.EPISODE),
    Absence("12", "the row stays", of_the_store.RowStaysWhereItIs, Promise.STANDS),
    Absence("12", "each trip is one step", of_the_store.EachTripIsAStep, Promise.ROW),
    Absence("12 and 14", "trips in reports are dropped", of_the_store.ReportedTripsAreDropped, Promise.FORGOTTEN),
    Absence("12", "local trips in reports are dropped", of_the_store.ReportedLocalTripsAreDropped, Promise.FORGOTTEN),
    Absence("13", "one sick replica moves the fleet", of_care.OneVoterIsEnough, Promise.WIDEN),
    Absence("13", "however many are sick, the fleet stays", of_care.NobodyCountsVoters, Promise.WIDEN),
    Absence("13", "a lone sick replica is nobody's affair", of_care.NobodyIsSick, Promise.SICK, SICK),
    Absence("13", "it comes on record at every look", of_care.SickAgainAtEveryLook, Promise.SICK, SICK),
    Absence("13", "it stays in the balancer", of_care.SickStayInTheBalancer, Promise.SICK, SICK),
    Absence(
        "13",
        "however many are sick, all leave the balancer",
        of_care.AllSickLeaveTheBalancer,
        Promise.FLOOR,
        SPLIT_OPINIONS,
    ),
    Absence("13", "it is well without proof", of_care.WellWithoutProof, Promise.SICK, SICK),
    Absence("15", "a version in quarantine is minted", of_the_store.MintsWhatIsInQuarantine, Promise.CHAIN, RELEASES),
    Absence(
        "15",
        "a version in quarantine stays behind",
        of_the_store.KeepsWhatIsInQuarantineBehind,
        Promise.CHAIN,
        RELEASES,
    ),
    Absence(
        "15",
        "it commits on what it read long ago",
        of_the_store.CommitsOnWhatItReadLongAgo,
        Promise.UNSEEN,
        DEPLOYMENTS,
    ),
    Absence("15", "it needs no way back", of_the_store.NeedsNoWayBack, Promise.CHAIN, BARE),
    Absence("15", "it starts with all traffic", of_the_store.StartsAtOnce, Promise.CHAIN),
    Absence("15", "it does not say what it has seen", of_the_store.ClaimsToHaveSeenNothing, Promise.UNSEEN, RELEASES),
    Absence(
        "15",
        "the candidate is minted before it is armed",
        of_the_control_plane.MintsBeforeItIsArmed,
        Promise.ARMED,
        DEPLOYMENTS,
    ),
    Absence("16", "it is advanced past a trip", of_the_store.AdvancesPastTrips, Promise.ADVANCE, TRYING),
    Absence(
        "16", "it is advanced past a local trip", of_the_store.AdvancesPastLocalTrips, Promise.ADVANCE, SICK_CANARY
    ),
    Absence(
        "16",
        "it is advanced past a replica that is not ready",
        of_the_store.AdvancesPastRefusals,
        Promise.ADVANCE,
        ARMED,
    ),
    Absence(
        "16", "it is advanced after it stepped back", of_the_store.AdvancesWhatSteppedBack, Promise.ROW, CHANGED_MIND
    ),
    Absence("17", "it is abandoned by a trip", of_the_store.AbandonsByATrip, Promise.ACCUSED),
    Absence("17", "it is abandoned to another version", of_the_store.AbandonsToTheVersionBehind, Promise.ROW),
    Absence(
        "18", "a release lifts what nobody was shown", of_the_store.ReleasesWhatNobodyWasShown, Promise.SHOWN, RELEASES
    ),
    Absence("18", "a release moves the fleet", of_the_store.ReleaseMovesBack, Promise.ROW),
    Absence("19", "nothing is ever minted again by itself", of_care.NeverMintsAgain, Promise.CONVERGE, SICK),
    Absence("19", "it is minted again whoever is sick", of_care.MintsAgainWhoeverIsSick, Promise.REISSUE, SICK),
    Absence("19", "it is minted again for nobody", of_care.MintsAgainForNobody, Promise.REISSUE),
    Absence(
        "19",
        "it is minted again while something is tried",
        of_care.MintsAgainWhileSomethingIsTried,
        Promise.REISSUE,
        ASKED,
    ),
    Absence(
        "19",
        "it is minted again and says to have seen nothing",
        of_care.MintsAgainAndHasSeenNothing,
        Promise.CHAIN,
        ASKED,
    ),
    Absence("20", "nothing is reconciled", of_the_control_plane.NeverReconciles, Promise.FORGOTTEN),
    Absence("20", "those who lack facts are not pushed", of_the_control_plane.PushesNoFacts, Promise.CONVERGE, PUSHED),
    Absence(
        "20", "those who lack the route are not pushed", of_the_control_plane.PushesNoRoute, Promise.CONVERGE, PUSHED
    ),
    Absence("20", "nobody takes rollbacks forward", of_the_control_plane.NobodyCarriesOn, Promise.SAGA),
    Absence(
        "20",
        "a step of a rollback is on record before it is done",
        of_the_control_plane.RecordsBeforeItDoes,
        Promise.SAGA,
    ),
    Absence(
        "20",
        "who takes a rollback forward looks not at what others did",
        of_the_control_plane.TakesBackStepsOfOthers,
        Promise.SAGA,
        CROWDED,
    ),
    Absence("20", "who lost the lease goes on", of_the_control_plane.GoesOnWithoutTheLease, Promise.LEASE, LEASED),
    Absence("21", "what failed verification is left to serve", of_the_control_plane.StaysOnWhatFailed, Promise.FAILED),
    Absence("22", "one answer is enough", of_the_control_plane.OneAnswerIsEnough, Promise.FACTS, NEWCOMERS),
    Absence(
        "22", "the facts of one peer are enough", of_the_control_plane.TakesTheFactsOfOne, Promise.FACTS, NEWCOMERS
    ),
    Absence("22", "a peer's step is taken", of_the_control_plane.TakesThePeersStep, Promise.JOIN, NEWCOMERS),
    Absence(
        "22",
        "a peer's own evidence is taken",
        of_the_control_plane.TakesWhatPeersLeft,
        Promise.ACCUSED,
        NEWCOMERS,
    ),
    Absence(
        "22", "it starts from a table in its image", of_the_control_plane.StartsFromItsImage, Promise.JOIN, NEWCOMERS
    ),
    Absence("23", "what no chain has is forgotten", of_the_store.ForgetsWhatNoChainHas, Promise.RECORD, RELEASES),
)
