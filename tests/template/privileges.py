"""Compares what each function called of DynamoDB with what template.yaml grants it.

usage: privileges.py template.yaml RECORDED

RECORDED has what the functions called while the end-to-end tests ran with the real artifacts (tests/src/recorder.rs). A
call that is not granted fails, and so does a grant that no call needs: action by action, table by table, and for each
pattern of partition keys that a grant is limited to. One without a pattern is needed by any call. What this cannot read
fails: managed policies but for the log and a stream's reader, which SAM adds, denials, and other conditions.
"""

import collections
import fnmatch
import json
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
    """Each function's grants: (function, action, target, pattern)."""
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
                        for pattern in listed(keys):
                            found.add((function, action, target(granted), pattern))
    return found


def calls(path, tables):
    """What was called: (function, action, target, key)."""
    found = set()
    for line in open(path):
        call = json.loads(line)
        table = tables[call["table"]]
        index = f"/index/{call['index']}" if call["index"] else ""
        found.add((call["function"], f"dynamodb:{call['action']}", table + index, call["key"] or ""))
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
    by_target = collections.defaultdict(list)
    for function, action, where, pattern in granted:
        by_target[function, action, where].append(pattern)
    used, problems = set(), []
    for function, action, where, key in sorted(called):
        matching = [p for p in by_target[function, action, where] if fnmatch.fnmatchcase(key, p)]
        used.update((function, action, where, pattern) for pattern in matching)
        if not matching:
            problems.append(f"{function} called {action} on {where}, key {key!r}, which it is not granted")
    for grant in sorted(granted - used):
        if grant not in UNREACHED:
            function, action, where, pattern = grant
            problems.append(f"{function} is granted {action} on {where} for keys {pattern}, and never called it")
    for grant in sorted(set(UNREACHED) - (granted - used)):
        problems.append(f"{grant} is listed as unreached, and is reached or not granted")
    idle = functions - {function for function, *_ in granted}
    print(f"{len(functions)} functions, {len(granted)} grants, {len(called)} kinds of calls")
    print(f"without any grant: {', '.join(sorted(idle))}")
    if problems:
        sys.exit("\n".join(problems))
    print(f"each grant is needed and each call is granted; unreached, with a reason: {len(UNREACHED)}")


main(*sys.argv[1:])
