# Whose object it is. Ids are compared as text, because a token may say "7"
# where the data say 7.
package crenel.lib

# The text of an id. Undefined for anything but a string that is not empty, or a number.
id_text(id) := id if {
	is_string(id)
	id != ""
}

id_text(id) := json.marshal(id) if is_number(id)

# Two ids name the same thing.
same_id(a, b) if id_text(a) == id_text(b)

# The caller is the owner. (A subject is always a string.)
is_subject(owner) if {
	input.identity.verified == true
	owner == input.identity.subject
	owner != ""
}

is_subject(owner) if {
	input.identity.verified == true
	is_number(owner)
	json.marshal(owner) == input.identity.subject
}

# The caller owns the object that the path addresses, by a table of data: object id to owner.
owns_object_in(table) if is_subject(table[input.object.id])

# The caller owns each object of the resource that the parameters name, by a
# table of data. Undefined when they name none.
owns_all_in(resource, table) if {
	ids := [o.id | some o in input.objects; o.resource == resource]
	count(ids) > 0
	every id in ids {
		is_subject(table[id])
	}
}

# The caller's token lists the object that the path addresses in a claim.
claim_lists_object(claim) if {
	authenticated
	some id in input.identity.claims[claim]
	same_id(id, input.object.id)
}
