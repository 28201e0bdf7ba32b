"""OpenFeature's Python SDK with its OFREP provider: `python python_client.py URL`. Prints a JSON object for each evaluation."""

import json
import sys

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

api.set_provider(OFREPProvider(base_url=sys.argv[1]))
client = api.get_client()


def show(details):
    print(json.dumps({
        "flagKey": details.flag_key,
        "value": details.value,
        "variant": details.variant,
        "reason": getattr(details.reason, "value", details.reason),
        "errorCode": getattr(details.error_code, "value", details.error_code),
        "flagMetadata": details.flag_metadata,
    }))


for targeting_key in ["user-1", "0x3333333333333333333333333333333333333333"]:
    for key in ["on", "off", "part", "child"]:
        context = EvaluationContext(targeting_key, {"plan": {"name": "pro"}})
        show(client.get_boolean_details(key, key == "off", context))
show(client.get_string_details("plugin/api", "none", EvaluationContext("user-1")))
show(client.get_boolean_details("part", True, EvaluationContext()))
show(client.get_boolean_details("pay/v2 x", True, EvaluationContext("user-1")))
