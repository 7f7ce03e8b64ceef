package world

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
)

// complaintCases are answers as frameworks write them.
var complaintCases = []struct {
	from, body string
	want       []string // "field rule detail"
}{
	{"rfc9457 with errors[].pointer", `{"type":"about:blank","title":"Bad Request","status":400,"errors":[{"detail":"must be a positive integer","pointer":"#/age"},{"detail":"must be 'green', 'red' or 'blue'","pointer":"#/profile/color"}]}`, []string{"age low 1", "profile/color enum green,red,blue"}},
	{"problem with errors[].at and why", `{"type":"x","title":"Unprocessable","status":422,"errors":[{"at":"/recipient/name","why":"is required"}]}`, []string{"recipient/name required"}},
	{"rails model errors", `{"errors":{"email":["has already been taken"],"name":["can't be blank"]}}`, []string{"email taken", "name required"}},
	{"rails without envelope", `{"email":["is invalid"],"password":["is too short (minimum is 8 characters)"]}`, []string{"email wrong", "password short 8"}},
	{"rails full messages", `{"errors":["Title can't be blank","Body is too short (minimum is 10 characters)"]}`, []string{"Title required", "Body short 10"}},
	{"rails param missing", `{"status":400,"error":"Bad Request","exception":"#<ActionController::ParameterMissing: param is missing or the value is empty: user>"}`, []string{"user required"}},
	{"django rest framework", `{"email":["Enter a valid email address."],"username":["This field is required."],"kind":["\"x\" is not a valid choice."]}`, []string{"email format email", "username required", "kind enum"}},
	{"drf nested", `{"items":[{"quantity":["Ensure this value is greater than or equal to 1."]}],"address":{"zip":["Ensure this field has no more than 5 characters."]}}`, []string{"items/quantity low 1", "address/zip long 5"}},
	{"drf unique", `{"username":["A user with that username already exists."]}`, []string{"username taken"}},
	{"drf pk", `{"category":["Invalid pk \"99\" - object does not exist."]}`, []string{"category absent"}},
	{"drf date", `{"start":["Date has wrong format. Use one of these formats instead: YYYY-MM-DD."]}`, []string{"start format date"}},
	{"spring binding errors", `{"timestamp":"2024-01-01T00:00:00Z","status":400,"error":"Bad Request","errors":[{"codes":["NotBlank.user.name"],"defaultMessage":"must not be blank","objectName":"user","field":"name","rejectedValue":null,"code":"NotBlank"}],"message":"Validation failed for object='user'. Error count: 1","path":"/users"}`, []string{"name required"}},
	{"spring parameter", `{"timestamp":"x","status":400,"error":"Bad Request","message":"Required request parameter 'from' for method parameter type String is not present","path":"/search"}`, []string{"from required"}},
	{"spring map of fields", `{"name":"must not be empty","age":"must be greater than or equal to 18"}`, []string{"name required", "age low 18"}},
	{"jackson enum", "{\"status\":400,\"message\":\"JSON parse error: Cannot deserialize value of type `x.Size` from String \\\"huge\\\": not one of the values accepted for Enum class: [SMALL, MEDIUM, LARGE]\"}", []string{" enum SMALL,MEDIUM,LARGE"}},
	{"express-validator 7", `{"errors":[{"type":"field","value":"","msg":"Invalid value","path":"email","location":"body"}]}`, []string{"email wrong"}},
	{"express-validator 6", `{"errors":[{"value":"x","msg":"must be at least 5 chars long","param":"password","location":"body"}]}`, []string{"password short 5"}},
	{"express-validator mapped", `{"errors":{"email":{"value":"x","msg":"Email is not valid","param":"email","location":"body"}}}`, []string{"email format email"}},
	{"joi details", `{"details":[{"message":"\"email\" is required","path":["email"],"type":"any.required","context":{"label":"email","key":"email"}}]}`, []string{"email required"}},
	{"joi message", `{"statusCode":400,"error":"Bad Request","message":"\"size\" must be one of [s, m, l]"}`, []string{"size enum s,m,l"}},
	{"celebrate", `{"statusCode":400,"error":"Bad Request","message":"Validation failed","validation":{"body":{"source":"body","keys":["age"],"message":"\"age\" must be a number"}}}`, []string{"age type number"}},
	{"class-validator", `{"statusCode":400,"message":["email must be an email","age must not be less than 18","property isAdmin should not exist"],"error":"Bad Request"}`, []string{"email format email", "age low 18", "isAdmin unknown"}},
	{"class-validator enum", `{"statusCode":400,"message":["status must be one of the following values: open, closed"],"error":"Bad Request"}`, []string{"status enum open,closed"}},
	{"class-validator raw", `[{"target":{},"property":"title","children":[],"constraints":{"isLength":"title must be longer than or equal to 10 characters"}}]`, []string{"title short 10"}},
	{"pydantic 1", `{"detail":[{"loc":["body","email"],"msg":"field required","type":"value_error.missing"}]}`, []string{"email required"}},
	{"pydantic 2", `{"detail":[{"type":"missing","loc":["body","items",0,"sku"],"msg":"Field required","input":{}},{"type":"enum","loc":["query","sort"],"msg":"Input should be 'asc' or 'desc'","input":"x","ctx":{"expected":"'asc' or 'desc'"}}]}`, []string{"items/0/sku required", "sort enum asc,desc"}},
	{"pydantic 2 numbers", `{"detail":[{"type":"greater_than","loc":["body","price"],"msg":"Input should be greater than 0","input":0,"ctx":{"gt":0}}]}`, []string{"price low 1"}},
	{"pydantic uuid", `{"detail":[{"type":"uuid_parsing","loc":["path","id"],"msg":"Input should be a valid UUID, invalid length","input":"1"}]}`, []string{"id format uuid"}},
	{"laravel", `{"message":"The given data was invalid.","errors":{"email":["The email field is required."],"password":["The password must be at least 8 characters."]}}`, []string{"email required", "password short 8"}},
	{"laravel in", `{"message":"The selected role is invalid.","errors":{"role":["The selected role is invalid."]}}`, []string{"role absent"}},
	{"laravel confirmed", `{"message":"x","errors":{"password":["The password confirmation does not match."]}}`, []string{"password match"}},
	{"asp.net", `{"type":"https://tools.ietf.org/html/rfc7231#section-6.5.1","title":"One or more validation errors occurred.","status":400,"traceId":"00-1","errors":{"Email":["The Email field is not a valid e-mail address."],"$.age":["The JSON value could not be converted to System.Int32. Path: $.age | LineNumber: 0."]}}`, []string{"Email format email", "age wrong"}},
	{"fluentvalidation", `[{"propertyName":"Surname","errorMessage":"'Surname' must not be empty.","attemptedValue":""}]`, []string{"Surname required"}},
	{"zod", `{"success":false,"error":{"issues":[{"code":"invalid_type","expected":"string","received":"undefined","path":["name"],"message":"Required"}],"name":"ZodError"}}`, []string{"name required"}},
	{"zod enum", `{"issues":[{"received":"x","code":"invalid_enum_value","options":["a","b"],"path":["kind"],"message":"Invalid enum value. Expected 'a' | 'b', received 'x'"}]}`, []string{"kind enum a,b"}},
	{"zod flattened", `{"formErrors":[],"fieldErrors":{"url":["Invalid url"]}}`, []string{"url format url"}},
	{"mongoose", `{"errors":{"title":{"name":"ValidatorError","message":"Path ` + "`title`" + ` is required.","kind":"required","path":"title"}},"_message":"Post validation failed","message":"Post validation failed: title: Path ` + "`title`" + ` is required."}`, []string{"title required"}},
	{"mongo duplicate", `{"message":"E11000 duplicate key error collection: app.users index: email_1 dup key: { email: \"a@b.c\" }"}`, []string{"email taken"}},
	{"a beginning", `{"error":"Order must start with 'list'"}`, []string{"Order enum list"}},
	{"a beginning, no quotes", `{"errors":{"order":["must begin with show."]}}`, []string{"order enum show"}},
	{"the only ones", `{"error":"Only 'tide' and 'wind' are allowed"}`, []string{" enum tide,wind"}},
	{"the only command", `{"error":"only uptime, df commands are permitted"}`, []string{" enum uptime,df"}},
	{"ajv", `{"errors":[{"instancePath":"/email","schemaPath":"#/properties/email/format","keyword":"format","params":{"format":"email"},"message":"must match format \"email\""},{"instancePath":"","keyword":"required","params":{"missingProperty":"name"},"message":"must have required property 'name'"}]}`, []string{"email format email", "name required"}},
	{"ajv extra", `[{"instancePath":"/user","keyword":"additionalProperties","params":{"additionalProperty":"role"},"message":"must NOT have additional properties"}]`, []string{"user/role unknown"}},
	{"fastify", `{"statusCode":400,"code":"FST_ERR_VALIDATION","error":"Bad Request","message":"body must have required property 'name'"}`, []string{"name required"}},
	{"fastify type", `{"statusCode":400,"error":"Bad Request","message":"body/age must be integer"}`, []string{"age type integer"}},
	{"go validator", `{"error":"Key: 'User.Email' Error:Field validation for 'Email' failed on the 'required' tag\nKey: 'User.Age' Error:Field validation for 'Age' failed on the 'gte' tag"}`, []string{"Email required", "Age low"}},
	{"go json", `{"error":"json: unknown field \"nickname\""}`, []string{"nickname unknown"}},
	{"json:api", `{"errors":[{"status":"422","source":{"pointer":"/data/attributes/title"},"title":"Invalid Attribute","detail":"Title must contain at least three characters."}]}`, []string{"title required"}},
	{"json:api parameter", `{"errors":[{"source":{"parameter":"page"},"detail":"must be an integer"}]}`, []string{"page type integer"}},
	{"google", `{"error":{"code":400,"message":"Invalid","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"book.title","description":"must not be empty"}]}]}}`, []string{"book/title required"}},
	{"symfony", `{"violations":[{"propertyPath":"email","message":"This value is not a valid email address.","code":"bd79c0ab"}]}`, []string{"email format email"}},
	{"quarkus", `{"title":"Constraint Violation","status":400,"violations":[{"field":"create.req.name","message":"must not be blank"}]}`, []string{"create/req/name required"}},
	{"marshmallow", `{"errors":{"json":{"email":["Missing data for required field."],"x":["Unknown field."]}},"status":"Unprocessable Entity","code":422}`, []string{"email required", "x unknown"}},
	{"connexion", `{"detail":"'name' is a required property","status":400,"title":"Bad Request","type":"about:blank"}`, []string{"name required"}},
	{"jsonschema", `{"detail":"'abc' is not of type 'integer' - 'quantity'","status":400,"title":"Bad Request"}`, []string{"quantity type integer"}},
	{"sqlite", `{"error":"NOT NULL constraint failed: users.phone"}`, []string{"phone required"}},
	{"postgres", `{"message":"null value in column \"owner_id\" of relation \"pets\" violates not-null constraint"}`, []string{"owner_id required"}},
	{"postgres unique", `{"message":"duplicate key value violates unique constraint \"users_email_key\"","detail":"Key (email)=(a@b.c) already exists."}`, []string{"email taken"}},
	{"strapi", `{"data":null,"error":{"status":400,"name":"ValidationError","message":"title must be defined.","details":{"errors":[{"path":["title"],"message":"title is a required field","name":"ValidationError"}]}}}`, []string{"title required"}},
	{"huma", `{"title":"Unprocessable Entity","status":422,"detail":"validation failed","errors":[{"message":"expected string","location":"body.name","value":1}]}`, []string{"name type string"}},
	{"stripe", `{"error":{"message":"Missing required param: amount.","param":"amount","type":"invalid_request_error"}}`, []string{"amount required"}},
	{"micronaut", `{"_embedded":{"errors":[{"message":"user.email: must not be blank"}]},"message":"Bad Request"}`, []string{"user/email required"}},
	{"vine", `{"errors":[{"message":"The email field must be a valid email address","rule":"email","field":"email"}]}`, []string{"email format email"}},
	{"plain text", "email must be a valid email address\nname is required\n", []string{"email format email", "name required"}},
	{"plain list", `{"message":"Missing required field: plate"}`, []string{"plate required"}},
	{"plain enum", `{"error":"status must be one of: open, paid, shipped"}`, []string{"status enum open,paid,shipped"}},
	{"plain date", `{"error":"Invalid date format for checkin, expected DD/MM/YYYY"}`, []string{"checkin format date"}},
	{"html", `<html><head><style>a{}</style></head><body><h1>Bad Request</h1><p>username is required</p></body></html>`, []string{"username required"}},
	{"between", `{"errors":{"rating":"must be between 1 and 5"}}`, []string{"rating low 1"}},
	{"length", `{"message":"pin must have 4 to 6 characters"}`, []string{"pin long 6"}},
	{"exact length", `{"message":"pin must be exactly 4 characters"}`, []string{"pin long 4"}},
	{"future", `{"errors":[{"field":"departure","message":"must be a future date"}]}`, []string{"departure future"}},
}

func describe(c Complaint) string {
	detail := c.Bound
	if c.Values != nil {
		detail = strings.Join(c.Values, ",")
	}
	return strings.TrimRight(fmt.Sprintf("%s %s %s", c.Field, c.Rule, cmp.Or(c.Want, detail)), " ")
}

func TestReadComplaints(t *testing.T) {
	for _, tc := range complaintCases {
		t.Run(tc.from, func(t *testing.T) {
			got := map[string]bool{}
			var list []string
			for _, c := range readComplaints([]byte(tc.body)) {
				got[describe(c)] = true
				list = append(list, describe(c))
			}
			for _, want := range tc.want {
				if !got[want] {
					t.Errorf("read %q, which lacks %q", list, want)
				}
			}
			if len(list) > len(tc.want) {
				t.Errorf("read %q, wanted %q and no more", list, tc.want)
			}
		})
	}
}

// Answers that complain of nothing that a caller could mend must not be read as if they did.
func TestReadComplaintsFindsNoFieldWhereThereIsNone(t *testing.T) {
	for _, body := range []string{
		`{"type":"https://x.example/problems/not_found","title":"Not Found","status":404,"detail":"There is no such parcel.","request_id":"7f"}`,
		`{"timestamp":"2024","status":500,"error":"Internal Server Error","path":"/a/b"}`,
		`{"message":"Unauthorized"}`, `{"error":"invalid_token","error_description":"The access token expired"}`,
		`Not Found`, ``, `{}`, `[]`, `null`, `"x"`,
	} {
		for _, c := range readComplaints([]byte(body)) {
			if c.Field != "" {
				t.Errorf("%s: read %q", body, describe(c))
			}
		}
	}
}

func FuzzReadComplaints(f *testing.F) {
	for _, tc := range complaintCases {
		f.Add([]byte(tc.body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		list := readComplaints(body)
		if len(list) > maxComplaints {
			t.Fatalf("%d complaints", len(list))
		}
		for _, c := range list {
			if c.Rule == "" {
				t.Fatalf("a complaint without a rule: %+v", c)
			}
		}
	})
}

func BenchmarkReadComplaints(b *testing.B) {
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			readComplaints([]byte(complaintCases[0].body))
		}
	})
	b.Run("page of html", func(b *testing.B) {
		page := []byte(strings.Repeat("<p>The value of field x must be something else, or missing, or invalid in the stack of frames</p>\n", 640))
		for b.Loop() {
			readComplaints(page)
		}
	})
}
