"""When each alarm of the stack is in ALARM, over series of values, by CloudWatch's rules.

`pytest -s tests/template/test_alarms.py -k table` prints the table.
"""

import itertools

import pytest
from alarms import ALARM, NO_DATA, OK, state_of, states
from stack import Stack

HOUR, DAY = 60, 24 * 60
STEP = 5  # A state is computed every five minutes.
STACK = Stack(DriftAlarmNames="fare-drift", MaxTrainingAgeDays=45)
ALARMS = {alarm["AlarmName"].removeprefix("drift-router-nyctaxi-"): alarm for alarm in STACK.of_type("AWS::CloudWatch::Alarm").values()}

# The tables of CloudWatch's documentation on missing data, from old to new: 0 within the threshold, X beyond it, - missing. Then the state
# for `breaching`, `notBreaching` and `ignore`; "kept" is the state before.
X, O, _ = True, False, None
DOCUMENTED = [
    ((O, _, X, _, X), 3, 3, OK, OK, OK),
    ((_, _, _, _, O), 3, 3, OK, OK, OK),
    ((_, _, _, _, _), 3, 3, ALARM, OK, "kept"),
    ((O, X, X, _, X), 3, 3, ALARM, ALARM, ALARM),
    ((_, _, X, _, _), 3, 3, ALARM, OK, "kept"),
    ((O, _, X, _, X), 3, 2, ALARM, ALARM, ALARM),
    ((O, O, X, O, X), 3, 2, ALARM, ALARM, ALARM),
    ((O, _, X, _, _), 3, 2, ALARM, OK, OK),
    ((_, _, _, _, O), 3, 2, ALARM, OK, OK),
    ((_, _, _, _, X), 3, 2, ALARM, OK, "kept"),
]


@pytest.mark.parametrize("points, periods, needed, breaching, not_breaching, ignore", DOCUMENTED)
def test_the_evaluator_agrees_with_the_documented_examples(points, periods, needed, breaching, not_breaching, ignore):
    for before, (treatment, expected) in itertools.product([OK, ALARM, NO_DATA], zip(["breaching", "notBreaching", "ignore"], [breaching, not_breaching, ignore])):
        assert state_of(points, before, periods, needed, treatment) == (before if expected == "kept" else expected), treatment


def values(times, value):
    return [(time, value(time) if callable(value) else value) for time in times]


def heartbeats(every, until, start=None, late=0, **changed):
    """What heartbeats write: quiet values, unless `changed` has others. Each comes up to `late` minutes late, in turn."""
    times = [time + (number % 2) * late for number, time in enumerate(range(every if start is None else start, until, every))]
    quiet = {"InterlockEngaged": 0, "GuardsHeld": 0, "OwedSeconds": 0, "AlarmsMissing": 0, "RetrainingFailing": 0}
    quiet |= {"TrainingAgeSeconds": lambda time: 60 * time, "Errors": 0, "Throttles": 0}
    return {name: values(times, value) for name, value in (quiet | changed).items() if value is not None}


def joined(*parts):
    """The values of several parts, in the order of time."""
    names = {name for part in parts for name in part}
    return {name: sorted(pair for part in parts for pair in part.get(name, [])) for name in names}


def between(start, end, inside=1, outside=0):
    return lambda time: inside if start <= time < end else outside


def tries(at, failing):
    """An event whose first tries fail. Lambda tries again after one and two minutes."""
    return {"Errors": [(at + wait, int(number < failing)) for number, wait in enumerate([0, 1, 3]) if number <= failing]}


def failing_function(every, until, start):
    """Each heartbeat fails three times, and writes no value."""
    return joined(*[tries(at, 3) for at in range(start, until, every)])


# A scenario: its length in hours, the values for heartbeats that come every so many minutes, and the alarms that go off: for each, the
# hours between which ALARM begins, and between which it ends (None: not within the scenario).
SCENARIOS = {
    "a new stack, whose pipeline has not run": (
        12,
        lambda every: heartbeats(every, 12 * HOUR, RetrainingFailing=None, TrainingAgeSeconds=None),
        {},
    ),
    "a new stack, whose function never works": (12, lambda every: failing_function(every, 12 * HOUR, every), {"errors": ((0.2, 1.2), None)}),
    "quiet days, with heartbeats up to five minutes late": (100, lambda every: heartbeats(every, 100 * HOUR, late=5), {}),
    "one try fails, the next succeeds": (24, lambda every: joined(heartbeats(every, 24 * HOUR), tries(12 * HOUR, 1)), {}),
    "two tries fail, the third succeeds": (24, lambda every: joined(heartbeats(every, 24 * HOUR), tries(12 * HOUR, 2)), {}),
    "an event fails three times, and is in the queue from 12 h to 20 h": (
        24,
        lambda every: joined(
            heartbeats(every, 24 * HOUR),
            tries(12 * HOUR, 3),
            # SQS measures the queue every minute, and for some hours after its last use.
            {"ApproximateNumberOfMessagesVisible": values(range(12 * HOUR + 3, 23 * HOUR), between(0, 20 * HOUR))},
        ),
        {"errors": ((12, 12.2), (13, 13.2)), "dead-letters": ((12, 12.2), (20, 20.2))},
    ),
    "from 12 h the function fails at its start": (
        24,
        lambda every: joined(heartbeats(every, 12 * HOUR), failing_function(every, 24 * HOUR, 12 * HOUR)),
        {"errors": ((12, 12.2), None), "silence": ((12.9, 14), None)},
    ),
    "silence from 12 h to 20 h": (
        30,
        lambda every: joined(heartbeats(every, 12 * HOUR), heartbeats(every, 30 * HOUR, start=20 * HOUR)),
        {"silence": ((12.9, 14), (20, 22.2))},
    ),
    "silence from 12 h": (60, lambda every: heartbeats(every, 12 * HOUR), {"silence": ((12.9, 14), None)}),
    "a training fails at 12 h, the next one succeeds at 50 h": (
        60,
        lambda every: heartbeats(every, 60 * HOUR, RetrainingFailing=between(12 * HOUR, 50 * HOUR)),
        {"retraining-failed": ((12, 13), (50, 51))},
    ),
    "a training fails at 12 h, and at 20 h the heartbeats end": (
        40,
        lambda every: heartbeats(every, 20 * HOUR, RetrainingFailing=between(12 * HOUR, 50 * HOUR)),
        {"retraining-failed": ((12, 13), None), "silence": ((20.9, 22), None)},
    ),
    "a training of 23 hours": (40, lambda every: heartbeats(every, 40 * HOUR, InterlockEngaged=between(6 * HOUR, 29 * HOUR)), {}),
    "a training that hangs for 30 hours": (
        48,
        lambda every: heartbeats(every, 48 * HOUR, InterlockEngaged=between(6 * HOUR, 36 * HOUR)),
        {"interlock": ((29, 31.2), (36, 37.2))},
    ),
    "a hold that is forgotten for 80 hours": (
        96,
        lambda every: heartbeats(every, 96 * HOUR, GuardsHeld=between(6 * HOUR, 86 * HOUR)),
        {"hold": ((77, 79.2), (86, 87.2))},
    ),
    "SageMaker at its limit from 12 h to 24 h": (
        40,
        lambda every: heartbeats(every, 40 * HOUR, OwedSeconds=lambda time: max(0, 60 * (time - 12 * HOUR)) if time <= 24 * HOUR else 0),
        {"owed": ((18, 20.2), (24, 26.2))},
    ),
    "no training for 46 days": (
        47 * 24,
        # The age begins again when a training that started at 46 days succeeds.
        lambda every: heartbeats(every, 47 * DAY, TrainingAgeSeconds=lambda time: 60 * (time % (46 * DAY))),
        {"stale": ((45 * 24, 45 * 24 + 2.2), (46 * 24, 46 * 24 + 2.2))},
    ),
    "none of the listed alarms exists until 20 h": (
        30,
        lambda every: heartbeats(every, 30 * HOUR, AlarmsMissing=between(0, 20 * HOUR)),
        {"alarms-missing": ((0.2, 1.2), (20, 21.2))},
    ),
    "Lambda cannot put an event into the queue": (
        24,
        lambda every: joined(heartbeats(every, 24 * HOUR), tries(12 * HOUR, 3), {"DestinationDeliveryFailures": [(12 * HOUR + 3, 1)]}),
        {"errors": ((12, 12.2), (13, 13.2)), "lost": ((12, 12.2), (12.1, 12.3))},
    ),
    "five events at once throttle each other": (24, lambda every: joined(heartbeats(every, 24 * HOUR), {"Throttles": [(12 * HOUR, 4)]}), {}),
    "another function uses up the concurrency from 12 h to 13 h": (
        24,
        lambda every: joined(heartbeats(every, 24 * HOUR), {"Throttles": values(range(12 * HOUR, 13 * HOUR), 1)}),
        {"throttles": ((12.1, 12.4), (13, 13.6))},
    ),
}


def in_alarm(alarm, series, hours, earlier=0):
    """The hours from which to which the alarm is in ALARM. None: it still is at the end."""
    minutes = range(0, hours * HOUR, STEP)
    found = states(alarm, series, minutes, earlier)
    spans, since = [], None
    for minute, state in zip(minutes, found):
        if (state == ALARM) != (since is not None):
            spans += [] if since is None else [(since, minute / HOUR)]
            since = minute / HOUR if since is None else None
    return spans + ([(since, None)] if since is not None else [])


@pytest.mark.parametrize("earlier", [0, 5], ids=lambda earlier: f"{earlier}-earlier-periods")
@pytest.mark.parametrize("every", [15, 60], ids=lambda every: f"every-{every}-minutes")
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_alarms_that_should_go_off_do_and_no_others(scenario, every, earlier):
    hours, make, expected = SCENARIOS[scenario]
    series = make(every)
    for name, alarm in ALARMS.items():
        spans = in_alarm(alarm, series, hours, earlier)
        if name not in expected:
            assert spans == [], name
            continue
        ((begin, end),) = spans
        (first, last), ends = expected[name]
        assert first <= begin <= last, (name, begin)
        assert end is None if ends is None else ends[0] <= end <= ends[1], (name, end)


def test_the_table_of_the_alarms_over_all_scenarios():
    """Every alarm goes off in some scenario. With `pytest -s`, prints when."""
    rows, seen = [], set()
    for scenario, every in itertools.product(SCENARIOS, [15, 60]):
        hours, make, _ = SCENARIOS[scenario]
        series = make(every)
        spans = {name: in_alarm(alarm, series, hours) for name, alarm in ALARMS.items()}
        seen |= {name for name, found in spans.items() if found}
        shown = [f"{name} {begin:.1f} h to {'the end' if end is None else f'{end:.1f} h'}" for name, found in spans.items() for begin, end in found]
        rows.append((scenario, f"{every} min", "; ".join(shown) or "none"))
    assert seen == set(ALARMS)
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    print("\n" + "\n".join(f"{scenario:{widths[0]}}  {every:>{widths[1]}}  {shown}" for scenario, every, shown in rows))
