package crenel.authz

import rego.v1

default decision := {"allow": false}

decision := {"allow": true} if input.operation.id in {"putUser", "apply", "search"}

decision := {"allow": true, "obligations": {"answer": [{"at": "/owner", "in": [input.identity.subject]}], "mask": ["/ssn"]}} if input.operation.id == "getUser"

decision := {"allow": true, "obligations": {"strip": ["/ssn"], "headers": {"X-Org": "one"}}} if input.operation.id in {"getThing", "statement"}
