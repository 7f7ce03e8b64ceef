package check

import (
	"context"
	"encoding/base64"
	"net/http"
	"regexp"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

// reClassName are names of members by which libraries are told of which class the
// object is that they are in (Jackson, Json.NET, fastjson, json-io, jsonpickle).
var reClassName = regexp.MustCompile(`^(@class|@type|\$type|_class|__class__|py/object|javaClass|java_class|clazz|class_?name|className)$`)

// anyClasses are classes of languages' own libraries that hold whatever they are
// given and do nothing else.
var anyClasses = [][2]string{
	{"java.util.HashMap", "java.util.TreeMap"},
	{"System.Collections.Hashtable", "System.Collections.SortedList"},
}

// anyClass: an input names a class, and objects are made of whichever it names.
func (p *Probe) anyClass(ctx context.Context, s *slot) (bool, error) {
	if s.in.In != "body" || s.in.Type != "string" && s.in.Type != "" || !reClassName.MatchString(s.in.Name) || s.base.Status/100 != 2 {
		return false, nil
	}
	p.Note(s.op, Clean)
	const none = "crenel.zq.NoSuchClass"
	x, err := p.send(ctx, s.with(none))
	if err != nil || x.Status/100 == 2 || x.Status == http.StatusTooManyRequests {
		return false, err
	}
	for _, pair := range anyClasses {
		x, err := p.send(ctx, s.with(pair[0]))
		if err != nil {
			return false, err
		}
		if x.Status/100 != 2 {
			continue
		}
		var l steps
		st, err := p.step(nil, s.call, "plain", scenario.Control)
		st.Note, st.Expect = "the call with a class of the program's own works", []scenario.Expect{{Status: "2xx"}}
		l.add(st, err)
		l.add(p.slotStep(s, "absent", scenario.Control, "a class that is not there is refused", none, scenario.Expect{Status: "4xx|5xx"}))
		l.add(p.slotStep(s, "attack", scenario.Attack, "an object is made of a class of the language's own library", pair[0], scenario.Expect{Status: "2xx"}))
		l.add(p.slotStep(s, "again", scenario.Attack, "and of another", pair[1], scenario.Expect{Status: "2xx"}))
		return p.injected(ctx, s, "unsafe deserialisation (any class)", "The input names a class, and an object is made of it, though it is none of the program's own: with classes that do more when they are made, code is run.", &l)
	}
	return false, nil
}

// Objects of Java's own serialisation: an Integer, and one of a class that is nowhere.
var (
	javaInteger = base64.StdEncoding.EncodeToString([]byte("\xac\xed\x00\x05sr\x00\x11java.lang.Integer\x12\xe2\xa0\xa4\xf7\x81\x878\x02\x00\x01I\x00\x05valuexr\x00\x10java.lang.Number\x86\xac\x95\x1d\x0b\x94\xe0\x8b\x02\x00\x00xp\x00\x00\x00\x07"))
	javaNowhere = base64.StdEncoding.EncodeToString([]byte("\xac\xed\x00\x05sr\x00\x15crenel.zq.NoSuchClass\x00\x00\x00\x00\x00\x00\x00\x01\x02\x00\x00xp"))
)

const (
	reJavaSerial = `^rO0AB`
	reMadeFirst  = `(?i)ClassCastException|cannot be cast to`
)

var javaSerial = regexp.MustCompile(reJavaSerial)

// javaObject: an input takes an object of Java's serialisation, and makes one of
// whichever class it names before it looks at what it got.
func (p *Probe) javaObject(ctx context.Context, s *slot) (bool, error) {
	if !javaSerial.MatchString(s.value) {
		return false, nil
	}
	p.Note(s.op, Clean)
	x, err := p.send(ctx, s.with(javaInteger))
	if err != nil || !regexp.MustCompile(reMadeFirst).Match(x.Body) {
		return false, err
	}
	var l steps
	l.add(p.slotStep(s, "nowhere", scenario.Control, "an object of a class that is nowhere is refused for that", javaNowhere, scenario.Expect{Status: "4xx|5xx"}, scenario.Expect{Lacks: []string{"cannot be cast"}}))
	l.add(p.slotStep(s, "attack", scenario.Attack, "one of a class of the language's own library is made, and then found to be another than was wanted", javaInteger, scenario.Expect{Matches: reMadeFirst}))
	return p.injected(ctx, s, "unsafe deserialisation (Java)", "The input is an object of Java's serialisation, and an object is made of the class that it names, whichever that is, before the program looks at it: with classes that do more when they are made, code is run.", &l)
}

// namedClasses tries whether objects are made of any class that a body names.
func (p *Probe) namedClasses(ctx context.Context, op *graph.Op) error {
	if op.Has(graph.Login) || op.Has(graph.Register) || op.Has(graph.Payment) {
		return nil
	}
	var told []*graph.Input
	for _, in := range op.Inputs {
		if in.In == "body" && !in.ReadOnly && in.Type != "integer" && in.Type != "number" && in.Type != "boolean" {
			told = append(told, in)
		}
	}
	if len(told) == 0 {
		return nil
	}
	call, base, err := p.working(ctx, op)
	if err != nil || call == nil || base.Status/100 != 2 {
		return err
	}
	for _, in := range told {
		s := slotOf(op, in, call, base)
		for _, try := range []func(context.Context, *slot) (bool, error){p.anyClass, p.javaObject, p.netCast} {
			if done, err := try(ctx, s); err != nil || done {
				return err
			}
		}
	}
	return nil
}
