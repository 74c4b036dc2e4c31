"""What the operators accept, as far as our files use it.

No package has the schemas of custom resources. So these were written down by hand from the definitions that the
operators publish (Prometheus operator 0.84, KEDA 2). They find a misspelt field and a wrong type, and know no newer
version.
"""

from typing import Any, Final


def _object(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "object", "additionalProperties": _TEXT}
_COUNT: Final = {"type": "integer", "minimum": 0}
_DURATION: Final = {"type": "string", "pattern": r"^[0-9]+(ms|s|m|h)$"}
_POLICY: Final = _object(
    "periodSeconds",
    "type",
    "value",
    type={"enum": ["Pods", "Percent"]},
    value={"type": "integer", "minimum": 1},
    periodSeconds={"type": "integer", "minimum": 1, "maximum": 1_800},
)
_SCALING: Final = _object(
    "policies",
    stabilizationWindowSeconds={"type": "integer", "minimum": 0, "maximum": 3_600},
    policies={"type": "array", "items": _POLICY, "minItems": 1},
)
_TRIGGER: Final = _object(
    "type", "metadata", type=_TEXT, metricType={"enum": ["Value", "AverageValue"]}, metadata=_TEXTS
)
_ENDPOINT: Final = _object(port=_TEXT, path=_TEXT, interval=_DURATION, scrapeTimeout=_DURATION)


def _resource(version: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return _object(
        "apiVersion",
        "kind",
        "metadata",
        "spec",
        apiVersion={"const": version},
        kind={"const": kind},
        metadata=_object("name", name=_TEXT, labels=_TEXTS),
        spec=spec,
    )


SCHEMAS: Final = {
    "ServiceMonitor": _resource(
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        _object(
            "endpoints",
            "selector",
            jobLabel=_TEXT,
            selector=_object("matchLabels", matchLabels=_TEXTS),
            endpoints={"type": "array", "items": _ENDPOINT, "minItems": 1},
        ),
    ),
    "ScaledObject": _resource(
        "keda.sh/v1alpha1",
        "ScaledObject",
        _object(
            "scaleTargetRef",
            "triggers",
            scaleTargetRef=_object("name", name=_TEXT, kind=_TEXT, apiVersion=_TEXT),
            pollingInterval=_COUNT,
            minReplicaCount=_COUNT,
            maxReplicaCount=_COUNT,
            advanced=_object(
                horizontalPodAutoscalerConfig=_object(behavior=_object(scaleUp=_SCALING, scaleDown=_SCALING))
            ),
            triggers={"type": "array", "items": _TRIGGER, "minItems": 1},
        ),
    ),
}
"""JSON Schema by kind."""
