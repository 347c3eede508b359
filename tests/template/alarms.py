"""CloudWatch's rules for the state of an alarm, over values at given minutes.

- Every minute, an alarm looks at its last periods, which end at this minute and not at a full hour.
- A period that has no value is missing. If values are missing, CloudWatch also looks at some earlier periods. It does not document at how
  many, so the tests try several numbers. If enough values are found, the newest count, and nothing is missing.
- Otherwise the alarm's treatment of missing values decides. `ignore` keeps the state, unless the values that are there decide.

<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html>
<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html>
<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html>
"""

import re
from bisect import bisect_right

OK, ALARM, NO_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"

STATISTICS = {"Maximum": max, "Minimum": min, "Sum": sum, "SampleCount": len}
BREACHES = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
}


def state_of(points, before, periods, needed, treatment):
    """The state for points from old to new, each True (breaching), False, or None (missing), of which `periods` count."""
    values = [point for point in points if point is not None]
    if len(values) >= periods:
        return ALARM if sum(values[-periods:]) >= needed else OK
    missing = periods - len(values)
    if treatment == "breaching":
        return ALARM if sum(values) + missing >= needed else OK
    if treatment == "notBreaching":
        return ALARM if sum(values) >= needed else OK
    assert treatment == "ignore", treatment
    if sum(values) >= needed:
        return ALARM
    return OK if False in values else before


def filled(series, by):
    """`FILL`: a missing value is the one before, or a number. A series without any value stays as it is."""
    if all(value is None for value in series):
        return series
    result, last = [], None
    for value in series:
        last = value if value is not None else last
        result.append(value if value is not None else last if by == "REPEAT" else float(by))
    return result


def computed(expression, series):
    """The values of the expressions that the template has."""
    if expression == "SUM(FILL(METRICS(), 0))":
        columns = zip(*[filled(one, "0") for one in series.values()])
        present = [[value for value in column if value is not None] for column in columns]
        return [sum(values) if values else None for values in present]
    if match := re.fullmatch(r"FILL\((\w+), REPEAT\)", expression):
        return filled(series[match[1]], "REPEAT")
    if match := re.fullmatch(r"(\w+) / 86400", expression):
        return [None if value is None else value / 86400 for value in series[match[1]]]
    # A value that is missing on one side is missing in the sum.
    if match := re.fullmatch(r"FILL\((\w+), 0\) \+ 0 \* FILL\(\1, REPEAT\)", expression):
        zeros, repeated = filled(series[match[1]], "0"), filled(series[match[1]], "REPEAT")
        return [None if before is None else value for value, before in zip(zeros, repeated)]
    raise AssertionError(f"not an expression of this module: {expression}")


def periods_of(values, statistic, period, until, count):
    """The statistic of each of the last periods, from old to new. `values` are pairs of a minute and a value, in their order."""
    found, after = [], lambda minute: bisect_right(values, minute, key=lambda pair: pair[0])
    for number in reversed(range(count)):
        end = until - number * period
        inside = [value for _, value in values[after(end - period) : after(end)]]
        found.append(STATISTICS[statistic](inside) if inside else None)
    return found


def states(alarm, metrics, minutes, earlier=0):
    """The state of the alarm after each of these minutes: resolved properties, the values of each metric by its name, and how many earlier
    periods CloudWatch looks at. The alarm is made at minute 0."""
    periods = alarm["EvaluationPeriods"]
    needed = alarm.get("DatapointsToAlarm", periods)
    breaches = BREACHES[alarm["ComparisonOperator"]]

    def read(metric, statistic, period, until):
        return periods_of(metrics.get(metric["MetricName"], []), statistic, period // 60, until, periods + earlier)

    state, result = NO_DATA, []
    for until in minutes:
        if "Metrics" in alarm:
            series = {m["Id"]: read(m["MetricStat"]["Metric"], m["MetricStat"]["Stat"], m["MetricStat"]["Period"], until) for m in alarm["Metrics"] if "MetricStat" in m}
            (shown,) = [m for m in alarm["Metrics"] if m["ReturnData"]]
            values = computed(shown["Expression"], series)
        else:
            values = read(alarm, alarm["Statistic"], alarm["Period"], until)
        points = [None if value is None else breaches(value, alarm["Threshold"]) for value in values]
        state = state_of(points, state, periods, needed, alarm["TreatMissingData"])
        result.append(state)
    return result
