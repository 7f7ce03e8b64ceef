package graph

import (
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/schema"
)

// Graph is an API as an attacker sees it. Its fields are what the description
// says; they do not change after Build but by Settle, so they may be read from
// anywhere. What answers teach meanwhile (Observe) is in what the methods
// Outputs, Producers and Answer give, and moves into the fields with Settle.
type Graph struct {
	API       *spec.API
	Ops       []*Op // in document order
	Resources []*Resource
	// Carriers are the places in which requests carry a caller's credentials, as
	// far as the description says or implies, the likeliest first.
	Carriers []Carrier

	byRoute   map[string]*Op
	byPath    map[string][]*Op
	byName    map[string]*Resource
	roleLists [][]string
	learned   *learned
}

// Carrier is a place for a credential.
type Carrier struct {
	In     string               // "header", "cookie", "query"
	Name   string               // "Authorization", "X-Auth-Token", "sid"
	Prefix string               // "Bearer ", "Token ", "Basic "; "" when the credential stands alone or nobody says
	Scheme *spec.SecurityScheme // nil: implied
	Why    string
}

// Kind is what an operation does to its resource.
type Kind string

// The kinds. Action is anything else: pay, cancel, search, a procedure call.
const (
	Create Kind = "create"
	List   Kind = "list"
	Read   Kind = "read"
	Update Kind = "update" // PATCH, or PUT of an existing object
	Delete Kind = "delete"
	Action Kind = "action"
)

// Purpose is what an operation is for, beyond its kind. One may have several.
type Purpose string

// The purposes that checks and actors look for.
const (
	Login          Purpose = "login"
	Register       Purpose = "register"
	Refresh        Purpose = "refresh"
	Logout         Purpose = "logout"
	WhoAmI         Purpose = "who-am-i"
	PasswordForgot Purpose = "password-forgot" // asks for a reset
	PasswordReset  Purpose = "password-reset"  // sets a new password with a token or code
	PasswordChange Purpose = "password-change" // of the one who is logged in
	SecondFactor   Purpose = "second-factor"   // OTP, TOTP, verification code
	Verify         Purpose = "verify"          // confirms an address or an account
	Payment        Purpose = "payment"
	Coupon         Purpose = "coupon" // redeem, vote, claim: meant to work once
	Transfer       Purpose = "transfer"
	Upload         Purpose = "upload"
	Download       Purpose = "download"
	Webhook        Purpose = "webhook" // takes an address that the API will call
	Search         Purpose = "search"
	Export         Purpose = "export"
	Batch          Purpose = "batch"
	Admin          Purpose = "admin"
	Debug          Purpose = "debug"
	Health         Purpose = "health"
	Hazard         Purpose = "hazard" // resets, wipes or destroys what others share
)

// Op is one operation.
type Op struct {
	*spec.Operation
	Kind     Kind
	About    *Resource // nil: none
	Parent   *Resource // that the path nests it under, nil: none
	Purposes map[Purpose]Guess
	Inputs   []*Input  // parameters, and every leaf of the body
	Outputs  []*Output // every leaf of the successful answers
	Secured  bool      // the description (or what it implies) asks for credentials
	// SecuredWhy says what makes it Secured, "" when nothing does.
	SecuredWhy string
	// Objects are the objects that the path's variables name, one for each of
	// PathParams, nil where one names none.
	Objects []*Resource
	// OnObject: the path ends at one object of About, or acts on one.
	OnObject bool
	// Answered is what the successful answers are: "object", "list", "other", "none".
	Answered string
	// ListAt is the JSON pointer of the list when Answered is "list": "" is the answer itself.
	ListAt string

	media    *spec.MediaType
	route    *route
	logsIn   *Op             // takes the same name and password, and logs in
	password string          // the API's own word for a password, "": it says password
	words    map[string]bool // of path, operationId, tags and summary
	said     map[string]bool // of path and operationId alone
	leaves   *leaves         // of the answer
	object   string          // resource of the path's last noun, before groups were told apart
	under    string          // … and of the object that it lies under
}

// Content is the body's media type that Inputs describe: JSON where the
// operation takes several, nil without a body.
func (op *Op) Content() *spec.MediaType { return op.media }

// Has reports whether op is for p with at least an even chance.
func (op *Op) Has(p Purpose) bool { return op.Purposes[p].Score >= 0.5 }

// Guess is a judgement with its reason.
type Guess struct {
	Score float64 // 0 to 1
	Why   string
}

// Resource is a kind of object.
type Resource struct {
	Name     string // singular, lower case, words joined by "_"
	Parent   *Resource
	IsPerson bool     // users, customers, accounts: the callers themselves
	IsTenant bool     // companies, organisations, workspaces
	Ops      []*Op    // all that are about it
	IDs      []string // names of the fields that identify it, the best first: "id", "order_id", "uuid"
	Owners   []string // names of its fields that say whose it is, the best first: "owner_id", "author/username" below it

	types  map[string]bool // schemas that describe it, as typeName has them
	vars   map[string]int  // names of path variables that identify it
	spoken bool            // operations are about it, or take its objects
	paths  [][]string      // Paths
	// called: remote procedures are about it, which name its objects in their bodies.
	called bool
}

// named reports whether something of the API names single objects of the resource.
func (r *Resource) named() bool { return r != nil && (len(r.vars) > 0 || r.called) }

// Of lists the operations of one kind, the plainest first (fewest required inputs).
func (r *Resource) Of(k Kind) []*Op {
	var out []*Op
	for _, op := range r.Ops {
		if op.Kind == k {
			out = append(out, op)
		}
	}
	return out
}

// Meaning is what kind of value an input wants or an output is, where its
// name, format and type say so.
type Meaning string

// The meanings.
const (
	MeansID        Meaning = "id" // of an object; Object says of which resource
	MeansEmail     Meaning = "email"
	MeansUsername  Meaning = "username"
	MeansPassword  Meaning = "password"
	MeansToken     Meaning = "token" // access, session, refresh, reset, share token
	MeansOTP       Meaning = "otp"
	MeansPhone     Meaning = "phone"
	MeansName      Meaning = "name"
	MeansText      Meaning = "text" // free text: where a canary fits
	MeansURL       Meaning = "url"
	MeansFile      Meaning = "file"     // binary content
	MeansFileName  Meaning = "filename" // or path
	MeansMoney     Meaning = "money"    // price, amount, balance, credit
	MeansQuantity  Meaning = "quantity"
	MeansPageSize  Meaning = "page-size"
	MeansPage      Meaning = "page" // number, offset, cursor
	MeansSort      Meaning = "sort"
	MeansFilter    Meaning = "filter"
	MeansRole      Meaning = "role" // role, permissions, is_admin, verified, plan
	MeansOwner     Meaning = "owner"
	MeansTenant    Meaning = "tenant"
	MeansDate      Meaning = "date"
	MeansCoupon    Meaning = "coupon"
	MeansCallback  Meaning = "callback" // an address that will be called
	MeansStatus    Meaning = "status"   // of a workflow
	MeansCSRF      Meaning = "csrf"
	MeansUndefined Meaning = ""
)

// Input is one value that an operation takes.
type Input struct {
	Op        *Op
	In        string // "path", "query", "header", "cookie", "body"
	Name      string // of the parameter; of a body's leaf, its last name
	Pointer   string // in the body, "*" for any element of a list: "/items/*/sku"; "" otherwise
	Required  bool   // and everything above it is required, too
	ReadOnly  bool
	Schema    *schema.Schema // nil: anything
	Type      string         // "string", "integer", "number", "boolean", "object", "array"; "" unknown
	Format    string
	Meaning   Meaning
	Object    *spec.ObjectRef // the object that it names, or nil
	Class     spec.DataClass
	Producers []*Edge // where its value can come from, the best first
	Listed    bool    // an element of a list

	holder *Resource // of the object that it is a member of
	key    string    // its name without that of its holder's resource
}

// Where names the input in findings and overrides: "path.id", "query.page", "body./items/*/sku".
func (in *Input) Where() string {
	if in.In == "body" {
		return "body." + in.Pointer
	}
	return in.In + "." + in.Name
}

// Output is one value of an operation's successful answers.
type Output struct {
	Op      *Op
	Header  string // name, when it is a header ("Location"); "" for a leaf of the body
	Pointer string // in the body, "*" for any element
	Name    string
	Type    string
	Format  string
	Meaning Meaning
	Object  *spec.ObjectRef
	Owner   bool
	Class   spec.DataClass
	Seen    bool     // a real answer held it (Observe), declared or not
	Values  []string // texts of which the description says that it is one; nil: it does not say

	holder *Resource // of the object that it is a member of
	key    string    // its name without that of its holder's resource
	under  string    // pointer of that object
	joined string    // words of its name, joined by "_"
}

// Edge says that an output can be used as an input.
type Edge struct {
	From  *Output
	To    *Input
	Score float64 // 0 to 1
	Why   string  // "link", "same resource and id", "same name and format", …
}
