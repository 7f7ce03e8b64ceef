package scenario

import (
	"slices"
	"time"
)

// Scenario is a story that proves one thing when every step goes as expected.
type Scenario struct {
	Name  string `yaml:"name"`
	Steps []Step `yaml:"steps"`
}

// Part says what a step is in the argument.
type Part string

// The parts. When a step does not go as expected, a setup makes the outcome
// inconclusive; a control, an attack or an observation refutes it. Cleanup is
// run whatever happened, and proves nothing.
const (
	Setup   Part = "setup"
	Control Part = "control"
	Attack  Part = "attack"
	Observe Part = "observe"
	Cleanup Part = "cleanup"
)

// Step is one request, or one computation. Texts may hold placeholders:
//
//	${name}            a value saved or computed by an earlier step of this run
//	${name|filter}     filters: json, url, base64, base64url, hex, upper, lower, raw
//	${canary.NAME}     a text unique to this run and NAME, the same at each use: letters and digits
//	${number.NAME}     the same as a number of 9 digits
//	${uuid.NAME}       the same as a UUID
//	${run.id}          the run's id
//	${actor.FACT}      as in ${user.email}, ${user.token}: facts of an actor; token is the value of its first credential
//	${listener.NAME}   an address of the built-in listener, unique to this run and NAME: "http://127.0.0.1:41234/k3j…"
//	${listener.NAME.host}  its host and port
//	${listener.NAME.name}  a name for it that only the listener resolves
//	${now}             Unix seconds
//	${target.host}     host and port of the target, as a Host header has them; ${target.base} its base path
//
// A placeholder is encoded for where it stands: path segment, query value,
// header value without line breaks, and in a JSON body as a string's inside
// between quotes, or as a JSON value outside quotes. |raw puts it in as it is.
type Step struct {
	ID   string `yaml:"id"`
	Part Part   `yaml:"part,omitempty"` // "" is Attack
	Note string `yaml:"note,omitempty"` // for people: "carol reads alice's order"
	As   string `yaml:"as,omitempty"`   // actor; "" nobody; "freshN" an account registered for this run; "again-ACTOR" another session of that actor

	// Send is the request, nil for a step that only computes or waits.
	Send *Send `yaml:"send,omitempty"`
	// Handshake and Raw stand in its place: a step has one of the three at most.
	Handshake *Handshake `yaml:"handshake,omitempty"`
	Raw       *Raw       `yaml:"raw,omitempty"`
	// Compute sets variables before the request is made, in order.
	Compute []Compute `yaml:"compute,omitempty"`
	// Wait goes before the request.
	Wait time.Duration `yaml:"wait,omitempty"`
	// Times sends the request so often, one after the other; 0: once.
	Times int `yaml:"times,omitempty"`
	// Together sends Times requests at the same moment (last bytes released together).
	Together bool `yaml:"together,omitempty"`

	// Serve says what the listener answers from this step on, to whom it is called by.
	Serve []Serve `yaml:"serve,omitempty"`

	Save   []Save   `yaml:"save,omitempty"`
	Expect []Expect `yaml:"expect,omitempty"`
}

// Serve is what callers of one of the listener's addresses get.
type Serve struct {
	Listener string `yaml:"listener"`         // its name, as in ${listener.NAME}
	Status   int    `yaml:"status,omitempty"` // 0: 200
	Type     string `yaml:"type,omitempty"`   // Content-Type; "": application/json
	Header   []Pair `yaml:"header,omitempty"`
	Body     string `yaml:"body,omitempty"` // placeholders stand for their text
}

// Send is a request with placeholders.
type Send struct {
	Method  string   `yaml:"method"`
	Path    string   `yaml:"path"`
	Query   []Pair   `yaml:"query,omitempty"`     // in order
	RawQ    string   `yaml:"raw_query,omitempty"` // instead of Query, sent as it is
	Header  []Pair   `yaml:"header,omitempty"`    // in order; one called as a credential's replaces it
	Body    string   `yaml:"body,omitempty"`
	Base64  string   `yaml:"body_base64,omitempty"` // instead of Body, for what is no text; no placeholders
	Fill    bool     `yaml:"body_fill,omitempty"`   // placeholders in the bytes of Base64 are replaced, as they are
	Type    string   `yaml:"type,omitempty"`        // Content-Type; "" with a body: application/json
	Host    string   `yaml:"host,omitempty"`
	Origin  string   `yaml:"origin,omitempty"`  // another origin that the user named ("http://127.0.0.1:9080") in place of the target; its base path is not used there
	Root    bool     `yaml:"root,omitempty"`    // Path is from the root of the host, the API's base path left out
	Without []string `yaml:"without,omitempty"` // credential parts left out, by name; "*" all
	// Credential replaces the value of the actor's first credential, keeping its
	// place and prefix: forged tokens go here.
	Credential string `yaml:"credential,omitempty"`
}

// Pair is a name and a value.
type Pair struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

// Compute sets Set to what the function Do makes of Args (after placeholders).
type Compute struct {
	Set  string            `yaml:"set"`
	Do   string            `yaml:"do"` // a registered function: "jwt.none", "jwt.hmac", "text.repeat", …
	Args map[string]string `yaml:"args,omitempty"`
}

// Save takes a value out of the step's (last) answer.
type Save struct {
	As string `yaml:"as"`
	// One of these says where from. At is a JSON pointer, in which "*" takes the first element.
	At      string `yaml:"at,omitempty"`
	Header  string `yaml:"header,omitempty"`
	Cookie  string `yaml:"cookie,omitempty"`
	Pattern string `yaml:"pattern,omitempty"` // first group of a regular expression over the body, or over the header when both are given; placeholders stand for their text
	// Optional: it is no failure that there is none.
	Optional bool `yaml:"optional,omitempty"`
}

// Expect is one expectation of a step; all fields that are set must hold.
type Expect struct {
	Status   string   `yaml:"status,omitempty"`   // "200", "2xx", "!2xx", "4xx|302", "any" (there is an answer)
	Contains []string `yaml:"contains,omitempty"` // texts that the answer holds: in the raw body, or in a decoded JSON string or number
	Lacks    []string `yaml:"lacks,omitempty"`
	At       string   `yaml:"at,omitempty"` // JSON pointer ("*": any element) whose value …
	Equals   *string  `yaml:"equals,omitempty"`
	Differs  *string  `yaml:"differs,omitempty"` // … is there, and is not this
	Missing  bool     `yaml:"missing,omitempty"` // … is not there
	MinItems int      `yaml:"min_items,omitempty"`
	MaxItems *int     `yaml:"max_items,omitempty"`
	Longer   string   `yaml:"longer,omitempty"`  // the list at At has more elements than it had in that earlier step's answer
	Header   string   `yaml:"header,omitempty"`  // a header that is there, and with Matches matches
	Matches  string   `yaml:"matches,omitempty"` // regular expression, over the header named, the value at At, or the body
	// Like and Unlike compare with an earlier step's answer: same status and same
	// body once what is known to vary (times, ids, canaries) is taken out.
	Like   string `yaml:"like,omitempty"`
	Unlike string `yaml:"unlike,omitempty"`
	// Slower: at least By longer than the slowest of that step's samples, at every one of this step's Times.
	Slower string        `yaml:"slower,omitempty"`
	By     time.Duration `yaml:"by,omitempty"`
	// Steady: of a step sent Times times, no three answers in a row took so much
	// longer than its first ones did. The rest is not sent once they have.
	Steady time.Duration `yaml:"steady,omitempty"`
	// Within: of a step sent Times times, from the first request's sending to the
	// last answer's end no more time passed.
	Within time.Duration `yaml:"within,omitempty"`
	// Called: the listener of that name was called within By (0: 3 s).
	Called string `yaml:"called,omitempty"`
	// Gone: after the step the target answers nobody, for a while or for good.
	// Harmless requests with By (0: 3 s) for an answer tell.
	Gone bool `yaml:"gone,omitempty"`
	// Uncalled: it was not, within By.
	Uncalled string `yaml:"uncalled,omitempty"`
	// LookedUp: somebody looked up the name of the listener of that name within By
	// (0: 3 s); NotLookedUp: nobody did. A call of its address is no lookup.
	LookedUp    string `yaml:"looked_up,omitempty"`
	NotLookedUp string `yaml:"not_looked_up,omitempty"`
	// Answers is how many answers came to what a raw step sent, exactly; Answer is
	// which of them the other fields are about, 1 the first (0: all bytes that came,
	// with the first one's status and header).
	Answers *int `yaml:"answers,omitempty"`
	Answer  int  `yaml:"answer,omitempty"`
	// Count of a step sent Times times: how many answers met Status. The rest is not
	// sent once more than AtMost have.
	AtLeast int  `yaml:"at_least,omitempty"`
	AtMost  *int `yaml:"at_most,omitempty"`
}

// Verdict is what a run of a scenario showed.
type Verdict string

// The verdicts.
const (
	Proven       Verdict = "proven"
	Refuted      Verdict = "refuted"
	Inconclusive Verdict = "inconclusive"
)

// Limits reports whether a scenario repeats a step: what it looks at may be the limit
// of how often a call is taken.
func (s *Scenario) Limits() bool {
	return slices.ContainsFunc(s.Steps, func(st Step) bool { return st.Times > 5 })
}
