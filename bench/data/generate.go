package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
)

// shape is one kind of relation data.
type shape struct {
	name  string
	what  string
	share int // percent of the bytes
	rego  string
	write func(w *counter, g *world, most int64)
	// input makes the call i, about half of which are allowed.
	input func(g *world, r *rand.Rand) map[string]any
}

// world is who and what there is: as many as the bytes have room for.
type world struct {
	r       *rand.Rand
	users   int
	objects int
	tenants []int // members of each
}

const (
	roleCount   = 200
	actionCount = 400
	seedA       = 0x6372656e656c
	seedB       = 0x64617461
)

func newWorld(seed uint64) *world { return &world{r: rand.New(rand.NewPCG(seedA, seed))} } //nolint:gosec // data of a benchmark

// counter counts the bytes of what is written, and keeps the first error.
type counter struct {
	w   *bufio.Writer
	n   int64
	err error
}

func (c *counter) printf(format string, args ...any) {
	n, err := fmt.Fprintf(c.w, format, args...)
	c.n += int64(n)
	if err != nil && c.err == nil {
		c.err = err
	}
}

func userID(i int) string { return fmt.Sprintf("u-%07d", i) }
func objectID(i int) string {
	return fmt.Sprintf("%08x-%04x-4%03x-9%03x-%012x", mix(i, 1)>>32, mix(i, 2)>>48, mix(i, 3)>>52, mix(i, 4)>>52, mix(i, 5)>>16)
}
func roleID(i int) string { return "role-" + strconv.Itoa(i) }
func actionID(i int) string {
	return "resource-" + strconv.Itoa(i/4) + ":" + []string{"read", "write", "list", "delete"}[i%4]
}

func mix(i, salt int) uint64 {
	x := uint64(i)*0x9e3779b97f4a7c15 + uint64(salt)*0xbf58476d1ce4e5b9
	x ^= x >> 31
	x *= 0x94d049bb133111eb
	return x ^ x>>29
}

// few draws small numbers far more often than large ones, as people have roles.
func few(r *rand.Rand, n int) int {
	f := r.Float64()
	return int(f * f * f * float64(n))
}

// roles are of one user, one to four.
func roles(r *rand.Rand) []string {
	out := make([]string, 0, 4)
	for range 1 + few(r, 4) {
		out = append(out, roleID(few(r, roleCount)))
	}
	return out
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

var shapes = []shape{
	{
		name: "owners", what: "object → owner", share: 35,
		rego: `package bench.owners
default allow := false
allow if data.owners[input.object] == input.user`,
		write: func(w *counter, g *world, most int64) {
			w.printf("{")
			for i := 0; w.n < most; i++ {
				if i > 0 {
					w.printf(",")
				}
				w.printf("%q:%q", objectID(i), userID(int(mix(i, 7)%uint64(ownerCount))))
				g.objects = i + 1
			}
			w.printf("}")
		},
		input: func(g *world, r *rand.Rand) map[string]any {
			i := r.IntN(g.objects + g.objects/10) // some objects that are not there
			u := int(mix(i, 7) % uint64(ownerCount))
			if r.IntN(2) == 0 {
				u = r.IntN(ownerCount)
			}
			return map[string]any{"object": objectID(i), "user": userID(u)}
		},
	},
	{
		name: "users", what: "user → roles → permissions", share: 35,
		rego: `package bench.users
default allow := false
allow if {
	some role in data.users[input.user].roles
	input.action in data.roles[role].permissions
}`,
		write: func(w *counter, g *world, most int64) {
			w.printf("{")
			for i := 0; w.n < most; i++ {
				if i > 0 {
					w.printf(",")
				}
				w.printf(`%q:{"roles":%s,"tenant":"t-%d","department":"department-%d","active":%t,"level":%d}`,
					userID(i), asJSON(roles(g.r)), g.r.IntN(2000), few(g.r, 60), g.r.IntN(20) > 0, g.r.IntN(9))
				g.users = i + 1
			}
			w.printf("}")
		},
		input: func(g *world, r *rand.Rand) map[string]any {
			return map[string]any{"user": userID(r.IntN(g.users + g.users/10)), "action": actionID(few(r, actionCount))}
		},
	},
	{
		name: "tenants", what: "tenant → members → roles", share: 30,
		rego: `package bench.tenants
default allow := false
allow if "role-0" in data.tenants[input.tenant].members[input.user].roles`,
		write: func(w *counter, g *world, most int64) {
			w.printf("{")
			for i := 0; w.n < most; i++ {
				if i > 0 {
					w.printf(",")
				}
				n := 5 + few(g.r, 2000)
				w.printf(`"t-%d":{"plan":%q,"region":"region-%d","members":{`, i, []string{"free", "team", "enterprise"}[g.r.IntN(3)], g.r.IntN(12))
				for j := range n {
					if j > 0 {
						w.printf(",")
					}
					w.printf(`%q:{"roles":%s,"since":%d}`, userID(i*131+j), asJSON(roles(g.r)), 1_600_000_000+g.r.IntN(100_000_000))
				}
				w.printf("}}")
				g.tenants = append(g.tenants, n)
			}
			w.printf("}")
		},
		input: func(g *world, r *rand.Rand) map[string]any {
			t := r.IntN(len(g.tenants))
			return map[string]any{"tenant": "t-" + strconv.Itoa(t), "user": userID(t*131 + r.IntN(g.tenants[t]+g.tenants[t]/10+1))}
		},
	},
}

// ownerCount is how many users own objects.
const ownerCount = 100_000

// together asks all three, as a policy of roles, ownership and tenants does.
const together = `package bench.together
default allow := false
allow if data.owners[input.object] == input.user
allow if {
	some role in data.users[input.user].roles
	input.action in data.roles[role].permissions
}
allow if "role-0" in data.tenants[input.tenant].members[input.user].roles`

// generate writes {"roles": …, "owners": …, "users": …, "tenants": …}, about so
// many bytes, and returns what it made.
func generate(to io.Writer, bytes int64) (map[string]*world, int64, error) {
	w := &counter{w: bufio.NewWriterSize(to, 1<<20)}
	worlds := map[string]*world{}
	w.printf(`{"roles":{`)
	r := rand.New(rand.NewPCG(seedA, seedB)) //nolint:gosec // data of a benchmark
	for i := range roleCount {
		if i > 0 {
			w.printf(",")
		}
		actions := []string{}
		for range 3 + r.IntN(40) {
			actions = append(actions, actionID(r.IntN(actionCount)))
		}
		w.printf(`%q:{"permissions":%s}`, roleID(i), asJSON(actions))
	}
	w.printf("}")
	for i := range shapes {
		s := &shapes[i]
		g := newWorld(uint64(i))
		w.printf(",%q:", s.name)
		s.write(w, g, w.n+bytes*int64(s.share)/100)
		worlds[s.name] = g
	}
	w.printf("}")
	if err := w.w.Flush(); w.err == nil {
		w.err = err
	}
	return worlds, w.n, w.err
}

// calls are the inputs of a package's rules; the same for every store.
func calls(name string, worlds map[string]*world, n int) []map[string]any {
	r := rand.New(rand.NewPCG(seedB, uint64(len(name)))) //nolint:gosec // data of a benchmark
	out := make([]map[string]any, n)
	for i := range out {
		in := map[string]any{}
		for j := range shapes {
			if s := &shapes[j]; s.name == name || name == "together" {
				for k, v := range s.input(worlds[s.name], r) {
					in[k] = v
				}
			}
		}
		out[i] = in
	}
	return out
}
