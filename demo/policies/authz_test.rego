package crenel.authz_test

import data.crenel.authz

alice := {"verified": true, "method": "jwt", "subject": "101", "tenant": "1", "roles": ["customer"]}

dave := {"verified": true, "method": "jwt", "subject": "201", "tenant": "3", "roles": ["courier"]}

grace := {"verified": true, "method": "jwt", "subject": "301", "tenant": "3", "roles": ["admin"]}

call(id, roles) := {"id": id, "extensions": {"x-roles": roles}}

test_roles_come_from_the_document if {
	authz.decision.allow with input as {"identity": grace, "operation": call("adminUsers", ["admin"])}
	not authz.decision.allow with input as {"identity": alice, "operation": call("adminUsers", ["admin"])}
	not authz.decision.allow with input as {"identity": object.union(grace, {"verified": false}), "operation": call("adminUsers", ["admin"])}
	not authz.decision.allow with input as {"identity": {"anonymous": true, "roles": []}, "operation": call("adminUsers", ["admin"])}
}

test_public_operations_need_no_role if {
	authz.decision.allow with input as {"identity": {"anonymous": true, "roles": []}, "operation": {"id": "track", "extensions": {}}}
}

test_a_named_owner_is_the_caller if {
	query := {"identity": alice, "operation": call("listInvoices", ["customer", "admin"])}
	authz.decision.allow with input as object.union(query, {"params": {"query": {"company_id": 1}}})
	not authz.decision.allow with input as object.union(query, {"params": {"query": {"company_id": 2}}})
	authz.decision.allow with input as object.union(query, {"identity": grace, "params": {"query": {"company_id": 2}}})
}

test_a_named_owner_in_the_body if {
	write := {"identity": alice, "operation": call("patchParcel", ["customer"])}
	authz.decision.allow with input as object.union(write, {"body": {"customer_id": 101}})
	not authz.decision.allow with input as object.union(write, {"body": {"customer_id": 102}})
}

test_the_answer_must_be_the_callers if {
	parcel := call("getParcel", ["customer", "courier", "admin"])
	authz.decision.obligations.answer == {{"at": "/customer_id", "in": ["101"]}} with input as {"identity": alice, "operation": parcel}
	authz.decision.obligations.answer == {{"at": "/courier_id", "in": ["201"]}} with input as {"identity": dave, "operation": parcel}
	authz.decision.obligations.answer == set() with input as {"identity": grace, "operation": parcel}
}

test_lists_hold_what_is_the_customers if {
	fields := [{"at": "/items/*/customer_id", "list": "/items", "field": "/customer_id", "of": "subject", "noun": "customer"}]
	list := object.union(call("listAddresses", ["customer", "admin"]), {"owner_fields": fields})
	authz.decision.obligations.keep == {{"at": "/items", "where": {"operator": "in", "field": "/customer_id", "value": ["101", 101]}, "optional": false}} with input as {"identity": alice, "operation": list}
	authz.decision.obligations.keep == set() with input as {"identity": grace, "operation": list}
}
