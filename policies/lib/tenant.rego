# Whose house it is.
package crenel.lib

# The caller belongs to the tenant.
in_tenant(tenant) if {
	input.identity.verified == true
	tenant == input.identity.tenant
	tenant != ""
}

in_tenant(tenant) if {
	input.identity.verified == true
	is_number(tenant)
	json.marshal(tenant) == input.identity.tenant
}

# The object that the path addresses belongs to the caller's tenant, by a table
# of data: object id to tenant.
object_in_tenant(table) if in_tenant(table[input.object.id])
