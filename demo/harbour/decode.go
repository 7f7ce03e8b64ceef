package harbour

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/mail"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// maxBody bounds every request body; uploads are the largest.
const maxBody = 3 << 20

// maxPage bounds page_size; openapi.yaml says the same.
const maxPage = 100

// decode reads a JSON body into a struct whose fields are all that a caller may
// send: an unknown property is refused, not ignored.
func (c *call) decode(into any) error {
	raw, err := c.jsonBody()
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	err = dec.Decode(into)
	if err != nil {
		if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return invalid("/"+strings.Trim(name, `"`), "unknown property")
		}
		if syntax := (*json.UnmarshalTypeError)(nil); errors.As(err, &syntax) {
			return invalid("/"+strings.ReplaceAll(syntax.Field, ".", "/"), "wrong type")
		}
		return badRequest("The body is not the JSON that this operation takes.", fmt.Errorf("decoding %T: %w", into, err))
	}
	if dec.More() {
		return badRequest("There is something after the JSON body.", nil)
	}
	return nil
}

func (c *call) jsonBody() ([]byte, error) {
	err := c.contentType("application/json")
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(c.r.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	if !utf8.Valid(raw) {
		return nil, badRequest("The body is not UTF-8.", nil)
	}
	return raw, nil
}

func (c *call) contentType(want string) error {
	got, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || got != want {
		return problem(http.StatusUnsupportedMediaType, "unsupported_media_type", "This operation takes "+want+".")
	}
	return nil
}

func (c *call) send(status int, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(append(raw, '\n')) // the client is gone if this fails
	return nil
}

func (c *call) sendNothing() error {
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// pathInt reads a numeric id from the path.
func (c *call) pathInt(name string) (int64, error) {
	n, err := strconv.ParseInt(c.r.PathValue(name), 10, 32)
	if err != nil || n < 1 {
		return 0, invalid(name, "a whole number from 1 to 2147483647 is needed")
	}
	return n, nil
}

func (c *call) pathUUID(name string) (string, error) {
	id, err := uuid.Parse(c.r.PathValue(name))
	if err != nil || id.String() != c.r.PathValue(name) {
		return "", invalid(name, "a UUID is needed")
	}
	return id.String(), nil
}

// checkQuery refuses parameters that the route does not take, or that come twice.
func (c *call) checkQuery(allowed []string) error {
	for name, values := range c.r.URL.Query() {
		if !slices.Contains(allowed, name) {
			return invalid(name, "unknown parameter")
		}
		if len(values) > 1 {
			return invalid(name, "given more than once")
		}
	}
	return nil
}

func (c *call) param(name string) string { return c.r.URL.Query().Get(name) }

// intParam reads a whole number from 1 to most from the query.
func (c *call) intParam(name string, absent, most int64) (int64, error) {
	text := c.param(name)
	if text == "" {
		return absent, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, invalid(name, fmt.Sprintf("a whole number from 1 to %d is needed", most))
	}
	return n, nil
}

// page is one page of a list.
type page[T any] struct {
	Items    []T   `json:"items"`
	Page     int64 `json:"page"`
	PageSize int64 `json:"page_size"`
	Total    int64 `json:"total"`
}

func (c *call) pageParams(most int64) (number, size int64, err error) {
	number, err = c.intParam("page", 1, 10_000)
	if err != nil {
		return 0, 0, err
	}
	size, err = c.intParam("page_size", 20, most)
	return number, size, err
}

// checker collects what is wrong with a request, so that one mistake does not hide another.
type checker struct{ bad []FieldError }

var (
	reText     = regexp.MustCompile(`^[^\x00-\x1f\x7f]*$`)
	rePhone    = regexp.MustCompile(`^\+[0-9]{6,15}$`)
	rePostcode = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 -]{1,10}$`)
	reCountry  = regexp.MustCompile(`^[A-Z]{2}$`)
	reTracking = regexp.MustCompile(`^HB[2-9A-HJ-NP-Z]{10}$`)
	reRef      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9/_-]{0,39}$`)
	reCoupon   = regexp.MustCompile(`^[A-Z0-9]{6,16}$`)
	reIBAN     = regexp.MustCompile(`^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$`)
	rePAN      = regexp.MustCompile(`^[0-9]{13,19}$`)
	reExpiry   = regexp.MustCompile(`^(0[1-9]|1[0-2])/[0-9]{2}$`)
	reFileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,40}\.[a-z0-9]{1,5}$`)
	reClock    = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)
)

func (k *checker) fault(at, why string) { k.bad = append(k.bad, FieldError{at, why}) }

// text takes any printable text of least to most characters.
func (k *checker) text(at, v string, least, most int) {
	n := utf8.RuneCountInString(v)
	if n < least || n > most {
		k.fault(at, fmt.Sprintf("%d to %d characters are needed", least, most))
	} else if !reText.MatchString(v) {
		k.fault(at, "control characters are not allowed")
	}
}

func (k *checker) match(at, v string, re *regexp.Regexp) {
	if !re.MatchString(v) {
		k.fault(at, "does not match "+re.String())
	}
}

// optional applies the pattern unless the value is empty.
func (k *checker) optional(at, v string, re *regexp.Regexp) {
	if v != "" {
		k.match(at, v, re)
	}
}

func (k *checker) email(at, v string) {
	a, err := mail.ParseAddress(v)
	if err != nil || a.Address != v || len(v) > 120 || !reText.MatchString(v) {
		k.fault(at, "an e-mail address is needed")
	}
}

func (k *checker) number(at string, v, least, most int64) {
	if v < least || v > most {
		k.fault(at, fmt.Sprintf("a whole number from %d to %d is needed", least, most))
	}
}

func (k *checker) oneOf(at, v string, of ...string) {
	if !slices.Contains(of, v) {
		k.fault(at, "one of "+strings.Join(of, ", ")+" is needed")
	}
}

func (k *checker) uuid(at, v string) {
	id, err := uuid.Parse(v)
	if err != nil || id.String() != v {
		k.fault(at, "a UUID is needed")
	}
}

// some refuses a change that changes nothing.
func (k *checker) some(given ...bool) {
	if !slices.Contains(given, true) {
		k.fault("", "at least one property is needed")
	}
}

func (k *checker) err() error {
	if len(k.bad) == 0 {
		return nil
	}
	p := invalid("", "")
	p.Errors = k.bad
	return p
}
