# Who is calling. Every rule here is undefined or false for a caller that the
# gateway did not verify itself.
package crenel.lib

# Somebody is identified, and the proof was verified at the gateway.
authenticated if input.identity.verified == true

# The caller holds the role.
has_role(role) if {
	authenticated
	role in input.identity.roles
}

# The caller holds at least one of the roles (an array or a set).
has_any_role(roles) if {
	some role in roles
	has_role(role)
}

# The caller was granted the scope.
has_scope(scope) if {
	authenticated
	scope in input.identity.scopes
}

# The caller was granted all of the scopes (an array or a set, not empty).
has_all_scopes(scopes) if {
	count(scopes) > 0
	every scope in scopes {
		has_scope(scope)
	}
}
