# What of the answer the caller may see, from what the document says of it. Made
# for obligations:
#
#	decision := {"allow": true, "obligations": {"keep": lib.keep_own("subject"), "answer": lib.own_answer("subject")}}
package crenel.lib

# Of every list whose elements name their owner, those of the caller. of is
# "subject" (a customer, a user …) or "tenant" (a company, a workspace …).
keep_own(of) := {{"at": f.list, "where": {"operator": "in", "field": f.field, "value": caller_forms(of)}, "optional": object.get(f, "optional", false)} |
	some f in input.operation.owner_fields
	f.of == of
	is_string(f.list)
}

# An answer that is one object, and names its owner, must name the caller.
own_answer(of) := {{"at": f.at, "in": caller_texts(of)} |
	some f in input.operation.owner_fields
	f.of == of
	not f.list
}

# The answer names such an owner: keep_own or own_answer will narrow it.
answer_names(of) if {
	some f in input.operation.owner_fields
	f.of == of
}

caller.subject := input.identity.subject if authenticated

caller.tenant := input.identity.tenant if authenticated

# Of a caller who is not known no value is: then a list keeps nothing.
caller_texts(of) := [caller[of]]

caller_texts(of) := [] if not caller[of]

caller_forms(of) := id_forms(caller[of])

caller_forms(of) := [] if not caller[of]

# An id as text and, where it is a whole number, as that: an answer may hold either.
id_forms(id) := [id] if not _whole(id)

id_forms(id) := [id, to_number(id)] if _whole(id)

_whole(id) if regex.match(`^(0|-?[1-9][0-9]{0,17})$`, id)

# Masks for what the document knows to be sensitive: masks({"financial": "last4", "personal": "hash"}).
# The classes are personal, financial, health, secret, identifier and location.
masks(kinds) := {{"at": f.at, "kind": kinds[f.class]} |
	some f in input.operation.sensitive_fields
}
