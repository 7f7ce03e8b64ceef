package graph_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestDrawings(t *testing.T) {
	for _, name := range labelled(t) {
		g := load(t, "testdata/apis/"+name+".yaml")
		var svg, again, dot, plan bytes.Buffer
		if err := errors.Join(g.SVG(&svg), g.SVG(&again), g.DOT(&dot), g.Plan(&plan)); err != nil {
			t.Fatal(err)
		}
		if dir := os.Getenv("CRENEL_SHOW_SVG"); dir != "" {
			if err := os.WriteFile(dir+"/"+name+".svg", svg.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(svg.Bytes(), again.Bytes()) {
			t.Errorf("%s: two drawings differ", name)
		}
		d := xml.NewDecoder(&svg)
		cards, words := 0, ""
		var width, height float64 // of the picture, in which everything stands
		for {
			tok, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: the SVG is no XML: %v", name, err)
			}
			switch tok := tok.(type) {
			case xml.StartElement:
				at := map[string]float64{}
				for _, a := range tok.Attr {
					if n, err := strconv.ParseFloat(a.Value, 64); err == nil {
						at[a.Name.Local] = n
					}
				}
				switch tok.Name.Local {
				case "svg":
					width, height = at["width"], at["height"]
				case "rect", "text":
					if at["x"] < 0 || at["x"]+at["width"] > width || at["y"]+at["height"] > height {
						t.Errorf("%s: %v stands outside of %.0f × %.0f", name, tok, width, height)
					}
				}
				for _, a := range tok.Attr {
					if a.Name.Local == "class" && a.Value == "card" {
						cards++
					}
					if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
						t.Errorf("%s: %s=%q", name, a.Name.Local, a.Value)
					}
				}
			case xml.CharData:
				words += string(tok) + " "
			}
		}
		if cards < len(g.Resources) {
			t.Errorf("%s: %d cards for %d resources", name, cards, len(g.Resources))
		}
		for _, r := range g.Resources {
			if !strings.Contains(words, r.Name) || !strings.Contains(dot.String(), r.Name) || !strings.Contains(plan.String(), r.Name) {
				t.Errorf("%s: %s is not drawn or not told", name, r.Name)
			}
		}
		if strings.Count(dot.String(), "{") != strings.Count(dot.String(), "}") {
			t.Errorf("%s: braces of the DOT text do not match", name)
		}
	}
}
