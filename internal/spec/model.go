package spec

import (
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// Version is the family of OpenAPI that a document was written in.
type Version uint8

// The families that are loaded.
const (
	OpenAPI20 Version = iota + 1
	OpenAPI30
	OpenAPI31
)

// API is one API's model: what its OpenAPI document says, compiled. It is
// immutable and safe for concurrent use; a reload makes a new one.
type API struct {
	Title           string
	Description     string // info.description: what the document says of the API at length, Markdown
	APIVersion      string // info.version
	Version         Version
	Source          string // file or URL it was loaded from
	Digest          string // SHA-256 of the documents read, hex
	Servers         []Server
	Operations      []*Operation // in document order; Operation.Index is the place here
	Schemas         map[string]*schema.Schema
	SecuritySchemes map[string]*SecurityScheme
	Webhooks        []string // names; what the API sends is not routed
	Extensions      map[string]any
	Documents       []string // every document read, the root first
	Problems        []Problem

	router *router
}

// Server is one entry of servers (or 2.0's schemes, host and basePath), its
// variables replaced by their defaults; one
// entry for each value of a variable that the path holds and an enum lists.
type Server struct {
	URL      string // as written, variables replaced
	Host     string // "" when relative
	BasePath string // "" or "/v1": starts with a slash, ends without
}

// Operation is one method on one path template.
type Operation struct {
	Index   int
	ID      string // operationId, or "METHOD /path" where there is none
	Method  string // upper case
	Path    string // template, as written, without the base path
	Summary string
	// Description is what the document says of it at length, Markdown.
	Description string
	Tags        []string
	Deprecated  bool
	Parameters  []*Parameter // path-level and operation-level merged
	PathParams  []*Parameter // in the order of the template's variables
	Body        *Body        // nil: none declared
	Responses   []*Response
	// Security lists alternatives (OR); each is a set of schemes that must all
	// hold (AND). Empty and Public false cannot both be: no security declared
	// anywhere is Public with SecurityDeclared false.
	Security         []Requirement
	Public           bool // the document allows calls without credentials
	SecurityDeclared bool // security was stated, here or at the top level
	SecurityOwn      bool // it was stated here: at the top level it is a default, which many documents do not keep to
	// Object is the resource object that the path addresses, nil for collections.
	Object     *ObjectRef
	Resource   string         // singular resource name the path is about, "" when unknown
	Extensions map[string]any // x-…: decoded JSON
	Servers    []Server       // the servers that hold for it: its own, its path's or the API's
	Callbacks  []*Callback
	// AuthorizationHeader: a header parameter called Authorization is declared.
	// OpenAPI 3 has it ignored, so it is none of Parameters there; still it says
	// that credentials are expected.
	AuthorizationHeader bool
	// AuthorizationText is what that parameter's description and examples say.
	AuthorizationText string
	// Unroutable says why no request can reach the operation, "" when one can:
	// another has the same method and the same path, or only a query tells them apart.
	Unroutable string
	Place      Place
}

// Callback is a request that the API promises to send to an address that the
// caller gave it.
type Callback struct {
	Name       string
	Expression string // runtime expression that yields the address: "{$request.body#/callbackUrl}"
	Methods    []string
	Place      Place
}

// Link says that a value of a response is a parameter of another operation.
type Link struct {
	Name        string
	Target      *Operation        // nil when it names none that exists
	Parameters  map[string]string // parameter of Target ("id" or "path.id"): runtime expression or constant
	RequestBody string            // runtime expression or constant, "" for none
	Place       Place
}

// Requirement is one alternative of an operation's security: all must hold.
type Requirement []SchemeUse

// SchemeUse names a security scheme and the scopes (or roles) demanded of it.
type SchemeUse struct {
	Scheme *SecurityScheme
	Scopes []string
}

// SecurityScheme is one entry of components.securitySchemes. Where a
// requirement names one that does not exist, its Type is "" and nobody can meet it.
type SecurityScheme struct {
	Name             string // the key in components
	Description      string
	Type             string // "apiKey", "http", "oauth2", "openIdConnect", "mutualTLS"
	Scheme           string // http: "bearer", "basic", …, lower case
	In               string // apiKey: "header", "query", "cookie"
	Key              string // apiKey: name of the header, parameter or cookie
	BearerFormat     string
	OpenIDConnectURL string
	Scopes           map[string]string // oauth2: every scope of every flow
	TokenURLs        []string
}

// Parameter is one declared parameter.
type Parameter struct {
	Name            string
	In              string // "path", "query", "header", "cookie"
	Description     string
	Required        bool
	Deprecated      bool
	Style           string // "simple", "form", "deepObject", …: default filled in; 2.0's tsv is "tabDelimited"
	Explode         bool
	AllowReserved   bool
	AllowEmptyValue bool
	Example         *value.Value
	ContentType     string         // set when the parameter uses content instead of schema
	Schema          *schema.Schema // nil: anything
	Shape           *Shape         // how its text is taken apart; nil: anything
	Object          *ObjectRef     // the resource object that the value names, or nil
	Class           DataClass
	Place           Place

	meant       bool   // Object and Class were looked for
	format, typ string // of its schema
}

// Body is a declared request body.
type Body struct {
	Required bool
	Content  []*MediaType
}

// Response is one declared response.
type Response struct {
	Status string // "200", "4XX", "default"
	// Description is what the document says of it, Markdown.
	Description string
	Headers     []*Parameter
	Content     []*MediaType
	Links       []*Link
}

// MediaType is one entry of content.
type MediaType struct {
	Type     string // lower case, no parameters: "application/json", "image/*", "*/*"
	Schema   *schema.Schema
	Encoding map[string]*Encoding // by property; multipart and form bodies
	Shape    *Shape               // of a body without types (a form, multipart, XML); nil otherwise
	// Fields describes what each field of the body means, by JSON pointer
	// pattern ("/items/*/owner_id").
	Fields   []Field
	Examples []*value.Value
}

// Encoding is OpenAPI's Encoding Object.
type Encoding struct {
	ContentType string
	Style       string
	Explode     bool
	Headers     []*Parameter
}

// Field is what is known of one leaf of a body.
type Field struct {
	Pointer             string // "*" stands for any array index or map key
	Object              *ObjectRef
	Owner               bool // names the owner (user or tenant) of the enclosing object
	Class               DataClass
	ReadOnly, WriteOnly bool
}

// ObjectRef says that a value names one object of a resource.
type ObjectRef struct {
	Resource string // singular, lower case, words joined by "_": "order", "delivery_slot"
	Param    string // parameter or field that names it
}

// DataClass is what kind of sensitive data a value is.
type DataClass string

// The classes of data recognised by name and format. The empty class is "not known to be sensitive".
const (
	ClassNone       DataClass = ""
	ClassPersonal   DataClass = "personal"  // names, addresses, birth dates, e-mail, telephone
	ClassFinancial  DataClass = "financial" // card numbers, IBANs, balances
	ClassHealth     DataClass = "health"
	ClassSecret     DataClass = "secret"     // passwords, tokens, keys
	ClassIdentifier DataClass = "identifier" // national ids, device ids
	ClassLocation   DataClass = "location"
)

// Place is where in the documents something stands.
type Place struct {
	File    string
	Line    int    // 1-based; 0 when unknown
	Pointer string // JSON pointer
}

// Severity of a Problem.
type Severity uint8

// Warning: loaded as meant. Degraded: loaded, but something was left out or
// loosened. Fatal: the part named is unusable.
const (
	Warning Severity = iota
	Degraded
	Fatal
)

// Problem is something wrong with a document, found while loading.
type Problem struct {
	Severity Severity
	Code     string // stable: "spec.bad_pattern", "spec.unresolved_ref", …
	Place    Place
	Message  string // what is wrong and what would be right
}
