package crenel.authz

import data.crenel.lib

decision := {"allow": true, "obligations": obligations[input.operation.id]} if obligations[input.operation.id]

decision := true if not obligations[input.operation.id]

# Without naming a field: what the document calls the owner.
obligations.listOwned := {"keep": lib.keep_own("subject"), "masks": lib.masks({"financial": "last4"})} if not lib.has_role("admin")

filter if lib.has_role("admin")

filter if lib.is_subject(input.row.owner)

filter if {
	lib.has_role("region")
	input.row.region == input.identity.tenant
}

hard if lower(input.row.region) == "north"

by_tenant if lib.in_tenant(input.row.tenant)

masks["iban"] := "last4" if not lib.has_role("admin")

masks["note"] := "drop" if not lib.has_role("region")

masks["region"] := {"kind": "fixed", "value": "hidden"} if lib.has_role("region")
