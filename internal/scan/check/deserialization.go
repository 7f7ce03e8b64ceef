package check

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
	"github.com/crenel-project/crenel/internal/spec"
)

var _ = register(&Check{
	ID: "deserialization", Title: "An input is made into objects, and runs code",
	OWASP: "API8:2023", CWE: "CWE-502", WSTG: "WSTG-INPV-11",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
	About: "Puts serialised objects (Python pickle and YAML, Java, node-serialize, SnakeYAML), each of which does nothing but call the scanner's listener, into what takes such data: by its name, its type, or what it holds. Then harmless objects of PHP, Java, .NET, Ruby and Python, of classes that are there and of classes that are not, and members ($type of Json.NET) that name such classes.",
	Proof: "The target called that address, which nobody else knows, twice in two runs; or objects are taken or refused by whether a class of that name is there (in PHP: by whether it can be made of nothing), two pairs of them. Controls: the bare address in the same place calls nobody; a text that is no such object is refused.",
	Fix:   "Take data formats that hold data alone (JSON with a schema; yaml.safe_load), never ones that name code; sign what has to come back.",
	Mode:  Default, Dirty: true,
	Run: deserialization,
})

// gadgets are serialised objects that call an address: what makes the text of the address.
var gadgets = []struct {
	what  string
	named *regexp.Regexp // inputs in which it is tried
	do    string         // a function of scenarios
}{
	{"Python pickle", reSerial, "gadget.pickle"},
	{"Java", reSerial, "gadget.java"},
	{"node-serialize", reSerial, "gadget.node"},
	{"node-serialize in base64", reSerial, "gadget.node64"},
	{"Python YAML", reDocument, "gadget.pyyaml"},
	{"SnakeYAML", reDocument, "gadget.snakeyaml"},
}

var (
	reSerial   = regexp.MustCompile(`(?i)serial|pickle|object|state|session|data|payload|blob|cookie|token|import|backup|restore|preference|settings|profile|cart|basket|snapshot|dump|marshal|content|body|input`)
	reDocument = regexp.MustCompile(`(?i)ya?ml|config|document|manifest|import|template|spec|definition|data|content|settings|input|file|body`)
	reMagic    = regexp.MustCompile(`^(gAS|gAR|gAN|KGRw|rO0AB|AAEAAAD/////|BAh|Tz[a-z0-9]+|YTo|O:\d+:"|a:\d+:\{)|_\$\$ND_FUNC\$\$_`)
	reObjects  = regexp.MustCompile(`(?i)java-serialized|x-java|php-serialized|octet-stream`)
)

// serialised is a form of objects in which a class is named: texts that are taken,
// and texts that are refused, where objects are made of them. Those of a pair
// differ in nothing but the name of the class.
type serialised struct {
	what   string
	named  *regexp.Regexp
	taken  [2]string
	broken [2]string
	none   string // no such object, in the same coding
}

var serialisedForms = slices.Concat(
	// PHP makes nothing of a class that it does not know; of these that it knows, not without their fields.
	phpForms(`O:8:"DateTim%s":0:{}`, `O:10:"DatePerio%s":0:{}`),
	phpForms(`a:1:{i:0;O:8:"DateTim%s":0:{}}`, `a:1:{i:0;O:10:"DatePerio%s":0:{}}`),
	[]serialised{
		base64Form("Java", javaObject("java.rmi.server.UID", 0x0f12700dbf364f12), javaObject("java.rmi.dgc.Lease", 0xb0b5e2660c4adc34), javaObject("java.rmi.server.UIE", 0x0f12700dbf364f12), javaObject("java.rmi.dgc.Leasf", 0xb0b5e2660c4adc34)),
		base64Form("Ruby Marshal", "\x04\b{\x06:\x06ao:\vObject\x00", "\x04\b{\x06:\x06ao:\x0eException\x00", "\x04\b{\x06:\x06ao:\vObjecu\x00", "\x04\b{\x06:\x06ao:\x0eExceptiom\x00"),
		base64Form("Python pickle", "ccollections\nOrderedDict\n)R.", "ccollections\nCounter\n)R.", "ccollections\nOrderedDicu\n)R.", "ccollections\nCounteq\n)R."),
		base64Form(".NET", netVersion("System.Version"), netSpan("System.TimeSpan"), netVersion("System.Versiom"), netSpan("System.TimeSpam")),
		{"Ruby YAML", reDocument, [2]string{"a: !ruby/object:Object {}", "a: !ruby/class 'String'"}, [2]string{"a: !ruby/object:Objecu {}", "a: !ruby/class 'Strinh'"}, "a: [crenel"},
		{"Python YAML", reDocument, [2]string{"a: !!python/object/apply:collections.OrderedDict []", "a: !!python/object/apply:collections.Counter []"}, [2]string{"a: !!python/object/apply:collections.OrderedDicu []", "a: !!python/object/apply:collections.Counteq []"}, "a: [crenel"},
	},
)

const noObject = "crenel, and no object"

func phpForms(one, two string) []serialised {
	name := func(form, last string) string { return fmt.Sprintf(form, last) }
	plain := serialised{"PHP", reSerial, [2]string{name(one, "f"), name(two, "e")}, [2]string{name(one, "e"), name(two, "d")}, noObject}
	return []serialised{plain, base64Form("PHP", plain.taken[0], plain.taken[1], plain.broken[0], plain.broken[1])}
}

func base64Form(what string, taken1, taken2, broken1, broken2 string) serialised {
	e := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	return serialised{what, reSerial, [2]string{e(taken1), e(taken2)}, [2]string{e(broken1), e(broken2)}, e(noObject)}
}

// javaObject is an object of a class without any of its fields, as Java writes it
// (Java Object Serialization Specification, chapter 6).
func javaObject(class string, version uint64) string {
	b := append([]byte{0xac, 0xed, 0, 5, 0x73, 0x72, 0, byte(len(class))}, class...)
	b = binary.BigEndian.AppendUint64(b, version)
	return string(append(b, 2, 0, 0, 0x78, 0x70))
}

func deserialization(ctx context.Context, p *Probe) error {
	if err := Each(ctx, p, p.Ops(), p.namedClasses); err != nil {
		return err
	}
	if err := p.netTypes(ctx); err != nil {
		return err
	}
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if op.Has(graph.Login) || op.Has(graph.Register) || op.Has(graph.Payment) {
			return nil
		}
		if op.Body != nil && op.Method != http.MethodGet {
			if done, err := p.objectBody(ctx, op); err != nil || done {
				return err
			}
		}
		call, base, err := p.working(ctx, op)
		if err != nil || call == nil || base.Status == 429 || base.Status == 401 || base.Status == 403 {
			return err
		}
		yaml := strings.Contains(call.Media, "yaml")
		for _, in := range op.Inputs {
			if in.In == "header" || in.In == "path" || in.Type == "integer" || in.Type == "number" || in.Type == "boolean" || in.Meaning == graph.MeansPassword || in.Meaning == graph.MeansCSRF {
				continue
			}
			s := slotOf(op, in, call, base)
			wants := func(named *regexp.Regexp) bool {
				return named.MatchString(in.Name) || reMagic.MatchString(s.value) || in.Format == "byte" || yaml
			}
			if !wants(reSerial) && !wants(reDocument) {
				continue
			}
			p.Note(op, Clean)
			done, err := p.gadgets(ctx, s, wants)
			if err == nil && !done {
				_, err = p.classes(ctx, s, wants)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// gadgets tries objects that call the listener, all of them before it is waited once.
func (p *Probe) gadgets(ctx context.Context, s *slot, wants func(*regexp.Regexp) bool) (bool, error) {
	if p.Listener == nil {
		return false, nil
	}
	sent := map[int]string{}
	last := ""
	for i, g := range gadgets {
		if !wants(g.named) {
			continue
		}
		address := p.Listener.Address()
		v, err := scenario.Call(g.do, map[string]string{"url": address})
		if err != nil {
			return false, fmt.Errorf("making a serialised object: %w", err)
		}
		x, err := p.send(ctx, s.with(scenario.Plain(v)))
		if err != nil || x.Status == 429 || x.Status == 401 || x.Status == 403 {
			return false, err
		}
		sent[i], last = address, address
	}
	if last != "" {
		p.Listener.Called(ctx, last, soon)
	}
	for i, g := range gadgets {
		if sent[i] == "" || len(p.Listener.Hits(sent[i])) == 0 {
			continue
		}
		var l steps
		l.add(p.slotStep(s, "plain", scenario.Control, "the bare address is called by nobody", "${listener.none}", scenario.Expect{Status: "any"}, scenario.Expect{Uncalled: "none", By: soon}))
		st, err := p.slotStep(s, "attack", scenario.Attack, "a serialised object that calls it is made, and calls", "${gadget}", scenario.Expect{Status: "any"}, scenario.Expect{Called: "call", By: 3 * time.Second})
		st.Compute = []scenario.Compute{{Set: "gadget", Do: g.do, Args: map[string]string{"url": "${listener.call}"}}}
		l.add(st, err)
		if ok, err := p.injected(ctx, s, "unsafe deserialisation ("+g.what+")", "What the input holds is made into objects, and code that it names is run: here, a call of an address.", &l); err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}

// classes tries harmless objects, of classes that are there and that are not. What
// takes any text is passed over: nothing is read out of it.
func (p *Probe) classes(ctx context.Context, s *slot, wants func(*regexp.Regexp) bool) (bool, error) {
	refuses := map[string]bool{}
	for _, f := range serialisedForms {
		if !wants(f.named) {
			continue
		}
		if _, asked := refuses[f.none]; !asked {
			x, err := p.send(ctx, s.with(f.none))
			if err != nil || x.Status == 429 || x.Status == 401 || x.Status == 403 {
				return false, err
			}
			refuses[f.none] = x.Status/100 != 2
		}
		if !refuses[f.none] {
			continue
		}
		x, err := p.send(ctx, s.with(f.taken[0]))
		if err != nil {
			return false, err
		}
		if x.Status/100 != 2 {
			continue
		}
		if x, err = p.send(ctx, s.with(f.broken[0])); err != nil {
			return false, err
		}
		if x.Status/100 == 2 || x.Status == 429 {
			continue
		}
		var l steps
		l.add(p.slotStep(s, "none", scenario.Control, "a text that is no such object is refused", f.none, scenario.Expect{Status: "4xx|5xx"}))
		for i, n := range []string{"1", "2"} {
			l.add(p.slotStep(s, "taken"+n, scenario.Attack, "an object is taken", f.taken[i], scenario.Expect{Status: "2xx"}))
			l.add(p.slotStep(s, "broken"+n, scenario.Attack, "it is refused where nothing but its class is another, of which it cannot be made", f.broken[i], scenario.Expect{Status: "4xx|5xx"}))
		}
		if ok, err := p.injected(ctx, s, "unsafe deserialisation ("+f.what+")", "What the input holds is made into objects of the classes that it names: whether it is taken follows whether there is such a class, and whether it can be made.", &l); err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}

// objectBody tries bodies that are one serialised object, as bytes.
func (p *Probe) objectBody(ctx context.Context, op *graph.Op) (bool, error) {
	i := slices.IndexFunc(op.Body.Content, func(m *spec.MediaType) bool { return reObjects.MatchString(m.Type) })
	if i < 0 || p.Listener == nil || !strings.Contains(op.Body.Content[i].Type, "serial") && !reSerial.MatchString(op.ID+" "+op.Path+" "+op.Summary) {
		return false, nil
	}
	media := op.Body.Content[i].Type
	var call *world.Call
	for _, a := range append(p.People.All(), nil) {
		if c, err := p.World.Call(ctx, op, a, nil); err == nil {
			call = c
			break
		}
	}
	if call == nil {
		return false, nil
	}
	address := p.Listener.Address()
	v, err := scenario.Call("gadget.java", map[string]string{"url": address})
	if err != nil {
		return false, fmt.Errorf("making a serialised object: %w", err)
	}
	object, err := base64.StdEncoding.DecodeString(scenario.Plain(v))
	if err != nil {
		return false, fmt.Errorf("reading a serialised object: %w", err)
	}
	r, err := p.World.Request(call)
	if err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written is not sent
	}
	r.Body = object
	r.Set("Content-Type", media)
	p.Note(op, Clean)
	var x *target.Exchange
	if x, err = p.Do(ctx, call.As, r); err != nil || x.Status == 401 || x.Status == 403 || x.Status == 429 || !p.Listener.Called(ctx, address, soon) {
		return false, err
	}
	var l steps
	add := func(id string, part scenario.Part, note, body string, e ...scenario.Expect) {
		st, err := p.World.Step(call, call.Renew(id))
		if err == nil {
			st.Send.Body, st.Send.Base64, st.Send.Fill, st.Send.Type = "", base64.StdEncoding.EncodeToString([]byte(body)), true, media
		}
		st.ID, st.Part, st.Note, st.Expect = id, part, note, e
		l.add(st, err)
	}
	add("plain", scenario.Control, "the bare address is called by nobody", "${listener.none}", scenario.Expect{Status: "any"}, scenario.Expect{Uncalled: "none", By: soon})
	add("attack", scenario.Attack, "a serialised object that calls it is made, and calls", "${object}", scenario.Expect{Status: "any"}, scenario.Expect{Called: "call", By: 3 * time.Second})
	l.list[1].Compute = []scenario.Compute{{Set: "gadget", Do: "gadget.java", Args: map[string]string{"url": "${listener.call}"}}, {Set: "object", Do: "text.base64", Args: map[string]string{"text": "${gadget}"}}}
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	return p.Prove(ctx, Hypothesis{
		Op: op, Where: "body", Title: fmt.Sprintf("%s %s: unsafe deserialisation (Java) of the body", op.Method, op.Path),
		Description: "The body is made into objects, and code that it names is run: here, a call of an address.",
		Scenario:    &scenario.Scenario{Name: fmt.Sprintf("a serialised object to %s %s", op.Method, op.Path), Steps: l.list},
	})
}
