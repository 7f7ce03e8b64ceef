package check

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// Objects of .NET: of its binary serialisation, and of Json.NET, which makes an object
// of the class that a member $type names where it is told to.

// netMember is a field of a .NET object: its name, its primitive type and its value.
type netMember struct {
	name  string
	typ   byte
	value []byte
}

// Primitive types of a field (MS-NRBF, 2.1.2.3).
const (
	netInt32 = 8
	netTicks = 9 // Int64
)

// netObject is an object of a class of .NET's own library, as BinaryFormatter writes it
// (MS-NRBF, 2.3.2.1: SystemClassWithMembersAndTypes).
func netObject(class string, members ...netMember) string {
	var b bytes.Buffer
	text := func(s string) { b.WriteByte(byte(len(s))); b.WriteString(s) }
	number := func(n uint32) { b.Write(binary.LittleEndian.AppendUint32(nil, n)) }
	b.WriteByte(0) // the stream's header: root 1, header -1, version 1.0
	for _, n := range []uint32{1, 0xffffffff, 1, 0} {
		number(n)
	}
	b.WriteByte(4)
	number(1)
	text(class)
	number(uint32(len(members)))
	for _, m := range members {
		text(m.name)
	}
	b.Write(make([]byte, len(members))) // each is of a primitive type
	for _, m := range members {
		b.WriteByte(m.typ)
	}
	for _, m := range members {
		b.Write(m.value)
	}
	b.WriteByte(11)
	return b.String()
}

func netVersion(class string) string {
	var fields []netMember
	for i, name := range []string{"_Major", "_Minor", "_Build", "_Revision"} {
		fields = append(fields, netMember{name, netInt32, []byte{byte(i + 1), 0, 0, 0}})
	}
	return netObject(class, fields...)
}

func netSpan(class string) string {
	return netObject(class, netMember{"_ticks", netTicks, []byte{7, 0, 0, 0, 0, 0, 0, 0}})
}

const (
	reNetUnresolved = `(?i)Error resolving type specified in JSON|Could not (load|resolve) (file or assembly|type)|was not resolved`
	reNetMade       = `(?i)is not compatible with '`
	reNetCast       = `(?i)Unable to cast object of type 'System\.|InvalidCastException|Specified cast is not valid`

	netNowhere = "Crenel.Zq.NoSuchClass, Crenel"
)

var (
	netSerial = regexp.MustCompile(`^AAEAAAD/////`)
	// netClasses hold whatever they are given.
	netClasses = [2]string{"System.Collections.Hashtable, mscorlib", "System.Collections.SortedList, mscorlib"}
)

// netCast: an input takes an object of .NET's binary serialisation, and makes one of
// whichever class it names before it looks at what it got.
func (p *Probe) netCast(ctx context.Context, s *slot) (bool, error) {
	if !netSerial.MatchString(s.value) {
		return false, nil
	}
	p.Note(s.op, Clean)
	made := base64.StdEncoding.EncodeToString([]byte(netVersion("System.Version")))
	x, err := p.send(ctx, s.with(made))
	if err != nil || !regexp.MustCompile(reNetCast).Match(x.Body) {
		return false, err
	}
	var l steps
	l.add(p.slotStep(s, "nowhere", scenario.Control, "an object of a class that is nowhere is refused for that", base64.StdEncoding.EncodeToString([]byte(netVersion("System.Versiom"))), scenario.Expect{Status: "4xx|5xx"}, scenario.Expect{Lacks: []string{"InvalidCast"}}, scenario.Expect{Lacks: []string{" cast "}}))
	l.add(p.slotStep(s, "attack", scenario.Attack, "one of a class of the language's own library is made, and then found to be another than was wanted", made, scenario.Expect{Matches: reNetCast}))
	return p.injected(ctx, s, "unsafe deserialisation (.NET)", "The input is an object of .NET's binary serialisation, and an object is made of the class that it names, whichever that is, before the program looks at it: with classes that do more when they are made, code is run.", &l)
}

const maxNetBodies = 12 // operations whose body is given a class

// netTypes: a member $type of the body, or of an object in it that is of no certain
// type, names the class of which an object is made.
func (p *Probe) netTypes(ctx context.Context) error {
	tried := 0
	for _, op := range p.Ops() {
		if op.Body == nil || op.Method == http.MethodGet || op.Has(graph.Login) || op.Has(graph.Register) || op.Has(graph.Payment) || op.Has(graph.Transfer) || op.Has(graph.Admin) || tried >= maxNetBodies {
			continue
		}
		call, base, err := p.working(ctx, op)
		if err != nil {
			return err
		}
		if call == nil || base.Status/100 != 2 || !strings.Contains(call.Media, "json") {
			continue
		}
		tried++
		done, err := p.netBody(ctx, call)
		if err != nil {
			return err
		}
		for _, in := range op.Inputs {
			if done || in.In != "body" || in.ReadOnly || in.Type != "object" && in.Type != "" || in.Pointer == "" || strings.Contains(in.Pointer, "*") {
				continue
			}
			if done, err = p.netMember(ctx, slotOf(op, in, call, base)); err != nil {
				return err
			}
		}
	}
	return nil
}

// netBody: the body's own class is named; errors tell that one was looked for, and that
// another was found, which is not the one that is wanted.
func (p *Probe) netBody(ctx context.Context, call *world.Call) (bool, error) {
	r, err := p.World.Request(call)
	if err != nil || !bytes.HasPrefix(r.Body, []byte("{")) {
		return false, nil //nolint:nilerr // a call that cannot be written is not sent
	}
	named := func(body, member, class string) string {
		return `{"` + member + `":` + jsonString(class) + "," + body[1:]
	}
	r.Body = []byte(named(string(r.Body), "$type", netNowhere))
	x, err := p.Do(ctx, call.As, r)
	if err != nil {
		return false, err
	}
	p.Note(call.Op, Clean)
	if !regexp.MustCompile(reNetUnresolved).Match(x.Body) {
		return false, nil
	}
	var l steps
	add := func(id string, part scenario.Part, note, member, class string, e scenario.Expect) {
		st, err := p.step(nil, call, id, part)
		if err == nil {
			st.Send.Body = named(st.Send.Body, member, class)
		}
		st.Note, st.Expect = note, []scenario.Expect{e}
		l.add(st, err)
	}
	add("member", scenario.Control, "another member that is not known is no matter", "$crenel", netNowhere, scenario.Expect{Status: "2xx"})
	add("absent", scenario.Control, "a class that is not there is looked for, and not found", "$type", netNowhere, scenario.Expect{Status: "4xx|5xx", Matches: reNetUnresolved})
	add("attack", scenario.Attack, "one of the language's own library is found, and then not wanted here", "$type", netClasses[0], scenario.Expect{Status: "4xx|5xx", Matches: reNetMade})
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	return p.Prove(ctx, Hypothesis{
		Op: call.Op, Where: "body./$type", Title: fmt.Sprintf("%s %s: unsafe deserialisation (a class named in $type)", call.Op.Method, call.Op.Path),
		CVSS:        "CVSS:4.0/AV:N/AC:H/AT:P/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
		Description: "A member $type of the body names a class, and the program loads whichever it names before it looks whether it is wanted. Wherever the body holds a member of a wide type (object, dynamic, an interface), objects of any class can be made, and with some of them code is run.",
		Scenario:    &scenario.Scenario{Name: fmt.Sprintf("a class named in the body of %s %s", call.Op.Method, call.Op.Path), Steps: l.list},
	})
}

// netMember: an object is made of the class that a member of no certain type names.
func (p *Probe) netMember(ctx context.Context, s *slot) (bool, error) {
	of := func(member, class string) string { return `{"` + member + `":` + jsonString(class) + `}` }
	for _, try := range []struct {
		member, class string
		taken         bool
	}{{"$type", netNowhere, false}, {"$type", netClasses[0], true}} {
		x, err := p.send(ctx, s.call.With(s.in.Where(), of(try.member, try.class)))
		if err != nil || x.Status == http.StatusTooManyRequests || (x.Status/100 == 2) != try.taken {
			return false, err
		}
	}
	var l steps
	add := func(id string, part scenario.Part, note, member, class string, e scenario.Expect) {
		bind := s.call.Renew(id)
		bind[s.in.Where()] = of(member, class)
		st, err := p.World.Step(s.call, bind)
		st.ID, st.Part, st.Note, st.Expect = id, part, note, []scenario.Expect{e}
		l.add(st, err)
	}
	add("member", scenario.Control, "an object with another member is taken", "$crenel", netNowhere, scenario.Expect{Status: "2xx"})
	add("absent", scenario.Control, "one whose $type names a class that is not there is refused", "$type", netNowhere, scenario.Expect{Status: "4xx|5xx"})
	add("attack", scenario.Attack, "one of the language's own library is made", "$type", netClasses[0], scenario.Expect{Status: "2xx"})
	add("again", scenario.Attack, "and another", "$type", netClasses[1], scenario.Expect{Status: "2xx"})
	return p.injected(ctx, s, "unsafe deserialisation (any class named in $type)", "The input holds a member $type, and an object is made of the class that it names, though it is none of the program's own: with classes that do more when they are made, code is run.", &l)
}
