"""Runs CloudWatch Logs Insights queries on lines of a log: the commands and functions that the documents and the dashboard use.

moto ignores `filter` and `stats`, and no other public implementation exists. An unsupported command or expression is an error.
<https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html>
"""

import re

OPERATOR = re.compile(r'(?P<field>[\w.@]+) (?:(?P<op>=|like) )(?:"(?P<text>[^"]*)"|/(?P<regex>[^/]*)/)')
PRESENT = re.compile(r"(?P<no>not )?ispresent\((?P<field>[\w.@]+)\)")
STATS = re.compile(r"count\(\*\) as (?P<name>\w+) by (?P<fields>[\w., ]+)")


def flattened(line):
    """The fields that Insights discovers: those of inner objects have dotted names."""
    fields = {}
    for name, value in line.items():
        inner = flattened(value) if isinstance(value, dict) else {"": value}
        fields.update({f"{name}.{key}".rstrip("."): value for key, value in inner.items()})
    return fields


def holds(condition, line):
    """Whether one condition is true for the line. A field that the line does not have satisfies only `not ispresent`."""
    if match := PRESENT.fullmatch(condition):
        return (match["field"] in line) != bool(match["no"])
    match = OPERATOR.fullmatch(condition)
    assert match, f"not an expression of this module: {condition}"
    value = line.get(match["field"])
    if match["op"] == "=":
        return value == match["text"]
    return value is not None and re.search(match["regex"], str(value)) is not None


def run(query, log):
    """The rows of the query's result. The order of lines is the order of time."""
    rows = [{"@timestamp": number, **flattened(line)} for number, line in enumerate(log)]
    for command in (part.strip() for part in query.strip().split("|")):
        name, rest = command.split(" ", 1)
        if name == "SOURCE":
            continue
        elif name == "fields":
            fields = [field.strip() for field in rest.split(",")]
            unknown = [field for field in fields if not any(field in row for row in rows)]
            assert not unknown, f"no line of the log has {unknown}"
        elif name == "filter":
            rows = [row for row in rows if any(all(holds(c, row) for c in a.split(" and ")) for a in rest.split(" or "))]
        elif name == "sort":
            field, order = rest.split(" ")
            rows.sort(key=lambda row: row[field], reverse=order == "desc")
        elif name == "limit":
            rows = rows[: int(rest)]
        elif name == "stats":
            match = STATS.fullmatch(rest)
            assert match, f"not a command of this module: {command}"
            groups = {}
            for row in rows:
                key = tuple(row.get(field.strip()) for field in match["fields"].split(","))
                groups[key] = groups.get(key, 0) + 1
            rows = [{"by": key, match["name"]: count} for key, count in groups.items()]
        else:
            raise AssertionError(f"not a command of this module: {command}")
    return rows
