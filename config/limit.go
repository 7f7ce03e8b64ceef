package config

// Limit bounds how much.
type Limit struct {
	GuardCommon `yaml:",inline"`
	// Rates that all operations share; an empty list sets none.
	Rates []Rate `yaml:"rates" unset:"50/s, burst 200, by address, and the same by identity"`
	// Plan says which plan a caller has, for rates that hold for some plans only.
	Plan CallerPlan `yaml:"plan"`
	// Shared counts all gateways' calls together, in the server of state.redis.
	Shared *bool `yaml:"shared" unset:"true where state.redis is set"`
	// AwayShare is the part of each rate that this gateway admits by itself while
	// the shared server cannot be asked: 1 divided by the number of gateways keeps
	// their sum within the rate.
	AwayShare float64 `yaml:"away_share" default:"0.5" min:"0.001" max:"1"`
}

// CallerPlan says which plan a caller has.
type CallerPlan struct {
	// Claim of the token that names the plan; dots descend.
	Claim string `yaml:"claim" example:"plan"`
	// Roles that are plans: a caller without the claim has the plan of the first of
	// them that he holds. API keys have roles too.
	Roles []string `yaml:"roles" example:"[gold, silver]"`
	// Default is the plan of callers of whom nothing says one.
	Default string `yaml:"default" unset:"none"`
}

// Rate is one token bucket, or one quota of the calendar.
type Rate struct {
	// By says who shares a bucket: each address, each network (prefix), each identity,
	// each credential (key), all callers of each plan, all callers with the same value
	// of a claim, each caller of each operation, or all callers of the API.
	By string `yaml:"by" default:"address" enum:"address,prefix,identity,key,plan,claim,operation,api"`
	// Name in the answer's RateLimit fields.
	Name string `yaml:"name" example:"daily" unset:"made from by"`
	// Rate is N/s, N/m, N/h, N/d, N/w or N/mo: requests in a second, minute, hour, day,
	// week or month.
	Rate string `yaml:"rate" required:"true" kind:"rate" example:"5/m"`
	// Burst is the bucket's size. A calendar's quota has none.
	Burst int `yaml:"burst" min:"0" max:"10000000" unset:"the rate's number"`
	// Window is "rolling" (what was used comes back evenly; a month has 30 days) or
	// "calendar" (all of it comes back at midnight UTC, at the hour, on the first of the month).
	Window string `yaml:"window" default:"rolling" enum:"rolling,calendar"`
	// IPv4 is the length in bits of an IPv4 network, for by: prefix.
	IPv4 int `yaml:"ipv4" default:"24" min:"1" max:"32"`
	// IPv6 is the length in bits of an IPv6 network that counts as one address; what one subscriber is given.
	IPv6 int `yaml:"ipv6" default:"64" min:"1" max:"128"`
	// Claim whose value shares a bucket, for by: claim; dots descend. Who has none
	// is counted by identity.
	Claim string `yaml:"claim" example:"org_id"`
	// Plans for whose callers it holds.
	Plans []string `yaml:"plans" example:"[free]" unset:"all"`
	// AnswerBytes counts one more request for each so many bytes of the answer,
	// beyond the first so many. They are charged when the answer has been sent.
	AnswerBytes Bytes `yaml:"answer_bytes" min:"0" max:"1TiB" example:"64KiB" unset:"answers of any size count alike"`
}
