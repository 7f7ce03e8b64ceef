package traffic

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/demo/harbour"
)

// Day returns a day's calls in the order of time: more than 20 000, the same
// for the same seed.
func Day(seed uint64) []Call {
	g := &day{rnd: rand.New(rand.NewPCG(seed, 0x4a7b0)), password: map[string]string{}}
	g.system()
	g.office()
	g.customers()
	g.visitors()
	g.couriers()
	g.followers()
	slices.SortStableFunc(g.calls, func(a, b Call) int { return cmp.Compare(a.At, b.At) })
	return g.calls
}

// Head returns the calls of the day before a time, with whatever they need.
func Head(calls []Call, before time.Duration) []Call {
	end, _ := slices.BinarySearchFunc(calls, before, func(c Call, at time.Duration) int { return cmp.Compare(c.At, at) })
	return calls[:end]
}

// day is a day in the making.
type day struct {
	rnd      *rand.Rand
	calls    []Call
	names    int
	password map[string]string // of those who have changed it
	onTheWay []dispatched      // parcels that couriers can load
	loose    []dispatched      // parcels that anybody may follow
}

// dispatched is a parcel that has left its customer.
type dispatched struct {
	at       time.Duration
	id, code string // names of saved values
}

// person is somebody with a session.
type person struct {
	g     *day
	name  string
	kind  string
	email string
	ip    string
	at    time.Duration // when the next call is sent
	cards []string      // names of saved values
	asked time.Duration // when the wallet was last asked for money
	own   []string
}

func (g *day) person(name, kind, email string, n int) *person {
	return &person{g: g, name: name, kind: kind, email: email, ip: fmt.Sprintf("%d.%d.%d.%d", 20+n%60, n%250+1, n/7%250, 1+n*13%250)}
}

// fresh makes a name for a value to be saved.
func (g *day) fresh(kind string) string {
	g.names++
	return fmt.Sprintf("%s%d", kind, g.names)
}

func pick[T any](g *day, from []T) T { return from[g.rnd.IntN(len(from))] }

func (g *day) chance(percent int) bool { return g.rnd.IntN(100) < percent }

func (g *day) between(from, to time.Duration) time.Duration {
	return from + time.Duration(g.rnd.Int64N(int64(to-from))).Truncate(time.Millisecond)
}

// call is a call of this person, some seconds after the one before.
func (p *person) call(method, path string, want ...int) *Call {
	pause := 400*time.Millisecond + time.Duration(p.g.rnd.IntN(9000))*time.Millisecond
	if p.kind == "scanner" || p.kind == "system" {
		pause = 150*time.Millisecond + time.Duration(p.g.rnd.IntN(900))*time.Millisecond
	}
	p.at += pause
	if len(want) == 0 {
		want = []int{http.StatusOK}
	}
	p.g.calls = append(p.g.calls, Call{
		At: p.at, Actor: p.name, Kind: p.kind, Remote: fmt.Sprintf("%s:%d", p.ip, 20000+len(p.g.calls)%40000), Method: method, Path: path,
		Header: p.header(), Token: "session", Want: want,
	})
	return &p.g.calls[len(p.g.calls)-1]
}

func (p *person) header() http.Header {
	h := http.Header{"User-Agent": {agents[p.kind]}, "Accept": {"application/json"}}
	if p.kind == "web" || p.kind == "office" {
		h.Set("Accept-Language", pick(p.g, []string{"de-DE,de;q=0.9,en;q=0.5", "en-IE,en;q=0.8", "pl,en;q=0.7", "ja"}))
		h.Set("Origin", "https://app.harbour.example")
		h.Set("Referer", "https://app.harbour.example/app/parcels")
	}
	return h
}

func (c *Call) json(body any) *Call {
	raw, err := json.Marshal(body)
	if err != nil {
		panic(err) // bodies are literals of this package
	}
	c.Header.Set("Content-Type", "application/json")
	c.Body = string(raw)
	return c
}

func (c *Call) anonymous() *Call {
	c.Token = ""
	return c
}

func (c *Call) save(name, pointer string) *Call {
	if c.Save == nil {
		c.Save = map[string]string{}
	}
	c.Save[name] = pointer
	return c
}

type object = map[string]any

// saved writes a saved number into a JSON body: see Player.fill.
func saved(name string) string { return "${" + name + "}" }

// logIn, now and then after a wrong password.
func (p *person) logIn() {
	password := p.g.password[p.name]
	if password == "" {
		a, _ := harbour.AccountNamed(p.name)
		password = a.Password
	}
	if p.g.chance(9) {
		for range 1 + p.g.rnd.IntN(2) {
			p.call("POST", "/v2/login", 401).anonymous().json(object{"email": p.email, "password": strings.ToUpper(password[:1]) + password[1:] + pick(p.g, []string{"", "1", "'"})})
		}
	}
	p.call("POST", "/v2/login").anonymous().json(object{"email": p.email, "password": password}).save("token."+p.name, "/access_token")
}
