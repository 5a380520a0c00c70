"""Prints what AWS's own translator makes of a template, as JSON; for the environment of aws-sam-cli."""

import json
import sys

from samcli.yamlhelper import yaml_parse  # type: ignore[import-not-found]
from samtranslator.translator.transform import transform  # type: ignore[import-not-found]


class NoPolicies:
    """The managed policies' names are asked of IAM otherwise."""

    def load(self) -> dict[str, str]:
        return {}


with open(sys.argv[1], encoding="utf-8") as file:
    document = yaml_parse(file.read())
for resource in document["Resources"].values():  # built artefacts lie in S3 by then
    for place in ("CodeUri", "ContentUri"):
        if place in resource.get("Properties", {}):
            resource["Properties"][place] = "s3://artifacts/one.zip"
print(json.dumps(transform(document, {}, NoPolicies())))
