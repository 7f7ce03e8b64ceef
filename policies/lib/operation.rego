# What is called.
package crenel.lib

# The operation only reads.
is_read if input.operation.method in {"GET", "HEAD", "OPTIONS"}

# The operation carries the tag.
tagged(tag) if tag in input.operation.tags
