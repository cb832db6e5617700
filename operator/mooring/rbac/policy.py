"""What RBAC cannot say of the gateway: which fields of a status it may write. A ValidatingAdmissionPolicy says it.

It is asked about requests of that one account only. Fields are compared as they will be stored: the API server drops
whatever else a request to a status subresource carries, such as labels, before it asks.
"""

from collections.abc import Mapping

from mooring.domain.names import GROUP
from mooring.rbac import documents

API = "admissionregistration.k8s.io/v1"
# What the gateway writes, by the resource that it writes to.
FIELDS: Mapping[str, tuple[str, ...]] = {"projects": ("push", "deliveries"), "githubinstallations": ("hint",)}
NOT_STATUS = "the gateway may change nothing of this API but the status of Projects and GitHubInstallations"
NOT_ITS_FIELD = "the gateway may change nothing of this status but "


def policy(name: str, user: str) -> str:
    """Return the policy that confines this user."""
    return documents.head(API, "ValidatingAdmissionPolicy", {"name": name}) + _SPEC.format(
        group=GROUP,
        only_gateway=f"request.userInfo.username == '{user}'",
        own=_own_fields(),
        not_status=NOT_STATUS,
        not_its_field=NOT_ITS_FIELD,
    )


def binding(name: str) -> str:
    """Return what puts the policy into force, in every namespace."""
    spec = f'spec:\n  policyName: {documents.scalar(name)}\n  validationActions: ["Deny"]\n'
    return documents.head(API, "ValidatingAdmissionPolicyBinding", {"name": name}) + spec


def _own_fields() -> str:
    """Return, in CEL, the fields by resource."""
    return "{" + ", ".join(f"'{resource}': {list(fields)}" for resource, fields in FIELDS.items()) + "}"


# A status may be missing, before and after. Without `dyn` the types of the fields would be checked against the schema,
# where a status is no map that one can go through.
_SPEC = """\
spec:
  # Where this cannot be decided nothing is written: the gateway answers 503, and the delivery is asked for again.
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - apiGroups: ["{group}"]
        apiVersions: ["*"]
        operations: ["*"]
        resources: ["*/*"]
  matchConditions:
    - name: only-the-gateway
      expression: "{only_gateway}"
  variables:
    - name: own
      expression: "{own}[?request.resource.resource].orValue([])"
    - name: permitted
      expression: "request.?subResource.orValue('') == 'status' && variables.own != []"
    - name: before
      expression: "dyn(oldObject).?status.orValue(dyn({{}}))"
    - name: after
      expression: "dyn(object).?status.orValue(dyn({{}}))"
  validations:
    - expression: "variables.permitted"
      reason: Forbidden
      message: "{not_status}"
    # None of the others is gone, or says something else; and none is new.
    - expression: >-
        !variables.permitted ||
        variables.before.all(field, field in variables.own || variables.before[?field] == variables.after[?field]) &&
        variables.after.all(field, field in variables.own || field in variables.before)
      reason: Forbidden
      messageExpression: "'{not_its_field}' + variables.own.join(' and ')"
"""
