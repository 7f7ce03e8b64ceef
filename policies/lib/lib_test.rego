package crenel.lib_test

import data.crenel.lib

alice := {
	"verified": true, "method": "jwt", "subject": "7", "tenant": "north",
	"roles": ["courier", "user"], "scopes": ["read", "write"], "claims": {"parcels": [1, "2"], "sub": "7"},
}

unverified := object.union(alice, {"verified": false})

anonymous := {"anonymous": true, "verified": false, "roles": [], "scopes": [], "claims": {}}

test_authenticated if {
	lib.authenticated with input.identity as alice
	not lib.authenticated with input.identity as unverified
	not lib.authenticated with input.identity as anonymous
	not lib.authenticated with input as {}
	not lib.authenticated with input.identity as {"verified": "true"}
}

test_roles if {
	lib.has_role("user") with input.identity as alice
	not lib.has_role("admin") with input.identity as alice
	not lib.has_role("user") with input.identity as unverified
	lib.has_any_role(["admin", "courier"]) with input.identity as alice
	lib.has_any_role({"admin", "courier"}) with input.identity as alice
	not lib.has_any_role(["admin"]) with input.identity as alice
	not lib.has_any_role([]) with input.identity as alice
	not lib.has_any_role(["user"]) with input.identity as anonymous
}

test_scopes if {
	lib.has_scope("read") with input.identity as alice
	not lib.has_scope("rea") with input.identity as alice
	lib.has_all_scopes(["read", "write"]) with input.identity as alice
	not lib.has_all_scopes(["read", "admin"]) with input.identity as alice
	not lib.has_all_scopes([]) with input.identity as alice
	not lib.has_scope("read") with input.identity as unverified
}

test_same_id if {
	lib.same_id(7, "7")
	lib.same_id("7", "7")
	not lib.same_id("7", "07")
	not lib.same_id("", "")
	not lib.same_id(null, null)
	not lib.same_id(true, true)
	not lib.same_id([7], [7])
}

test_is_subject if {
	lib.is_subject(7) with input.identity as alice
	lib.is_subject("7") with input.identity as alice
	not lib.is_subject("8") with input.identity as alice
	not lib.is_subject("7") with input.identity as unverified
	not lib.is_subject("") with input.identity as object.union(alice, {"subject": ""})
	not lib.is_subject("7") with input.identity as anonymous
}

owners := {"a": 7, "b": "7", "c": "8"}

test_owns_object_in if {
	lib.owns_object_in(owners) with input.identity as alice with input.object as {"resource": "parcel", "id": "a"}
	lib.owns_object_in(owners) with input.identity as alice with input.object as {"resource": "parcel", "id": "b"}
	not lib.owns_object_in(owners) with input.identity as alice with input.object as {"resource": "parcel", "id": "c"}
	not lib.owns_object_in(owners) with input.identity as alice with input.object as {"resource": "parcel", "id": "none"}
	not lib.owns_object_in(owners) with input.identity as alice
	not lib.owns_object_in(owners) with input.identity as anonymous with input.object as {"resource": "parcel", "id": "a"}
}

test_owns_all_in if {
	lib.owns_all_in("parcel", owners) with input.identity as alice
		with input.objects as [{"resource": "parcel", "id": "a"}, {"resource": "parcel", "id": "b"}, {"resource": "depot", "id": "x"}]
	not lib.owns_all_in("parcel", owners) with input.identity as alice
		with input.objects as [{"resource": "parcel", "id": "a"}, {"resource": "parcel", "id": "c"}]
	not lib.owns_all_in("parcel", owners) with input.identity as alice with input.objects as []
	not lib.owns_all_in("parcel", owners) with input.identity as alice
}

test_claim_lists_object if {
	lib.claim_lists_object("parcels") with input.identity as alice with input.object.id as "1"
	lib.claim_lists_object("parcels") with input.identity as alice with input.object.id as "2"
	not lib.claim_lists_object("parcels") with input.identity as alice with input.object.id as "3"
	not lib.claim_lists_object("others") with input.identity as alice with input.object.id as "1"
}

test_tenant if {
	lib.in_tenant("north") with input.identity as alice
	not lib.in_tenant("south") with input.identity as alice
	not lib.in_tenant("north") with input.identity as anonymous
	lib.object_in_tenant({"a": "north"}) with input.identity as alice with input.object.id as "a"
	not lib.object_in_tenant({"a": "south"}) with input.identity as alice with input.object.id as "a"
}

test_operation if {
	lib.is_read with input.operation.method as "GET"
	not lib.is_read with input.operation.method as "DELETE"
	lib.tagged("admin") with input.operation.tags as ["admin"]
	not lib.tagged("admin") with input.operation.tags as []
	not lib.tagged("admin") with input as {}
}

orders := {"owner_fields": [
	{"at": "/items/*/customer_id", "list": "/items", "field": "/customer_id", "of": "subject", "noun": "customer"},
	{"at": "/items/*/company_id", "list": "/items", "field": "/company_id", "of": "tenant", "noun": "company"},
	{"at": "/owner", "field": "/owner", "of": "subject", "noun": "owner"},
]}

test_keep_own if {
	lib.keep_own("subject") == {{"at": "/items", "where": {"operator": "in", "field": "/customer_id", "value": ["7", 7]}, "optional": false}} with input as {"identity": alice, "operation": orders}
	lib.keep_own("tenant") == {{"at": "/items", "where": {"operator": "in", "field": "/company_id", "value": ["north"]}, "optional": false}} with input as {"identity": alice, "operation": orders}
	lib.keep_own("subject") == set() with input as {"identity": alice, "operation": {"owner_fields": []}}

	# Who is not known owns nothing: the condition is there, and nothing fulfils it.
	lib.keep_own("subject") == {{"at": "/items", "where": {"operator": "in", "field": "/customer_id", "value": []}, "optional": false}} with input as {"identity": unverified, "operation": orders}
	lib.keep_own("tenant") == {{"at": "/items", "where": {"operator": "in", "field": "/company_id", "value": []}, "optional": false}} with input as {"identity": anonymous, "operation": orders}
	lib.own_answer("subject") == {{"at": "/owner", "in": []}} with input as {"identity": anonymous, "operation": orders}
}

test_own_answer if {
	lib.own_answer("subject") == {{"at": "/owner", "in": ["7"]}} with input as {"identity": alice, "operation": orders}
	lib.own_answer("tenant") == set() with input as {"identity": alice, "operation": orders}
}

test_answer_names if {
	lib.answer_names("tenant") with input.operation as orders
	not lib.answer_names("tenant") with input.operation as {"owner_fields": []}
}

test_id_forms if {
	lib.id_forms("7") == ["7", 7]
	lib.id_forms("-12") == ["-12", -12]
	lib.id_forms("07") == ["07"]
	lib.id_forms("1e3") == ["1e3"]
	lib.id_forms("alice") == ["alice"]
	lib.id_forms("") == [""]
}

test_masks if {
	fields := {"sensitive_fields": [{"at": "/iban", "class": "financial"}, {"at": "/email", "class": "personal"}]}
	lib.masks({"financial": "last4"}) == {{"at": "/iban", "kind": "last4"}} with input.operation as fields
}
