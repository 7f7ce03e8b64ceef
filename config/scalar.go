package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

var byteUnits = []struct {
	name string
	size int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3}, {"B", 1},
}

var errTooLarge = errors.New("too large")

// ParseBytes reads a size: 512, 64KiB, 1MiB; KB, MB, GB and TB are decimal.
func ParseBytes(s string) (Bytes, error) {
	number, unit := strings.TrimSpace(s), int64(1)
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || number[0] == '+' {
		return 0, errors.New("not a size")
	}
	if n > math.MaxInt64/unit {
		return 0, errTooLarge
	}
	return Bytes(n * unit), nil
}

// String writes the size with the largest binary unit that divides it.
func (b Bytes) String() string {
	for _, u := range byteUnits[:4] {
		if b > 0 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalYAML writes the size as it is read.
func (b Bytes) MarshalYAML() (any, error) { return b.String(), nil }

// MarshalJSON writes the size as it is read.
func (b Bytes) MarshalJSON() ([]byte, error) { return json.Marshal(b.String()) }

// ParseDuration reads what time.ParseDuration does and, in front of it, whole
// days: 30s, 2h, 1d, 1d12h.
func ParseDuration(s string) (time.Duration, error) {
	days, rest, ok := strings.Cut(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseUint(days, 10, 32)
	if err != nil || n > 36500 {
		return 0, errors.New("not a duration")
	}
	d := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return d, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || more < 0 || more > time.Duration(math.MaxInt64)-d {
		return 0, errors.New("not a duration")
	}
	return d + more, nil
}

// formatDuration writes a duration without its zero parts: 2m, not 2m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// parsePrefix reads a prefix or a bare address, which is the prefix of itself alone.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return netip.Prefix{}, errors.New("has a zone")
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, errors.New("is not an address or prefix")
	}
	if p != p.Masked() {
		return p, fmt.Errorf("has bits beyond its length (write %s)", p.Masked())
	}
	return p, nil
}

// Parse returns how many, and in what time; a month is one of 30 days.
func (r Rate) Parse() (count int, per time.Duration, err error) {
	number, unit, ok := strings.Cut(r.Rate, "/")
	if !ok {
		return 0, 0, errors.New("not a rate")
	}
	switch strings.TrimSpace(unit) {
	case "s":
		per = time.Second
	case "m":
		per = time.Minute
	case "h":
		per = time.Hour
	case "d":
		per = 24 * time.Hour
	case "w":
		per = 7 * 24 * time.Hour
	case "mo":
		per = 30 * 24 * time.Hour
	default:
		return 0, 0, errors.New("not a rate")
	}
	number = strings.TrimSpace(number)
	count, err = strconv.Atoi(number)
	if err != nil || count < 1 || count > 10_000_000 || number[0] == '+' {
		return 0, 0, errors.New("not a rate")
	}
	return count, per, nil
}
