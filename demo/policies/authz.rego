# Who may do what at Harbour. The document's security and OAuth2 scopes are
# checked without a line of this; what follows is what the document cannot say
# in a way that every tool understands, or not at all.
package crenel.authz

import data.crenel.lib

decision := {"allow": true, "obligations": {"answer": answer, "keep": keep}} if count(refusals) == 0

decision := {"allow": false, "reason": concat("; ", sort(refusals))} if count(refusals) > 0

# The document names the roles of each operation, as x-roles.
refusals contains sprintf("%s is for %s", [input.operation.id, concat(", ", roles)]) if {
	roles := input.operation.extensions["x-roles"]
	not lib.has_any_role(roles)
}

# A caller who names an owner, in the query or at the top of the body, must be
# that owner. The office may name anybody, and partners see all companies.
owner_field := {"customer_id": "subject", "courier_id": "subject", "company_id": "tenant"}

named contains [name, id] if {
	some name, id in input.params.query
	owner_field[name]
}

named contains [name, id] if {
	some name, id in input.body
	owner_field[name]
}

refusals contains sprintf("%s %v is not the caller's", [name, id]) if {
	some [name, id] in named
	not lib.has_role("admin")
	not lib.same_id(id, input.identity[owner_field[name]])
}

# Where only the answer says whose the object is, it must say the caller. See owners.yaml.
answer contains {"at": rule.at, "in": [input.identity[rule.is]]} if {
	some role in input.identity.roles
	some rule in data.owners[role]
	input.operation.id in rule.answers
}

# Lists hold only what is the customer's. Which field of an answer says whose it
# is stands in the document: nothing is named here.
keep := lib.keep_own("subject") if lib.has_role("customer")

keep := set() if not lib.has_role("customer")
