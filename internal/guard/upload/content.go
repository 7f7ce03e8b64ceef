package upload

import (
	"bytes"
	"html"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/gabriel-vasile/mimetype"
)

// hidden says what else is in content that is of a harmless type, or "". scripts
// says that server-side scripts are taken.
func hidden(content []byte, kind *mimetype.MIME, scripts bool) string {
	kinds := chain(kind)
	switch {
	case kind.Is("image/svg+xml"):
		return activeSVG(content)
	case contains(kinds, "text/xml"):
		if entities.Match(content) {
			return "XML with entities of its own (CWE-611)"
		}
	case contains(kinds, "text/plain"):
		// The library knows scripts by how they begin; servers run them from anywhere.
		if !scripts && (indexFold(content, "<?php") >= 0 || bytes.Contains(content, []byte("<?=")) || indexFold(content, "<jsp:") >= 0 || bytes.Contains(content, []byte("<%@"))) {
			return "a server-side script"
		}
	default:
		if indexFold(content, "<?php") >= 0 {
			return "PHP inside of another format"
		}
		if len(kinds) > 0 && strings.HasPrefix(kinds[0], "image/") && indexFold(content, "<script") >= 0 {
			return "a script inside of an image"
		}
	}
	return ""
}

var (
	entities = regexp.MustCompile(`(?i)<!ENTITY|<!DOCTYPE[^>\[]*\[`)
	// What makes a browser run or fetch something out of an SVG.
	svgActive = regexp.MustCompile(`<(?:[\w.-]+:)?(?:script|foreignobject|iframe|embed|object|handler|listener|set|audio|video|meta|link)\b|[\s"'/](?:on[a-z]{2,}|formaction)\s*=|javascript:|vbscript:|data:text/|data:application/|data:image/svg|<\?xml-stylesheet|@import|<!entity|<!doctype[^>\[]*\[`)
	spaces    = strings.NewReplacer("\t", "", "\n", "", "\r", "", "\x00", "")
)

// activeSVG looks for scripts in an SVG as a browser would see it: entities
// resolved, and once more without the white space that URLs may hold.
func activeSVG(content []byte) string {
	if !utf8.Valid(content) {
		return "SVG that is not UTF-8, so that it cannot be looked through"
	}
	low := strings.ToLower(string(content))
	open := html.UnescapeString(low)
	for _, s := range []string{low, open, spaces.Replace(open)} {
		if svgActive.MatchString(s) {
			return "SVG with active content"
		}
	}
	return ""
}

// indexFold finds an ASCII needle, which begins with "<", in any case.
func indexFold(b []byte, needle string) int {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], needle[0])
		if i < 0 || at+i+len(needle) > len(b) {
			return -1
		}
		at += i
		if strings.EqualFold(string(b[at:at+len(needle)]), needle) {
			return at
		}
		at++
	}
}
