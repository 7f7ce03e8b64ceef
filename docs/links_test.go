// Package docs holds what users read. Its tests hold the pages to the repository:
// a link that leads nowhere is a mistake like any other.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

const root = ".."

var (
	fence   = regexp.MustCompile("(?ms)^[ \t]*```.*?^[ \t]*```[ \t]*$")
	span    = regexp.MustCompile("`[^`\n]*`")
	link    = regexp.MustCompile(`\]\(\s*<?([^)>\s]+)>?(?:\s+"[^"]*")?\s*\)`)
	source  = regexp.MustCompile(`<(?:img|a|source)\s[^>]*?(?:src|href|srcset)="([^"]+)"`)
	heading = regexp.MustCompile(`(?m)^#{1,6}\s+(.+?)\s*#*\s*$`)
	scheme  = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:`)
)

// TestLinks follows every relative link of every page, to the heading.
func TestLinks(t *testing.T) {
	pages := markdownFiles(t)
	if len(pages) < 10 {
		t.Fatalf("only %d pages found: the walk is wrong", len(pages))
	}
	for _, page := range pages {
		for _, target := range links(read(t, page)) {
			if err := follow(t, page, target); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

// TestIndexed finds pages that no reader of the index would find.
func TestIndexed(t *testing.T) {
	index := read(t, filepath.Join(root, "docs", "README.md"))
	for _, page := range markdownFiles(t) {
		name, err := filepath.Rel(filepath.Join(root, "docs"), page)
		if err != nil {
			t.Fatal(err)
		}
		name = filepath.ToSlash(name)
		if strings.HasPrefix(name, "..") || name == "README.md" {
			continue
		}
		if !slices.Contains(links(index), name) {
			t.Errorf("docs/README.md does not lead to %s", name)
		}
	}
}

func TestFollow(t *testing.T) {
	for target, ok := range map[string]bool{
		"README.md":                                 true,
		"../docs/README.md":                         true,
		"guards/":                                   true,
		"no-such-page.md":                           false,
		"configuration.md#server":                   true,
		"configuration.md#no-such-heading":          false,
		"guards/README.md#" + slug("Modes"):         true,
		"configuration.md#" + slug("server.tls"):    true,
		"configuration.md#" + slug("apis[].guards"): true,
	} {
		if err := follow(t, filepath.Join(root, "docs", "README.md"), target); (err == nil) != ok {
			t.Errorf("%s: %v, want found %v", target, err, ok)
		}
	}
	if got := links("[a](x.md) `[b](y.md)`\n```\n[c](z.md)\n```\n<img src=\"w.svg\"> [d](https://example.com)"); !slices.Equal(got, []string{"x.md", "w.svg"}) {
		t.Errorf("links found: %v", got)
	}
}

// markdownFiles are the pages of the repository, without what is made or fetched.
func markdownFiles(t *testing.T) []string {
	t.Helper()
	var pages []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"bin", "dist", "node_modules", "corpus", "testdata"}, d.Name())) {
			return filepath.SkipDir
		}
		if !d.IsDir() && filepath.Ext(path) == ".md" {
			pages = append(pages, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// links are the relative links of a page, outside of code.
func links(text string) []string {
	text = span.ReplaceAllString(fence.ReplaceAllString(text, ""), "")
	var out []string
	for _, m := range slices.Concat(link.FindAllStringSubmatch(text, -1), source.FindAllStringSubmatch(text, -1)) {
		if !scheme.MatchString(m[1]) && !strings.HasPrefix(m[1], "//") {
			out = append(out, m[1])
		}
	}
	return out
}

func follow(t *testing.T, page, target string) error {
	t.Helper()
	name, fragment, _ := strings.Cut(target, "#")
	path := page
	if name != "" {
		path = filepath.Join(filepath.Dir(page), filepath.FromSlash(name))
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("%s leads nowhere: %w", target, err)
	}
	if fragment != "" && filepath.Ext(path) == ".md" && !slices.Contains(anchors(read(t, path)), fragment) {
		return fmt.Errorf("%s: the page has no such heading", target)
	}
	return nil
}

// anchors are the names that a page's headings are linked by.
func anchors(text string) []string {
	var out []string
	seen := map[string]int{}
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		s := slug(m[1])
		if n := seen[s]; n > 0 {
			out = append(out, fmt.Sprintf("%s-%d", s, n))
		} else {
			out = append(out, s)
		}
		seen[s]++
	}
	return out
}

// slug is what forges make of a heading: lower case, no punctuation, hyphens for spaces.
func slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		case r == ' ':
			return '-'
		}
		return -1
	}, heading)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
