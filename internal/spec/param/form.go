package param

import (
	"maps"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

// Form makes of a decoded form (value.Form, value.Multipart) what its schema
// describes: a field that must be a list and came once is a list of one, fields
// are taken apart by the style that their encoding names, parts that hold JSON
// are decoded, and texts are typed. v's children are changed in place.
//
// The *Error's Param describes the field: In is "body".
func Form(mt *spec.MediaType, v value.Value, lim value.Limits) (value.Value, *Error) {
	if v.Kind != value.Object || mt.Shape == nil {
		return Typed(mt.Schema, v), nil
	}
	lim = lim.WithDefaults()
	v, err := deepFields(mt, v, lim)
	if err != nil {
		return v, err
	}
	for i := range v.Kids {
		k := &v.Kids[i]
		shape := mt.Shape.Properties[k.Name]
		if shape == nil {
			continue
		}
		field, err := formField(mt, shape, *k, lim)
		if err != nil {
			return v, err
		}
		field.Name, field.Start, field.End = k.Name, k.Start, k.End
		*k = field
	}
	return Typed(mt.Schema, v), nil
}

func formField(mt *spec.MediaType, shape *spec.Shape, k value.Value, lim value.Limits) (value.Value, *Error) {
	p := &spec.Parameter{Name: k.Name, In: "body", Style: "form", Explode: true, Shape: shape}
	// Multipart sends objects, and lists of them, as JSON where nothing else is said.
	json := strings.HasPrefix(mt.Type, "multipart/") && !shape.Scalar && (shape.Object || shape.Array && shape.Items != nil && shape.Items.Object)
	if e := mt.Encoding[k.Name]; e != nil {
		p.Style, p.Explode = e.Style, e.Explode
		json = json || isJSON(e.ContentType)
	}
	d := decoder{p: p, lim: lim}
	switch {
	case json:
		p.ContentType = "application/json"
		switch {
		case k.Kind == value.Array:
			for i := range k.Kids {
				if k.Kids[i].Kind == value.String && !k.Kids[i].File {
					k.Kids[i] = d.content(k.Kids[i].Text)
				}
			}
		case k.Kind == value.String && !k.File:
			k = d.content(k.Text)
			if shape.Array && k.Kind != value.Array {
				k = value.Value{Kind: value.Array, Kids: []value.Value{k}}
			}
		}
	case k.Kind == value.Array && !shape.Array:
		d.bad(CodeDuplicate, "the field came more than once; it has one value")
	case k.Kind == value.String && p.Explode && shape.Array && !shape.Scalar:
		one := k
		one.Name = ""
		k = value.Value{Kind: value.Array, Kids: []value.Value{one}}
	case k.Kind == value.String && !p.Explode && !k.File:
		k = d.text(k.Text)
	case k.Kind == value.Array && !p.Explode && p.Style != "deepObject":
		d.bad(CodeDuplicate, "the field came more than once; its style writes a list in one value")
	}
	return k, d.err
}

// deepFields gathers fields a[b]=1 whose encoding says deepObject.
func deepFields(mt *spec.MediaType, v value.Value, lim value.Limits) (value.Value, *Error) {
	for _, name := range slices.Sorted(maps.Keys(mt.Encoding)) {
		e := mt.Encoding[name]
		if e.Style != "deepObject" {
			continue
		}
		p := &spec.Parameter{Name: name, In: "body", Style: e.Style, Explode: true, Shape: mt.Shape.Properties[name]}
		var pairs []value.Pair
		var rest []value.Value
		for _, k := range v.Kids {
			if k.Name != name && !Claims(p, k.Name) {
				rest = append(rest, k)
				continue
			}
			texts := []value.Value{k}
			if k.Kind == value.Array {
				texts = k.Kids
			}
			for _, t := range texts {
				pairs = append(pairs, value.Pair{Name: k.Name, Value: t.Text, HasEquals: true})
			}
		}
		if len(pairs) == 0 {
			continue
		}
		d := decoder{p: p, lim: lim}
		object, _ := d.deepObject(pairs)
		if d.err != nil {
			return v, d.err
		}
		object.Name = name
		v.Kids = append(rest, object)
	}
	return v, nil
}
