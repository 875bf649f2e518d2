"""What SAM makes of template.yaml, by its own translator, without an account."""

import json
import os
import sys

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class ManagedPolicies:
    """SAM asks IAM for the ARNs of policies that a template names by their names."""

    def load(self):
        return {"AWSLambdaBasicExecutionRole": "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"}


def resources(path):
    """The resources by their logical ids."""
    return transformed(path)["Resources"]


def transformed(path):
    """The template that CloudFormation works on, with the parameters' defaults."""
    with open(path) as file:
        template = yaml_parse(file.read())
    parameters = {name: spec.get("Default", "x") for name, spec in template["Parameters"].items()}
    # Code is where it is built; SAM wants to see it packaged.
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    return transform(template, parameters, ManagedPolicies())


# Alone, it prints it, for those that lint what SAM makes.
if __name__ == "__main__":
    print(json.dumps(transformed(sys.argv[1]), indent=1))
