# Whose house it is.
package crenel.lib

# The caller belongs to the tenant.
in_tenant(tenant) if {
	authenticated
	same_id(tenant, input.identity.tenant)
}

# The object that the path addresses belongs to the caller's tenant, by a table
# of data: object id to tenant.
object_in_tenant(table) if in_tenant(table[input.object.id])
