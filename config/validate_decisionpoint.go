package config

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

func (v *validator) decisionPoint() {
	d := &v.c.DecisionPoint
	const at = "decision_point"
	if d.Listen == "off" {
		return
	}
	if d.Listen == "admin" {
		if v.c.Admin.Listen == "off" {
			v.add(at+".listen", "admin.listen is off", "give the decision point an address of its own")
		} else if host, _, err := net.SplitHostPort(v.c.Admin.Listen); err == nil && !isLoopback(host) {
			v.add(at+".listen", "the admin listener has no TLS and is open beyond this machine: keys would be sent in the clear", "give the decision point an address of its own, with tls")
		}
		if d.TLS != nil {
			v.add(at+".tls", "the admin listener has no TLS", "remove it, or give the decision point an address of its own")
		}
	} else {
		v.decisionAddress(d, at)
	}
	if d.Keys == "" {
		v.add(at+".keys", "must be set: nobody may ask without a key", "crenel keys create --subject orders --file decision-keys.yaml")
	}
	if len(d.Clients) == 0 {
		v.add(at+".clients", "there is no client: nobody may ask anything", "such as clients: [{subject: orders, apis: [petshop], authzen: true}]")
	}
	for i := range d.Clients {
		v.decisionClient(&d.Clients[i], d.Clients[:i], fmt.Sprintf("%s.clients[%d]", at, i))
	}
}

func (v *validator) decisionAddress(d *DecisionPoint, at string) {
	v.address(at+".listen", d.Listen)
	if overlap(d.Listen, v.c.Admin.Listen) {
		v.value(at+".listen", d.Listen, "is also admin.listen", "write admin to share it, or another address")
	}
	for i, l := range v.c.Server.Listen {
		if overlap(d.Listen, l) {
			v.value(at+".listen", d.Listen, fmt.Sprintf("is also served by server.listen[%d]", i), "give the decision point a port of its own")
		}
	}
	if d.TLS != nil {
		v.keyPair(at+".tls", d.TLS.Cert, d.TLS.Key)
	} else if host, _, err := net.SplitHostPort(d.Listen); err == nil && !isLoopback(host) {
		v.add(at+".tls", "must be set: keys would be sent in the clear", "set cert and key, or listen on 127.0.0.1")
	}
}

func (v *validator) decisionClient(c *DecisionClient, before []DecisionClient, at string) {
	if c.Subject != "" && slices.ContainsFunc(before, func(o DecisionClient) bool { return o.Subject == c.Subject }) {
		v.value(at+".subject", c.Subject, "stands twice", "write one entry for each subject")
	}
	for j, name := range c.APIs {
		api := slices.IndexFunc(v.c.APIs, func(a API) bool { return a.Name == name })
		switch {
		case api < 0:
			v.value(fmt.Sprintf("%s.apis[%d]", at, j), name, "is no API of this config", "")
		case len(v.c.APIs[api].Guards.Authz.Policies)+len(v.c.APIs[api].Guards.Authz.Bundles) == 0:
			v.value(fmt.Sprintf("%s.apis[%d]", at, j), name, "has no policy of its own", "set guards.authz.policies or bundles of that API")
		}
	}
	for j, path := range c.Data {
		if path != "/" && (path == "" || strings.Contains("/"+strings.Trim(path, "/")+"/", "//") || strings.Contains(path, ".")) {
			v.value(fmt.Sprintf("%s.data[%d]", at, j), path, "is not a document below data", "write package/rule with slashes, such as petshop/orders; / is all data")
		}
	}
	if len(c.Data) == 0 && !c.AuthZEN {
		v.add(at, "the client may ask nothing", "set data or authzen")
	}
}
