package value

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/valyala/fastjson"
)

// order is a typical API body of about 1 KB.
var order = []byte(`{"id":"7f1c2a34-5b6d-4e7f-8a9b-0c1d2e3f4a5b","status":"in_transit","created_at":"2025-03-14T09:26:53Z",` +
	`"customer":{"id":48213,"name":"Jürgen Østergård","email":"jurgen@example.com","phone":"+45 12 34 56 78","vip":false},` +
	`"sender":{"street":"Havnegade 12","city":"Aarhus","zip":"8000","country":"DK","location":{"lat":56.1572,"lon":10.2107}},` +
	`"recipient":{"street":"Via Roma 1","city":"Torino","zip":"10121","country":"IT","location":{"lat":45.0703,"lon":7.6869}},` +
	`"items":[{"sku":"A-100","title":"Ceramic mug, blue","quantity":2,"weight_g":350,"price":12.50,"tags":["fragile","gift"]},` +
	`{"sku":"B-220","title":"Notebook \"Dots\"","quantity":1,"weight_g":210,"price":8.95,"tags":[]},` +
	`{"sku":"C-009","title":"Pen","quantity":10,"weight_g":12,"price":1.20,"tags":["bulk"]}],` +
	`"total":{"amount":45.95,"currency":"EUR","tax":null},"notes":"Leave with the neighbour at no. 14 if nobody answers the bell.",` +
	`"history":[{"at":"2025-03-14T10:00:00Z","event":"picked_up"},{"at":"2025-03-15T04:12:09Z","event":"sorted"}]}`)

func BenchmarkJSON1KB(b *testing.B) {
	run := func(name string, f func() error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(order)))
			b.ReportAllocs()
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("value", func() error { _, err := JSON(order, Limits{}); return err })
	var d Decoder
	run("value-reused", func() error { _, err := d.JSON(order, Limits{}); return err })
	run("encoding-json", func() error { var a any; return json.Unmarshal(order, &a) })
	run("fastjson", func() error { _, err := fastjson.ParseBytes(order); return err })
	var p fastjson.Parser
	run("fastjson-reused", func() error { _, err := p.ParseBytes(order); return err })
}

func BenchmarkJSONLarge(b *testing.B) {
	src := []byte("[" + strings.TrimSuffix(strings.Repeat(string(order)+",", 1000), ",") + "]")
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := JSON(src, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJSONManyKeys(b *testing.B) {
	var s strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&s, `,"key_%d":%d`, i, i)
	}
	src := []byte("{" + s.String()[1:] + "}")
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := JSON(src, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
