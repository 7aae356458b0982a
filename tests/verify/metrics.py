"""Prometheus's own reader of the OpenMetrics text format: reads it from stdin, refuses what is not of that form, and prints
[{name, type, unit, help, samples: [{name, labels, value}]}]."""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

families = [
    {
        "name": family.name,
        "type": family.type,
        "unit": family.unit,
        "help": family.documentation,
        "samples": [
            {"name": sample.name, "labels": sample.labels, "value": str(float(sample.value))} for sample in family.samples
        ],
    }
    for family in text_string_to_metric_families(sys.stdin.read())
]
json.dump(families, sys.stdout)
