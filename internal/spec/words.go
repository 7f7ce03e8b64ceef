package spec

import (
	"strings"
	"unicode"
)

// words splits a name as APIs write them (customerId, customer_id, customer-id,
// CustomerID, HTTPStatus2) into lower-case words.
func words(name string) []string {
	var out []string
	// Names are ASCII, nearly always: then a word is a part of the name, and costs nothing.
	n, at := len(name), func(i int) rune { return rune(name[i]) }
	part := func(from, to int) string { return name[from:to] }
	if !isASCII(name) {
		runes := []rune(name)
		n, at = len(runes), func(i int) rune { return runes[i] }
		part = func(from, to int) string { return string(runes[from:to]) }
	}
	start := -1
	flush := func(end int) {
		if start >= 0 {
			out = append(out, strings.ToLower(part(start, end)))
		}
		start = -1
	}
	class := func(r rune) int {
		switch {
		case 'a' <= r && r <= 'z':
			return 2
		case unicode.IsUpper(r):
			return 1
		case unicode.IsLetter(r):
			return 2
		case unicode.IsDigit(r):
			return 3
		}
		return 0
	}
	// The s of "customerIDs" belongs to the ID.
	pluralAbbreviation := func(i int) bool { return at(i) == 's' && (i+1 == n || !unicode.IsLower(at(i+1))) }
	p := 0
	for i := range n {
		c := class(at(i))
		if c == 0 {
			flush(i)
			p = c
			continue
		}
		if start >= 0 {
			switch {
			case c == 3 != (p == 3): // letters and digits part
				flush(i)
			case c == 1 && p == 2: // customerId
				flush(i)
			case c == 1 && p == 1 && i+1 < n && class(at(i+1)) == 2 && !pluralAbbreviation(i+1): // HTTPStatus
				flush(i)
			}
		}
		if start < 0 {
			start = i
		}
		p = c
	}
	flush(n)
	return out
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// irregular are plurals whose singular no rule below finds.
var irregular = map[string]string{
	"people": "person", "persons": "person", "children": "child", "men": "man", "women": "woman", "mice": "mouse", "geese": "goose",
	"feet": "foot", "teeth": "tooth", "oxen": "ox", "indices": "index", "indexes": "index", "matrices": "matrix", "vertices": "vertex",
	"appendices": "appendix", "criteria": "criterion", "phenomena": "phenomenon", "curricula": "curriculum", "memoranda": "memorandum",
	"movies": "movie", "cookies": "cookie", "ties": "tie", "pies": "pie", "lies": "lie", "calories": "calorie", "selfies": "selfie", "zombies": "zombie",
	"statuses": "status", "aliases": "alias", "viruses": "virus", "bonuses": "bonus", "campuses": "campus", "buses": "bus", "censuses": "census",
	"gases": "gas", "lenses": "lens", "atlases": "atlas", "canvases": "canvas", "biases": "bias", "menus": "menu", "gurus": "guru",
	"analyses": "analysis", "bases": "base", "crises": "crisis", "diagnoses": "diagnosis", "hypotheses": "hypothesis", "theses": "thesis",
	"parentheses": "parenthesis", "synopses": "synopsis", "axes": "axis", "oases": "oasis", "emphases": "emphasis", "prognoses": "prognosis",
	"caches": "cache", "headaches": "headache", "niches": "niche", "avalanches": "avalanche", "psyches": "psyche",
	"leaves": "leaf", "shelves": "shelf", "wolves": "wolf", "halves": "half", "knives": "knife", "lives": "life", "wives": "wife",
	"thieves": "thief", "loaves": "loaf", "calves": "calf", "elves": "elf", "selves": "self",
	"heroes": "hero", "potatoes": "potato", "tomatoes": "tomato", "echoes": "echo", "vetoes": "veto", "torpedoes": "torpedo", "cargoes": "cargo",
	"quizzes": "quiz", "shoes": "shoe", "toes": "toe", "foes": "foe", "sizes": "size", "prizes": "prize", "mazes": "maze", "axles": "axle", "archives": "archive",
}

// unchanging are words that look like plurals and are none, or are both.
var unchanging = map[string]bool{
	"news": true, "series": true, "species": true, "data": true, "media": true, "metadata": true, "info": true, "sms": true, "dns": true, "https": true,
	"address": true, "access": true, "process": true, "business": true, "status": true, "alias": true, "bias": true, "canvas": true, "atlas": true, "gas": true, "lens": true,
	"plus": true, "bus": true, "bonus": true, "virus": true, "campus": true, "census": true, "radius": true, "focus": true, "analysis": true, "basis": true, "axis": true,
	"diagnosis": true, "thesis": true, "chassis": true, "this": true, "has": true, "is": true, "was": true, "its": true, "us": true, "yes": true, "gps": true, "tls": true, "css": true, "js": true,
	"aws": true, "ads": false, "always": true, "previous": true, "address2": true, "corps": true, "aircraft": true, "sheep": true, "fish": true, "equipment": true, "software": true, "hardware": true,
	"rss": true, "os": true, "ios": true, "pos": true, "saas": true, "sos": true, "cvs": true, "vpcs": false, "progress": true, "success": true, "class": true, "express": true, "wireless": true,
}

// singular is the singular of a lower-case English noun; a word that is no
// plural is returned as it is.
func singular(w string) string {
	if s, ok := irregular[w]; ok {
		return s
	}
	if unchanging[w] || len(w) < 3 || w[len(w)-1] != 's' {
		return w
	}
	ends := func(s string) bool { return strings.HasSuffix(w, s) }
	switch {
	case ends("ss") || ends("us") || ends("is"):
		return w
	case ends("ies") && len(w) > 4:
		return w[:len(w)-3] + "y"
	case ends("sses") || ends("xes") || ends("ches") || ends("shes") || ends("zzes"):
		return w[:len(w)-2]
	}
	return w[:len(w)-1]
}

func isPlural(w string) bool { return singular(w) != w }

// resourceName makes a resource's name of a noun as a path or property writes
// it: its words in lower case, joined by "_", the last in the singular.
func resourceName(noun string) string {
	w := words(noun)
	if len(w) == 0 {
		return ""
	}
	w[len(w)-1] = singular(w[len(w)-1])
	return strings.Join(w, "_")
}

// Words splits a name as APIs write them (customerId, customer_id, customer-id,
// CustomerID, HTTPStatus2) into lower-case words.
func Words(name string) []string { return words(name) }

// Singular is the singular of a lower-case English noun; a word that is no
// plural is returned as it is.
func Singular(word string) string { return singular(word) }

// ResourceName makes a resource's name of a noun as a path or property writes
// it: its words in lower case, joined by "_", the last in the singular.
func ResourceName(noun string) string { return resourceName(noun) }
