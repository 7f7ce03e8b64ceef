package control

import (
	"fmt"
	"os/user"
	"strconv"
)

type peerKey struct{}

// peer is who holds the other end of a connection, as the kernel says.
type peer struct {
	uid int
	pid int // 0 when the system does not tell
}

// actor names the peer for the audit trail.
func (p peer) actor() string {
	id := strconv.Itoa(p.uid)
	name := "uid " + id
	if u, err := user.LookupId(id); err == nil {
		name = fmt.Sprintf("%s (uid %s)", u.Username, id)
	}
	return name
}
