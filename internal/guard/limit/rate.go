package limit

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
)

// by says whose bucket a rate is.
type by uint8

const (
	byAddress   by = iota
	byIdentity     // the identity, or the address of an anonymous caller
	byOperation    // the same, for each operation apart
	byAPI          // everybody's
	byKey          // the credential that brought the rate with it
)

var byNames = map[string]by{"address": byAddress, "identity": byIdentity, "operation": byOperation, "api": byAPI}

// rate is one compiled rate.
type rate struct {
	by     by
	table  *table
	name   string // in the RateLimit fields, quoted
	policy string // its item of RateLimit-Policy
	// brought is the first of the rates that a credential brought, of which this is one.
	brought *exchange.Rate
}

// longest a bucket may take to fill: what is slower is no rate but a mistake,
// and arrival times must fit 64 bits.
const longest = 366 * 24 * time.Hour

// parse reads a config rate into nanoseconds a token and tokens of the bucket.
func parse(r config.Rate) (emission, burst int64, err error) {
	num, unit, ok := strings.Cut(r.Rate, "/")
	n, numErr := strconv.ParseInt(num, 10, 64)
	period := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[unit]
	if !ok || numErr != nil || n < 1 || n > 1e9 || period == 0 {
		return 0, 0, fmt.Errorf("rate is %q, want N/s, N/m, N/h or N/d with N from 1 to 1000000000", r.Rate)
	}
	burst = int64(r.Burst)
	if burst == 0 {
		burst = n
	}
	if burst < 0 || burst > 1e9 {
		return 0, 0, fmt.Errorf("burst is %d, want 1 to 1000000000", r.Burst)
	}
	// Rounded up: a caller may get a nanosecond less than the rate, never more.
	emission = (int64(period) + n - 1) / n
	if emission > int64(longest)/burst {
		return 0, 0, fmt.Errorf("a burst of %d at %s takes more than a year to come back", burst, r.Rate)
	}
	return emission, burst, nil
}

// newRate compiles one rate. scope is "" for the API's own rates, else the
// override that it stands in.
func newRate(m *Memory, api, scope string, r config.Rate) (*rate, error) {
	who, ok := byNames[r.By]
	if !ok {
		return nil, fmt.Errorf("by is %q, want address, identity, operation or api", r.By)
	}
	emission, burst, err := parse(r)
	if err != nil {
		return nil, err
	}
	name := r.By
	if scope != "" {
		name = "operation-" + r.By
	}
	return &rate{
		by: who, name: strconv.Quote(name),
		table: m.table(tableName{api, scope, r.By, emission, burst}),
		// draft-ietf-httpapi-ratelimit-headers: q is the quota, w its window in seconds.
		policy: fmt.Sprintf("%q;q=%d;w=%d", name, burst, ceilSeconds(emission*burst)),
	}, nil
}

// newKeyRate compiles a rate that came with a credential.
func newKeyRate(m *Memory, api string, r exchange.Rate, brought *exchange.Rate) (*rate, error) {
	emission, burst, err := parse(config.Rate{Rate: r.Rate, Burst: r.Burst})
	if err != nil {
		return nil, err
	}
	return &rate{
		by: byKey, name: `"key"`, brought: brought,
		table:  m.table(tableName{api, "key", "key", emission, burst}),
		policy: fmt.Sprintf(`"key";q=%d;w=%d`, burst, ceilSeconds(emission*burst)),
	}, nil
}

// field is the rate's item of the RateLimit field: r requests are left, t
// seconds until all of them are again.
func (r *rate) field(b []byte, o outcome) []byte {
	b = append(b, r.name...)
	b = append(b, ";r="...)
	b = strconv.AppendInt(b, o.left/r.table.emission, 10)
	b = append(b, ";t="...)
	return strconv.AppendInt(b, ceilSeconds(r.table.capacity-o.left), 10)
}

func ceilSeconds(ns int64) int64 { return (ns + int64(time.Second) - 1) / int64(time.Second) }
