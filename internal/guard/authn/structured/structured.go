// Package structured reads structured fields (RFC 9651) that are evidence: in
// one reading only.
//
// In: the lines of a field. Out: its dictionary, or why there is none. Parsers
// keep the last of two members of one name; what is repeated is refused here,
// since another reader may keep the first.
package structured

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dunglas/httpsfv"
)

// Dictionary reads a field of at most so many bytes. name is for the error.
func Dictionary(name string, lines []string, most int) (*httpsfv.Dictionary, error) {
	text := strings.Join(lines, ", ")
	if len(text) > most {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, most)
	}
	if len(lines) == 0 {
		return nil, errors.New(name + " is missing")
	}
	d, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil {
		return nil, fmt.Errorf("%s is not a dictionary: %w", name, err)
	}
	again, err := httpsfv.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if dense(again) != dense(text) {
		return nil, errors.New(name + " repeats a name, or is not written as RFC 9651 serialises it")
	}
	return d, nil
}

// dense is s without the white space that a structured field may or may not have.
func dense(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' {
			return -1
		}
		return r
	}, s)
}
