"""Compares what each function called of DynamoDB with what template.yaml grants it.

usage: privileges.py template.yaml RECORDED

RECORDED has what the functions called while the end-to-end tests ran with the real artifacts (tests/src/recorder.rs).
Both are brought to one form: function, action, table, and kind of partition key, which is a whole key such as `head`, or
what stands before its first `#`, as in `chunk#*`. A grant without keys grants every kind that any function calls on that
table. What is called and not granted fails, and so does what is granted and never called. What this cannot read fails:
managed policies but for the log and a stream's reader, which SAM adds, denials, other conditions, and patterns of keys
that are no kind.
"""

import collections
import json
import re
import sys

from transformed import resources

# Grants that the tests do not reach, and why that is so.
UNREACHED = {
    ("notify", "sns:Publish", "NoticesTopic", "*"): "there is no SNS here; the topic has tests of its own",
    ("check-drift", "dynamodb:DeleteItem", "RuntimeTable", "override"): (
        "it takes a record that somebody changed by hand back to before its override"
    ),
}

# What SAM adds to a role by itself: writing the log, and for those that a stream calls, reading it.
MANAGED = ("AWSLambdaBasicExecutionRole", "AWSLambdaDynamoDBExecutionRole")

KIND = re.compile(r"[a-z-]+(#\*)?")

OF_EVENT_SOURCES = {
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
    "sqs:SendMessage",
}


def listed(value):
    return value if isinstance(value, list) else [value]


def target(resource):
    """The logical id of what a grant is for, with an index of it."""
    if not isinstance(resource, dict):
        sys.exit(f"a grant is for {resource}: name the table, the topic or the queue")
    if "Fn::GetAtt" in resource:
        return resource["Fn::GetAtt"][0]
    if "Ref" in resource:
        return resource["Ref"]
    # ${HistoryTable.Arn}/index/by-day
    return resource["Fn::Sub"].removeprefix("${").replace(".Arn}", "")


def grants(made):
    """Each function's grants: (function, action, target, kind of key), `*` where every kind is granted."""
    found = set()
    for name, resource in made.items():
        if resource["Type"] in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"):
            sys.exit(f"{name}: a policy of its own is not compared here: grant it to the function")
    for resource in made.values():
        if resource["Type"] != "AWS::Lambda::Function":
            continue
        function = resource["Properties"]["Handler"]
        role = made[resource["Properties"]["Role"]["Fn::GetAtt"][0]]["Properties"]
        for managed in role.get("ManagedPolicyArns", []):
            if not str(managed).rstrip("'}").endswith(MANAGED):
                sys.exit(f"{function}: the managed policy {managed} grants what is not compared here")
        for policy in role.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                # Streams are read and dead letters are sent by Lambda itself, with what SAM grants for it.
                if all(action in OF_EVENT_SOURCES for action in listed(statement["Action"])):
                    continue
                condition = statement.get("Condition", {})
                keys = condition.get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys", "*")
                known = [{}, {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": keys}}]
                if condition not in known or statement["Effect"] != "Allow":
                    sys.exit(f"{function}: this does not know the statement {statement}")
                for action in listed(statement["Action"]):
                    for granted in listed(statement["Resource"]):
                        for kind in listed(keys):
                            if kind != "*" and not KIND.fullmatch(kind):
                                sys.exit(f"{function}: {kind} is no kind of keys: name whole keys, or kind#*")
                            found.add((function, action, target(granted), kind))
    return found


def calls(path, tables):
    """What was called: (function, action, target, kind of key). Scans have no key, and those of an index are one kind."""
    found = set()
    for line in open(path):
        call = json.loads(line)
        table = tables[call["table"]]
        index = f"/index/{call['index']}" if call["index"] else ""
        kind = re.sub("#.*", "#*", call["key"] or "*", flags=re.DOTALL)
        found.add((call["function"], f"dynamodb:{call['action']}", table + index, "*" if index else kind))
    return found


def main(template, recorded):
    made = resources(template)
    stage = "dev"
    tables = {
        resource["Properties"]["TableName"]["Fn::Sub"].replace("${Stage}", stage): name
        for name, resource in made.items()
        if resource["Type"] == "AWS::DynamoDB::Table"
    }
    functions = {r["Properties"]["Handler"] for r in made.values() if r["Type"] == "AWS::Lambda::Function"}
    granted, called = grants(made), calls(recorded, tables)
    kinds = collections.defaultdict(set)
    for _, _, where, kind in called:
        kinds[where].add(kind)
    # A scan has no key, and neither has what is sent to a topic or asked of an index.
    granted = {
        (function, action, where, each)
        for function, action, where, kind in granted
        for each in (kinds[where] - {"*"} if kind == "*" and action != "dynamodb:Scan" else {kind}) or {"*"}
    }
    problems = []
    for function, action, where, kind in sorted(called - granted):
        problems.append(f"{function} called {action} on {where}, key {kind}, which it is not granted")
    for function, action, where, kind in sorted(granted - called - set(UNREACHED)):
        problems.append(f"{function} is granted {action} on {where} for keys {kind}, and never called it")
    for grant in sorted(set(UNREACHED) - (granted - called)):
        problems.append(f"{grant} is listed as unreached, and is reached or not granted")
    idle = functions - {function for function, *_ in granted}
    print(f"{len(functions)} functions, {len(granted)} grants, {len(called)} kinds of calls")
    print(f"without any grant: {', '.join(sorted(idle))}")
    if problems:
        sys.exit("\n".join(problems))
    print(f"each grant is needed and each call is granted; unreached, with a reason: {len(UNREACHED)}")


main(*sys.argv[1:])
