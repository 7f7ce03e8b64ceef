package exchange

import "strconv"

// Allowance is what one rate or quota has left for the caller, for the fields
// RateLimit and RateLimit-Policy of the answer (draft-ietf-httpapi-ratelimit-headers-11).
type Allowance struct {
	Name   string // a quoted string: `"address"`
	Policy string // parameters of the policy: ";q=200;w=4"
	Left   int64  // requests that would be admitted now
	Reset  int64  // seconds until all of them are available again
}

// RateLimit writes the two fields' values; "" for no allowances.
func RateLimit(list []Allowance) (limit, policy string) {
	if len(list) == 0 {
		return "", ""
	}
	var l, p [256]byte
	lb, pb := l[:0], p[:0]
	for i := range list {
		a := &list[i]
		if i > 0 {
			lb, pb = append(lb, ", "...), append(pb, ", "...)
		}
		lb = append(lb, a.Name...)
		lb = append(lb, ";r="...)
		lb = strconv.AppendInt(lb, a.Left, 10)
		lb = append(lb, ";t="...)
		lb = strconv.AppendInt(lb, a.Reset, 10)
		pb = append(pb, a.Name...)
		pb = append(pb, a.Policy...)
	}
	return string(lb), string(pb)
}

// Ender is told when an exchange has ended: after the last byte, or when it was
// refused. It must not block.
type Ender interface {
	End(x *Exchange, d *Decision, c *Completion)
}
